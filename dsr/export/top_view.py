"""The fitted bodies of a picture from above, on a metre grid: who stands where, and who floats into whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsr.export.overlay import draw_bodies
from dsr.export.side_view import level_view

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.results.picture import FitResult

_FROM_ABOVE = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Level camera to one that looks straight down: right stays right, far is up."""
_MARGIN = 1.3
_LEAST_M = 2.0
_EYE_M = 60.0
"""Height of the eye: so far up that heads hide nothing of their feet's place."""


def render_top_view(result: FitResult, asset: BodyAsset, size: tuple[int, int] = (480, 480)) -> np.ndarray:
    """Draw everybody from above: right is right in the photograph, up is away from its camera.

    Where the result knows which way is up, the view is along it. The lines are one metre apart (five where people are
    far apart), the numbers along the left say how far from the photograph's camera.

    Args:
        result: a fit.
        asset: the body it was fitted with.
        size: (width, height) of the picture to draw.

    Returns:
        (height, width, 3) uint8.
    """
    from PIL import Image, ImageDraw, ImageFont

    level, _ = level_view(result.floor)
    people = [np.asarray(person.vertices_cam_m, np.float64) @ level.T for person in result.people]
    everybody = np.concatenate(people) if people else np.array([[-0.5, 0.0, 3.0], [0.5, 0.0, 4.0]])
    low, high = np.quantile(everybody[:, [0, 2]], [0.001, 0.999], axis=0)
    centre, span = (low + high) / 2, np.maximum(high - low, _LEAST_M) * _MARGIN
    width, height = size
    per_metre = float(min(width / span[0], height / span[1]))
    step = 1 if span.max() < 15 else 5

    image = Image.new("RGB", size, (226, 226, 226))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=max(11, height // 28))
    reach = np.array([width, height]) / per_metre / 2
    first, last = (np.ceil((centre - reach) / step).astype(int), np.floor((centre + reach) / step).astype(int))
    for x in range(first[0], last[0] + 1):
        u = width / 2 + (x * step - centre[0]) * per_metre
        draw.line([(u, 0), (u, height)], fill=(170, 170, 170))
    for z in range(first[1], last[1] + 1):
        v = height / 2 - (z * step - centre[1]) * per_metre
        draw.line([(0, v), (width, v)], fill=(170, 170, 170))
        draw.text((4, v + 1), f"{z * step} m", fill=(90, 90, 90), font=font)
    picture = np.array(image)
    middle = np.array([centre[0], float(np.median(everybody[:, 1])), centre[1]])
    seen = [(points - middle) @ _FROM_ABOVE.T + [0.0, 0.0, _EYE_M] for points in people]
    K = np.array([[per_metre * _EYE_M, 0, width / 2], [0, per_metre * _EYE_M, height / 2], [0, 0, 1.0]])
    draw_bodies(picture, seen, asset, K, opacity=1.0)
    labelled = Image.fromarray(picture)
    text = "from above, camera below"
    ImageDraw.Draw(labelled).text((4, height - max(11, height // 28) * 1.5), text, fill=(90, 90, 90), font=font)
    return np.asarray(labelled)
