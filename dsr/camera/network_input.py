"""What every network here expects of its pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

IMAGE_MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue (0..1) that crops are normalised with: ImageNet's, as in SPIN, DSR and PersPose."""
IMAGE_STD = (0.229, 0.224, 0.225)
"""Standard deviation of red, green and blue, likewise."""
CROP_MARGIN = 1.2
"""Side of DSR's crop over the longer side of the person's box (its specification, 9.1)."""
UNKNOWN_FOCAL = 600.0
"""Focal length of PersPose's crops of 256 pixels where the picture's camera is not known (its specification, 2.1)."""


def normalise_image(rgb: np.ndarray, gains: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Tensor:
    """Crops to network input: gains on 0..255, clipped, then ImageNet's mean and standard deviation.

    Args:
        rgb: (..., S, S, 3) uint8 or float 0..255.
        gains: factors on red, green and blue.

    Returns:
        (..., 3, S, S) float32.
    """
    import torch

    planes = np.array(np.moveaxis(rgb, -1, -3), dtype=np.float32, order="C")
    if gains != (1.0, 1.0, 1.0):
        planes *= np.asarray(gains, dtype=np.float32)[:, None, None]
        np.clip(planes, 0, 255, out=planes)
    planes -= np.asarray(IMAGE_MEAN, dtype=np.float32)[:, None, None] * 255
    planes /= np.asarray(IMAGE_STD, dtype=np.float32)[:, None, None] * 255
    return torch.from_numpy(planes)
