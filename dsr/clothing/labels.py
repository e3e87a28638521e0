"""Clothing labels: Graphonomy's 20 classes, the sets DSR supervises, palettes, mirroring, and the person's window.

A label map is an integer tensor (B, H, W) of the ids below; :data:`IGNORE` (-1) marks a pixel of unknown label, which
no loss looks at. "left" and "right" are the person's. Tables: DSR specification, sections 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor

from dsr._checks import check_shape, check_values
from dsr.body.joints import flip_name
from dsr.errors import LossError

IGNORE: Final = -1
"""Label and class of a pixel that is not known."""

LABELS: Final = (
    "background",
    "hat",
    "hair",
    "glove",
    "sunglasses",
    "upperclothes",
    "dress",
    "coat",
    "socks",
    "pants",
    "jumpsuits",
    "scarf",
    "skirt",
    "face",
    "leftArm",
    "rightArm",
    "leftLeg",
    "rightLeg",
    "leftShoe",
    "rightShoe",
)
"""Names of the 20 labels, by id."""

PALETTE_RGB: Final = (
    (0, 0, 0),
    (128, 0, 0),
    (255, 0, 0),
    (0, 85, 0),
    (170, 0, 51),
    (255, 85, 0),
    (0, 0, 85),
    (0, 119, 221),
    (85, 85, 0),
    (0, 85, 85),
    (85, 51, 0),
    (52, 86, 128),
    (0, 128, 0),
    (0, 0, 255),
    (51, 170, 221),
    (0, 255, 255),
    (85, 255, 170),
    (170, 255, 85),
    (255, 255, 0),
    (255, 170, 0),
)
"""Graphonomy's colours of the 20 labels, by id."""

MINIMALLY_CLOTHED: Final = ("leftShoe", "rightShoe", "leftArm", "rightArm", "face")
"""Labels of DSR-MC in the order of its valid-label vector; bare legs and hair are not among them."""


CLOTHED_CLASSES: Final = MappingProxyType(
    {
        "background": ("background",),
        "head": ("hat", "hair", "sunglasses", "scarf", "face"),
        "upperclothes": ("glove", "upperclothes", "dress", "coat", "jumpsuits"),
        "pants": ("socks", "pants", "skirt"),
        "leftArm": ("leftArm",),
        "rightArm": ("rightArm",),
        "leftLeg": ("leftLeg", "leftShoe"),
        "rightLeg": ("rightLeg", "rightShoe"),
    }
)
"""The eight merged classes of DSR-C and their members."""

LOOSE_CLASSES: Final = ("head", "upperclothes", "pants")
"""Those that stand off the body: hair and hats, and cloth."""

LABEL_TO_CLASS: Final = tuple(
    next(k for k, members in enumerate(CLOTHED_CLASSES.values()) if label in members) for label in LABELS
)
"""DSR-C class of each label id."""

LABEL_MIRROR: Final = tuple(LABELS.index(flip_name(label)) for label in LABELS)
"""Label id seen in a mirror."""


def label_ids(names: Iterable[str]) -> list[int]:
    """Ids of labels by name.

    Raises:
        LossError: if there is no such label.
    """
    names = list(names)
    unknown = [name for name in names if name not in LABELS]
    if unknown:
        raise LossError(f"names contains {unknown[0]!r}, which is no clothing label; choose from {', '.join(LABELS)}.")
    return [LABELS.index(name) for name in names]


def merge_labels(labels: Tensor) -> Tensor:
    """The eight DSR-C classes of a label map, (B, H, W) int64 in 0..7; :data:`IGNORE` stays."""
    return look_up(LABEL_TO_CLASS, check_labels("labels", labels), unknown=IGNORE)


def mirror_labels(labels: Tensor, *, compat: bool = False) -> Tensor:
    """The label map of the mirrored picture: columns reversed and left and right labels exchanged.

    Args:
        labels: (B, H, W) label ids.
        compat: as published: columns reversed only, so that a mirrored left arm still says "left arm" (DSR
            specification section 10, 1).

    Returns:
        (B, H, W) int64.
    """
    flipped = check_labels("labels", labels).flip(-1)
    return flipped if compat else look_up(LABEL_MIRROR, flipped, unknown=IGNORE)


