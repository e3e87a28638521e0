"""Measures in the picture: overlap of masks, and keypoints found within a share of the person's or the head's size."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsr.errors import UsageError


def mask_iou(predicted: Any, target: Any, valid: Any = None) -> np.ndarray:
    """Overlap of masks: intersection over union.

    Args:
        predicted: (..., H, W) bool, or a probability of which more than 0.5 counts.
        target: (..., H, W) likewise.
        valid: (..., H, W) bool, pixels that count; all when not given.

    Returns:
        (...) 0 to 1; NaN where both masks are empty.

    Raises:
        UsageError: if the shapes differ.

    Example:
        >>> float(mask_iou([[True, True, False]], [[False, True, True]])).__round__(3)
        0.333
    """
    p, t = _mask(predicted), _mask(target)
    seen = np.ones_like(p) if valid is None else _mask(valid)
    if p.shape != t.shape or p.shape != seen.shape or p.ndim < 2:
        raise UsageError(f"masks must have one shape (..., H, W), not {p.shape}, {t.shape} and {seen.shape}.")
    union = ((p | t) & seen).sum((-2, -1))
    with np.errstate(invalid="ignore"):
        return np.asarray((p & t & seen).sum((-2, -1)) / np.where(union == 0, np.nan, union))


def pck_2d(
    predicted_px: Any, target_px: Any, size_px: Any, mask: Any = None, *, threshold: float = 0.5, joints: bool = False
) -> np.ndarray:
    """Share of keypoints within ``threshold`` times a size of their person (PCK; PCKh with the head's size).

    Args:
        predicted_px: (..., K, 2) pixels.
        target_px: (..., K, 2) pixels.
        size_px: (...) size of each person, pixels: the longer side of the box for PCK (usual threshold 0.05 to 0.2),
            the head segment of MPII (0.6 times the diagonal of the head's box) for PCKh at 0.5.
        mask: (..., K) bool, keypoints that count; all when not given.
        threshold: share of the size; a distance equal to it counts as found.
        joints: a figure per keypoint (K,) instead of one over all.

    Returns:
        0 to 1; NaN where nothing counts.

    Raises:
        UsageError: if the shapes do not fit or a size is not positive.
    """
    p, t, size = (np.asarray(a, np.float64) for a in (predicted_px, target_px, size_px))
    if p.shape != t.shape or p.ndim < 2 or p.shape[-1] != 2 or size.shape not in (p.shape[:-2], ()):
        raise UsageError(
            f"keypoints must have shapes (..., K, 2) and sizes (...), not {p.shape}, {t.shape} and {size.shape}."
        )
    counts = np.ones(p.shape[:-1], bool) if mask is None else np.asarray(mask, bool)
    if counts.shape != p.shape[:-1]:
        raise UsageError(f"the mask must have the keypoints' shape {p.shape[:-1]}, not {counts.shape}.")
    if not (size > 0).all():
        raise UsageError("sizes must be positive: a person of size 0 has no share of it.")
    with np.errstate(invalid="ignore"):
        near = np.linalg.norm(p - t, axis=-1) <= threshold * size[..., None]
    axes = tuple(range(near.ndim - 1)) if joints else None
    total = counts.sum(axes)
    with np.errstate(invalid="ignore"):
        return np.asarray((near & counts).sum(axes) / np.where(total == 0, np.nan, total))


def _mask(values: Any) -> np.ndarray:
    array = np.asarray(values)
    return array if array.dtype == bool else array > 0.5
