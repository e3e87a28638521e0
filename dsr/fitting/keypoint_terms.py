"""The two terms of a fit that measurements give: keypoints in the picture and 3D landmarks, with exact derivatives."""

from __future__ import annotations

import torch
from torch import Tensor


def reprojection_terms(
    points: Tensor,
    jacobian: Tensor,
    rays: Tensor,
    sigma: Tensor,
    weight: Tensor,
    focal: Tensor | None = None,
    sight: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Where points fall in the picture against keypoints.

    A camera's focal length is often a guess. Where it is off, a person seems to stand nearer or farther than they do:
    the place follows, but near limbs are drawn too large or too small, and a pose would have to bend for it. So
    perspective inside the person, and the stretch of who stands beside the picture's middle, may be those of another
    focal length: the same body ``e^focal`` times as far away, seen in pictures of the same size. (More stretch than the
    camera's own is not allowed: nobody beside the middle would lie on their keypoints.)

    Args:
        points: (B, K, 3) metres, camera frame.
        jacobian: (B, K, 3, P) their derivatives.
        rays: (B, K, 2) x/z, y/z of the keypoints.
        sigma: (B, K) one standard deviation of the keypoints, in the units of the rays.
        weight: (B, K) what each counts in a person's middle.
        focal: (B,) logarithm of how much longer the focal length is than the camera's, or None: not at all.
        sight: (B, 2) x/z, y/z of the line of sight in the picture's camera, of which the camera was turned by the
            smallest rotation; None: it was not turned.

    Returns:
        Residuals (B, K, 2) in standard deviations, their Jacobian (B, K, 2, P), and their derivatives (B, K, 2) by the
        logarithm of the focal length.
    """
    z, dz = points[..., 2], jacobian[..., 2, :]
    if focal is not None:
        flat = torch.exp(-focal)[:, None]
        share = weight / weight.sum(1, keepdim=True).clamp(min=1e-9)
        middle = (share * z).sum(1, keepdim=True)
        behind = z - middle
        z = middle + flat * behind
        dz = flat[..., None] * dz + (1 - flat)[..., None] * (share[..., None] * dz).sum(1, keepdim=True)
    z = z.clamp(min=0.1)  # a point behind the camera pushes, but never divides by zero
    projected = points[..., :2] / z[..., None]
    slope = (jacobian[..., :2, :] - projected[..., None] * dz[:, :, None]) / (z * sigma)[..., None, None]
    if focal is None:
        return (projected - rays) / sigma[..., None], slope, torch.zeros_like(rays)
    nearer = projected * (flat * behind / z)[..., None]
    if sight is not None:
        rays, stretch = _turned_rays(rays, sight, flat.clamp(max=1.0))
        stretch = torch.where(flat[..., None] < 1, stretch, torch.zeros_like(stretch))
        nearer = nearer - stretch
    return (projected - rays) / sigma[..., None], slope, nearer / sigma[..., None]


def _turned_rays(rays: Tensor, sight: Tensor, flat: Tensor) -> tuple[Tensor, Tensor]:
    """Keypoints (B, K, 2) as a camera of another focal length, turned to the same person, has them.

    In the picture's camera a point is at p and the line of sight at c. With the focal length ``1 / flat`` times as long
    both are at ``flat p`` and ``flat c``; turned by the smallest rotation, in units of the first camera, p is at
    ``(p_c - |c|, n p_t) / (1 + flat^2 c.p)``, along and across c, with ``n^2 = 1 + flat^2 |c|^2``.

    Returns:
        The rays and their derivatives by the logarithm of the focal length.
    """
    radius = sight.norm(dim=-1, keepdim=True)  # (B, 1)
    along = torch.where(radius > 1e-9, sight / radius.clamp(min=1e-9), torch.zeros_like(sight))
    along = torch.where(radius > 1e-9, along, along.new_tensor([1.0, 0.0]))
    across = torch.stack([-along[:, 1], along[:, 0]], -1)
    e, t = (torch.einsum("bkx,bx->bk", rays, axis) for axis in (along, across))
    # back to the picture: the inverse of the formula above at flat 1
    n = (1 + radius.square()).sqrt()
    low = (1 - radius * e).clamp(min=0.05)
    e, t = (e + radius) / low, t * n / low
    square = flat.square()
    n = (1 + square * radius.square()).sqrt()
    below = (1 + square * radius * e).clamp(min=0.05)
    new_e, new_t = (e - radius) / below, n * t / below
    # d flat^2 / d focal = -2 flat^2
    d_e = 2 * square * radius * e / below * new_e
    d_t = 2 * square * radius * e / below * new_t - square * radius.square() / n * t / below
    turned = [a[..., None] * along[:, None] + b[..., None] * across[:, None] for a, b in ((new_e, new_t), (d_e, d_t))]
    return turned[0], turned[1]


def landmark_terms(
    points: Tensor,
    jacobian: Tensor,
    landmarks: Tensor,
    sigma: Tensor,
    weight: Tensor,
    hanging: Tensor,
    metric: bool,
    shared: tuple[Tensor, Tensor] | None = None,
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
        shared: errors that the landmarks share, of :func:`shared_errors`, or None.

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
    residual, slope = (mine - theirs) / sigma, slope / sigma[..., None]
    if shared is None:
        return residual, slope
    out, back = shared
    residual = residual - (out @ (back @ residual.flatten(1)[..., None]))[..., 0].view_as(residual)
    slope = slope - (out @ (back @ slope.flatten(1, 2))).view_as(slope)
    return residual, slope


def shared_errors(common: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """What takes errors that the landmarks share out of their residuals: ``r - out @ (back @ r)``.

    With covariance ``I + V V^T`` the whitened residual is ``(I + V V^T)^(-1/2) r``, all of it within the span of V.

    Args:
        common: (B, M, K, 3) standard deviations of the shared errors, metres.
        sigma: (B, K, 3) one standard deviation of the landmarks, metres.

    Returns:
        ``out`` (B, 3K, M) and ``back`` (B, M, 3K).
    """
    shared = (common / sigma[:, None]).flatten(2)  # (B, M, 3K)
    value, vector = torch.linalg.eigh(shared @ shared.transpose(1, 2))
    less = (1 - (1 + value).rsqrt()) / value.clamp(min=1e-12)
    return shared.transpose(1, 2), vector @ (less[..., None] * vector.transpose(1, 2)) @ shared
