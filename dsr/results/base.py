"""What the results of a picture and of a clip have in common, and where it stands in their JSON files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dsr.results.files import SCHEMA_VERSION
from dsr.results.floor import Floor, floor_document, floor_from_document


@dataclass
class InputResult:
    """What is known of one input, a picture or a clip.

    Attributes:
        status: ``ok``, ``no_person``, ``unreadable``, ``unsupported``, ``too_small``, ``too_large``, ``too_slow`` or
            ``failed``.
        input_path: the input as it was named.
        message: one sentence where the status is not ``ok``.
        input_sha256: hex digest of the input, "" where it could not be read.
        image_size: (width, height) of the full, upright picture in pixels.
        K: intrinsics of the full, upright picture.
        focal_source: ``flag``, ``sidecar``, ``exif``, ``name``, ``lines`` or ``default``.
        focal_detail: how the focal length was worked out, a short sentence.
        body: ``name``, ``licence`` and ``sha256`` of the body asset; once saved also ``file``, relative to the result.
        people: who was fitted.
        floor: which way is up, and the floor that people stand on; None where there is nobody to tell it by.
        warnings: sentences for the user about the input.
        timing_s: seconds per stage.
        seed: the seed used.
    """

    status: str
    input_path: str
    message: str = ""
    input_sha256: str = ""
    image_size: tuple[int, int] = (0, 0)
    K: np.ndarray | None = None
    focal_source: str = ""
    focal_detail: str = ""
    body: dict[str, str] = field(default_factory=dict)
    people: list[Any] = field(default_factory=list)
    floor: Floor | None = None
    warnings: list[str] = field(default_factory=list)
    timing_s: dict[str, float] = field(default_factory=dict)
    seed: int = 0


def document_head(result: InputResult, schema: str, convention: str) -> dict[str, Any]:
    """The first entries of a JSON file: what it is, who wrote it, and which input it is about."""
    from dsr import __version__

    path = result.input_path
    absolute = path if "://" in path else os.path.abspath(path)  # noqa: PTH100 (a link keeps its own name)
    return {
        "schema": schema,
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "dsr", "version": __version__},
        "convention": convention,
        "status": result.status,
        "message": result.message,
        "input": {"path": result.input_path, "absolute_path": absolute, "sha256": result.input_sha256},
    }


def document_tail(result: InputResult) -> dict[str, Any]:
    """The last entries of a JSON file."""
    return {
        "floor": floor_document(result.floor),
        "warnings": list(result.warnings),
        "timing_s": {stage: round(float(seconds), 4) for stage, seconds in result.timing_s.items()},
        "seed": int(result.seed),
    }


def common_fields(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The fields of :class:`InputResult` but ``people``, from the two files."""
    image, camera = document["image"], document["camera"]
    return {
        "status": document["status"],
        "message": document["message"],
        "input_path": document["input"]["path"],
        "input_sha256": document["input"]["sha256"],
        "image_size": (image["width"], image["height"]),
        "K": None if camera["K"] is None else arrays["K"],
        "focal_source": camera["focal_source"],
        "focal_detail": camera["focal_detail"],
        "body": document["body"],
        "floor": floor_from_document(document.get("floor")),
        "warnings": document["warnings"],
        "timing_s": document["timing_s"],
        "seed": document["seed"],
    }
