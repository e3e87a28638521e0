"""Save a result and load it again, of a picture or of a clip."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsr.body.asset_file import shipped_sha256
from dsr.errors import ResultError
from dsr.results.clip import SequenceResult, clip_arrays, clip_document, clip_from_files
from dsr.results.files import CLIP_SCHEMA, read_arrays, read_document, write_pair
from dsr.results.picture import FitResult, picture_arrays, picture_document, picture_from_files

_log = logging.getLogger(__name__)
_TOLD: set[tuple[Path, str]] = set()
"""Folders and bodies that have been spoken of."""


def save_result(
    result: FitResult | SequenceResult, json_path: str | os.PathLike[str], run: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write a result as ``<stem>.json`` and ``<stem>.npz``, complete or not at all; the JSON file comes last.

    Args:
        result: of a picture or of a clip.
        json_path: path of the JSON file, ending in ``.json``; the folder must exist.
        run: how the result was made (options, other files), kept under ``run`` for resuming.

    Returns:
        The two paths, NPZ first.

    Raises:
        ResultError: if the path does not end in ``.json``.
        ExportError: if a file cannot be written.
    """
    if isinstance(result, SequenceResult):
        return write_pair(json_path, clip_arrays(result), clip_document(result), run)
    return write_pair(json_path, picture_arrays(result), picture_document(result), run)


def load_result(path: str | os.PathLike[str]) -> FitResult | SequenceResult:
    """Read a result back from its JSON or NPZ file; numpy and json alone, no torch.

    Args:
        path: ``<stem>.json`` or ``<stem>.npz``; the other one is looked for beside it.

    Returns:
        What was found in a picture, or in a clip. Where it was fitted with an open body that is not the installed one
        (an earlier release's), its ``warnings`` say so and which file its betas belong to, and once a folder the log.

    Raises:
        ResultError: if a file is missing, is not a result, or has a schema version this release does not know.
    """
    path = Path(path)
    if path.suffix not in (".json", ".npz"):
        raise ResultError(f"{path} is not a result: give the .json or the .npz file.")
    json_path = path.with_suffix(".json")
    document = read_document(json_path)
    arrays = read_arrays(json_path, document)
    try:
        clip = document["schema"] == CLIP_SCHEMA
        result: FitResult | SequenceResult
        result = clip_from_files(document, arrays) if clip else picture_from_files(document, arrays)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ResultError(f"{json_path} is not a complete result ({error!r}); run dsr-fit again for it.") from error
    note = _other_body(result, json_path)
    if note and note not in result.warnings:
        result.warnings.append(note)
        key = (json_path.parent, result.body.get("sha256", ""))
        if key not in _TOLD:
            _TOLD.add(key)
            _log.warning("%s: %s", json_path, note)
    return result


def _other_body(result: FitResult | SequenceResult, json_path: Path) -> str:
    """A sentence where an open body was used that is not the installed one of its name, else ""."""
    name, fitted = result.body.get("name", ""), result.body.get("sha256", "")
    installed = shipped_sha256(name)
    if not (fitted and installed and fitted != installed):
        return ""
    file = result.body.get("file", "")
    copy = json_path.parent / file
    if not file or not copy.is_file():
        return (
            f"Fitted with another {name} body than the installed one, whose copy beside the result "
            f"({file or 'not named'}) is missing: the betas mean nothing without it; run dsr-fit again."
        )
    return (
        f"Fitted with another {name} body than the installed one: the betas belong to the copy beside the result, "
        f"dsr.load_body({str(copy)!r})."
    )
