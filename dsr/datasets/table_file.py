"""Data-set files of named columns, read when they are needed: memory-mapped where they are stored uncompressed.

Nothing in a file is executed. Sending an object of these to a worker process sends a path, not the data.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from dsr.errors import DatasetError
from dsr.npz import ARCHIVE_DAMAGE, read_header


@dataclass(frozen=True)
class _Member:
    """Where a column lies in the file: the place of its bytes (None if compressed) and what they are."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    header: int
    offset: int | None


_LARGE, _MOST_INFLATION = 1 << 28, 100
"""A column of more bytes than this must not be packed so well: it is the same number throughout, or an attack."""
_DAMAGE = (*ARCHIVE_DAMAGE, KeyError, SyntaxError, TypeError, MemoryError)


class Table:
    """A file of named columns; made by :class:`NpzTable` or :func:`dsr.datasets.joblib_file.open_table`.

    Attributes:
        path: the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._members: dict[str, Any] = {}  # whatever has a shape and a dtype

    def __contains__(self, key: str) -> bool:
        """Whether there is such a column."""
        return key in self._members

    def keys(self) -> list[str]:
        """Names of the columns."""
        return list(self._members)

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of a column, without reading it."""
        return tuple(self._find(key).shape)

    def check(self, columns: Mapping[str, tuple[int, ...] | None], required: Sequence[str], kinds: str) -> int:
        """Check names, shapes and types of columns and return their common length N.

        Args:
            columns: those that may be there, with the shape of one row (None: any).
            required: those that must be there.
            kinds: numpy type kinds that are accepted.

        Raises:
            DatasetError: naming the file and the column.
        """
        for key in required:
            self._find(key)
        length = self.shape(required[0])[0] if self.shape(required[0]) else 0
        for key, row in columns.items():
            if key not in self:
                continue
            if self._members[key].dtype.kind not in kinds:
                raise DatasetError(f"{self.path}: '{key}' holds {self._members[key].dtype}, which cannot be used here.")
            shape = self.shape(key)
            expected = (length, *(row if row is not None else shape[1:]))
            if shape != expected:
                raise DatasetError(f"{self.path}: '{key}' has shape {shape}; {expected} is needed.")
        return length

    def column(self, key: str) -> np.ndarray:
        """A column; kept for the next time.

        Raises:
            DatasetError: if there is none, or its bytes are missing or damaged.
        """
        column: np.ndarray = self._find(key)
        return column

    def numbers(self, key: str, index: int) -> np.ndarray:
        """One row as finite float64.

        Raises:
            DatasetError: naming the file, the column and the row, if a number is not finite.
        """
        values = np.array(self.column(key)[index], dtype=np.float64)
        if not np.isfinite(values).all():
            raise DatasetError(f"{self.path}: '{key}' is not finite in row {index}.")
        return values

    def text(self, key: str, index: int) -> str:
        """One row as text."""
        value = self.column(key)[index]
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def name(self, key: str, index: int) -> PurePosixPath:
        """One row as the name of a file inside a folder.

        Raises:
            DatasetError: if it is empty, absolute or leads out of the folder.
        """
        text = self.text(key, index)
        name = PurePosixPath(text)
        if not name.name or name.is_absolute() or ".." in name.parts or "\0" in text:
            raise DatasetError(f"{self.path}: '{key}' is {text!r} in row {index}, no name inside the picture folder.")
        return name

    def _find(self, key: str) -> Any:
        if key not in self._members:
            raise DatasetError(f"{self.path} has no '{key}'; it has {', '.join(self._members) or 'nothing'}.")
        return self._members[key]


class NpzTable(Table):
    """An npz file as named columns.

    Args:
        path: the file.

    Raises:
        DatasetError: if it is missing, no npz file, cut off, or holds Python objects.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._loaded: dict[str, np.ndarray] = {}
        try:
            with zipfile.ZipFile(self.path) as archive, self.path.open("rb") as raw:
                for info in archive.infolist():
                    if info.filename.endswith(".npy"):
                        self._members[info.filename[:-4]] = self._member(archive, raw, info)
        except FileNotFoundError:
            raise DatasetError(f"{self.path} does not exist: check the name.") from None
        except _DAMAGE as error:
            raise DatasetError(f"{self.path} is damaged or no npz file ({error}): copy it again.") from error

    def __getstate__(self) -> dict[str, Any]:
        """Without the data; a worker opens the file itself."""
        return {**self.__dict__, "_loaded": {}}

    def column(self, key: str) -> np.ndarray:
        """A column, memory-mapped or read; see :meth:`Table.column`."""
        if key not in self._loaded:
            self._loaded[key] = self._load(self._find(key))
        return self._loaded[key]

    def _member(self, archive: zipfile.ZipFile, raw: IO[bytes], info: zipfile.ZipInfo) -> _Member:
        key = info.filename[:-4]
        with archive.open(info) as stream:
            try:
                shape, fortran, dtype = read_header(stream, key)
            except _DAMAGE as error:
                raise DatasetError(f"{self.path}: '{key}' is damaged ({error}): copy the file again.") from error
            header = stream.tell()
        if info.file_size > max(_LARGE, _MOST_INFLATION * info.compress_size):
            raise DatasetError(
                f"{self.path}: '{key}' would unpack to {info.file_size >> 20} MB from {info.compress_size >> 10} KB; "
                "save it uncompressed if that is meant."
            )
        if dtype.hasobject:
            raise DatasetError(f"{self.path}: '{key}' holds Python objects, which are not read; save it as an array.")
        if header + int(np.prod(shape, dtype=object)) * dtype.itemsize != info.file_size:
            raise DatasetError(f"{self.path}: '{key}' is cut off: it does not hold its {shape} numbers.")
        offset = None
        if info.compress_type == zipfile.ZIP_STORED:
            raw.seek(info.header_offset + 26)
            lengths = np.frombuffer(raw.read(4), dtype="<u2")
            offset = info.header_offset + 30 + int(lengths.sum()) + header
        return _Member(info.filename, shape, dtype, fortran, header, offset)

    def _load(self, member: _Member) -> np.ndarray:
        order: Any = "F" if member.fortran else "C"
        try:
            if member.offset is not None and 0 not in member.shape:
                return np.memmap(self.path, member.dtype, "r", member.offset, member.shape, order)
            with zipfile.ZipFile(self.path) as archive, archive.open(member.name) as stream:
                stream.read(member.header)
                data = stream.read()
            return np.frombuffer(data, member.dtype).reshape(member.shape, order=order)
        except _DAMAGE as error:
            key = member.name[:-4]
            raise DatasetError(f"{self.path}: '{key}' is damaged ({error}): copy the file again.") from error
