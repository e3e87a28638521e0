"""What an earlier run left of an input: its JSON file, and whether everything it names is there as it was written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsr.errors import ResultError
from dsr.files import file_sha256, weights_sha256
from dsr.options import FitOptions
from dsr.results.files import file_record, read_arrays, read_document

_ASKED_FOR = ("status", "input", "body", "regressor", "lifter", "arrays", "run")


def read_earlier(json_path: Path) -> dict[str, Any] | None:
    """How an earlier result was made, from its JSON file, or None where there is no usable one.

    A run keeps this of every input: the people, most of the file, are left out.
    """
    try:
        document = read_document(json_path) if json_path.is_file() else None
    except ResultError:
        return None
    return document and {key: document[key] for key in _ASKED_FOR if key in document}


def place_of(document: dict[str, Any]) -> str:
    """Where the input of an earlier result lay, absolute path or URL; "" where it does not say."""
    source = document.get("input")
    return str(source.get("absolute_path", "")) if isinstance(source, dict) else ""


def is_whole(json_path: Path, document: dict[str, Any], run: dict[str, Any]) -> bool:
    """Whether all files of an earlier result are there as they were written, by size and hash.

    Releases that wrote down neither: whether they are there, and the arrays can be read.
    """
    outputs, records = run.get("outputs", []), run.get("files")
    if not isinstance(outputs, list) or not isinstance(document.get("arrays"), str):
        return False
    names = [*outputs, document["arrays"]]
    if not all(isinstance(name, str) and Path(name).name == name for name in names):
        return False
    files = [json_path.with_name(name) for name in names]
    try:
        if isinstance(records, list):
            known = {record.get("name"): record for record in records if isinstance(record, dict)}
            return all(known.get(file.name) == file_record(file, known.get(file.name)) for file in files)
        read_arrays(json_path, document)
        return all(file.is_file() for file in files)
    except (OSError, ResultError):
        return False


def other_body(document: dict[str, Any], sha256: str) -> bool:
    """Whether a result says that it was fitted with another body than the one with this hash."""
    body = document.get("body")
    fitted = body.get("sha256", "") if isinstance(body, dict) else ""
    return bool(sha256 and fitted and fitted != sha256)


def sidecar_sha256(picture: Path) -> str:
    """Hash of the camera sidecar beside a picture, "" where there is none."""
    from dsr.image.sidecar import find_sidecar

    try:
        sidecar = find_sidecar(picture)
        return "" if sidecar is None else file_sha256(sidecar)
    except OSError:
        return ""


def people_sha256(options: FitOptions, pictures: Sequence[Path]) -> str:
    """Hash of what ``--keypoints`` or ``--boxes`` says about pictures, "" where neither is given.

    Args:
        options: of the fit.
        pictures: the picture, or the frames of a clip; of a video none, it takes all files in the folder.
    """
    from dsr.people.imports import people_file

    source = options.boxes or options.keypoints
    if source is None:
        return ""
    if source.is_file():
        return weights_sha256(source)
    files = sorted(source.rglob("*.json")) if not pictures else [people_file(source, picture) for picture in pictures]
    digest = hashlib.sha256()
    for file in files:
        digest.update(b"-" if file is None else weights_sha256(file).encode())
    return digest.hexdigest()
