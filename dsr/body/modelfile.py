"""The arrays of a licensed body-model file (.pkl or .npz): nothing in it is run, no size it claims is believed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from dsr.body.unpickle import read_pickle
from dsr.errors import BodyError
from dsr.files import not_the_file
from dsr.npz import ARCHIVE_DAMAGE, array_of, read_header

MODEL_KEYS = frozenset(
    {
        "v_template",
        "shapedirs",
        "posedirs",
        "J_regressor",
        "weights",
        "kintree_table",
        "f",
        "exprdirs",
        "vt",
        "ft",
    }
)
"""The entries of an SMPL-family file that make a body."""

_MAX_ENTRY = 1 << 29  # bytes; the largest array of SMPL-X has 122 million


def read_model_file(path: Path) -> dict[str, Any]:
    """Entries of :data:`MODEL_KEYS` found in a file, as numpy arrays or scipy sparse matrices.

    Args:
        path: a ``.npz`` or ``.pkl`` file.

    Raises:
        BodyError: if the file is neither, damaged, or holds anything that is not plain data.
    """
    instead = not_the_file(path)
    if instead:
        raise BodyError(instead)
    try:
        with path.open("rb") as stream:
            if zipfile.is_zipfile(stream):
                return _read_npz(path)
            stream.seek(0)
            content = read_pickle(stream, path, MODEL_KEYS)
    except OSError as error:
        raise BodyError(f"{path} cannot be read ({error.strerror or error}).") from error
    if not isinstance(content, dict):
        raise BodyError(
            f"{path} is not a body model: it holds a {type(content).__name__} where a dictionary is needed."
        )
    return content


def _read_npz(path: Path) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename: info for info in archive.infolist()}
            if not any(name.endswith(".npy") for name in entries):
                raise BodyError(f"{path} is a zip archive, not a body model; unpack it and name a file inside.")
            for key in sorted(MODEL_KEYS):
                info = entries.get(f"{key}.npy")
                if info is None:
                    continue
                if info.file_size > _MAX_ENTRY:
                    raise BodyError(f"{path}: {key} claims {info.file_size} bytes, more than any body model has.")
                with archive.open(info) as stream:
                    data = stream.read(_MAX_ENTRY + 1)
                arrays[key] = _read_npy(data, f"{path} ({key})")
    except ARCHIVE_DAMAGE as error:
        raise BodyError(f"{path} is a damaged .npz file ({error}); fetch it again.") from error
    return arrays


def _read_npy(data: bytes, where: str) -> Any:
    """One array; arrays of Python objects go through the restricted unpickler."""
    stream = io.BytesIO(data)
    try:
        if read_header(stream, where)[2] == np.dtype(object):
            value = read_pickle(stream, where)
            return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
        return array_of(data, where)
    except ValueError as error:
        raise BodyError(f"{error}.") from error
