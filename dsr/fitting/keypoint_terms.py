"""The two terms of a fit that measurements give: keypoints in the picture and 3D landmarks, with exact derivatives."""

from __future__ import annotations

import torch
from torch import Tensor


def reprojection_terms(
    points: Tensor, jacobian: Tensor, rays: Tensor, sigma: Tensor, weight: Tensor, focal: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Where points fall in the picture against keypoints.

    A camera's focal length is often a guess. Where it is off, a person seems to stand nearer or farther than they do:
    the place follows, but near limbs are drawn too large or too small, and a pose would have to bend for it. So
    perspective inside the person may be that of another focal length.

    Args:
        points: (B, K, 3) metres, camera frame.
        jacobian: (B, K, 3, P) their derivatives.
        rays: (B, K, 2) x/z, y/z of the keypoints.
        sigma: (B, K) one standard deviation of the keypoints, in the units of the rays.
        weight: (B, K) what each counts in a person's middle.
        focal: (B,) logarithm of how much longer the focal length is than the camera's, or None: not at all.

    Returns:
        Residuals (B, K, 2) in standard deviations, their Jacobian (B, K, 2, P), and their derivatives (B, K, 2) by the
        logarithm of the focal length.
    """
    x, y, z = points.unbind(-1)
    z = z.clamp(min=0.1)  # a point behind the camera pushes, but never divides by zero
    projected = torch.stack([x / z, y / z], -1)
    residual = (projected - rays) / sigma[..., None]
    slope = jacobian[..., :2, :] - projected[..., None] * jacobian[..., 2:, :]
    slope = slope / (z * sigma)[..., None, None]
    if focal is None:
        return residual, slope, torch.zeros_like(residual)
    share = weight / weight.sum(1, keepdim=True).clamp(min=1e-9)
    middle = (share * z).sum(1, keepdim=True)
    aside = (rays - (share[..., None] * rays).sum(1, keepdim=True)) / sigma[..., None]
    longer = aside * (1 - middle / z)[..., None]
    nearer = (middle / z.square())[..., None] * jacobian[..., 2, :]
    nearer = nearer - (share[..., None] * jacobian[..., 2, :]).sum(1, keepdim=True) / z[..., None]
    residual = residual + focal[:, None, None] * longer
    slope = slope + focal[:, None, None, None] * aside[..., None] * nearer[:, :, None]
    return residual, slope, longer


def landmark_terms(
    points: Tensor,
    jacobian: Tensor,
    landmarks: Tensor,
    sigma: Tensor,
    weight: Tensor,
    hanging: Tensor,
    metric: bool,
) -> tuple[Tensor, Tensor]:
    """Points in space against 3D landmarks; place is free, and size unless it is metric.

    Trunk and limbs are compared relative to their common middle. What hangs on them (hands, feet, face) is compared
    relative to what it hangs on: landmarks of a hand are good for how it is turned, and must not pull at an arm that
    is known better. Sizes are compared at the landmarks' own, so that a smaller body is no closer.

    Args:
        points: (B, K, 3) metres.
        jacobian: (B, K, 3, P) their derivatives.
        landmarks: (B, K, 3) metres.
        sigma: (B, K, 3) one standard deviation of the landmarks, metres; infinite where nothing is known.
        weight: (B, K) what each counts in middle and size.
        hanging: (K, K) what each point hangs on, as of :class:`~dsr.fitting.keypoint_model.KeypointModel`.
        metric: whether the landmarks' size counts.

    Returns:
        Residuals (B, K, 3) in standard deviations and their Jacobian (B, K, 3, P).
    """
    free = 1 - hanging.sum(1)  # (K,) 1 for trunk and limbs
    share = weight * free * torch.isfinite(sigma).all(-1)
    share = share / share.sum(1, keepdim=True).clamp(min=1e-9)
    reference = hanging + free[:, None] * share[:, None]  # (B, K, K)

    def relative(values: Tensor) -> Tensor:
        return values - (reference @ values.flatten(2)).reshape(values.shape)

    mine, theirs, slope = relative(points), relative(landmarks), relative(jacobian)
    if not metric:
        size2 = torch.einsum("bk,bkx->b", share, mine.square()).clamp(min=1e-9)
        ratio = (torch.einsum("bk,bkx->b", share, theirs.square()) / size2).sqrt()[:, None, None]
        growth = ((share[..., None] * mine).flatten(1)[:, None] @ slope.flatten(1, 2))[:, 0] / size2[:, None]
        slope = ratio[..., None] * (slope - mine[..., None] * growth[:, None, None])
        mine = ratio * mine
    return (mine - theirs) / sigma, slope / sigma[..., None]
