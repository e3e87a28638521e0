"""Losses of the skeleton lifters, with the published weights (KTPFormer specification, section 8; HoT 6; GLA-GCN 7).

Poses are (B, F, J, 3) metres relative to the pelvis; results are scalars in metres (squared metres where said).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from dsr.errors import UsageError
from dsr.tracks.skeleton import H36M17, Skeleton

TEMPORAL, VELOCITY = 0.5, 2.0
"""Published weights of the temporal consistency and the velocity in :func:`sequence_loss`."""
SYMMETRIC_BONES: Final = (
    ((0, 4), (0, 1)),
    ((4, 5), (1, 2)),
    ((5, 6), (2, 3)),
    ((8, 11), (8, 14)),
    ((11, 12), (14, 15)),
    ((12, 13), (15, 16)),
)
"""Pairs of left and right bones of the 17 joints, each as (joint, joint)."""
_REGULARISER, _BONE_LENGTH, _BONE_DIRECTION = 0.01, 0.025, 0.5


def weighted_mpjpe(predicted: Tensor, target: Tensor, weights: Sequence[float] | None = None) -> Tensor:
    """Mean of the weighted distances of the joints.

    Args:
        predicted: (..., J, 3).
        target: (..., J, 3).
        weights: of the J joints; None: all 1.

    Raises:
        UsageError: if the shapes differ.
    """
    _check(predicted, target)
    distance = torch.linalg.vector_norm(predicted - target, dim=-1)
    return (distance * _weights(predicted, weights)).mean() if weights is not None else distance.mean()


def temporal_consistency(predicted: Tensor, weights: Sequence[float] = H36M17.joint_weights) -> Tensor:
    """Weighted mean square of the prediction's change from frame to frame: it penalises motion, as published.

    Args:
        predicted: (B, F, J, 3).
        weights: of the J joints.

    Returns:
        Squared metres; 0 for a single frame.
    """
    if predicted.shape[1] < 2:
        return predicted.sum() * 0.0
    return (predicted.diff(dim=1).square() * _weights(predicted, weights)[:, None]).mean()


def velocity_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean distance of the changes from frame to frame (MPJVE); 0 for a single frame.

    Args:
        predicted: (B, F, J, 3).
        target: (B, F, J, 3).
    """
    _check(predicted, target)
    if predicted.shape[1] < 2:
        return predicted.sum() * 0.0
    return torch.linalg.vector_norm((predicted - target).diff(dim=1), dim=-1).mean()


