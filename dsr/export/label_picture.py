"""Everybody's clothing labels over the photograph, in Graphonomy's colours."""

from __future__ import annotations

import numpy as np

from dsr.clothing.labels import PALETTE_RGB
from dsr.errors import ExportError
from dsr.results.picture import FitResult

_OPACITY = 0.65


def render_labels(result: FitResult) -> np.ndarray:
    """The photograph with its people's labels; the nearer over the others.

    Args:
        result: a fit whose ``overlay_rgb`` holds the picture and whose ``labels`` those of everybody.

    Returns:
        (h, w, 3) uint8, the size of ``overlay_rgb``.

    Raises:
        ExportError: if the result carries no picture.
    """
    if result.overlay_rgb is None:
        raise ExportError(f"{result.input_path}: no picture to draw on; labels are drawn right after the fit.")
    picture = result.overlay_rgb.copy()
    height, width = picture.shape[:2]
    u = (np.arange(width) + 0.5) * result.image_size[0] / width
    v = (np.arange(height) + 0.5) * result.image_size[1] / height
    maps = result.labels or []
    order = sorted(range(len(maps)), key=lambda i: -float(result.people[i].transl[2]))
    seen = np.zeros((height, width), np.int64)
    for i in order:
        clothes = maps[i]
        if clothes is not None:
            labels, _ = clothes.at(u, v)
            seen = np.where(labels > 0, labels, seen)
    shown = seen > 0
    colours = np.array(PALETTE_RGB, float)[seen[shown]]
    picture[shown] = (_OPACITY * colours + (1 - _OPACITY) * picture[shown] + 0.5).astype(np.uint8)
    return picture
