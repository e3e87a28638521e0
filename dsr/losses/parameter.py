"""Losses on body-model parameters, vertices and the camera (DSR specification, section 6.1).

Samples that a mask leaves out may hold anything, NaN included: they reach neither the loss nor a gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsr._checks import check_values, companion, floating
from dsr.losses.keypoint import chosen_samples

SCALE_KNEE = -1.0
"""Below this weak-perspective scale the camera loss goes on as its tangent; the exponential would overflow at -4.4."""


def pose_loss(predicted_rotmat: Tensor, target: Tensor, has_smpl: Tensor | None = None) -> Tensor:
    """Mean squared difference of rotation matrices, over the samples that have a SMPL truth; published weight 1.

    Args:
        predicted_rotmat: (B, J, 3, 3).
        target: (B, J, 3, 3), or (B, J, 3) or (B, 3 J) axis-angle in radians.
        has_smpl: (B,) bool; all when not given.

    Returns:
        A scalar; 0 when no sample counts.

    Raises:
        LossError: if shapes or devices differ, or a value that counts is NaN; it names the argument.
    """
    from dsr.body.rotations import axis_angle_to_rotmat

    sizes: dict[str, int] = {}
    p = floating("predicted_rotmat", predicted_rotmat, "B J 3 3", sizes)
    if isinstance(target, Tensor) and target.ndim == 4:
        return _masked_mean("predicted_rotmat", p, companion("target", target, p, "B J 3 3", sizes), has_smpl, 2)
    if isinstance(target, Tensor) and target.ndim == 2 and target.shape[1] == 3 * sizes["J"]:
        target = target.unflatten(1, (-1, 3))
    axis_angle = companion("target", target, p, "B J 3", sizes)
    return _masked_mean("predicted_rotmat", p, axis_angle_to_rotmat(axis_angle), has_smpl, 2)


def betas_loss(predicted: Tensor, target: Tensor, has_smpl: Tensor | None = None) -> Tensor:
    """Mean squared difference of shape coefficients; published weight 0.001.

    Args:
        predicted: (B, N).
        target: (B, N).
        has_smpl: (B,) bool; all when not given.

    Returns:
        A scalar; 0 when no sample counts.

    Raises:
        LossError: as :func:`pose_loss`.
    """
    sizes: dict[str, int] = {}
    p = floating("predicted", predicted, "B N", sizes)
    return _masked_mean("predicted", p, companion("target", target, p, "B N", sizes), has_smpl, 2)


def vertex_loss(predicted: Tensor, target: Tensor, has_smpl: Tensor | None = None) -> Tensor:
    """Mean absolute difference of vertices over V x 3 and the samples with a SMPL truth; published weight 0.

    Args:
        predicted: (B, V, 3) metres.
        target: (B, V, 3) metres.
        has_smpl: (B,) bool; all when not given.

    Returns:
        A scalar, metres; 0 when no sample counts.

    Raises:
        LossError: as :func:`pose_loss`.
    """
    sizes: dict[str, int] = {}
    p = floating("predicted", predicted, "B V 3", sizes)
    return _masked_mean("predicted", p, companion("target", target, p, "B V 3", sizes), has_smpl, 1)


def camera_scale_loss(camera: Tensor, *, compat: bool = False) -> Tensor:
    """Keeps the weak-perspective scale s positive: mean over the batch of exp(-10 s)^2; published weight 1.

    Args:
        camera: (B, 3) s, tx, ty.
        compat: the exponential everywhere, as published; it overflows for s below -4.4. Otherwise it goes on as its
            tangent below s = -1.

    Returns:
        A scalar.

    Raises:
        LossError: if the shape is another or a value is NaN.
    """
    c = floating("camera", camera, "B 3", {})
    check_values({"camera": (c, -torch.inf, torch.inf)})
    s = c[:, 0]
    if compat:
        return torch.exp(-10 * s).square().mean()
    bent = torch.exp(-20 * s.clamp_min(SCALE_KNEE)) * (1 - 20 * (s - SCALE_KNEE).clamp_max(0))
    return bent.sum() / max(len(s), 1)


def _masked_mean(name: str, p: Tensor, t: Tensor, chosen: Tensor | None, power: int) -> Tensor:
    """Mean of |p - t|^power over the chosen samples; 0 when there are none."""
    has = chosen_samples("has_smpl", chosen, p)
    mask = has.view(-1, *[1] * (p.ndim - 1))
    p, t = torch.where(mask, p, torch.zeros_like(p)), torch.where(mask, t, torch.zeros_like(t))
    check_values({name: (p, -torch.inf, torch.inf), "target": (t, -torch.inf, torch.inf)})
    number = has.sum().clamp_min(1) * max(p[0].numel() if len(p) else 1, 1)
    return ((p - t).abs() if power == 1 else (p - t).square()).sum() / number
