"""Where DSR's network sees its bodies: the published camera of a crop, or the crop's own where its picture's is known.

The network says (s, tx, ty): a body's origin is seen at s (tx, ty), -1 to 1 across the crop, and has s times half the
crop's size per metre. The published camera stands tens of metres away (f = 5000 of 224 pixels, specification 2.5), so
that perspective hardly shows. People near a wide lens do not look like that: on made-up people (25 to 75 degrees of
view) joints lie 2.1 pixels of 128 off on average with the very best s, tx, ty, where a centimetre is half a
pixel. The crop's own intrinsics put them right.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsr.camera.weak_perspective import CROP, FOCAL

_NEAREST = 0.1
"""Points nearer than this share of the body's distance are projected as if they were there."""


def published_intrinsics(count: int, size: int, like: Tensor) -> Tensor:
    """Intrinsics of the published camera, (count, 3, 3), pixels of a crop of ``size``."""
    focal = FOCAL * size / CROP
    K = like.new_tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return K.expand(count, 3, 3)


def place_in_crop(camera: Tensor, K_crop: Tensor, size: int) -> Tensor:
    """Where a body stands.

    Args:
        camera: (B, 3) s, tx, ty, with s above 0.
        K_crop: (B, 3, 3) intrinsics, pixels of the crop.
        size: side of the crop, pixels.

    Returns:
        (B, 3) metres in the camera. With the published intrinsics it is
        :func:`dsr.camera.camera_to_translation` (up to its 1e-9).

    Example:
        >>> camera = torch.tensor([[1.0, 0.0, 0.0]])
        >>> place_in_crop(camera, published_intrinsics(1, 224, camera), 224)
        tensor([[ 0.0000,  0.0000, 44.6429]])
    """
    scale = camera[:, :1]
    focal = torch.stack((K_crop[:, 0, 0], K_crop[:, 1, 1]), -1)
    depth = 2 * focal.prod(-1, keepdim=True).sqrt() / (size * scale)
    pixel = size / 2 * (1 + scale * camera[:, 1:])
    return torch.cat(((pixel - K_crop[:, :2, 2]) / focal * depth, depth), -1)


def project_to_crop(points: Tensor, transl: Tensor, K_crop: Tensor, size: int) -> Tensor:
    """Points of bodies in their crops.

    Args:
        points: (B, N, 3) metres, of the body without translation.
        transl: (B, 3) from :func:`place_in_crop`.
        K_crop: (B, 3, 3) intrinsics, pixels of the crop.
        size: side of the crop, pixels.

    Returns:
        (B, N, 2), -1 to 1 across the crop, y down.
    """
    moved = points + transl[:, None]
    depth = torch.maximum(moved[..., 2:], _NEAREST * transl[:, None, 2:])
    focal = torch.stack((K_crop[:, 0, 0], K_crop[:, 1, 1]), -1)[:, None]
    return (moved[..., :2] / depth * focal + K_crop[:, None, :2, 2]) * (2 / size) - 1
