"""Files that are either complete or not there (written beside the target, then renamed), their digests, and text."""

from __future__ import annotations

import codecs
import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from dsr.errors import ExportError
from dsr.limits import check_time

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MOST_TEXT = 1 << 29
"""Bytes of a text or JSON file: annotations of the largest data sets have half of it."""
_PIECE = re.compile(r"\.[0-9a-f]{12}\.part(\.|$)")
_PLACED: ContextVar[list[Path] | None] = ContextVar("_PLACED", default=None)


def write_atomic(path: str | os.PathLike[str], write: Callable[[Path], None]) -> Path:
    """Let ``write`` make a file under a temporary name in the same folder, then put it in place.

    Args:
        path: where the file shall be; its folder must exist. An existing file is replaced only by a complete new one.
        write: called with the temporary path, which has the same suffix.

    Returns:
        The path written.

    Raises:
        ExportError: if the folder is missing or not writable, or the disk is full; nothing is left behind.
        TimeLimitError: if the input at work took too long.
    """
    check_time()
    target = Path(path)
    temporary = target.with_name(f".{uuid4().hex[:12]}.part{target.suffix}")  # as _PIECE
    try:
        write(temporary)
        temporary.replace(target)
        placed = _PLACED.get()
        if placed is not None:
            placed.append(target)
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


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """What :func:`write_atomic` puts in place inside the block is removed again where the block ends by an error."""
    placed: list[Path] = []
    before = _PLACED.set(placed)
    try:
        yield
    except BaseException:
        for path in placed:
            _remove(path)
        raise
    finally:
        _PLACED.reset(before)


def remove_pieces(folder: Path) -> None:
    """Delete what :func:`write_atomic` left in a folder when its process was killed; nobody may be writing there."""
    try:
        with os.scandir(folder) as entries:
            pieces = [Path(entry.path) for entry in entries if _PIECE.match(entry.name)]
    except OSError:
        return
    for piece in pieces:
        _remove(piece)


def expand_user(path: str | os.PathLike[str]) -> Path:
    """``~`` and ``~name`` at the beginning as that user's folder; where there is no such user it is part of a name."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # "~$photo.jpg" is what an office program leaves
        return Path(path)


def read_text(path: Path) -> str:
    """A text file of any editor: UTF-8, UTF-16 or UTF-32 by its byte-order mark; without one UTF-8, else Windows-1252.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no text, or too large.
    """
    data = _read_bounded(path)
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None and b"\0" in data[:2]:
        encoding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    if encoding is None:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("cp1252")
    else:
        text = data.decode(encoding)
    if "\0" in text:
        raise ValueError("it holds zero bytes")
    return text


def _read_bounded(path: Path) -> bytes:
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        data = b"" if size > _MOST_TEXT else stream.read(_MOST_TEXT + 1)
    if max(size, len(data)) > _MOST_TEXT:
        raise ValueError(f"it has more than {_MOST_TEXT >> 20} MB")
    return data


def read_json(path: Path, without: str = "") -> Any:
    """A JSON file in any Unicode encoding, with or without a byte-order mark.

    Args:
        path: the file.
        without: entries of this name are dropped as they are read, to save memory.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no JSON, too large, or nested too deeply.
    """
    try:
        if without:
            return json.loads(
                _read_bounded(path), object_pairs_hook=lambda pairs: {k: v for k, v in pairs if k != without}
            )
        return json.loads(_read_bounded(path))
    except (RecursionError, MemoryError) as error:
        raise ValueError("nested too deeply") from error


def not_the_file(path: Path) -> str:
    """What stands in the place of a model file that was not really fetched, "" where it may be one.

    Returns:
        A sentence: a web page (a log-in, an error) or the pointer of Git LFS.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    except OSError:
        return ""
    if start.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return f"{path} is a web page, not the file: log in with a browser and download it again."
    if start.startswith(b"version https://git-lfs"):
        return f"{path} is a pointer of Git LFS, not the file: run 'git lfs pull' there, or download the file itself."
    return ""


def file_sha256(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            check_time()
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
