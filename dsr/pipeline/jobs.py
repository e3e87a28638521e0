"""Several inputs at a time: threads whose results come back in order."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from dsr.devices import one_numpy_thread
from dsr.errors import UsageError

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")


GRACE_S = 1.0
"""What is in work when a run is stopped has this long to be finished, and then half of it to notice."""


def ordered_map(
    function: Callable[[_Item], _Done], items: Iterable[_Item], jobs: int, stop: threading.Event | None = None
) -> Generator[_Done, None, None]:
    """Apply ``function`` in threads; results in the order of ``items``, a bounded number in flight.

    Args:
        function: called once per item; heavy parts (decoding, networks, tensors, files) leave the interpreter lock.
        items: taken only as fast as results are fetched.
        jobs: threads.
        stop: where the caller breaks off, set after a moment of grace, and nobody who does not notice is waited for;
            without it everything in work is finished.
    """

    def work(item: _Item) -> _Done:
        with one_numpy_thread():  # not around the whole: the caller's own products between results have all threads
            return function(item)

    waiting: deque[Future[_Done]] = deque()
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="dsr", initializer=_one_thread_each)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            while waiting and (len(waiting) > jobs + 2 or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=stop is None, cancel_futures=True)
        if stop is not None:
            at_work = [future for future in waiting if not future.cancelled()]
            wait(at_work, GRACE_S)
            stop.set()
            wait(at_work, GRACE_S / 2)


def check_jobs(jobs: int) -> int:
    """Pictures to work on at a time: as asked for, or for 0 one per core this process may use, at most eight.

    Raises:
        UsageError: if ``jobs`` is negative.
    """
    if jobs < 0:
        raise UsageError(f"--jobs {jobs}: use 0 (automatic) or the number of pictures to work on at a time.")
    return jobs or min(8, cores())


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Windows and macOS
        return os.cpu_count() or 1


def _one_thread_each() -> None:
    """One tensor thread per picture: small problems gain nothing from more, and sums stay the same for any ``jobs``."""
    import torch

    torch.set_num_threads(1)
