"""What a predicted body shows in its picture, against keypoints and masks of a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsr.camera import PictureCamera
from dsr.evaluation.image_metrics import mask_iou, pck_2d

if TYPE_CHECKING:
    from dsr.body import Body
    from dsr.synthetic.records import PersonRecord

KEYPOINT_SETS = ("coco17", "openpose25", "h36m17")
"""Sets that every body here can regress."""
_RASTER = 160


def image_scores(
    record: PersonRecord,
    vertices: np.ndarray,
    body: Body,
    K: np.ndarray,
    near: dict[str, list[tuple[float, float]]],
    overlap: list[float],
) -> None:
    """Add a person's figures to the lists.

    Args:
        record: the person; keypoints with a confidence count.
        vertices: (V, 3) metres, camera of the full picture.
        body: the body they are of.
        K: (3, 3) intrinsics, pixels.
        near: keypoint set to fractions of keypoints within 5 and 10 % of the longer side of the person's box.
        overlap: overlaps with the mask, where there is one.
    """
    size = float((record.box_px[2:] - record.box_px[:2]).max())
    for name in KEYPOINT_SETS:
        if name not in record.keypoints_px or name not in body.asset.keypoint_regressors or size <= 0:
            continue
        known = np.asarray(record.keypoints_px[name], np.float64)
        counts = known[:, 2] > 0
        if not counts.any():
            continue
        points = np.asarray(body.asset.keypoint_regressor(name) @ vertices)
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels = points[:, :2] / points[:, 2:] * K[[0, 1], [0, 1]] + K[:2, 2]
        pixels[points[:, 2] <= 0] = np.inf
        hits = [float(pck_2d(pixels, known[:, :2], size, counts, threshold=t)) for t in (0.05, 0.1)]
        near.setdefault(name, []).append((hits[0], hits[1]))
    if record.mask is not None:
        iou = _mask_overlap(np.asarray(record.mask, bool), vertices, body, K)
        if iou is not None:
            overlap.append(iou)


def _mask_overlap(mask: np.ndarray, vertices: np.ndarray, body: Body, K: np.ndarray) -> float | None:
    """Overlap of the body's silhouette with a mask of the full picture, at a longer side of at most 160 pixels."""
    from dsr.rendering import rasterise

    scale = min(1.0, _RASTER / max(mask.shape))
    high, wide = (max(1, round(side * scale)) for side in mask.shape)
    rows = ((np.arange(high) + 0.5) * mask.shape[0] / high).astype(int)
    cols = ((np.arange(wide) + 0.5) * mask.shape[1] / wide).astype(int)
    camera = PictureCamera(K, (mask.shape[1], mask.shape[0])).scaled((wide, high))
    faces = body.asset.faces[~body.asset.interior] if len(body.asset.interior) else body.asset.faces
    drawn = rasterise(vertices, faces, camera.K, camera.size, cull_back=True).covered
    iou = float(mask_iou(drawn, mask[np.ix_(rows, cols)]))
    return iou if np.isfinite(iou) else None
