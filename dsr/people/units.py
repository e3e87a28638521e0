"""Coordinates of imported people in pixels of the picture: from another size, from 0 to 1, from -1 to 1.

Files say for which size they were made (COCO's images, the canvas of ControlNet); then nothing is guessed. OpenPose
can write fractions (``--keypoint_scale`` 3 and 4) without saying so: a person of less than three pixels is nobody's
keypoints, so such files are read as fractions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dsr.errors import DetectionError

_TINY = 3.0
"""Nobody is so few pixels large; in fractions nobody is larger."""
_FEW = 2
"""Of fewer points nothing can be told."""
_SAME_SHAPE = 0.02
"""By so much the proportions of two sizes of a picture may differ (rounding, an odd line cut off)."""
_OUTSIDE = 0.5
"""More than this part of a file's points well outside of the picture cannot be of that picture."""
_ROOM = 0.1
"""People may reach so far out of the picture, as a part of its sides."""


def stated_size(entry: dict[str, Any], width: str, height: str) -> tuple[float, float] | None:
    """The picture size that a file states under two keys, or None."""
    values = entry.get(width), entry.get(height)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
            return None
    return float(values[0]), float(values[1])  # type: ignore[arg-type]


def scale_to(size: tuple[float, float], picture: tuple[int, int], where: str) -> np.ndarray:
    """Factors (2,) from pixels of one size of a picture to those of another.

    Raises:
        DetectionError: if the two have other proportions.
    """
    factors = np.array(picture, np.float64) / size
    if abs(math.log(factors[0] / factors[1])) > _SAME_SHAPE:
        turned = abs(math.log(picture[0] / size[1] / (picture[1] / size[0]))) < _SAME_SHAPE
        why = "it was made before the picture was turned upright" if turned else "it is another picture, or cropped"
        raise DetectionError(
            f"{where} is for a picture of {size[0]:g} x {size[1]:g}, this one is {picture[0]} x {picture[1]}: {why}; "
            "make the file again for this one"
        )
    return factors


def to_pixels(
    points: np.ndarray, picture: tuple[int, int], size: tuple[float, float] | None, where: str
) -> tuple[np.ndarray, str]:
    """Points of all people of a file in pixels of the picture.

    Args:
        points: (N, 2) that were seen; N may be 0.
        picture: width and height of the full, upright picture.
        size: of the picture that the file says it is for, or None.
        where: the file, for messages.

    Returns:
        Scale and shift (2, 2), ``points * scale + shift`` are pixels; and a sentence about it for the user, or "".

    Raises:
        DetectionError: if the file is for another picture, or most points lie outside of this one.
    """
    same = np.array([[1.0, 1.0], [0.0, 0.0]])
    if not len(points):
        return same, ""
    low, high = points.min(0), points.max(0)
    if len(points) >= _FEW and np.abs(points).max() <= _TINY and (high - low).max() <= _TINY:
        half = np.array(picture) / 2.0
        if low.min() < -0.1:
            return np.stack([half, half]), f"Coordinates in {where} were read as -1 to 1 across the picture."
        return np.stack([2 * half, 0 * half]), f"Coordinates in {where} were read as 0 to 1 across the picture."
    note = ""
    if size is not None:
        same[0] = scale_to(size, picture, where)
        if abs(same[0] - 1).max() > 1e-9:
            note = f"Coordinates in {where} are for {size[0]:g} x {size[1]:g} pixels and were scaled to this picture."
    placed = points * same[0]
    room = _ROOM * np.array(picture)
    outside = ((placed < -room) | (placed > picture + room)).any(1)
    if outside.mean() > _OUTSIDE:
        raise DetectionError(
            f"{where}: {outside.sum()} of {len(points)} points lie outside of the picture of {picture[0]} x "
            f"{picture[1]} (they reach to {high[0]:.0f}, {high[1]:.0f}): they are of another picture, or of another "
            "size of this one"
        )
    return same, note
