# SPDX-License-Identifier: GPL-3.0-or-later
"""The private environment that the fit runs in: the commands that make it, and one that is being made.

The commands use a Python that is there (Blender's own, 3.10 to 3.12), pip and a wheel of dsr out of this add-on's zip
(``build.py --with-runtime``) and the pinned packages that it needs, from wherever pip is set up to take them. What was
downloaded stays in pip's cache: an installation that was broken off goes on where it was.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .messages import FitBodyError, Message, Sentence, message, sentence
from .worker import ProcessKiller, clean_environment, environment_pythons

VERSIONS = ((3, 10), (3, 11), (3, 12))
"""Pythons that dsr runs on."""
DOWNLOAD_MB, DISK_MB = 750, 2600
"""What an installation takes, measured on Linux with CPU torch; rounded up."""
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
"""PyTorch's wheels without CUDA: on Linux the others are four times as large."""
_DONE = "installed.json"
_PACKAGES = 45
"""About how many packages are collected and installed: for the progress bar alone."""


@dataclass(frozen=True)
class Step:
    """One command of an installation; ``share`` of the time is about what it takes."""

    title: Sentence
    command: list[str]
    share: float


@dataclass(frozen=True)
class Carried:
    """What the zip carries for an installation.

    Attributes:
        wheel: of dsr.
        pip: a wheel of pip.
        constraints: the tested versions.
    """

    wheel: Path
    pip: Path
    constraints: Path


def carried(folder: Path) -> Carried | None:
    """The files in the add-on's own folder, or None in a zip without them."""
    wheels, pips = sorted(folder.glob("dsr_fit-*.whl")), sorted(folder.glob("pip-*.whl"))
    constraints = folder / "constraints.txt"
    return Carried(wheels[-1], pips[-1], constraints) if wheels and pips and constraints.is_file() else None


def base_python(candidates: Iterator[str] | None = None) -> str:
    """A Python to make the environment with: Blender's own, else one on the search path; "" where none is right."""
    for candidate in _pythons() if candidates is None else candidates:
        path = shutil.which(candidate)
        if path and python_version(path) in VERSIONS:
            return path
    return ""


def _pythons() -> Iterator[str]:
    if "python" in Path(sys.executable or "").name.lower():  # where Blender is a module or Debian's, it is this one
        yield sys.executable
    for folder in (Path(sys.prefix) / "bin", Path(sys.prefix)):
        yield from (str(path) for path in sorted(folder.glob("python3*")) + sorted(folder.glob("python*.exe")))
    yield from (f"python{major}.{minor}" for major, minor in reversed(VERSIONS))
    yield from ("python3", "python")


