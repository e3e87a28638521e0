"""What is known of a photograph after reading it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class FocalHint:
    """A focal length found in or beside a file.

    Attributes:
        focal_px: pixels of the full, upright picture.
        source: ``flag``, ``sidecar``, ``exif``, ``name`` or ``default``.
        detail: how it was worked out, a short sentence.
        principal_px: principal point (u, v) in full-picture pixels where a sidecar's K gives one; None: the middle.
    """

    focal_px: float
    source: str
    detail: str
    principal_px: tuple[float, float] | None = None


@dataclass(frozen=True)
class Photo:
    """An upright photograph at working size.

    Attributes:
        path: where it came from.
        rgb: (h, w, 3) uint8, upright, at working size (never larger than the reader was asked for).
        width: width of the full, upright picture in pixels.
        height: height of the full, upright picture in pixels.
        scale: working pixels per full pixel, at most 1: ``u_work = u_full * scale`` (pixel centres at +0.5).
        sha256: hex digest of the file.
        format: ``JPEG``, ``PNG``, ...
        orientation: EXIF orientation 1 to 8 as found (already applied to ``rgb``).
        upright_differs: True where a program that ignores orientation or lacks the format would see another picture.
        hint: focal length found in the file's EXIF data or name, or None.
        warnings: sentences for the user (first frame of several, reduced size, ...).
    """

    path: Path
    rgb: np.ndarray = field(repr=False)
    width: int
    height: int
    scale: float
    sha256: str
    format: str
    orientation: int = 1
    upright_differs: bool = False
    hint: FocalHint | None = None
    warnings: tuple[str, ...] = ()
