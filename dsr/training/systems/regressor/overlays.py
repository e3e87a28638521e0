"""Pictures to watch a run by: crops, and the predicted bodies over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from dsr.camera import IMAGE_MEAN, IMAGE_STD
from dsr.export.overlay import draw_bodies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsr.body import BodyAsset


def crops_with_bodies(images: Tensor, vertices: np.ndarray, asset: BodyAsset, K: Sequence[np.ndarray]) -> np.ndarray:
    """Crops in a row, and below each the crop with its body.

    Args:
        images: (B, 3, S, S) normalised.
        vertices: (B, V, 3) metres in the crops' cameras; bodies that reach behind the camera are not drawn.
        asset: the body; faces inside it are not drawn.
        K: (3, 3) intrinsics of each crop, pixels.

    Returns:
        (2 S, B S, 3) uint8.
    """
    mean, std = (np.asarray(x, float)[:, None, None] for x in (IMAGE_MEAN, IMAGE_STD))
    pairs = []
    for image, points, intrinsics in zip(images.float().numpy(), vertices.astype(float), K, strict=True):
        crop = (255 * np.clip(image * std + mean, 0, 1)).transpose(1, 2, 0).round().astype(np.uint8)
        drawn = crop.copy()
        if np.isfinite(points).all() and points[:, 2].min() > 0.05:
            draw_bodies(drawn, [points], asset, intrinsics, [0])
        pairs.append(np.concatenate((crop, drawn)))
    return np.concatenate(pairs, 1)
