"""The pinhole camera: intrinsics, projection and its inverse (no skew, no lens distortion).

``K = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]`` of the full, upright picture; pixel centres lie at +0.5, so the picture's
middle is (width / 2, height / 2).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from dsr.errors import CameraError


def intrinsics_matrix(
    focal_px: float,
    width: float,
    height: float,
    principal_px: tuple[float, float] | None = None,
    *,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Intrinsics of a picture with square pixels.

    Args:
        focal_px: focal length in pixels of the full, upright picture.
        width: picture width in pixels.
        height: picture height in pixels.
        principal_px: principal point (u, v) in pixels; the middle of the picture where None.
        dtype: floating type of the result.

    Returns:
        K, shape (3, 3).

    Raises:
        CameraError: if the focal length or the size is not a positive, finite number.

    Example:
        >>> intrinsics_matrix(500.0, 640, 480).tolist()
        [[500.0, 0.0, 320.0], [0.0, 500.0, 240.0], [0.0, 0.0, 1.0]]
    """
    for name, value in (("focal length", focal_px), ("width", width), ("height", height)):
        if not (math.isfinite(value) and value > 0):
            raise CameraError(f"The {name} must be a positive number of pixels, got {value}.")
    cu, cv = principal_px if principal_px is not None else (width / 2.0, height / 2.0)
    if not (math.isfinite(cu) and math.isfinite(cv)):
        raise CameraError(f"The principal point must be finite, got ({cu}, {cv}).")
    return torch.tensor([[focal_px, 0.0, cu], [0.0, focal_px, cv], [0.0, 0.0, 1.0]], dtype=dtype)


def project(points: Tensor, K: Tensor) -> Tensor:
    """Project points of the camera frame into the picture.

    Args:
        points: shape (..., N, 3), metres, in front of the camera (z > 0; a point behind it comes out mirrored).
        K: intrinsics, shape (..., 3, 3); cast to the dtype and device of ``points``.

    Returns:
        Pixels (u, v), shape (..., N, 2).
    """
    K = as_like(K, points)
    focal = torch.stack([K[..., 0, 0], K[..., 1, 1]], dim=-1)[..., None, :]
    return points[..., :2] / points[..., 2:] * focal + K[..., None, :2, 2]


def unproject(pixels: Tensor, depth: Tensor | float, K: Tensor) -> Tensor:
    """Points of the camera frame that project to given pixels at given depths; the inverse of :func:`project`.

    Args:
        pixels: (u, v), shape (..., N, 2).
        depth: z in metres, shape (..., N), or one number for all.
        K: intrinsics, shape (..., 3, 3).

    Returns:
        Points, shape (..., N, 3), metres. With ``depth=1.0`` these are viewing rays.
    """
    K = as_like(K, pixels)
    focal = torch.stack([K[..., 0, 0], K[..., 1, 1]], dim=-1)[..., None, :]
    xy = (pixels - K[..., None, :2, 2]) / focal
    z = torch.as_tensor(depth, dtype=pixels.dtype, device=pixels.device)[..., None]
    return torch.cat([xy * z, z.expand(*xy.shape[:-1], 1)], dim=-1)


def transform_pixels(pixels: Tensor, H: Tensor) -> Tensor:
    """Apply a homography to pixels.

    Args:
        pixels: (u, v), shape (..., N, 2).
        H: homography, shape (..., 3, 3).

    Returns:
        Pixels, shape (..., N, 2).
    """
    H = as_like(H, pixels)
    moved = pixels @ H[..., :2].transpose(-1, -2) + H[..., None, :, 2]
    return moved[..., :2] / moved[..., 2:]


def as_like(value: Any, reference: Tensor) -> Tensor:
    """Bring an array, list or tensor to the dtype and device of another tensor."""
    return torch.as_tensor(value, dtype=reference.dtype, device=reference.device)


def check_intrinsics(K: Any, dtype: torch.dtype | None = None) -> Tensor:
    """Turn K into a floating tensor of shape (..., 3, 3), or say what is wrong with it."""
    K = torch.as_tensor(K)
    if dtype is not None:
        K = K.to(dtype)
    elif not K.is_floating_point():
        K = K.to(torch.float64)
    if K.shape[-2:] != (3, 3):
        raise CameraError(f"Intrinsics must have shape (..., 3, 3), got {tuple(K.shape)}.")
    focal = torch.stack([K[..., 0, 0], K[..., 1, 1]]).detach()
    if not (torch.isfinite(K).all() and (focal > 0).all()):
        raise CameraError("Intrinsics must be finite with positive focal lengths.")
    return K
