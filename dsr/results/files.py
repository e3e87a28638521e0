"""The two files of every result: ``<stem>.npz`` with the arrays and ``<stem>.json`` about them, for pictures and clips.

Nothing here knows what a picture or a clip is: :mod:`dsr.results.picture` and :mod:`dsr.results.clip` say what stands
in their files.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dsr.errors import ResultError
from dsr.files import file_sha256, read_json, write_atomic, write_bytes
from dsr.npz import read_npz

PICTURE_SCHEMA = "dsr.fit_result"
CLIP_SCHEMA = "dsr.sequence_result"
MOST_RESULT_BYTES = 1 << 33
"""Bytes that a result's arrays may have: a clip of many people is long."""
SCHEMA_VERSION = 1
"""Version of both schemas."""


def residuals_document(residuals: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, float | None]]:
    """The residuals of a person, with None for what JSON cannot say."""
    return {
        stage: {name: None if value is None else json_number(value) for name, value in values.items()}
        for stage, values in residuals.items()
    }


def write_pair(
    json_path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    document: Mapping[str, Any],
    run: Mapping[str, Any] | None,
) -> list[Path]:
    """Write arrays as ``<stem>.npz``, then the document about them as ``<stem>.json``, each complete or not at all.

    Args:
        json_path: path of the JSON file, ending in ``.json``; the folder must exist.
        arrays: of the NPZ file.
        document: of the JSON file; ``arrays`` becomes the NPZ file's name.
        run: how the result was made, kept under ``run``; where it has ``files``, the NPZ file's record is added.

    Returns:
        The two paths, NPZ first.

    Raises:
        ResultError: if the path does not end in ``.json``.
        ExportError: if a file cannot be written.
    """
    json_path = Path(json_path)
    if json_path.suffix != ".json":
        raise ResultError(f"{json_path}: a result is saved under a name that ends in .json.")
    npz_path = json_path.with_name(json_path.name[: -len(".json")] + ".npz")

    def write(temporary: Path) -> None:
        np.savez(temporary, **dict(arrays))

    write_atomic(npz_path, write)
    whole = {**document, "arrays": npz_path.name}
    if run is not None:
        whole["run"] = {**run, **({"files": [*run["files"], file_record(npz_path)]} if "files" in run else {})}
    write_bytes(json_path, json.dumps(whole, indent=1, allow_nan=False).encode())
    return [npz_path, json_path]


def file_record(path: Path, known: Any = None) -> dict[str, Any]:
    """Name, size and hash of a file, as a result keeps them of what lies beside it.

    Args:
        path: the file.
        known: an earlier record; where the size differs from it already, the hash is left out.

    Raises:
        OSError: if it cannot be read.
    """
    size = path.stat().st_size
    if isinstance(known, dict) and known.get("bytes") != size:
        return {"name": path.name, "bytes": size}
    return {"name": path.name, "bytes": size, "sha256": file_sha256(path)}


def read_document(json_path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON file of a result (of a picture or of a clip) as it stands, after checking what it is.

    Raises:
        ResultError: if it is missing, no result, or of another schema version.
    """
    try:
        document = read_json(Path(json_path))
    except FileNotFoundError as error:
        raise ResultError(f"{json_path} is missing: a result is a .json and a .npz file side by side.") from error
    except (OSError, ValueError) as error:
        raise ResultError(f"{json_path} cannot be read as JSON ({error}).") from error
    if not isinstance(document, dict) or document.get("schema") not in (PICTURE_SCHEMA, CLIP_SCHEMA):
        raise ResultError(f"{json_path} is not a result of dsr-fit (no schema {PICTURE_SCHEMA!r}).")
    if document.get("schema_version") != SCHEMA_VERSION:
        raise ResultError(
            f"{json_path} has schema version {document.get('schema_version')}, this release reads {SCHEMA_VERSION}; "
            "use the release that wrote it, or run dsr-fit again."
        )
    return document


def read_arrays(json_path: Path, document: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of the NPZ file that a JSON file names, or that lies beside it.

    Raises:
        ResultError: if it is missing or cannot be read.
    """
    name = document.get("arrays") or json_path.with_suffix(".npz").name
    if not isinstance(name, str) or Path(name).name != name:
        raise ResultError(f"{json_path} does not name the file of its arrays; run dsr-fit again for it.")
    npz_path = json_path.with_name(name)
    try:
        return read_npz(npz_path, most=MOST_RESULT_BYTES)
    except FileNotFoundError as error:
        raise ResultError(
            f"{npz_path} is missing: it holds the arrays of {json_path}; keep the two side by side."
        ) from error
    except (OSError, ValueError) as error:
        raise ResultError(f"{npz_path} cannot be read as a result ({error}); run dsr-fit again for it.") from error


def json_number(value: Any) -> float | None:
    """A float, or None for what JSON cannot say."""
    return float(value) if math.isfinite(value) else None


def json_numbers(array: Any) -> Any:
    """Nested lists of seven digits, what single precision holds; the NPZ file has the exact values."""
    values = np.asarray(array, np.float64)
    if values.ndim == 0:
        return json_number(float(f"{values:.7g}"))
    return [json_numbers(row) for row in values]
