"""Joint and vertex errors (MPJPE, PA-MPJPE, PVE) for torch tensors and numpy arrays alike, batched and differentiable.

Points are (..., N, 3); results are in the unit of the points and of the type of ``predicted``. Masks are (..., N), true
where a point counts; what the mask leaves out may hold NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from dsr.errors import UsageError

Points = TypeVar("Points", Tensor, np.ndarray)


def mpjpe(
    predicted: Points, target: Any, mask: Any = None, *, root: int | tuple[int, ...] | None = 0, reduction: str = "mean"
) -> Points:
    """Mean per-joint position error: mean distance after the root joints are laid on each other (protocol 1).

    Args:
        predicted: (..., J, 3).
        target: (..., J, 3), broadcast against ``predicted``.
        mask: (..., J), true where a joint counts; all when not given.
        root: joint whose position is subtracted on both sides, masked or not (several: their mean, such as both hips);
            None: nothing is subtracted.
        reduction: "mean" over all that counts (a scalar), "sample" (...), "joint" (J,) or "none" (..., J).

    Returns:
        The error; NaN where nothing counts.

    Raises:
        UsageError: if shapes do not fit or the reduction is unknown.

    Example:
        >>> float(mpjpe(np.zeros((1, 2, 3)), np.array([[[0.0, 0, 0], [0, 3, 4]]])))
        2.5
    """

    def distances(p: Tensor, t: Tensor, m: Tensor) -> Tensor:
        if root is not None:
            joints = [root] if isinstance(root, int) else list(root)
            p = p - p[..., joints, :].mean(-2, keepdim=True)
            t = t - t[..., joints, :].mean(-2, keepdim=True)
        return _distance(p, t, m)

    return _measure(distances, predicted, target, mask, reduction)


def pa_mpjpe(
    predicted: Points, target: Any, mask: Any = None, *, scale: bool = True, reduction: str = "mean"
) -> Points:
    """Procrustes-aligned MPJPE: mean distance after the best rotation, translation and scale (protocol 2).

    Arguments, result and errors as :func:`mpjpe`; ``scale=False`` keeps the size of the prediction.
    """

    def distances(p: Tensor, t: Tensor, m: Tensor) -> Tensor:
        zero = torch.zeros_like(p)  # NaN in masked points would reach the gradient of the scale
        p, t = torch.where(m.unsqueeze(-1), p, zero), torch.where(m.unsqueeze(-1), t, zero)
        return _distance(_align(p, t, m, scale), t, m)

    return _measure(distances, predicted, target, mask, reduction)


def pve(
    predicted: Points,
    target: Any,
    mask: Any = None,
    *,
    predicted_root: Any = None,
    target_root: Any = None,
    reduction: str = "mean",
) -> Points:
    """Per-vertex error: mean distance of corresponding vertices, after the given pelvis positions are subtracted.

    Args:
        predicted: (..., V, 3) vertices.
        target: (..., V, 3).
        mask: (..., V), true where a vertex counts (not inside the mouth, say).
        predicted_root: (..., 3) subtracted from ``predicted``; nothing when not given.
        target_root: (..., 3) subtracted from ``target``.
        reduction: as :func:`mpjpe`, with "joint" for vertices.

    Raises:
        UsageError: if shapes do not fit, the reduction is unknown or only one of the roots is given.
    """
    if (predicted_root is None) != (target_root is None):
        raise UsageError("give both predicted_root and target_root, or neither: one alone would move one body only.")

    def distances(p: Tensor, t: Tensor, m: Tensor) -> Tensor:
        if predicted_root is not None:
            p = p - torch.as_tensor(predicted_root).to(p).unsqueeze(-2)
            t = t - torch.as_tensor(target_root).to(t).unsqueeze(-2)
        return _distance(p, t, m)

    return _measure(distances, predicted, target, mask, reduction)


def procrustes_align(predicted: Points, target: Any, mask: Any = None, *, scale: bool = True) -> Points:
    """The prediction moved by the similarity transform (never a reflection) that brings it closest to the target.

    Least squares over the points that count (Umeyama 1991). Differentiable once in both arguments; gradients stay
    finite for flat and symmetric point sets, where those of an SVD do not.

    Args:
        predicted: (..., N, 3).
        target: (..., N, 3).
        mask: (..., N), true where a point counts.
        scale: also fit a scale; False keeps the prediction's size.

    Returns:
        (..., N, 3) all points of the prediction, those that do not count included.
    """
    p, t, m = _prepare(predicted, target, mask)
    return _like(_align(p, t, m, scale), predicted)


def _align(predicted: Tensor, target: Tensor, mask: Tensor, scale: bool) -> Tensor:
    weights = mask.to(predicted).unsqueeze(-1)
    weights = weights / weights.sum(-2, keepdim=True).clamp_min(1)
    zero = torch.zeros((), dtype=predicted.dtype, device=predicted.device)
    centre_p = (weights * torch.where(mask.unsqueeze(-1), predicted, zero)).sum(-2, keepdim=True)
    centre_t = (weights * torch.where(mask.unsqueeze(-1), target, zero)).sum(-2, keepdim=True)
    p = torch.where(mask.unsqueeze(-1), predicted - centre_p, zero)
    t = torch.where(mask.unsqueeze(-1), target - centre_t, zero)
    moments = t.transpose(-1, -2) @ (weights * p)
    rotation = _nearest_rotation(moments)
    size = torch.ones_like(centre_p)
    if scale:
        variance = (weights * p.square()).sum((-1, -2))
        trace = (rotation * moments).sum((-1, -2))
        size = (trace / variance.clamp_min(torch.finfo(variance.dtype).tiny)).unsqueeze(-1).unsqueeze(-1)
    return size * (predicted - centre_p) @ rotation.transpose(-1, -2) + centre_t


def _nearest_rotation(moments: Tensor) -> Tensor:
    """Rotation R (..., 3, 3) with the largest trace(R^T M), differentiable by the implicit function theorem.

    At the optimum P = R^T M is symmetric; a change of M turns R by omega with (tr(P) I - P) omega = axial(R^T M).
    """
    with torch.no_grad():
        u, _, vt = torch.linalg.svd(moments)
        sign = torch.linalg.det(u @ vt).sign()
        sign = torch.where(sign == 0, torch.ones_like(sign), sign)
        ones = torch.ones_like(sign)
        rotation = u @ (torch.stack([ones, ones, sign], -1).unsqueeze(-1) * vt)
    if not (torch.is_grad_enabled() and moments.requires_grad):
        return rotation
    local = rotation.transpose(-1, -2) @ moments
    symmetric = local.detach()
    eye = torch.eye(3, dtype=moments.dtype, device=moments.device)
    trace = symmetric.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    system = trace * eye - (symmetric + symmetric.transpose(-1, -2)) / 2
    skew = local - local.transpose(-1, -2)
    axial = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)
    # Where the best rotation is not unique (points on a line) the pseudo-inverse leaves the free direction alone.
    inverse = torch.linalg.pinv(system, rtol=1e-6, hermitian=True)
    omega = (inverse @ (axial - axial.detach()).unsqueeze(-1)).squeeze(-1)
    x, y, z = omega.unbind(-1)
    o = torch.zeros_like(x)
    turn = torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3))
    return rotation @ (eye + turn)


def _distance(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    difference = torch.where(mask.unsqueeze(-1), predicted - target, torch.zeros_like(predicted))
    return torch.linalg.vector_norm(difference, dim=-1)


def _measure(
    distances: Callable[[Tensor, Tensor, Tensor], Tensor], predicted: Points, target: Any, mask: Any, reduction: str
) -> Points:
    """Distances (..., N) of what counts, reduced."""
    p, t, m = _prepare(predicted, target, mask)
    errors = distances(p, t, m)
    if reduction == "none":
        result = torch.where(m, errors, torch.full_like(errors, torch.nan))
    elif reduction in ("mean", "sample", "joint"):
        axes = {"mean": tuple(range(m.ndim)), "sample": (-1,), "joint": tuple(range(m.ndim - 1))}[reduction]
        result = errors.sum(axes) / m.sum(axes) if axes else torch.where(m, errors, torch.full_like(errors, torch.nan))
    else:
        raise UsageError(f"unknown reduction {reduction!r}; choose mean, sample, joint or none.")
    return _like(result, predicted)


def _prepare(predicted: Any, target: Any, mask: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Tensors of one shape, dtype and device, and a boolean mask; integers and half precision become float."""
    p = torch.as_tensor(predicted)
    if p.dtype not in (torch.float32, torch.float64):
        p = p.to(torch.float64 if isinstance(predicted, np.ndarray) else torch.float32)
    t = torch.as_tensor(target).to(p)
    m = torch.ones(p.shape[:-1], dtype=torch.bool, device=p.device) if mask is None else torch.as_tensor(mask)
    m = m.to(device=p.device, dtype=torch.bool)
    try:
        p, t = torch.broadcast_tensors(p, t)
        m = m.broadcast_to(p.shape[:-1])
    except RuntimeError:
        p = p[..., :0]
    if p.ndim < 2 or p.shape[-1] != 3:
        raise UsageError(
            f"points must have shapes (..., N, 3) and masks (..., N) that fit each other, not "
            f"{tuple(np.shape(predicted))}, {tuple(np.shape(target))} and "
            f"{None if mask is None else tuple(np.shape(mask))}."
        )
    return p, t, m


def _like(result: Tensor, example: Points) -> Points:
    """Back to numpy where numpy came in."""
    return result if isinstance(example, Tensor) else result.detach().cpu().numpy()
