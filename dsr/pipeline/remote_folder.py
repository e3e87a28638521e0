"""An output folder at a URL: results are written on this machine and then brought there, the JSON file last.

Object stores show a file when it is whole or not at all, so that what holds for a local folder holds there: where the
JSON file of a result is, everything is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from dsr.errors import DsrError, ExportError, UsageError
from dsr.files import write_atomic
from dsr.pipeline.urls import filesystem, patiently, reason

_Value = TypeVar("_Value")


class RemoteFolder:
    """A folder at a URL.

    Args:
        url: of the folder; it need not be there.

    Raises:
        UsageError: if there is no such kind of URL.
        MissingExtraError: if the package that writes there is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._fs, root = filesystem(self.url)
        self._root = root.rstrip("/")

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteFolder, (self.url,)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Bytes of every file that was there when this was first asked for, by its name in the folder.

        Raises:
            UsageError: if the folder cannot be looked at.
        """
        try:
            listed = patiently(lambda: self._fs.find(self._root, detail=True))
        except FileNotFoundError:
            return {}
        except Exception as error:  # drivers raise errors of their own
            raise UsageError(f"The output folder {self.url} cannot be looked at: {reason(error)}.") from error
        start = len(self._root) + 1
        return {str(name)[start:]: int(info.get("size") or 0) for name, info in listed.items()}

    def check(self) -> None:
        """Make sure that files can be written and removed.

        Raises:
            ExportError: if not.
        """
        name = ".dsr-fit-probe"
        self._do(name, lambda path: self._fs.pipe_file(path, b"-"))
        self._do(name, self._fs.rm_file)

    def bring(self, name: str, target: Path) -> bool:
        """Copy a file to this machine; False where there is none.

        Raises:
            ExportError: if it cannot be read.
        """
        try:
            data = patiently(lambda: self._fs.cat_file(f"{self._root}/{name}"))
        except FileNotFoundError:
            return False
        except Exception as error:  # drivers raise errors of their own
            raise ExportError(f"{self.url}/{name} cannot be read: {reason(error)}.") from error
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, lambda temporary: bytes_into(temporary, data))
        return True

    def publish(self, files: list[Path], folder: Path) -> None:
        """Bring files there, in this order; where one fails, those before it are removed again.

        Args:
            files: on this machine.
            folder: what the remote folder stands for on this machine.

        Raises:
            ExportError: if it does not work.
        """
        done: list[str] = []
        try:
            for file in files:
                name = file.relative_to(folder).as_posix()
                self._do(name, partial(self._put, file))
                done.append(name)
        except ExportError:
            for name in done:
                with suppress(ExportError):
                    self.remove(name)
            raise

    def remove(self, name: str) -> bool:
        """Remove a file; False where there was none.

        Raises:
            ExportError: if it stays.
        """
        try:
            self._do(name, self._fs.rm_file)
        except FileNotFoundError:
            return False
        return True

    def _put(self, file: Path, path: str) -> None:
        parent = path.rpartition("/")[0]
        with suppress(Exception):  # object stores have no folders
            self._fs.makedirs(parent, exist_ok=True)
        self._fs.put_file(str(file), path)

    def _do(self, name: str, work: Callable[[str], _Value]) -> _Value:
        path = f"{self._root}/{name}"
        try:
            return patiently(lambda: work(path))
        except (DsrError, FileNotFoundError):
            raise
        except Exception as error:  # drivers raise errors of their own
            raise ExportError(f"{self.url}/{name} cannot be written: {reason(error)}.") from error


def bytes_into(file: Path, data: bytes) -> None:
    """Write bytes into a file."""
    file.write_bytes(data)
