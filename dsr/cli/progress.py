"""How far a command is, for people: a bar on a terminal, lines elsewhere, only what failed when quiet."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from dsr.cli.common import write_line
from dsr.results.report import Row

_EVERY_S = 10.0
"""Where there is no terminal, so much lies between two lines that say how far the work is."""
_REFRESH_S = 0.2


class Progress:
    """A bar for a while, or its lines.

    Args:
        label: what is being done, before the bar.
        total: how many things there are to do; None as long as nobody knows.
        done: how many of them were done before.
        quiet: only say what failed, on standard error.
        stream: where lines go; standard output by default. The bar is always on standard error.
        ticking: let the clock run between two updates, by a thread. A command that forks processes has none.
    """

    def __init__(
        self,
        label: str,
        total: int | None = None,
        done: int = 0,
        *,
        quiet: bool = False,
        stream: Any = None,
        ticking: bool = True,
    ) -> None:
        self._label, self._total, self._done, self._quiet = label, total, done, quiet
        self._stream = sys.stdout if stream is None else stream
        self._first = done
        self._started = self._shown = time.monotonic()
        self._bar: Any = None
        self._task: Any = None
        if not quiet and sys.stderr.isatty():
            self._make_bar(ticking)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def status(self, text: str) -> None:
        """What is being done now, before anything can be counted."""
        if self._bar is not None:
            self._bar.update(self._task, description=text, refresh=True)
        elif not self._quiet:
            self._shown = time.monotonic()
            write_line(self._stream, text)

    def update(self, done: int, total: int | None = None, text: str = "") -> None:
        """So many are done: the bar moves; elsewhere a line, when the last one is ten seconds old.

        Args:
            done: how many, with those that were done before.
            total: how many there are; what was said before when not given.
            text: what is being done, beside the label.
        """
        if done < self._done:  # something else is counted from here on
            self._first, self._started = 0, time.monotonic()
        self._done, self._total = done, self._total if total is None else total
        now = time.monotonic()
        if self._bar is not None:
            refresh = now - self._shown > _REFRESH_S
            what = f"{self._label} {text}".rstrip()
            self._bar.update(self._task, completed=done, total=self._total, description=what, refresh=refresh)
            self._shown = now if refresh else self._shown
        elif not self._quiet and now - self._shown >= _EVERY_S:
            self._shown = now
            left = self._left()
            write_line(self._stream, f"{self._count()} {text or self._label}{f', {left}' if left else ''}")

    def advance(self, text: str, seconds: float, failure: str = "") -> None:
        """One more is done, with a line of its own where there is no terminal.

        Args:
            text: what came of it.
            seconds: how long it took.
            failure: what to say of it even when quiet; empty when it went well.
        """
        self._done += 1
        left = self._left()
        line = f"{self._count()} {text} ({seconds:.2f} s{f', {left}' if left else ''})"
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
            if failure:
                self._above(line)
        elif not self._quiet:
            write_line(self._stream, line)
        elif failure:
            write_line(sys.stderr, failure)

    def line(self, text: str) -> None:
        """A line that stays."""
        if self._bar is not None and self._stream.isatty():
            self._above(text)
        elif not self._quiet:
            write_line(self._stream, text)

    def _above(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False)

    def _count(self) -> str:
        total = "?" if self._total is None else str(self._total)
        return f"[{self._done:{len(total)}}/{total}]"

    def _left(self) -> str:
        """How long the rest will take at this rate."""
        fresh = self._done - self._first
        if self._total is None or fresh < 1 or self._done >= self._total:
            return ""
        return f"{_duration((time.monotonic() - self._started) / fresh * (self._total - self._done))} left"

    def _make_bar(self, ticking: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=ticking,
            redirect_stdout=ticking,
            redirect_stderr=ticking,
        )
        self._task = self._bar.add_task(self._label, total=self._total, completed=self._done)


def row_text(row: Row) -> str:
    """What came of a picture or clip."""
    if row.status == "ok":
        return f"{row.input}: {row.people} {'person' if row.people == 1 else 'people'}"
    return f"{row.input}: {row.status}" + (f": {row.message.removeprefix(row.input + ': ')}" if row.failed else "")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{hours}:{minutes:02}:{rest:02}" if hours or days else f"{minutes}:{rest:02}"
    return f"{days} d {clock}" if days else clock
