"""Batches of a run from any step on: the samples of a place are the same with any number of workers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dsr.errors import DsrError, TrainingError
from dsr.training.ranks import Ranks
from dsr.training.task import Task


@dataclass(frozen=True)
class BatchPositions:
    """Places of one process's samples, batch by batch, from where the run is to its end.

    The last samples of an epoch that make no whole step are dropped, as published.

    Attributes:
        batch: samples of a batch.
        epoch_steps: steps of an epoch.
        first: steps done before.
        end: steps of the run.
        ranks: this process among the others.

    Example:
        >>> list(BatchPositions(batch=2, epoch_steps=2, first=1, end=3))
        [[(0, 2), (0, 3)], [(1, 0), (1, 1)]]
    """

    batch: int
    epoch_steps: int
    first: int
    end: int
    ranks: Ranks = field(default_factory=Ranks)

    def __len__(self) -> int:
        return self.end - self.first

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for number in range(self.first, self.end):
            epoch, step = divmod(number, self.epoch_steps)
            start = (step * self.ranks.world + self.ranks.rank) * self.batch
            yield [(epoch, start + i) for i in range(self.batch)]


def batches(task: Task, positions: BatchPositions, workers: int, pin_memory: bool = False) -> Iterator[dict[str, Any]]:
    """Batches in the order of their positions.

    Args:
        task: makes and joins the samples.
        positions: of all batches that are left.
        workers: processes that prepare samples; 0: none.
        pin_memory: for faster copies to a GPU.

    Raises:
        TrainingError: naming the step, if a sample cannot be made.
    """
    loader = DataLoader(
        _Samples(task),
        batch_sampler=positions,
        collate_fn=_Collate(task),
        num_workers=workers,
        generator=torch.Generator().manual_seed(0),  # its own: the global one must not depend on restarts
        pin_memory=pin_memory,
        prefetch_factor=2 if workers else None,
        worker_init_fn=_quiet_worker,
    )
    return _checked(iter(loader), positions.first + 1)


def _checked(made: Iterator[Any], first: int) -> Iterator[dict[str, Any]]:
    for step, batch in enumerate(made, first):
        if isinstance(batch, _Failure):
            raise TrainingError(f"Step {step}: {batch.message}")
        yield dict(batch)


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with its tensors on the device."""
    return {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}


@dataclass(frozen=True)
class _Failure:
    """A sample that could not be made; workers hand over the sentence instead of a traceback."""

    message: str


def _quiet_worker(_: int) -> None:
    """Ctrl-C is for the main process, which ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Samples(Dataset[Any]):
    def __init__(self, task: Task) -> None:
        self.task = task

    def __getitem__(self, at: tuple[int, int]) -> Any:
        try:
            return self.task.sample(*at)
        except DsrError as error:
            return _Failure(str(error))


class _Collate:
    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self, samples: list[Any]) -> Any:
        failed = next((one for one in samples if isinstance(one, _Failure)), None)
        return failed if failed is not None else self.task.collate(samples)