def palette_to_labels(rgb: Any) -> Tensor:
    """Label ids of a Graphonomy colour picture; a colour outside the palette is :data:`IGNORE`.

    Never resample such a picture: mixed colours match nothing, or another label. Decode it first, then warp the ids
    with nearest-neighbour sampling (DSR specification section 10, 8).

    Args:
        rgb: (B, H, W, 3) integers 0..255, tensor or array, red first.

    Returns:
        (B, H, W) int64.

    Raises:
        LossError: if the shape or the number type is another.
    """
    rgb = torch.as_tensor(rgb)
    check_shape("rgb", rgb, "B H W 3", {})
    if rgb.dtype.is_floating_point:
        raise LossError(f"rgb must hold integers 0..255, not {rgb.dtype}; read the picture as uint8.")
    red, green, blue = rgb.long().unbind(-1)
    codes = torch.tensor([r << 16 | g << 8 | b for r, g, b in PALETTE_RGB], device=rgb.device)
    ordered, ids = codes.sort()
    pixel = red << 16 | green << 8 | blue
    place = torch.searchsorted(ordered, pixel).clamp_max(len(LABELS) - 1)
    return torch.where(ordered[place] == pixel, ids[place], IGNORE)


def keypoint_window(
    keypoints_px: Tensor,
    size: tuple[int, int],
    *,
    margin: float = 30.0,
    min_confidence: float = 0.3,
    compat: bool = False,
) -> Tensor:
    """Rectangle around a person's keypoints; labels outside it belong to somebody else (specification section 4.2, 1).

    Args:
        keypoints_px: (B, K, 3) u, v in pixels of the label map, and confidence.
        size: (height, width) of the label map.
        margin: pixels added on each side; 30 as published, for maps of 224 pixels.
        min_confidence: keypoints count above this.
        compat: as published: when all keypoints lie left of or above the picture, the negative end of the rectangle
            counts from the other side. Otherwise the rectangle is empty then.

    Returns:
        (B, 4) int64 x0, y0, x1, y1: columns x0 <= x < x1 and rows y0 <= y < y1; empty where no keypoint counts.
    """
    check_shape("keypoints_px", keypoints_px, "B K 3", {})
    seen = keypoints_px[..., 2:] > min_confidence  # false for NaN
    points = keypoints_px[..., :2].to(torch.float64)
    limit = torch.tensor([size[1], size[0]], dtype=torch.float64, device=points.device)
    kept = seen & points.isfinite().all(-1, keepdim=True)
    low = torch.where(kept, points, torch.inf).amin(1) - margin
    high = torch.minimum(torch.where(kept, points, -torch.inf).amax(1) + margin, limit)
    start = torch.minimum(low.clamp_min(0), limit).trunc()
    end = high.clamp_min(-1e6).trunc()
    if compat:
        end = torch.where(end < 0, limit + end, end)
    window = torch.cat([start, end.clamp_min(0)], -1).long()
    return torch.where(kept.any(1), window, torch.zeros_like(window))


def keep_window(values: Tensor, window: Tensor) -> Tensor:
    """Zero (background) outside each sample's rectangle.

    Args:
        values: (B, H, W) labels or (B, H, W, C) colours.
        window: (B, 4) from :func:`keypoint_window`.

    Returns:
        As ``values``.
    """
    sizes: dict[str, int] = {}
    check_shape("values", values, "B H W" if values.ndim < 4 else "B H W C", sizes)
    check_shape("window", window, "B 4", sizes)
    x0, y0, x1, y1 = (edge[:, None, None] for edge in window.to(values.device).unbind(-1))
    columns = torch.arange(sizes["W"], device=values.device)[None, None, :]
    rows = torch.arange(sizes["H"], device=values.device)[None, :, None]
    inside = (columns >= x0) & (columns < x1) & (rows >= y0) & (rows < y1)
    inside = inside if values.ndim == 3 else inside.unsqueeze(-1)
    return torch.where(inside, values, torch.zeros_like(values))


def check_labels(name: str, labels: Tensor, highest: int = len(LABELS) - 1) -> Tensor:
    """The map as int64, shape and range checked.

    Raises:
        LossError: if it is no integer map (B, H, W) of values -1..highest.
    """
    check_shape(name, labels, "B H W", {})
    if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool:
        raise LossError(f"{name} must hold integer ids, not {labels.dtype}.")
    check_values({name: (labels, IGNORE, highest)})
    return labels.long()


def look_up(table: Any, ids: Tensor, unknown: Any) -> Tensor:
    """``table[id]`` per pixel, with a value for :data:`IGNORE`."""
    return torch.tensor([*table, unknown], device=ids.device)[ids]  # -1 takes the last row