def sequence_loss(
    predicted: Tensor,
    target: Tensor,
    weights: Sequence[float] = H36M17.joint_weights,
    temporal: float = TEMPORAL,
    velocity: float = VELOCITY,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of MixSTE, HoT and KTPFormer: weighted MPJPE + 0.5 temporal consistency + 2 velocity error.

    Args:
        predicted: (B, F, J, 3).
        target: (B, F, J, 3).
        weights: of the J joints.
        temporal: weight of the temporal consistency.
        velocity: weight of the velocity error.

    Returns:
        The total, and its weighted terms by name.

    Example:
        >>> zero = torch.zeros(1, 9, 17, 3)
        >>> float(sequence_loss(zero, zero)[0])
        0.0
    """
    terms = {
        "position": weighted_mpjpe(predicted, target, weights),
        "temporal": temporal * temporal_consistency(predicted, weights),
        "velocity": velocity * velocity_error(predicted, target),
    }
    return torch.stack(list(terms.values())).sum(), terms


def laplace_loss(predicted: Tensor, log_scale: Tensor, target: Tensor) -> Tensor:
    """UAO's loss (released as "Gaussian"): mean of ``e exp(-s) + s`` over joints, e the distance from the truth.

    At its least s is log e, so exp(s) is the expected error; nothing bounds s (UAO specification, section 6).

    Args:
        predicted: (..., J, 3) metres.
        log_scale: (..., J, 1), s.
        target: (..., J, 3); the root counts too.

    Raises:
        UsageError: if the shapes differ.
    """
    _check(predicted, target)
    if log_scale.shape != (*predicted.shape[:-1], 1):
        raise UsageError(f"Log-scales of shape {tuple(log_scale.shape)} for joints of shape {tuple(predicted.shape)}.")
    distance = torch.linalg.vector_norm(target - predicted, dim=-1, keepdim=True)
    return (distance * (-log_scale).exp() + log_scale).mean()


def self_scaled(total: Tensor) -> Tensor:
    """What KTPFormer's released training minimises: its gradient is that of the loss times the loss, total^2 / 2."""
    return total.square() / 2.0


def symmetry_penalty(predicted: Tensor) -> Tensor:
    """0.01 times the sum, over six pairs of limbs, of the mean difference of left and right lengths (17 joints)."""
    left, right = (torch.tensor([pair[side] for pair in SYMMETRIC_BONES], device=predicted.device) for side in (0, 1))

    def lengths(bones: Tensor) -> Tensor:
        ends = predicted[..., bones[:, 1], :] - predicted[..., bones[:, 0], :]
        return torch.linalg.vector_norm(ends, dim=-1)

    return _REGULARISER * (lengths(left) - lengths(right)).abs().flatten(0, -2).mean(0).sum()


def bone_consistency(predicted: Tensor, skeleton: Skeleton = H36M17) -> Tensor:
    """0.01 times the sum over bones of the mean change of the bone vector (not of its length) from frame to frame.

    Args:
        predicted: (B, F, J, 3), two frames or more.
        skeleton: its bones.
    """
    change = torch.linalg.vector_norm(_bones(predicted, skeleton).diff(dim=1), dim=-1)
    return _REGULARISER * change.flatten(0, -2).mean(0).sum()


def bone_length_error(predicted: Tensor, target: Tensor, skeleton: Skeleton = H36M17) -> Tensor:
    """GLA-GCN's MPBLE: 0.025 times the mean over bones of the 2-norm over the batch of the difference of lengths."""
    _check(predicted, target)
    lengths = [torch.linalg.vector_norm(_bones(p, skeleton), dim=-1) for p in (predicted, target)]
    difference = (lengths[0] - lengths[1]).flatten(0, -2)
    return _BONE_LENGTH * torch.linalg.vector_norm(difference, dim=0).mean()


def bone_direction_error(predicted: Tensor, target: Tensor, skeleton: Skeleton = H36M17) -> Tensor:
    """GLA-GCN's MPBDE: half the mean over bones of 1 - cosine between predicted and true bone."""
    _check(predicted, target)
    cosine = torch.cosine_similarity(_bones(predicted, skeleton), _bones(target, skeleton), dim=-1, eps=1e-8)
    return _BONE_DIRECTION * (1.0 - cosine).mean()


def random_move(target: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """GLA-GCN's label noise: the target (not the input) turned about the optical axis and its x, y scaled.

    Per sample an angle from {-5, 0, 5} degrees and a scale from {0.95, 1, 1.05} at either end of the window, linear
    in between. It is part of the released training; off by default here.

    Args:
        target: (N, F, J, 3).
        random: numpy's old generator, as published (the draws are part of the golden vector).

    Returns:
        (N, F, J, 3), the dtype of ``target``.
    """
    moved = np.empty_like(target)
    frames = target.shape[1]
    for n, pose in enumerate(target):
        angles = np.deg2rad(random.choice([-5.0, 0.0, 5.0], 2))
        scales = random.choice([0.95, 1.0, 1.05], 2)
        random.choice([0.0], 2), random.choice([0.0], 2)  # translations, drawn and zero
        angle, scale = (np.linspace(first, last, frames) for first, last in (angles, scales))
        cosine, sine = np.cos(angle) * scale, np.sin(angle) * scale
        x, y = pose[..., 0], pose[..., 1]
        moved[n, ..., 0] = cosine[:, None] * x - sine[:, None] * y
        moved[n, ..., 1] = sine[:, None] * x + cosine[:, None] * y
        moved[n, ..., 2] = pose[..., 2]
    return moved


def _bones(poses: Tensor, skeleton: Skeleton) -> Tensor:
    children, parents = (torch.tensor(ends, device=poses.device) for ends in zip(*skeleton.bones, strict=True))
    return poses[..., children, :] - poses[..., parents, :]


def _weights(like: Tensor, weights: Sequence[float] | None) -> Tensor:
    values = like.new_tensor(weights)
    if values.shape != like.shape[-2:-1]:
        raise UsageError(f"There are {len(values)} joint weights for {like.shape[-2]} joints.")
    return values


def _check(predicted: Tensor, target: Tensor) -> None:
    if predicted.shape != target.shape or predicted.shape[-1:] != (3,):
        raise UsageError(f"Poses must have one shape (..., J, 3), got {tuple(predicted.shape)}, {tuple(target.shape)}.")
