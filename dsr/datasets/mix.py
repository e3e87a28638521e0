"""Mixtures of data sets and the order in which training sees them: the same for any number of workers, resumable.

Everything random is drawn from (seed, epoch, index), never from a generator that some process has advanced.
Sources: DSR specification, section 7 (shares); PersPose specification, section 8 (walk).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from dsr.datasets.augment import Random
from dsr.errors import DatasetError, TrainingError
from dsr.synthetic.records import PersonRecord, RecordSource

DSR_SHARES: Final = {"h36m": 0.5, "coco": 0.3, "mpi-inf-3dhp": 0.2}
DSR_SHARES_3DPW: Final = {"h36m": 0.3, "coco": 0.4, "mpi-inf-3dhp": 0.1, "3dpw": 0.2}
"""Shares of DSR's training sets, without and with 3DPW."""
PERSPOSE_DRAWS: Final = 300_000
"""Draws that PersPose calls an epoch."""
PERSPOSE_RATIOS: Final = {
    "perspose-3dpw": {"h36m": 0.3, "coco": 0.4, "3dhp": 0.2, "3dpw": 0.1},
    "perspose-h36m": {"h36m": 0.4, "coco": 0.5, "3dhp": 0.1},
    "perspose-3dhp": {"h36m": 0.3, "coco": 0.4, "3dhp": 0.2, "3dpw": 0.2},
    "perspose-w-be-3dpw": {
        "h36m": 0.3,
        "coco": 0.4,
        "3dhp": 0.2,
        "3dpw": 0.1,
        "bedlam-train": 0.15,
        "bedlam-val": 0.05,
    },
    "perspose-w-be-3dhp": {
        "h36m": 0.3,
        "coco": 0.4,
        "3dhp": 0.2,
        "3dpw": 0.2,
        "bedlam-train": 0.15,
        "bedlam-val": 0.05,
    },
}
"""Ratios of PersPose's training sets per preset; they need not sum to 1."""
_PUBLISHED_SEED, _PUBLISHED_COPIES = 2147483647, 50
_STREAMS = {"sample": 0, "mix": 1, "order": 2, "walk": 3, "mirror": 4}


