"""What all commands share: exit codes, lines for people, and how a command ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dsr.errors import DsrError, TrainingError, UsageError, error_sentence

EXIT_FINE, EXIT_USAGE, EXIT_SOME_FAILED, EXIT_ALL_FAILED, EXIT_INTERRUPTED = 0, 2, 3, 4, 130
EXIT_NOT_READY = 1
"""``dsr-doctor``: the default job cannot run here."""
EXIT_UNEXPECTED = 1
"""An error of the system, or a defect."""
EXIT_STOPPED = 4
"""A training run had to stop: nothing it was asked for is there."""


def write_line(stream: Any, text: str) -> None:
    """Write a line for people, whatever the stream's encoding can show."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def run_command(
    prog: str, body: Callable[[], int], interrupted: str = "interrupted.", broken_pipe: int = EXIT_FINE
) -> int:
    """Run a command and turn whatever ends it into its exit code and one line on standard error.

    Args:
        prog: name of the command, before every message.
        body: parses and works; gives the exit code.
        interrupted: what is written after Ctrl-C.
        broken_pipe: exit code when nobody reads the output any more, as in ``dsr-fit --help | head``.

    Returns:
        The exit code.
    """
    _open_closed_streams()
    try:
        Path.cwd()
    except OSError:  # relative names mean nothing, and PyTorch's matrix library ends the process
        write_line(sys.stderr, f"{prog}: the folder you are in has been removed: go to another one.")
        return EXIT_USAGE
    try:
        return body()
    except SystemExit as stop:  # the parser has said why
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    except DsrError as error:
        write_line(sys.stderr, f"{prog}: {error}")
        return EXIT_STOPPED if isinstance(error, TrainingError) else EXIT_USAGE
    except KeyboardInterrupt:
        write_line(sys.stderr, f"{prog}: {interrupted}")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still in the buffer has to go somewhere
        return broken_pipe
    except Exception as error:
        write_line(sys.stderr, f"{prog}: {error_sentence(error)}")
        return EXIT_UNEXPECTED


def refuse_empty_out(arguments: Sequence[str]) -> None:
    """An empty ``--out`` (a variable that is not set, say) would mean the folder one is in.

    Raises:
        UsageError: if it is empty.
    """
    pairs = zip(arguments, [*arguments[1:], "-"], strict=False)  # no arguments: no pairs
    if any(token == "--out=" or (token == "--out" and not value.strip()) for token, value in pairs):
        raise UsageError("--out is empty: name a file or folder; a dot means the folder you are in.")


def _open_closed_streams() -> None:
    """Standard streams that whoever started the command has closed lead nowhere.

    Python has None in their places, and the next file that is opened would get their number, and what a library
    complains about into it.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: the stream's own
            setattr(sys, name, open(handle, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: PTH123, SIM115
