"""How well a fitted body agrees with the picture: keypoints, silhouette, and what the user has to know about both."""

from __future__ import annotations

import numpy as np

from dsr.body.joints import joint_names
from dsr.people.types import Detection, PersonMask
from dsr.rendering import coverage

VISIBLE = 0.5
"""Keypoints of at least this confidence count as visible in residuals and warnings."""
_SIDES = ("left", "right")
_LIMBS = {"arms": ("elbow", "wrist"), "legs": ("knee", "ankle")}


def reprojection_residuals(detection: Detection, projected_px: np.ndarray) -> dict[str, float | None]:
    """Median distance of the visible keypoints to their projections.

    Args:
        detection: the person, with K keypoints.
        projected_px: (K, 2) keypoints of the fitted body in the picture, pixels.

    Returns:
        ``reprojection_px`` in pixels and ``reprojection_rel`` as a share of the box height; None where no keypoint is
        visible.
    """
    visible = detection.confidence >= VISIBLE
    if not visible.any():
        return {"reprojection_px": None, "reprojection_rel": None}
    error = float(np.median(np.linalg.norm(projected_px[visible] - detection.keypoints_px[visible], axis=1)))
    height = max(float(detection.box_px[3] - detection.box_px[1]), 1.0)
    return {"reprojection_px": error, "reprojection_rel": error / height}


def silhouette_iou(mask: PersonMask | None, vertices_cam: np.ndarray, faces: np.ndarray, K: np.ndarray) -> float | None:
    """Overlap of a fitted body with the detector's mask: intersection over union inside the mask's box.

    Args:
        mask: the person's mask, or None.
        vertices_cam: (V, 3) metres, camera frame.
        faces: (F, 3) outer faces.
        K: (3, 3) intrinsics of the full picture.

    Returns:
        0 to 1 on a raster of 64 rows, or None without a mask or where both are empty.
    """
    if mask is None:
        return None
    x0, y0, x1, y1 = (float(v) for v in mask.box_px)
    rows, cols = mask.probability.shape
    high = 64
    scale = high / max(y1 - y0, 1e-6)
    wide = min(max(round((x1 - x0) * scale), 1), 8 * high)
    shift = np.array([[scale, 0, -x0 * scale], [0, scale, -y0 * scale], [0, 0, 1]])
    body = coverage(vertices_cam, faces, shift @ K, (wide, high))
    row = ((np.arange(high) + 0.5) * rows / high).astype(int)
    col = ((np.arange(wide) + 0.5) * cols / wide).astype(int).clip(max=cols - 1)
    masked = mask.probability[np.ix_(row, col)] > 0.5
    union = int((body | masked).sum())
    return float((body & masked).sum() / union) if union else None


def visibility_warnings(detection: Detection, image_size: tuple[int, int]) -> list[str]:
    """Sentences for the user: how a person was read, and what of it the picture (width, height) does not show."""
    names = joint_names(detection.keypoint_set)
    hidden = [n for n, c in zip(names, detection.confidence, strict=True) if c < VISIBLE]
    warnings = list(detection.warnings)
    limbs = [limb for limb, parts in _LIMBS.items() if all(f"{s}_{p}" in hidden for p in parts for s in _SIDES)]
    if limbs:
        warnings.append(f"The {' and '.join(limbs)} are hidden or outside the picture; their pose is a guess.")
    width, height = image_size
    x0, y0, x1, y1 = detection.box_px
    if x0 < 1 or y0 < 1 or x1 > width - 1 or y1 > height - 1:
        warnings.append("The person is cut by the border of the picture.")
    if _is_upside_down(detection):
        warnings.append(
            "The person is upside down. If it is the picture that is, turn it and fit it again: its note on how to"
            " turn it (EXIF orientation) may be lost."
        )
    return warnings


def _is_upside_down(detection: Detection) -> bool:
    """Whether shoulders are seen below the hips, and knees above them: not so for somebody who bends down."""
    names = joint_names(detection.keypoint_set)
    height = {}
    for part in ("shoulder", "hip", "knee"):
        rows = [names.index(f"{side}_{part}") for side in _SIDES]
        if detection.confidence[rows].min() < VISIBLE:
            return False
        height[part] = float(detection.keypoints_px[rows, 1].mean())
    return height["knee"] < height["hip"] < height["shoulder"] and (
        height["shoulder"] - height["knee"] > 0.5 * float(np.ptp(detection.keypoints_px, axis=0).max())
    )
