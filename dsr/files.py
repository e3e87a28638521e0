"""Files that are either complete or not there (written beside the target, then renamed), and their digests."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

from dsr.errors import ExportError


def write_atomic(path: str | os.PathLike[str], write: Callable[[Path], None]) -> Path:
    """Let ``write`` make a file under a temporary name in the same folder, then put it in place.

    Args:
        path: where the file shall be; its folder must exist. An existing file is replaced only by a complete new one.
        write: called with the temporary path, which has the same suffix.

    Returns:
        The path written.

    Raises:
        ExportError: if the folder is missing or not writable, or the disk is full; nothing is left behind.
    """
    target = Path(path)
    temporary = target.with_name(f".{uuid4().hex[:12]}.part{target.suffix}")
    try:
        write(temporary)
        temporary.replace(target)
    except OSError as error:
        raise ExportError(_sentence(target, error)) from error
    finally:
        _remove(temporary)
    return target


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write ``data`` to ``path`` as :func:`write_atomic` does."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    return write_atomic(path, write)


def file_sha256(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def weights_sha256(path: Path) -> str:
    """Hex digest of a file of weights, read again only where its size or time has changed; "" where there is none."""
    try:
        status = path.stat()
        return _sha256(path, status.st_size, status.st_mtime_ns)
    except OSError:
        return ""


@lru_cache(maxsize=8)
def _sha256(path: Path, size: int, changed_ns: int) -> str:
    return file_sha256(path)


def with_ending(base: Path, ending: str) -> Path:
    """``base`` with an ending appended; unlike ``with_suffix`` it keeps dots in the name."""
    return base.with_name(base.name + ending)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _sentence(target: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{target} cannot be written: folder {target.parent} does not exist; create it or choose another one."
    if isinstance(error, NotADirectoryError):
        return f"{target} cannot be written: {target.parent} is not a folder; choose another one."
    if isinstance(error, IsADirectoryError):
        return f"{target} cannot be written: a folder of that name is in the way; remove it or choose another name."
    if isinstance(error, PermissionError):
        return f"{target} cannot be written: no permission in {target.parent}; choose a folder you may write to."
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{target} cannot be written: no space left for it; free some space or choose another disk."
    return f"{target} cannot be written: {error.strerror or error}."
