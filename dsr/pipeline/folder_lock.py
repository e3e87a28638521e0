"""One run at a time in an output folder; the lock goes with the process, however it ends, and leaves no file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dsr.errors import UsageError


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
    except BlockingIOError:
        raise UsageError(
            f"Another run of dsr-fit writes into {folder}: wait for its end, or choose another --out."
        ) from None
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """A file descriptor that holds the lock until it is closed; None where there are no locks.

    Raises:
        BlockingIOError: if somebody else holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: a file that its system deletes together with the handle
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_TEMPORARY", 0)
            return os.open(folder / ".dsr-fit-lock", flags)
        except (FileExistsError, PermissionError) as error:
            raise BlockingIOError from error
        except OSError:
            return None
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:
        os.close(handle)
        return None
    return handle
