"""Many machines, by Ray: workers that each fit one input at a time, and whose loss costs only what they were at.

Every worker is a process with its own models. A worker is given the next input when it is done with one, and one more
waits for it, so that nothing piles up; what was with a worker that died is given to others. Files and report are those
of one machine: whoever works on an input writes its files, which do not depend on who that is.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from dsr.errors import DsrError, MissingExtraError, UsageError, error_sentence
from dsr.extras import install_command
from dsr.limits import check_time
from dsr.pipeline.input_worker import InputWorker, WorkOrder
from dsr.pipeline.output_folder import PlannedOutput
from dsr.pipeline.remote_output import output_folder
from dsr.results.report import Row

AUTO = "auto"
WAITING = 2
"""Inputs that are with a worker: one at work, one waiting."""
MOST_LOSSES = 3
"""An input that so many workers died of is given up."""
_TICK_S = 1.0
_STARTS = 5
"""So many workers may be lost one after the other without a single result between them."""


class RemoteWorker:
    """What runs on a worker: :class:`~dsr.pipeline.input_worker.InputWorker`, with everything sent as plain values."""

    def __init__(self, order: WorkOrder, version: str) -> None:
        self._order, self._version = order, version
        self._worker: InputWorker | None = None

    def prepare(self) -> str:
        """Load everything; a sentence where that cannot be."""
        import torch

        from dsr import __version__

        if __version__ != self._version:
            return f"this machine has dsr {__version__}, the one that asks has {self._version}: install the same."
        torch.set_num_threads(1)  # as the threads of one machine: sums stay the same
        order = self._order
        try:
            self._folder = output_folder(order.out, order.options, order.outputs, order.sequence)
            self._folder.path.mkdir(parents=True, exist_ok=True)
            self._worker = InputWorker(order, self._folder)
        except Exception as error:
            return str(error) if isinstance(error, DsrError) else error_sentence(error)
        return ""

    def fit(self, planned: PlannedOutput) -> tuple[Row, list[Path]]:
        """The row of one input, and files of earlier runs that were removed."""
        assert self._worker is not None
        before = len(self._folder.removed)
        row = self._worker(planned)
        return row, self._folder.removed[before:]


@dataclass(eq=False)
class _Hired:
    """A worker and what is with it: the call that prepares it, then inputs in their order."""

    actor: Any
    starting: Any
    inputs: deque[tuple[Any, int]] = field(default_factory=deque)


class Cluster:
    """Workers on a Ray cluster.

    Args:
        order: what is asked for.
        address: of the cluster; ``auto`` is one that runs here, or else one on this machine alone.
        workers: how many; 0 for one per core of the cluster.

    Raises:
        MissingExtraError: if Ray is not installed.
        UsageError: if the cluster cannot be reached, or what is asked for cannot be done on one.
    """

    def __init__(self, order: WorkOrder, address: str, workers: int = 0) -> None:
        if order.options.device == "cuda":
            raise UsageError("--cluster works on processors, a worker per core: leave --device cuda out.")
        self._ray, self._own = _connected(address)
        cores = int(self._ray.cluster_resources().get("CPU", 1))
        self._count = workers or max(1, cores)
        self._order = self._ray.put(order)
        self._hired: list[_Hired] = []
        self._losses: dict[int, int] = {}
        self._fruitless = 0

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._hired:
            self._ray.kill(worker.actor)
        self._hired.clear()
        if self._own:
            self._ray.shutdown()

    def fit(self, work: dict[int, PlannedOutput]) -> Iterator[tuple[int, Row, list[Path]]]:
        """Fit inputs and write their results, in the order in which they become ready.

        Args:
            work: inputs by any number.

        Yields:
            The number, the row, and files of earlier runs that were removed.

        Raises:
            UsageError: if no worker can be made ready.
        """
        left = deque(work)
        for _ in range(min(self._count, len(work))):
            self._hire()
        while left or any(worker.inputs for worker in self._hired):
            for worker in self._hired:
                while worker.starting is None and left and len(worker.inputs) < WAITING:
                    i = left.popleft()
                    worker.inputs.append((worker.actor.fit.remote(work[i]), i))
            calls = [call for worker in self._hired for call in _calls(worker)]
            self._ray.wait(calls, num_returns=1, timeout=_TICK_S)
            check_time()
            for worker in list(self._hired):
                yield from self._collected(worker, work, left)

    def _collected(
        self, worker: _Hired, work: dict[int, PlannedOutput], left: deque[int]
    ) -> Iterator[tuple[int, Row, list[Path]]]:
        """What a worker is done with; where it is lost, what was with it goes back to the rest."""
        ready, _ = self._ray.wait(list(_calls(worker)), num_returns=len(_calls(worker)), timeout=0)
        try:
            if worker.starting in ready:
                problem = self._ray.get(worker.starting)
                worker.starting = None
                if problem:
                    raise UsageError(f"A worker cannot begin: {problem}")
            while worker.inputs and worker.inputs[0][0] in ready:
                row, removed = self._ray.get(worker.inputs[0][0])
                _, i = worker.inputs.popleft()
                self._fruitless = 0
                yield i, row, removed
        except self._ray.exceptions.RayError as error:
            self._hired.remove(worker)
            waiting = [i for _, i in worker.inputs]
            self._fruitless += 1
            if self._fruitless > _STARTS + 2 * self._count:
                raise UsageError(
                    f"Workers are lost one after the other ({type(error).__name__}); see Ray's logs."
                ) from error
            if waiting:
                self._losses[waiting[0]] = self._losses.get(waiting[0], 0) + 1
                if self._losses[waiting[0]] >= MOST_LOSSES:
                    i = waiting.pop(0)
                    yield i, _given_up(work[i]), []
            left.extendleft(reversed(waiting))
            self._hire()

    def _hire(self) -> None:
        from dsr import __version__

        worker = self._ray.remote(num_cpus=1, max_restarts=0)(RemoteWorker)
        actor = worker.remote(self._order, __version__)
        self._hired.append(_Hired(actor, actor.prepare.remote()))


def _calls(worker: _Hired) -> list[Any]:
    calls = [call for call, _ in worker.inputs]
    return calls if worker.starting is None else [worker.starting, *calls]


def _given_up(planned: PlannedOutput) -> Row:
    """The row of an input that workers die of."""
    source = planned.source
    shown = source.url or os.fspath(source.path)
    sentence = (
        f"{shown}: {MOST_LOSSES} workers died of it (too little memory, perhaps); try it alone, without --cluster."
    )
    return Row(input=shown, status="failed", message=sentence, name=planned.name)


def _patient_start(ray: Any, quiet: dict[str, Any]) -> None:
    """A cluster of this machine alone; Ray gives itself 30 s for that, too little for a busy one."""
    for attempt in range(1, _STARTS + 1):
        try:
            ray.init(include_dashboard=False, **quiet)
            return
        except Exception:
            ray.shutdown()
            if attempt == _STARTS:
                raise


def _connected(address: str) -> tuple[Any, bool]:
    """Ray, and whether it was started for this run."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(f"--cluster needs Ray; install it with: {install_command('ray')}") from error
    if ray.is_initialized():
        return ray, False
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        try:
            ray.init(address=address, **quiet)
        except ConnectionError:
            if address != AUTO:
                raise
            _patient_start(ray, quiet)
    except Exception as error:
        raise UsageError(
            f"--cluster {address}: there is no Ray cluster to reach ({' '.join(str(error).split())[:200]}); start one "
            "with 'ray start --head', give HOST:PORT, or use auto."
        ) from error
    finally:
        if main:  # Ray's own handler would end the run without its report
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
    return ray, True
