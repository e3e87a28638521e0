"""How far joints may be off, drawn over a picture: a disc around each, as large as one standard deviation there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dsr.camera.picture_camera import NEAR_M

JOINTS = 22
"""SMPL's joints but for the hands' ends, which no keypoint tells."""
SURE_MM, UNSURE_MM = 30.0, 120.0
"""Green and red; yellow is in between."""
_COLOURS = np.array([[60.0, 200, 80], [245, 215, 60], [235, 60, 50]])
_FILL, _LEAST_PX = 0.35, 2.5


def draw_uncertainty(
    picture: np.ndarray, people: Sequence[tuple[np.ndarray, np.ndarray | None]], K: np.ndarray
) -> None:
    """Draw discs over a picture, in place: the most uncertain first, so that the sure ones stay visible.

    Args:
        picture: (h, w, 3) uint8.
        people: of everybody joints (J, 3), metres, camera frame, and their standard deviations (J,) in millimetres,
            NaN where nothing is known; None: of the whole person.
        K: (3, 3) intrinsics of this picture, pixels.
    """
    from PIL import Image, ImageDraw

    marks = [
        (float(sigma), K[0, 0] / joint[2], (K @ joint)[:2] / joint[2])
        for joints, sigmas in people
        if sigmas is not None
        for joint, sigma in zip(np.asarray(joints, np.float64)[:JOINTS], sigmas, strict=False)
        if np.isfinite(sigma) and np.isfinite(joint).all() and joint[2] > NEAR_M
    ]
    if not marks:
        return
    layer = Image.new("RGBA", (picture.shape[1], picture.shape[0]), (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    for sigma, scale, (u, v) in sorted(marks, key=lambda mark: -mark[0]):
        radius = max(sigma / 1000 * scale, _LEAST_PX)
        colour = tuple(int(c) for c in colour_of(sigma))
        width = max(1, round(picture.shape[1] / 500))
        pen.ellipse(
            (u - radius, v - radius, u + radius, v + radius), (*colour, int(255 * _FILL)), (*colour, 255), width
        )
    drawn = np.asarray(layer, np.float64)
    alpha = drawn[..., 3:] / 255
    picture[:] = np.clip(alpha * drawn[..., :3] + (1 - alpha) * picture + 0.5, 0, 255).astype(np.uint8)


def colour_of(sigma_mm: float) -> np.ndarray:
    """(3,) RGB of a standard deviation."""
    place = np.clip((sigma_mm - SURE_MM) / (UNSURE_MM - SURE_MM), 0, 1) * (len(_COLOURS) - 1)
    return np.array([np.interp(place, range(len(_COLOURS)), channel) for channel in _COLOURS.T])
