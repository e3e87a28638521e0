"""One run at a time in an output folder; the lock goes with the process, however it ends, and leaves no file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dsr.errors import UsageError

_TAKEN = (errno.EWOULDBLOCK, errno.EACCES, errno.EEXIST)


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder while the block runs. File systems that know no locks go without.

    Args:
        folder: an existing folder.

    Raises:
        UsageError: if another run is in it.
    """
    try:
        lock = _lock(folder)
    except OSError as error:
        if error.errno in _TAKEN:
            raise UsageError(
                f"Another run of dsr-fit writes into {folder}: wait for its end, or choose another --out."
            ) from error
        lock = None
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int:
    """A file descriptor that holds the lock until it is closed."""
    try:
        import fcntl
    except ImportError:  # Windows: a file that its system deletes together with the handle
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_TEMPORARY", 0)
        return os.open(folder / ".dsr-fit-lock", flags)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
