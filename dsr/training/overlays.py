"""Pictures to watch a run by: crops, and the predicted bodies over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from dsr.camera import IMAGE_MEAN, IMAGE_STD
from dsr.rendering.zbuffer import rasterise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsr.body import BodyAsset

_COLOUR = np.array([90, 170, 255], float)
_LIGHT = np.array([-0.35, -0.6, -0.8]) / np.linalg.norm([-0.35, -0.6, -0.8])


def draw_bodies(images: Tensor, vertices: np.ndarray, asset: BodyAsset, K: Sequence[np.ndarray]) -> np.ndarray:
    """Crops in a row, and below each the crop with its body.

    Args:
        images: (B, 3, S, S) normalised.
        vertices: (B, V, 3) metres in the crops' cameras.
        asset: the body; faces inside it are not drawn.
        K: (3, 3) intrinsics of each crop, pixels.

    Returns:
        (2 S, B S, 3) uint8.
    """
    mean, std = (np.asarray(x, float)[:, None, None] for x in (IMAGE_MEAN, IMAGE_STD))
    faces = asset.faces if asset.interior is None else asset.faces[~asset.interior]
    columns = []
    for image, points, intrinsics in zip(images.float().numpy(), vertices.astype(float), K, strict=True):
        crop = (255 * np.clip(image * std + mean, 0, 1)).transpose(1, 2, 0)
        drawn = crop.copy()
        if np.isfinite(points).all() and points[:, 2].min() > 0.05:
            seen = rasterise(points, faces, intrinsics, crop.shape[:2])
            normals = np.cross(*(points[faces[:, k]] - points[faces[:, 0]] for k in (1, 2)))
            normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
            light = 0.35 + 0.65 * np.clip(normals @ _LIGHT, 0, 1)
            covered = seen.covered
            drawn[covered] = 0.3 * crop[covered] + 0.7 * light[seen.face_index[covered], None] * _COLOUR
        columns.append(np.concatenate((crop, drawn)))
    return np.concatenate(columns, 1).round().astype(np.uint8)
