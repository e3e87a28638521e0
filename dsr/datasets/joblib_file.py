"""Data-set files of named columns that joblib or pickle wrote, read without running anything from them.

joblib writes a pickle in which every array is an ``NumpyArrayWrapper`` (its shape and type), followed at once by the
array's bytes. The pickle goes through the restricted unpickler of :mod:`dsr.body.unpickle`; arrays of an uncompressed
file are memory-mapped where they lie.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
import pickle
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from dsr.body.pickled_objects import PickledArray, PickledArrayClass, PickledObject, RefusedError, Resolver
from dsr.body.unpickle import DAMAGE, ArrayUnpickler, BoundedFile
from dsr.datasets.table_file import NpzTable, Table
from dsr.errors import DatasetError

_MAX_UNPACKED = 16 << 30
_PIECE = 1 << 22
_DAMAGE = (*DAMAGE, OSError, EOFError, zlib.error, lzma.LZMAError, pickle.UnpicklingError)


def open_table(path: str | Path) -> Table:
    """Open a file of columns: ``.npz``, a joblib file (compressed or not) or a pickle of a dictionary.

    Args:
        path: the file; told apart by its content.

    Raises:
        DatasetError: if it is missing, damaged, no dictionary of columns, or holds anything but plain data and arrays.
    """
    path = Path(path)
    try:
        packed = zipfile.is_zipfile(path)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror or error}).") from None
    return NpzTable(path) if packed else PickledTable(path)


class PickledTable(Table):
    """A joblib file or pickle of a dictionary of columns; see :func:`open_table`.

    What is no array of numbers or text (a list of dictionaries, say) is kept back under no name.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        try:
            with _unpacked(self.path) as (stream, mapped):
                value = Resolver()(_JoblibReader(BoundedFile(stream), mapped).load())
        except FileNotFoundError:
            raise DatasetError(f"{self.path} does not exist: check the name.") from None
        except RefusedError as error:
            raise DatasetError(
                f"{self.path} was refused because it is not plain data: it holds {error}. Nothing in it was run."
            ) from None
        except _DAMAGE as error:
            raise DatasetError(f"{self.path} is cut off, damaged or no file of columns ({error}).") from error
        if not isinstance(value, dict):
            raise DatasetError(f"{self.path} holds a {type(value).__name__} where a dictionary of columns is needed.")
        for key, column in value.items():
            array = _as_array(column)
            if isinstance(key, str) and array is not None:
                self._members[key] = array

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker opens the file itself."""
        return PickledTable, (self.path,)


class _JoblibArray(PickledObject):
    """joblib.numpy_pickle.NumpyArrayWrapper: state holds shape, order, dtype, alignment."""


class _JoblibReader(ArrayUnpickler):
    """The restricted unpickler, which also takes the bytes of arrays from between the opcodes."""

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(ArrayUnpickler.dispatch)

    def __init__(self, source: BoundedFile, mapped: Path | None) -> None:
        super().__init__(source, encoding="latin1")
        self.source, self.mapped = source, mapped

    def find_class(self, module: str, name: str) -> Any:
        """As for body models, and joblib's wrapper of arrays."""
        if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
            return _JoblibArray
        if (module, name) == ("numpy", "memmap"):
            return PickledArrayClass
        return super().find_class(module, name)

    def load_build(self) -> None:
        """A wrapper that has got its description is replaced by the array that follows it in the file."""
        super().load_build()
        if type(self.stack[-1]) is _JoblibArray:
            self.stack[-1] = self._array(self.stack[-1].state)

    dispatch[pickle.BUILD[0]] = load_build

    def _array(self, state: Any) -> Any:
        frame = self._unframer.current_frame  # type: ignore[attr-defined]
        if frame is not None and frame.read(1):
            raise ValueError("an array in the middle of a frame")
        if not isinstance(state, dict):
            raise ValueError("an array without a description")
        shape, order = state.get("shape"), state.get("order")
        if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError(f"an array with shape {shape!r}")
        dtype = _built((0,), state.get("dtype"), []).dtype
        if dtype.hasobject:
            return _JoblibReader(self.source, None).load()  # objects follow as a pickle of their own
        if state.get("numpy_array_alignment_bytes") is not None:
            self.source.read(self.source.read(1)[0])
        size = math.prod(shape) * dtype.itemsize
        if self.mapped is None or size == 0:
            return _built(shape, state.get("dtype"), self.source.read(size), order == "F")
        if size > self.source.left:
            raise EOFError(f"an array of {size} bytes where {self.source.left} are left")
        offset = self.source.stream.tell()
        self.source.stream.seek(size, 1)
        self.source.left -= size
        return np.memmap(self.mapped, dtype, "r", offset, shape, "F" if order == "F" else "C")


def _built(shape: tuple[int, ...], dtype: Any, raw: Any, fortran: bool = False) -> np.ndarray:
    """An array by the checks of the restricted unpickler."""
    made = PickledArray()
    made.__setstate__((1, shape, dtype, fortran, raw))
    array: np.ndarray = Resolver()(made)
    return array


def _as_array(column: Any) -> np.ndarray | None:
    """A column as an array of numbers or text; None if it is neither."""
    if isinstance(column, np.ndarray) and column.dtype != object:
        return column if column.ndim else None
    if not isinstance(column, (list, tuple, np.ndarray)):
        return None
    rows = list(column)
    if rows and all(isinstance(row, str) for row in rows):
        return np.array(rows)
    try:
        array = np.array([np.asarray(row) for row in rows])
    except ValueError:  # rows of different shapes
        return None
    return array if array.dtype.kind in "fiubUS" else None


@contextmanager
def _unpacked(path: Path) -> Iterator[tuple[IO[bytes], Path | None]]:
    """The pickle of a file as a seekable stream; the path too where its bytes lie in the file as they are."""
    with path.open("rb") as raw:
        head = raw.read(6)
        raw.seek(0)
        pieces = next((unpack(raw) for magic, unpack in _UNPACKERS.items() if head.startswith(magic)), None)
        if pieces is None:
            yield raw, path
            return
        with tempfile.TemporaryFile() as plain:
            for piece in pieces:
                if plain.tell() > _MAX_UNPACKED:
                    raise ValueError(f"more than {_MAX_UNPACKED >> 30} GiB when unpacked")
                plain.write(piece)
            plain.seek(0)
            yield plain, None


def _inflate(raw: IO[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj()
    while not unpacker.eof:
        data = unpacker.unconsumed_tail or raw.read(_PIECE)
        if not data:
            raise EOFError("the compressed data ends too early")
        yield unpacker.decompress(data, _PIECE)


def _expand(opener: Any) -> Callable[[IO[bytes]], Iterator[bytes]]:
    def pieces(raw: IO[bytes]) -> Iterator[bytes]:
        with opener(raw) as opened:
            while piece := opened.read(_PIECE):
                yield piece

    return pieces


_UNPACKERS: dict[bytes, Callable[[IO[bytes]], Iterator[bytes]]] = {
    b"\x78": _inflate,
    b"\x1f\x8b": _expand(gzip.open),
    b"BZh": _expand(bz2.open),
    b"\xfd7zXZ": _expand(lzma.open),
    b"]\x00": _expand(lzma.open),
}
"""First bytes of a compressed file to what unpacks it."""
