"""Training and held-out samples of a configuration: sources, their mixture, the shuffled order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.datasets import MixedSource, collate
from dsr.datasets.mix import epoch_order, generator
from dsr.errors import UsageError
from dsr.synthetic.records import PersonRecord, RecordSource
from dsr.training.systems.regressor.config import RegressorTrainConfig

if TYPE_CHECKING:
    from dsr.body import Body

View = Callable[[PersonRecord, Any], dict[str, Any]]
HELD_OUT_SEED = 271_828_182
"""Seed of the held-out people, far from any run's own."""


class TrainingData:
    """Samples by (epoch, position): the shuffled order and the augmentation depend on these and the seed alone.

    Args:
        source: records.
        view: record and random numbers -> sample.
        seed: of order and augmentation.
    """

    def __init__(self, source: RecordSource, view: View, seed: int) -> None:
        self.source, self.view, self.seed = source, view, seed
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.source)

    def prepare(self, processes: int) -> None:
        """Fill the pool where there is one."""
        for source in getattr(self.source, "sources", (self.source,)):
            if isinstance(source, Pool):
                source.fill(processes)

    def sample(self, epoch: int, position: int) -> dict[str, Any]:
        """The sample at a place of an epoch's order."""
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, epoch_order(len(self.source), self.seed, epoch)
        index = int(self._order[1][position])
        return self.view(self.source.record(index, epoch), generator("sample", self.seed, epoch, index))


class Pool:
    """The first few records of a source, made once and kept in memory, again in every epoch.

    Args:
        source: makes its records, which are worth keeping.
        size: how many are made.
        length: records per epoch.
    """

    def __init__(self, source: RecordSource, size: int, length: int) -> None:
        self.source, self.size, self.length, self.name = source, size, length, source.name
        self._made: dict[int, PersonRecord] = {}

    def __len__(self) -> int:
        return self.length

    def record(self, index: int, epoch: int = 0) -> PersonRecord:
        """The record; epochs differ in their order and augmentation only."""
        at = (index + epoch * self.length) % self.size
        if at not in self._made:
            self._made[at] = _kept(self.source, at)
        return self._made[at]

    def fill(self, processes: int) -> None:
        """Make all records now that are not made, with several processes; workers that are forked later share them."""
        if len(self._made) == self.size:
            return
        if processes < 2:
            self._made = {at: _kept(self.source, at) for at in range(self.size)}
            return
        import multiprocessing

        # A forked process that uses OpenMP's threads of its parent waits for ever.
        with multiprocessing.get_context().Pool(processes, initializer=_one_thread) as made:
            self._made = dict(enumerate(made.map(partial(_kept, self.source), range(self.size), chunksize=32)))


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _kept(source: RecordSource, index: int) -> PersonRecord:
    """A record without what no view reads."""
    return replace(source.record(index, 0), mask=None)


def published_file(config: RegressorTrainConfig, name: str) -> Path | None:
    """A licensed file of the published layout, which lies in ``--data.root``; None where there is none."""
    path = None if config.data.root is None else Path(config.data.root) / name
    return path if path is not None and path.is_file() else None


def is_open(body: Body) -> bool:
    """Whether a body is the open one, whose betas made-up people have."""
    return body.asset.name in ("open", "open-light")


def synthetic_source(config: RegressorTrainConfig, *, held_out: bool = False) -> RecordSource:
    """People made on the fly, for training or held out (other seed, other clips, never an occluder)."""
    from dsr.synthetic.people import SyntheticSource

    data = config.data
    if held_out:
        return SyntheticSource(
            config.validation.count,
            HELD_OUT_SEED,
            data.synthetic_size,
            data.mocap,
            data.clothing == "on",
            False,
            "val" if data.mocap is not None else "train",
            data.synthetic_facing,
        )
    pool = data.synthetic_pool
    source = SyntheticSource(
        max(pool, data.synthetic_count),
        config.seed,
        data.synthetic_size,
        data.mocap,
        data.clothing == "on",
        data.occluders == "on",
        facing_deg=data.synthetic_facing,
    )
    return Pool(source, pool, data.synthetic_count) if pool else source


def training_source(
    config: RegressorTrainConfig, open_set: Callable[[str, Path], RecordSource], rule: str, length: int | None
) -> RecordSource:
    """The mixture of a configuration.

    Args:
        config: its ``data.mix`` and ``data.root``.
        open_set: name and root -> source, for all but ``synthetic``.
        rule: of :class:`~dsr.datasets.mix.MixedSource`.
        length: draws per epoch; None: as long as the longest.

    Raises:
        UsageError: if there is no root for data sets on disk.
        DatasetError: if a data set is unknown, missing or wrong.
    """
    data = config.data
    mix = {name: weight for name, weight in data.mix.items() if weight > 0}
    on_disk = [name for name in mix if name != "synthetic"]
    if on_disk and data.root is None:
        raise UsageError(
            f"The data sets {', '.join(on_disk)} are read from disk: give their folder by --data.root, or train on "
            "made-up people by --preset smoke."
        )
    sources = [
        synthetic_source(config) if name == "synthetic" else open_set(name, Path(str(data.root))) for name in mix
    ]
    length = data.epoch_samples or length
    if len(sources) == 1 and length in (None, len(sources[0])):
        return sources[0]
    return MixedSource(sources, list(mix.values()), length=length, seed=config.seed, rule=rule)  # type: ignore[arg-type]


def held_out_batches(config: RegressorTrainConfig, view: View, size: int = 64) -> list[dict[str, Any]]:
    """The held-out people as batches, made once."""
    source = synthetic_source(config, held_out=True)
    samples = [view(source.record(i), np.random.default_rng(i)) for i in range(len(source))]
    return [collate(samples[i : i + size]) for i in range(0, len(samples), size)]
