"""Pictures and results anywhere: the URLs of fsspec (s3://, gs://, az://, https://, memory://) and their file systems.

What a URL names is worked on in a file of this machine, under :func:`staging`. ``file://`` is a path of this machine.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from dsr.errors import DsrError, MissingExtraError, UsageError
from dsr.extras import install_command
from dsr.limits import check_time

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/+")
_LOCAL = ("file", "local")
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_LONGEST_PART = 200
_TRIES, _PAUSE_S = 3, 0.5
_Value = TypeVar("_Value")


def url_of(argument: str | os.PathLike[str]) -> str:
    """The URL that an argument is, "" where it is a path; of the two slashes pathlib leaves one.

    Example:
        >>> url_of("s3:/photos/a.jpg"), url_of("C:/photos"), url_of("file:///photos")
        ('s3://photos/a.jpg', '', '')
    """
    text = os.fspath(argument)
    found = _SCHEME.match(text)
    if found is None or found[1] in _LOCAL or os.path.lexists(text):
        return ""
    return f"{found[1]}://{text[found.end() :]}"


def local_path(argument: str | os.PathLike[str]) -> str:
    """The path of this machine that ``file://`` names; anything else as it is."""
    text = os.fspath(argument)
    found = _SCHEME.match(text)
    if found is None or found[1] not in _LOCAL or os.path.lexists(text):
        return text
    rest = text[found.end() :]
    return rest if re.match(r"[A-Za-z]:/", rest) else f"/{rest}"


def filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it.

    Raises:
        UsageError: if fsspec knows no such kind of URL, or the file system cannot be opened.
        MissingExtraError: if the package that reads it is not installed.
    """
    try:
        import fsspec

        fs, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = re.search(r"[Ii]nstall (?:the )?[\"']?([A-Za-z0-9_-]+)", str(error))
        hint = install_command(package[1] if package else "fsspec")
        raise MissingExtraError(f"{url} needs another package ({error}); install it with: {hint}") from error
    except ValueError as error:
        raise UsageError(
            f"{url}: there is no such kind of URL ({error}); use a path, s3://, gs://, https://..."
        ) from None
    except Exception as error:  # drivers raise errors of their own
        raise UsageError(f"{url} cannot be opened: {reason(error)}.") from error
    return fs, str(path)


def reason(error: BaseException) -> str:
    """What a driver's error says, in one line."""
    said = " ".join(str(getattr(error, "strerror", None) or error).split())
    return said.rstrip(".") or type(error).__name__


def patiently(work: Callable[[], _Value]) -> _Value:
    """Do what a network may refuse once: three times, with pauses that grow.

    Raises:
        FileNotFoundError: at once, if there is no such file.
        Exception: the last one's.
    """
    for attempt in range(1, _TRIES + 1):
        check_time()
        try:
            return work()
        except (DsrError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError):
            raise
        except Exception:  # drivers raise errors of their own
            if attempt == _TRIES:
                raise
            time.sleep(_PAUSE_S * attempt)
    raise AssertionError("unreachable")


@lru_cache(maxsize=1)
def staging() -> Path:
    """This process's folder for files that come from URLs or go there; it goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="dsr-fit-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def staged(url: str) -> Path:
    """Where the file of a URL is put on this machine: below :func:`staging`, in folders of the same names."""
    scheme, _, rest = url.partition("://")
    parts = [_part(part) for part in rest.split("/") if part]
    return staging().joinpath("in", scheme, *parts)


def find_files(url: str, recursive: bool) -> list[tuple[str, str, int]]:
    """The files that a URL names: itself, what is in it, or what a pattern matches.

    Args:
        url: of a file, of a folder, or with ``*``, ``?`` or ``[``.
        recursive: also what is in subfolders.

    Returns:
        URL, folder below the one that was named ("" where it was the file), and size of each, in bytes (-1 where it is
        not told), files before subfolders, by name.

    Raises:
        UsageError: if there is nothing of that name, or it cannot be looked at.
    """
    fs, path = filesystem(url)
    try:
        if any(sign in path for sign in "*?["):
            found = list(patiently(lambda: fs.glob(path, detail=True)).values())
            root = ""
        else:
            info = patiently(lambda: fs.info(path))
            if info.get("type") != "directory":
                return [(url, "", _size(info))]
            root = path.rstrip("/") + "/"
            listed = fs.find(path, detail=True).values() if recursive else patiently(lambda: fs.ls(path, detail=True))
            found = list(listed)
    except FileNotFoundError:
        raise UsageError(f"No such file or folder: {url}.") from None
    except Exception as error:  # drivers raise errors of their own
        raise UsageError(f"{url} cannot be looked at: {reason(error)}.") from error
    files = [(str(entry["name"]), _size(entry)) for entry in found if entry.get("type") != "directory"]
    rows = []
    for name, size in files:
        inside = name[len(root) :] if root and name.startswith(root) else name.rpartition("/")[2]
        rows.append((str(fs.unstrip_protocol(name)), inside.rpartition("/")[0] if root else "", size))
    return sorted(rows, key=lambda row: _order(row[1], row[0]))


def stamp_of(url: str) -> dict[str, int]:
    """Size and time of a URL's file; nothing where it cannot be looked at, no time where none is told."""
    try:
        fs, path = filesystem(url)
        size = _size(patiently(lambda: fs.info(path)))
    except Exception:  # drivers raise errors of their own; whoever reads the file will say it
        return {}
    try:
        changed = fs.modified(path).timestamp()
    except Exception:
        changed = 0.0
    return {"bytes": size, "mtime_ns": round(changed * 1e6) * 1000}


def _order(folder: str, url: str) -> list[tuple[int, str, str]]:
    """Sorts files before subfolders, by name."""
    name = url.rpartition("/")[2]
    parts = [(1, part.casefold(), part) for part in PurePosixPath(folder).parts]
    return [*parts, (0, name.casefold(), name)]


def _size(info: dict[str, Any]) -> int:
    size = info.get("size")
    return -1 if size is None else int(size)


def _part(name: str) -> str:
    """One part of a path on this machine: the same where that is possible, never another one's."""
    plain = _UNSAFE.sub("_", name)
    if plain in (".", "..") or len(plain.encode()) > _LONGEST_PART:
        plain = f"_{plain[-_LONGEST_PART // 4 :]}"
    if plain == name:
        return name
    return f"{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:6]}-{plain}"