def generator(
    stream: Literal["sample", "mix", "order", "walk", "mirror"], seed: int, *numbers: int
) -> np.random.Generator:
    """The random numbers of one purpose at one place, independent of all others.

    Args:
        stream: the purpose.
        seed: of the run.
        numbers: epoch and index, say; at least 0.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _STREAMS[stream], *numbers])))


class MixedSource:
    """Several sources as one, each with its share of the draws.

    Args:
        sources: the data sets.
        shares: their shares of the draws, in the same order; scaled to sum 1.
        length: draws per epoch; the longest source's length where None (as DSR does).
        seed: of the draws.
        rule: ``share``: each draw picks a source at random and its element ``index mod len`` (DSR). ``walk``: the
            epoch's first draws all go to the first source and so on, each source walked through in shuffled passes
            that go on where the last epoch ended (PersPose); to be read shuffled. ``published-walk``: the released
            permutations of 50 copies of each source, which repeat records within a pass.
        name: for results.

    Raises:
        DatasetError: if the numbers do not fit, or a source with a share is empty.
    """

    def __init__(
        self,
        sources: Sequence[RecordSource],
        shares: Sequence[float],
        *,
        length: int | None = None,
        seed: int = 0,
        rule: Literal["share", "walk", "published-walk"] = "share",
        name: str = "mix",
    ) -> None:
        self.sources, self.name, self.seed, self.rule = tuple(sources), name, seed, rule
        self._sizes = [len(source) for source in self.sources]
        weights = np.asarray(shares, dtype=np.float64)
        if not self.sources or weights.shape != (len(self.sources),):
            raise DatasetError(f"A mixture needs one share per source, not {len(weights)} for {len(self.sources)}.")
        if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
            raise DatasetError(f"The shares of a mixture must be at least 0 and not all 0, not {list(shares)}.")
        for source, share, size in zip(self.sources, weights, self._sizes, strict=True):
            if share > 0 and not size:
                raise DatasetError(f"The data set {source.name} is empty, but has a share of {share:g} in the mixture.")
        if rule not in ("share", "walk", "published-walk"):
            raise DatasetError(f"The rule of a mixture is 'share', 'walk' or 'published-walk', not {rule!r}.")
        self.shares = weights / weights.sum()
        self.length = max(self._sizes) if length is None else length
        if self.length < 1:
            raise DatasetError(f"A mixture needs at least one draw per epoch, not {length}.")
        self._ends = np.cumsum(self.shares)
        self._edges = np.round(self._ends * self.length).astype(np.int64)
        self._passes: dict[tuple[int, int], np.ndarray] = {}
        self._published: list[np.ndarray] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the orders, which every worker makes again when it needs them."""
        return {**self.__dict__, "_passes": {}, "_published": None}

    def __len__(self) -> int:
        """Draws per epoch."""
        return self.length

    def pick(self, index: int, epoch: int = 0) -> tuple[int, int]:
        """Which source and which of its records a draw takes."""
        if not 0 <= index < self.length:
            raise IndexError(f"draw {index} of a mixture of {self.length}")
        if self.rule != "share":
            return self._walk(index, epoch)
        p = generator("mix", self.seed, epoch, index).uniform()
        which = min(int(np.searchsorted(self._ends, p)), len(self.sources) - 1)
        return which, index % self._sizes[which]

    def record(self, index: int, epoch: int = 0) -> PersonRecord:
        """The record of a draw; see :class:`~dsr.synthetic.records.RecordSource`."""
        which, row = self.pick(index, epoch)
        return self.sources[which].record(row, epoch)

    def _walk(self, index: int, epoch: int) -> tuple[int, int]:
        which = int(np.searchsorted(self._edges, index, side="right"))
        first = int(self._edges[which - 1]) if which else 0
        step = epoch * (int(self._edges[which]) - first) + index - first
        size = self._sizes[which]
        if self.rule == "published-walk":
            order = self._published_orders()[which]
            return which, int(order[step % len(order)])
        number, place = divmod(step, size)
        if (which, number) not in self._passes:
            self._forget(which, epoch)
            self._passes[which, number] = generator("walk", self.seed, which, number).permutation(size)
        return which, int(self._passes[which, number][place])

    def _forget(self, which: int, epoch: int) -> None:
        """Drop the passes of a source that this epoch does not touch."""
        count = int(self._edges[which]) - (int(self._edges[which - 1]) if which else 0)
        first, last = epoch * count // self._sizes[which], ((epoch + 1) * count - 1) // self._sizes[which]
        for key in [key for key in self._passes if key[0] == which and not first <= key[1] <= last]:
            del self._passes[key]

    def _published_orders(self) -> list[np.ndarray]:
        """The released permutations: of 50 copies of each source, one after the other from one generator."""
        if self._published is None:
            drawn = torch.Generator().manual_seed(_PUBLISHED_SEED)
            self._published = [
                (torch.randperm(_PUBLISHED_COPIES * size, generator=drawn) % size).int().numpy() for size in self._sizes
            ]
        return self._published


