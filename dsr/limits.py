"""What one input may cost: bytes, pixels, proportions, frames, memory and seconds, in one place.

Whoever works on an input does so inside :func:`working_on`; readers then take :func:`limits_in_force`, and everything
that may last calls :func:`check_time`, which ends the work at the input's time limit or when the run is stopped.
Native code (a decoder, one call of a network) is not interrupted: it is kept short by the other limits.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields

from dsr.errors import TimeLimitError, UsageError

_FRAME_SHARE = 1 / 30
"""Every frame of a clip that is looked at adds this part of ``max_seconds`` to the clip's time."""


@dataclass(frozen=True)
class Limits:
    """Limits of one input; the line under a field is its help text in ``dsr-fit``."""

    max_file_mb: float = 4096.0
    """Megabytes of a picture's or video's file; larger ones are refused."""
    max_megapixels: float = 500.0
    """Megapixels of a picture; larger ones are refused."""
    min_side: int = 16
    """Pixels that a picture's shorter side has to have."""
    max_aspect: float = 64.0
    """How many times as long as wide a picture may be: tiles and margins go by the longer side."""
    max_memory_mb: float = 640.0
    """Megabytes that a picture's decoder may need."""
    max_frames: int = 20_000
    """Frames of a clip, gaps included."""
    max_seconds: float = 300.0
    """Seconds for one input, its files included; each frame of a clip adds a thirtieth. 0: no limit."""


def check_limits(limits: Limits) -> None:
    """Refuse limits that make no sense.

    Raises:
        UsageError: naming the option, the value and what is allowed.
    """
    for field in fields(Limits):
        value = getattr(limits, field.name)
        least = 0 if field.name == "max_seconds" else 1
        if not math.isfinite(value) or value < least:
            raise UsageError(f"--{field.name.replace('_', '-')} {value:g}: use a number from {least} on.")


class Clock:
    """The time of one input.

    Args:
        source: the input, for the message.
        limits: those in force.
        stop: ends the work when it is set.
    """

    def __init__(self, source: str, limits: Limits, stop: threading.Event | None = None) -> None:
        self.limits = limits
        self._source, self._stop = source, stop
        self._end = time.monotonic() + (limits.max_seconds or math.inf)

    def check(self) -> None:
        """End the work where its time is over.

        Raises:
            TimeLimitError: if the input took too long.
            StoppedError: if the run was stopped.
        """
        if self._stop is not None and self._stop.is_set():
            raise StoppedError
        if time.monotonic() > self._end:
            raise TimeLimitError(
                f"{self._source} takes longer than {self.limits.max_seconds:g} seconds: give it more with "
                "--max-seconds, or a smaller copy, a lower --quality."
            )

    def more(self) -> None:
        """A frame more to look at, and the time for it."""
        self._end += self.limits.max_seconds * _FRAME_SHARE


class StoppedError(BaseException):
    """The run was stopped; no error of the input, so that nothing but the thread sees it."""


_CLOCK: ContextVar[Clock | None] = ContextVar("_CLOCK", default=None)


@contextmanager
def working_on(
    source: str | os.PathLike[str], limits: Limits | None = None, stop: threading.Event | None = None
) -> Iterator[None]:
    """Hold everything inside the block to limits; inside another such block that one's stay in force.

    Args:
        source: the input, for messages.
        limits: ``Limits()`` where None.
        stop: ends the work, by :class:`StoppedError`, when it is set.
    """
    if _CLOCK.get() is not None:
        yield
        return
    before = _CLOCK.set(Clock(os.fspath(source), limits or Limits(), stop))
    try:
        yield
    finally:
        _CLOCK.reset(before)


def limits_in_force() -> Limits:
    """The limits of the input at work; the usual ones where there is none."""
    clock = _CLOCK.get()
    return Limits() if clock is None else clock.limits


def check_time() -> None:
    """End the work on this thread's input where its time is over; called by everything that may last.

    Raises:
        TimeLimitError: if the input took too long.
        StoppedError: if the run was stopped.
    """
    clock = _CLOCK.get()
    if clock is not None:
        clock.check()


def one_more_frame() -> None:
    """A clip's next frame: its time grows, and is checked."""
    clock = _CLOCK.get()
    if clock is not None:
        clock.more()
        clock.check()
