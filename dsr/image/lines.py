"""Straight edges of a photograph: walls, doors, poles and windows tell how its camera was held."""

from __future__ import annotations

import numpy as np

_SIDE = 400
_SHORTEST = 12  # pixels of the reduced picture


def straight_lines(rgb: np.ndarray, width: int) -> np.ndarray:
    """Straight edges, found in the picture reduced to 400 pixels.

    Fast line detector of Lee et al., ICRA 2014 ("Outdoor place recognition in urban environments using straight
    lines"), as OpenCV's contributed modules have it; a build without them gives no lines.

    Args:
        rgb: (h, w, 3) uint8 upright picture at any size.
        width: of the full, upright picture, pixels.

    Returns:
        (N, 4) u0, v0, u1, v1 in full-picture pixels.
    """
    import cv2

    if not hasattr(cv2, "ximgproc"):
        return np.zeros((0, 4))
    high, wide = rgb.shape[:2]
    scale = min(1.0, _SIDE / max(high, wide))
    whole = int(1 / scale)  # by a whole number first: several times as fast
    high, wide = high // whole * whole, wide // whole * whole
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    if min(size) < _SHORTEST:
        return np.zeros((0, 4))
    grey = cv2.cvtColor(rgb[:high, :wide], cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, (wide // whole, high // whole), interpolation=cv2.INTER_AREA)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    found = cv2.ximgproc.createFastLineDetector(length_threshold=_SHORTEST, do_merge=False).detect(small)
    if found is None:
        return np.zeros((0, 4))
    return (found.reshape(-1, 4).astype(np.float64) + 0.5) * (wide / size[0] * width / rgb.shape[1])
