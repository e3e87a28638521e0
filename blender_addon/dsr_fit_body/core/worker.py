# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker's process: started in its own group with a clean environment, read by threads, killed as a whole."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .messages import FitBodyError, Sentence, sentence
from .protocol import parse_line

_LOG_LINES = 40
_MAX_LINE_BYTES = 1 << 20
_DROPPED_VARIABLES = ("VIRTUAL_ENV", "LD_LIBRARY_PATH", "LD_PRELOAD", "__PYVENV_LAUNCHER__", "CONDA_PYTHON_EXE")
GRACE_PERIOD_S = 3.0
"""Seconds between asking a process to end and ending it."""


def worker_command(python: str, idle_s: float = 300.0) -> list[str]:
    """How to start the worker.

    Args:
        python: the environment's Python, or its ``dsr-fit``.
        idle_s: seconds after which it ends by itself.

    Raises:
        FitBodyError: if there is no such file.
    """
    path = Path(python.strip()).expanduser() if python.strip() else None
    if path is None:
        raise FitBodyError("no_python")
    if path.is_dir():  # the environment's folder will do
        path = next((p for p in environment_pythons(path) if p.is_file()), path)
    if not path.is_file():
        raise FitBodyError("cannot_start", detail=sentence("there is no file {path}", path=path))
    tail = ["--serve", "--idle", f"{idle_s:g}"]
    if path.stem.lower() == "dsr-fit":
        return [str(path), *tail]
    return [str(path), "-u", "-m", "dsr.cli.fit", *tail]


def environment_pythons(folder: Path) -> list[Path]:
    """Where a virtual or conda environment has its Python."""
    return [
        folder / "bin" / "python3",
        folder / "bin" / "python",
        folder / "Scripts" / "python.exe",
        folder / "python.exe",
    ]


def clean_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without what belongs to Blender's Python or to another environment."""
    source = os.environ if base is None else base
    kept = {
        key: value
        for key, value in source.items()
        if not key.upper().startswith("PYTHON") and key.upper() not in _DROPPED_VARIABLES
    }
    kept["PYTHONUTF8"] = kept["PYTHONUNBUFFERED"] = "1"
    return kept


class ProcessKiller:
    """Ends a process and its children; one way on Windows, one elsewhere.

    Args:
        windows: None for the system at hand.
    """

    def __init__(self, windows: bool | None = None) -> None:
        self.windows = sys.platform == "win32" if windows is None else windows

    def popen_options(self) -> dict[str, Any]:
        """Arguments of Popen that give the process its own group."""
        if not self.windows:
            return {"start_new_session": True}
        group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200)
        return {"creationflags": group | getattr(subprocess, "CREATE_NO_WINDOW", 0x08000000)}

    def terminate(self, process: Any) -> None:
        """Ask the group to end."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if self.windows:
                process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", 1))
            else:
                os.killpg(process.pid, signal.SIGTERM)

    def kill(self, process: Any) -> None:
        """End the group."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if self.windows:
                self.run(["taskkill", "/F", "/T", "/PID", str(process.pid)])
            else:
                os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError, ValueError):
            process.kill()

    def run(self, command: Sequence[str]) -> None:
        """Run a short system command quietly."""
        subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=10
        )


class Worker:
    """A running worker.

    Args:
        command: program and arguments.
        folder: its working folder.
        environment: None for :func:`clean_environment`.
        killer: how to end it.

    Raises:
        FitBodyError: if it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        killer: ProcessKiller | None = None,
    ) -> None:
        self.command = list(command)
        self.log_tail: deque[str] = deque(maxlen=_LOG_LINES)
        """Last lines of the error stream, and of the output that are no answers."""
        self.hello: dict[str, Any] | None = None
        self.ended = False
        self._killer = killer or ProcessKiller()
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        try:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=dict(clean_environment() if environment is None else environment),
                **self._killer.popen_options(),
            )
        except (OSError, ValueError) as error:
            raise FitBodyError("cannot_start", detail=error) from error
        self._threads = [
            threading.Thread(target=self._read_answers, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether the process runs and its output is open."""
        return not self.ended and self.process.poll() is None

    def send(self, line: str) -> None:
        """Hand over one request line.

        Raises:
            FitBodyError: if the process is gone.
        """
        try:
            assert self.process.stdin is not None
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        except (OSError, ValueError) as error:
            raise FitBodyError("died", detail=self.last_log_line() or error) from error

    def answers(self) -> list[dict[str, Any]]:
        """All answers since the last call; never waits."""
        answers: list[dict[str, Any]] = []
        while True:
            try:
                answer = self._answers.get_nowait()
            except queue.Empty:
                return answers
            if answer is None:
                self.ended = True
            else:
                if answer["event"] == "hello":
                    self.hello = answer
                answers.append(answer)

    def last_log_line(self) -> Sentence | str:
        """The last line that is not empty, else how the process ended, "" while it runs."""
        for thread in self._threads:
            if self.process.poll() is not None:
                thread.join(0.5)
        lines = [line for line in list(self.log_tail) if line.strip()]  # a thread may be adding to it
        return lines[-1].strip()[:300] if lines else self._exit_text()

    def stop(self) -> threading.Thread:
        """End the process and its children without waiting; the thread that does it is returned."""
        self.ended = True
        self._killer.terminate(self.process)
        thread = threading.Thread(target=self._wait_and_kill, daemon=True)
        thread.start()
        return thread

    def stop_now(self) -> None:
        """End the process and its children before returning, politely for a moment."""
        self.ended = True
        self._killer.terminate(self.process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.3)
        self._wait_and_kill(0.0)

    def _wait_and_kill(self, grace_s: float = GRACE_PERIOD_S) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace_s)
        self._killer.kill(self.process)  # also children that outlive it
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        with contextlib.suppress(OSError, ValueError):
            assert self.process.stdin is not None
            self.process.stdin.close()

    def _exit_text(self) -> Sentence | str:
        code = self.process.poll()
        return "" if code is None else sentence("it ended with code {code}", code=code)

    def _read_answers(self) -> None:
        for line in self._lines(self.process.stdout):
            answer = parse_line(line)
            if answer is not None:
                self._answers.put(answer)
            elif line.strip():
                self.log_tail.append(line.rstrip()[:500])
        self._answers.put(None)

    def _read_errors(self) -> None:
        for line in self._lines(self.process.stderr):
            if line.strip():
                self.log_tail.append(line.rstrip()[:500])

    @staticmethod
    def _lines(stream: Any) -> Any:
        with contextlib.suppress(OSError, ValueError):
            while True:
                line = stream.readline(_MAX_LINE_BYTES)
                if not line:
                    return
                yield line.decode("utf-8", "replace")
