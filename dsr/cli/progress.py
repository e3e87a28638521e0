"""Progress of a run: a bar with the time left on a terminal, one line per picture elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from dsr.results.report import Row


class Progress:
    """Tell people how far a run is.

    Args:
        total: pictures of the run.
        skipped: how many of them were finished before.
        quiet: only say what failed, on standard error.
        json_log: standard output belongs to the JSON log; write to standard error.
    """

    def __init__(self, total: int, skipped: int, quiet: bool = False, json_log: bool = False) -> None:
        self._total = total
        self._count = skipped
        self._fresh = 0
        self._quiet = quiet
        self._stream = sys.stderr if json_log else sys.stdout
        self._started = time.perf_counter()
        self._bar: Any = None
        self._task: Any = None
        if not quiet and sys.stderr.isatty():
            self._make_bar()

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def done(self, row: Row) -> None:
        """One more picture is finished."""
        self._count += 1
        self._fresh += 1
        line = self._line(row)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._count)
            if row.failed:
                self._bar.console.print(line, markup=False, highlight=False)
        elif self._quiet:
            if row.failed:
                say(sys.stderr, f"dsr-fit: {row.message or row.input}")
        else:
            say(self._stream, line)

    def _line(self, row: Row) -> str:
        if row.status == "ok":
            what = f"{row.people} {'person' if row.people == 1 else 'people'}"
        else:
            what = row.status if not row.failed else f"{row.status}: {row.message.removeprefix(row.input + ': ')}"
        left = (time.perf_counter() - self._started) / self._fresh * (self._total - self._count)
        eta = f", {_duration(left)} left" if self._count < self._total else ""
        return f"[{self._count:{len(str(self._total))}}/{self._total}] {row.input}: {what} ({row.seconds:.2f} s{eta})"

    def _make_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("fitting"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("fitting", total=self._total, completed=self._count)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def say(stream: Any, text: str) -> None:
    """Write a line for people, whatever the stream's encoding can show."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
