"""The terms of the default network's training: points, rotations, shape, the picture, and how unsure it says it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dsr.body.rotations import rotmat_to_axis_angle
from dsr.regressors.default.network import KEYPOINTS, LIMBS, TURNED, PredictedBodies

_SOFT_M = 0.01
"""Errors below this are squared."""
_LIMB_WEIGHT = 2.0
_CHILD_WEIGHT = 6.0  # of the coefficient that leads to a child, which decides about the size


@dataclass(frozen=True)
class TrueBodies:
    """What is known of B made-up people, in their turned cameras.

    Attributes:
        turns: (B, 22, 3, 3).
        betas: (B, 11).
        points: (B, 33, 3) BlazePose's keypoints, metres.
        joints: (B, 24, 3).
        vertices: (B, M, 3) of the bare body, placed.
        seen: (B, 33) False for keypoints outside of the picture.
        weight: (B,) how much everybody counts in all terms but the spread.
    """

    turns: Tensor
    betas: Tensor
    points: Tensor
    joints: Tensor
    vertices: Tensor
    seen: Tensor
    weight: Tensor


def pose_terms(bodies: PredictedBodies, true: TrueBodies, scale: Tensor) -> dict[str, Tensor]:
    """Every term by name, unweighted.

    Args:
        bodies: predicted, with the points of the training's vertices behind the keypoints.
        true: the truth.
        scale: (B,) side of the people's boxes in units of rays.
    """
    points, vertices = bodies.points[:, :KEYPOINTS], bodies.points[:, KEYPOINTS:]
    middle, true_middle = _middle(points), _middle(true.points)
    apart = (points - middle) - (true.points - true_middle)
    apart_joints = (bodies.joints - middle) - (true.joints - true_middle)
    limbs = torch.ones(KEYPOINTS).to(points)
    limbs[LIMBS] = _LIMB_WEIGHT
    total = true.weight.sum().clamp(min=1e-6)

    def mean(costs: Tensor) -> Tensor:
        """Over everything of a person, and over the people by how much they count."""
        return (true.weight * costs.flatten(1).mean(1)).sum() / total

    # the same in the body's own frame: how limbs stand to each other, whatever the whole is turned like
    inside = (points - middle) @ bodies.turns[:, 0] - (true.points - true_middle) @ true.turns[:, 0]
    rays, true_rays = (p[..., :2] / p[..., 2:].clamp(min=0.1) for p in (points, true.points))
    off = (rays - true_rays) / scale[:, None, None].clamp(min=1e-3)
    shown = true.seen.to(off)[..., None]
    return {
        "points": mean(limbs * (_length(apart) + 0.5 * _length(inside))) + 0.5 * mean(_length(apart_joints)),
        "pose": mean((bodies.turns[:, :TURNED] - true.turns).square().sum((-1, -2))),
        "shape": mean(_shape(bodies.betas - true.betas)),
        "vertices": mean(_length((vertices - middle) - (true.vertices - true_middle))),
        "picture": mean((shown * (off.square() + 1e-6).sqrt()).clamp(max=1.0)),
        "spread": _spread(bodies, true, apart, apart_joints),
    }


def _middle(points: Tensor) -> Tensor:
    return points[:, LIMBS].mean(1, keepdim=True)


def _length(errors: Tensor) -> Tensor:
    return (errors.square().sum(-1) + _SOFT_M**2).sqrt() - _SOFT_M


def _shape(errors: Tensor) -> Tensor:
    """Errors of betas as lengths, so that a picture that could be of a child or an adult says one, not the mean."""
    costs: Tensor = (errors.square() + 0.01).sqrt() - 0.1
    return costs * torch.tensor([1.0] * (errors.shape[1] - 1) + [_CHILD_WEIGHT]).to(errors)


def _spread(bodies: PredictedBodies, true: TrueBodies, apart: Tensor, apart_joints: Tensor) -> Tensor:
    """Negative log-likelihood of errors under Laplace distributions of the said spreads; errors have no gradient."""
    off = nearest_axis_angle(bodies.turns[:, 1:TURNED].detach(), true.turns[:, 1:])
    total = apart.new_zeros(())
    for error, sigma in (
        (apart, bodies.point_sigma[..., [0, 0, 1]]),
        (apart_joints, bodies.joint_sigma[..., [0, 0, 1]]),
        (off, bodies.pose_sigma),
        (bodies.betas - true.betas, bodies.beta_sigma),
    ):
        total = total + (2**0.5 * error.detach().abs() / sigma + sigma.log()).mean()
    return total


def nearest_axis_angle(turns: Tensor, true: Tensor) -> Tensor:
    """Differences (..., 3) of the axis-angles of rotations (..., 3, 3); the true one is taken in the nearer turn."""
    pose, truth = rotmat_to_axis_angle(turns), rotmat_to_axis_angle(true)
    angle = truth.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    near, far = pose - truth, pose - truth * (1 - 2 * torch.pi / angle)
    return torch.where(near.square().sum(-1, keepdim=True) <= far.square().sum(-1, keepdim=True), near, far)
