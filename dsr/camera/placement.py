"""Where a body stands before a camera: the translation that brings its points nearest to their keypoints.

Solved in closed form, by linear least squares; the pose and the orientation are given.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsr.camera.pinhole import as_like, check_intrinsics, unproject


def translation_from_rays(points: Tensor, rays: Tensor, weight: Tensor) -> Tensor:
    """Translation that best brings points onto viewing rays: weighted least squares on ``x - u z = 0``.

    Args:
        points: (B, K, 3) metres, oriented but not placed.
        rays: (B, K, 2) normalised image coordinates x / z, y / z of the keypoints.
        weight: (B, K), or (B, K, 2) for both axes apart; not negative.

    Returns:
        (B, 3) metres; near zero where the points do not determine it.
    """
    batch, count, _ = points.shape
    rows = torch.zeros(batch, count, 2, 3, dtype=points.dtype, device=points.device)
    rows[..., 0, 0] = rows[..., 1, 1] = 1
    rows[..., 2] = -rays
    target = rays * points[..., 2:] - points[..., :2]
    w = (weight if weight.dim() == points.dim() else weight[..., None])[..., None].sqrt()
    a, b = (w * rows).flatten(1, 2), (w[..., 0] * target).flatten(1)[..., None]
    normal = a.transpose(1, 2) @ a + 1e-9 * torch.eye(3, dtype=a.dtype, device=a.device)
    return torch.linalg.solve(normal, a.transpose(1, 2) @ b)[..., 0]


def fit_translation(points: Tensor, pixels: Tensor, K: Tensor, confidence: Tensor | None = None) -> Tensor:
    """Translation under which points project nearest to given pixels: linear least squares, each row times its depth.

    With DSR's joints 25 to 48 and K = [[5000, 0, 112], [0, 5000, 112], [0, 0, 1]] it is the published camera fit.

    Args:
        points: (..., N, 3) metres, without translation.
        pixels: (..., N, 2).
        K: (..., 3, 3) intrinsics, pixels.
        confidence: (..., N), at least 0; all count alike where None.

    Returns:
        (..., 3) metres; the one nearest to zero where the points do not determine it (no confidence at all, say).
    """
    K = check_intrinsics(as_like(K, points).double())
    rays = unproject(pixels.double(), 1.0, K)[..., :2]
    X = points.double().expand(*rays.shape[:-1], 3)
    rays = rays.expand(*X.shape[:-1], 2)
    weight = torch.stack((K[..., 0, 0], K[..., 1, 1]), -1)[..., None, :].square()  # residuals in pixels times depth
    weight = weight.expand_as(rays) if confidence is None else weight * confidence.double()[..., None]
    weight = weight.expand_as(rays)
    flat = [part.reshape(-1, *part.shape[-2:]) for part in (X, rays, weight)]
    return translation_from_rays(*flat).reshape(*X.shape[:-2], 3).to(points.dtype)
