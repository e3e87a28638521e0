"""Reading ``.npz`` and ``.npy`` files within bounds: plain arrays only, no size a file claims is believed.

numpy's own reader allocates what a header says and inflates an archive to any size; a file of a few kilobytes can take
all memory that way.
"""

from __future__ import annotations

import io
import lzma
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

MOST_BYTES: Final = 1 << 30
"""Bytes of all arrays together, if nothing else is said."""
ARCHIVE_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,  # NotImplementedError too: a version or method that zipfile does not know
    ValueError,
    OSError,
    OverflowError,
    struct.error,
)
"""What zipfile raises for damaged archives."""
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    TypeError,
    KeyError,
    MemoryError,
    RecursionError,
    OverflowError,
    tokenize.TokenError,
)
_KINDS: Final = "biufcSU"


def read_npz(
    path: str | os.PathLike[str], keys: Collection[str] | None = None, *, most: int = MOST_BYTES
) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file.

    Args:
        path: the file.
        keys: those wanted; None for all.
        most: bytes that all arrays may have together.

    Returns:
        Name to array.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is damaged, holds anything but plain arrays, or more than ``most`` bytes; the message does not
            name the file.
    """
    arrays: dict[str, np.ndarray] = {}
    left = most
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                if name == info.filename or (keys is not None and name not in keys):
                    continue
                left -= info.file_size
                if left < 0:
                    raise ValueError(f"its arrays claim more than {most >> 20} MB")
                with archive.open(info) as stream:
                    arrays[name] = array_of(stream.read(info.file_size + 1), name)
    except _DAMAGE as error:
        raise ValueError(f"it is damaged or no .npz file ({type(error).__name__}: {error})") from error
    return arrays


def read_npy(path: str | os.PathLike[str], *, most: int = MOST_BYTES) -> np.ndarray:
    """The array of an ``.npy`` file.

    Args:
        path: the file.
        most: bytes it may have.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is damaged, holds anything but a plain array, or is larger.
    """
    if Path(path).stat().st_size > most:
        raise ValueError(f"it has more than {most >> 20} MB")
    return array_of(Path(path).read_bytes(), "it")


def array_of(data: bytes, name: str) -> np.ndarray:
    """The array of an ``.npy`` file's bytes.

    Args:
        data: all of them.
        name: of the array, for messages.

    Raises:
        ValueError: if they are not exactly a plain array.
    """
    stream = io.BytesIO(data)
    shape, fortran, dtype = read_header(stream, name)
    if dtype.kind not in _KINDS or dtype.hasobject:
        raise ValueError(f"{name} holds {dtype} where numbers are needed")
    start = stream.tell()
    if len(data) - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name}: an array of shape {shape} does not fit into its {len(data) - start} bytes")
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if fortran else "C").copy(order="K")


def read_header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of an ``.npy`` file, and no more of it.

    Args:
        stream: at its beginning.
        name: of the array, for messages.

    Raises:
        ValueError: if there is no such header, or a size in it is negative.
    """
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (ValueError, *_DAMAGE) as error:
        raise ValueError(f"{name} is not an array ({str(error)[:200]})") from error
    if any(n < 0 for n in shape):
        raise ValueError(f"{name} has the shape {shape}")
    return shape, fortran, dtype