class EpochSampler(Sampler[int]):
    """Indices of an epoch in a shuffled order that depends on (seed, epoch) only, from any position on.

    The position counts what the training loop has used, not what workers have fetched ahead: the loop calls
    :meth:`advance` after each step and saves :meth:`state_dict`. With several processes each takes every ``world``-th
    index; all get the same number.

    Args:
        length: number of records per epoch.
        seed: of the order.
        shuffle: False keeps the order of the source (as DSR's published configuration).
        batch_size: per process; only whole batches are taken when ``drop_last``.
        drop_last: leave out the remainder that fills no batch (of all processes).
        rank: this process.
        world: number of processes.
    """

    def __init__(
        self,
        length: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        batch_size: int = 1,
        drop_last: bool = True,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if length < 1 or batch_size < 1 or world < 1 or not 0 <= rank < world:
            raise TrainingError(
                f"No order of {length} records in batches of {batch_size} for process {rank} of {world} can be made."
            )
        self.length, self.seed, self.shuffle = length, seed, shuffle
        self.rank, self.world = rank, world
        whole = batch_size * world if drop_last else world
        self.total = length // whole * whole if drop_last else math.ceil(length / world) * world
        if not self.total:
            raise TrainingError(
                f"{length} records make not one batch of {batch_size} for {world} processes: take smaller batches."
            )
        self.epoch = 0
        self.position = 0

    def __len__(self) -> int:
        """Indices this process still gives in this epoch."""
        return self.total // self.world - self.position

    def __iter__(self) -> Iterator[int]:
        """This process' indices from the position on."""
        own = self.order(self.epoch)[self.rank :: self.world]
        return iter(own[self.position :].tolist())

    def order(self, epoch: int) -> np.ndarray:
        """Indices of all processes in an epoch, (total,) int64; where too few, the first ones come again."""
        indices = np.arange(self.length)
        if self.shuffle:
            indices = generator("order", self.seed, epoch).permutation(self.length)
        return np.resize(indices, self.total)

    def set_epoch(self, epoch: int) -> None:
        """Start an epoch at its beginning."""
        self.epoch, self.position = epoch, 0

    def advance(self, count: int) -> None:
        """Tell that this process has used ``count`` more records."""
        self.position += count

    def state_dict(self) -> dict[str, int]:
        """Where the run is, and what the order was made from."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "seed": self.seed,
            "length": self.length,
            "world": self.world,
            "total": self.total,
            "shuffle": int(self.shuffle),
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where :meth:`state_dict` was taken.

        Raises:
            TrainingError: if the data, the seed, the batches or the number of processes are others now.
        """
        for key, value in self.state_dict().items():
            if key not in state:
                raise TrainingError(f"The sampler's state has no {key!r}; the checkpoint is of another kind.")
            if key not in ("epoch", "position") and state[key] != value:
                raise TrainingError(
                    f"The run was saved with {key} {state[key]} in its sampler and is now {value}; resume it with the "
                    "same data and settings."
                )
        if not 0 <= state["position"] <= self.total // self.world or state["epoch"] < 0:
            raise TrainingError(f"The sampler's state, position {state['position']}, lies outside the epoch.")
        self.epoch, self.position = int(state["epoch"]), int(state["position"])


class ViewDataset(Dataset[dict[str, Any]]):
    """A source through a view, for ``torch.utils.data.DataLoader`` with :func:`collate`.

    Each sample depends on (seed, epoch, index) only. The epoch lies in shared memory, so that :meth:`set_epoch` reaches
    workers that live on (``persistent_workers=True``), however they were started; call it before the loader's next
    iteration, not during one.

    Args:
        source: the records.
        view: such as :class:`~dsr.datasets.dsr_view.DsrView`: ``view(record, rng) -> dict``.
        seed: of the augmentation.
    """

    def __init__(self, source: RecordSource, view: Any, seed: int = 0) -> None:
        self.source, self.view, self.seed = source, view, seed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch samples are drawn for."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Draw other augmentations (and other records, of sources that make theirs) from now on."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """Number of samples per epoch."""
        return len(self.source)

    def rng(self, index: int) -> Random:
        """The generator a sample is augmented with."""
        return generator("sample", self.seed, self.epoch, index)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One sample, with its ``index`` () int64.

        Raises:
            DatasetError: from the source or the view, naming the file.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        sample: dict[str, Any] = self.view(self.source.record(index, self.epoch), self.rng(index))
        sample["index"] = torch.tensor(index)
        return sample


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch: tensors stacked, everything else in lists.

    Args:
        samples: with the same keys; at least one.

    Raises:
        DatasetError: if the samples do not belong to one view.
    """
    keys = samples[0].keys()
    if any(sample.keys() != keys for sample in samples):
        raise DatasetError("The samples of a batch have different keys; a batch comes from one view.")
    batch: dict[str, Any] = {}
    for key in keys:
        values = [sample[key] for sample in samples]
        batch[key] = torch.stack(values) if isinstance(values[0], torch.Tensor) else values
    return batch