def python_version(path: str) -> tuple[int, int] | None:
    """Major and minor version that a Python gives, None where it does not run or has no ``venv``."""
    code = "import sys, venv; print(sys.version_info[0], sys.version_info[1])"
    try:
        run = subprocess.run(
            [path, "-I", "-c", code], capture_output=True, text=True, timeout=20, env=clean_environment()
        )
        major, minor = (int(word) for word in run.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return major, minor


def environment_python(folder: Path) -> Path:
    """The Python of the private environment in a folder."""
    windows = sys.platform == "win32"
    return environment_pythons(folder / "env")[2 if windows else 0]


def installed(folder: Path) -> str:
    """The private environment's Python, "" where it is not there or not complete."""
    python = environment_python(folder)
    return str(python) if (folder / _DONE).is_file() and python.is_file() else ""


def installation_steps(base: str, folder: Path, files: Carried, environment: Mapping[str, str]) -> list[Step]:
    """The commands of an installation, in order.

    Args:
        base: Python to make the environment with.
        folder: for the environment.
        files: out of the zip.
        environment: variables that pip reads; a package index that is set there is the only one.
    """
    python = str(environment_python(folder))
    pip = [
        python,
        str(files.pip / "pip"),
        "install",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar",
        "off",
    ]
    # a broken download goes on where it ended, also after some minutes without a network
    pip += ["--retries", "6", "--resume-retries", "20", "-c", str(files.constraints)]
    cpu = ["--extra-index-url", CPU_WHEELS] if sys.platform.startswith("linux") and not _own_index(environment) else []
    return [
        Step(
            sentence("making the environment"), [base, "-I", "-m", "venv", "--without-pip", str(folder / "env")], 0.02
        ),
        Step(sentence("installing packages"), [*pip, *cpu, f"{files.wheel}[video,heic]"], 0.93),
        Step(sentence("looking at the result"), [python, "-m", "dsr.cli.doctor"], 0.05),
    ]


def _own_index(environment: Mapping[str, str]) -> bool:
    return any(
        environment.get(name) for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_FIND_LINKS")
    )


def command_text(steps: list[Step]) -> str:
    """The commands as somebody would type them."""
    return "\n".join(" ".join(_quoted(word) for word in step.command) for step in steps)


def _quoted(word: str) -> str:
    return word if re.fullmatch(r"[\w@%+=:,./\\-]+", word) else f'"{word}"'


def remove(folder: Path) -> None:
    """Remove the private environment; downloads stay in pip's cache."""
    (folder / _DONE).unlink(missing_ok=True)
    shutil.rmtree(folder / "env", ignore_errors=True)


_NETWORK = (
    "incomplete-download",
    "network connectivity",
    "ConnectionError",
    "ConnectTimeout",
    "after connection broken by",
    "Connection aborted",
    "Connection refused",
    "Read timed out",
    "Name or service not known",
    "name resolution",
    "Max retries exceeded",
)
"""What pip says, in one version or another, where the network is to blame."""
_GOES_ON = ("Collecting ", "Downloading ", "Installing collected")
NETWORK_PAUSES_S = (5.0, 15.0, 30.0, 60.0, 60.0)
"""Seconds before a command that the network stopped is tried again; pip itself waits some seconds each time."""


@dataclass
class Installation:
    """Commands at work in a thread, polled by the interface.

    Args:
        steps: the commands.
        folder: of the environment, or None where packages are added to another one.

    Attributes:
        fraction: of the work that is done, 0 to 1.
        activity: what is being done, for people.
        finished: whether it is over.
        message: what went wrong, or None.
        log: last lines of the commands.
    """

    steps: list[Step]
    folder: Path | None = None
    fraction: float = 0.0
    activity: Sentence | str = field(default_factory=lambda: sentence("Starting"))
    finished: bool = False
    message: Message | None = None
    log: deque[str] = field(default_factory=lambda: deque(maxlen=60))

    def __post_init__(self) -> None:
        self._cancelled = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._killer = ProcessKiller()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin.

        Raises:
            FitBodyError: if the disk has no room.
        """
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free / 1e6
            if free < DISK_MB:
                detail = sentence("{free} MB are free, {needed} MB are needed", free=round(free), needed=DISK_MB)
                raise FitBodyError("install_failed", detail=detail)
        self._thread.start()

    def cancel(self) -> None:
        """Stop; what was downloaded stays for the next time."""
        with self._lock:
            self._cancelled.set()
            if self._process is not None and self._process.poll() is None:
                self._killer.terminate(self._process)

    def wait(self, timeout_s: float | None = None) -> None:
        """Until it is over."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        done = 0.0
        try:
            for step in self.steps:
                code = self._run_step(step, done)
                for pause in NETWORK_PAUSES_S:
                    if not code or self._cancelled.is_set() or not self._cut_off():
                        break
                    self.activity = sentence("waiting for the network")
                    self._cancelled.wait(pause)
                    code = self._run_step(step, done)
                if self._cancelled.is_set():
                    self.message = message("install_cancelled")
                    return
                if code:
                    self.message = message("install_failed", detail=self._reason(code))
                    return
                done += step.share
                self.fraction = done
            if self.folder is not None:
                about = {"commands": [step.command for step in self.steps]}
                (self.folder / _DONE).write_text(json.dumps(about, indent=1), encoding="utf-8")
            self.fraction = 1.0
        except OSError as error:
            self.message = message("install_failed", detail=str(error))
        finally:
            self.finished = True

    def _run_step(self, step: Step, done: float) -> int:
        with self._lock:
            if self._cancelled.is_set():
                return 1
            self.log.clear()
            self._process = subprocess.Popen(
                step.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=clean_environment(),
                text=True,
                encoding="utf-8",
                errors="replace",
                **self._killer.popen_options(),
            )
        assert self._process.stdout is not None
        collected = 0
        self._doing = self.activity = step.title
        for line in self._process.stdout:
            text = line.strip()
            if not text:
                continue
            self.log.append(text[:500])
            package = re.match(r"(?:Collecting|Requirement already satisfied:) ([\w.\-]+)", text)
            if package:
                collected += 1
                part = min(0.8, 0.8 * collected / _PACKAGES)
                self._doing = self.activity = sentence("downloading {package}", package=package[1])
            elif text.startswith("Installing collected packages"):
                part, self.activity = 0.85, sentence("unpacking packages")
            elif "Retrying (Retry(" in text:
                self.activity = sentence("waiting for the network")
                continue
            elif text.startswith("Resuming download"):
                self.activity = self._doing
                continue
            else:
                continue
            self.fraction = max(self.fraction, done + step.share * part)
        code = self._process.wait()
        with contextlib.suppress(OSError):
            self._process.stdout.close()
        return code

    def _cut_off(self) -> bool:
        """Whether the last command speaks of the network, and did not go on after that."""
        lines = list(self.log)
        went_on = max((k for k, line in enumerate(lines) if line.startswith(_GOES_ON)), default=0)
        return any(word in line for line in lines[went_on:] for word in _NETWORK)

    def _reason(self, code: int) -> Sentence | str:
        """What pip or Python said last that sounds like a reason."""
        if self._cut_off():
            return sentence("the connection was lost ({activity})", activity=self._doing)
        told = [line for line in self.log if line.startswith(("ERROR", "Error", "error", "missing"))]
        lines = told or list(self.log)
        return lines[-1].removeprefix("ERROR: ")[:300] if lines else sentence("it ended with code {code}", code=code)


def extra_steps(python: str, packages: list[str]) -> list[Step]:
    """The command that adds packages to somebody's own environment."""
    command = [python, "-m", "pip", "install", "--no-input", "--progress-bar", "off", *packages]
    return [Step(sentence("installing packages"), command, 1.0)]
