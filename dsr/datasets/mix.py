"""Mixtures of data sets and the order in which training sees them: the same for any number of workers, resumable.

Everything random is drawn from (seed, epoch, index), never from a generator that some process has advanced.
Sources: DSR specification, section 7 (random draws); PersPose specification, section 8 (passes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from dsr.errors import DatasetError
from dsr.synthetic.records import PersonRecord, RecordSource

_PUBLISHED_SEED, _PUBLISHED_COPIES = 2147483647, 50
_STREAMS = {"sample": 0, "mix": 1, "order": 2, "passes": 3, "mirror": 4}


def generator(
    stream: Literal["sample", "mix", "order", "passes", "mirror"], seed: int, *numbers: int
) -> np.random.Generator:
    """The random numbers of one purpose at one place, independent of all others.

    Args:
        stream: the purpose.
        seed: of the run.
        numbers: epoch and index, say; at least 0.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _STREAMS[stream], *numbers])))


class MixedSource:
    """Several sources as one, each with its proportion of the draws.

    Args:
        sources: the data sets.
        proportions: their parts of the draws, in the same order; scaled to sum 1.
        length: draws per epoch; the longest source's length where None (as DSR does).
        seed: of the draws.
        rule: ``random``: each draw picks a source at random and its element ``index mod len`` (DSR). ``passes``: the
            epoch's first draws all go to the first source and so on, each source gone through in shuffled passes
            that go on where the last epoch ended (PersPose); to be read shuffled. ``published-passes``: the released
            permutations of 50 copies of each source, which repeat records within a pass.
        name: for results.

    Raises:
        DatasetError: if the numbers do not fit, or a source that is to be drawn from is empty.
    """

    def __init__(
        self,
        sources: Sequence[RecordSource],
        proportions: Sequence[float],
        *,
        length: int | None = None,
        seed: int = 0,
        rule: Literal["random", "passes", "published-passes"] = "random",
        name: str = "mix",
    ) -> None:
        self.sources, self.name, self.seed, self.rule = tuple(sources), name, seed, rule
        self._sizes = [len(source) for source in self.sources]
        weights = np.asarray(proportions, dtype=np.float64)
        if not self.sources or weights.shape != (len(self.sources),):
            raise DatasetError(f"A mixture needs a proportion per source: {len(weights)} for {len(self.sources)}.")
        if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
            raise DatasetError(f"Proportions must be at least 0 and not all 0, not {list(proportions)}.")
        for source, weight, size in zip(self.sources, weights, self._sizes, strict=True):
            if weight > 0 and not size:
                raise DatasetError(f"The data set {source.name} is empty, but the mixture takes {weight:g} of it.")
        if rule not in ("random", "passes", "published-passes"):
            raise DatasetError(f"The rule of a mixture is 'random', 'passes' or 'published-passes', not {rule!r}.")
        self.length = max(self._sizes) if length is None else length
        if self.length < 1:
            raise DatasetError(f"A mixture needs at least one draw per epoch, not {length}.")
        self._ends = np.cumsum(weights / weights.sum())
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
        if self.rule != "random":
            return self._next_in_pass(index, epoch)
        p = generator("mix", self.seed, epoch, index).uniform()
        which = min(int(np.searchsorted(self._ends, p)), len(self.sources) - 1)
        return which, index % self._sizes[which]

    def record(self, index: int, epoch: int = 0) -> PersonRecord:
        """The record of a draw; see :class:`~dsr.synthetic.records.RecordSource`."""
        which, row = self.pick(index, epoch)
        return self.sources[which].record(row, epoch)

    def _next_in_pass(self, index: int, epoch: int) -> tuple[int, int]:
        which = int(np.searchsorted(self._edges, index, side="right"))
        first = int(self._edges[which - 1]) if which else 0
        step = epoch * (int(self._edges[which]) - first) + index - first
        size = self._sizes[which]
        if self.rule == "published-passes":
            order = self._published_orders()[which]
            return which, int(order[step % len(order)])
        number, place = divmod(step, size)
        if (which, number) not in self._passes:
            self._forget(which, epoch)
            self._passes[which, number] = generator("passes", self.seed, which, number).permutation(size)
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


def epoch_order(length: int, seed: int, epoch: int) -> np.ndarray:
    """The shuffled order of an epoch's records, (length,) int64; it depends on nothing else."""
    return generator("order", seed, epoch).permutation(length)


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
