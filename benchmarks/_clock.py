"""What the benchmarks share: timing a call, and saying a line at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch


def measure(work: Callable[[], object], device: str, rounds: int) -> tuple[float, float]:
    """Best wall and least processor seconds of a call, after one to warm up."""
    walls, cpus = [], []
    for i in range(rounds + 1):
        start, cpu = time.perf_counter(), time.process_time()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if i:
            walls.append(time.perf_counter() - start)
            cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


def say(text: str) -> None:
    """A line of the report, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
