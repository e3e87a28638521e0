"""What gravity lets expect of the people of a picture, as terms of their fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from dsr.camera.tilt import Gravity
from dsr.fitting.balance import MASS_M, Upright
from dsr.fitting.problem import FitProblem
from dsr.fitting.stance import Stance
from dsr.fitting.unseen import keypoint_shares, relaxed_limbs
from dsr.fitting.upright_trunks import OVER_FEET_M, trunk_factors

SOLE_M, LEVEL_M = 0.025, 0.05
"""By how much heel and ball, and the feet of somebody who stands on both, differ in height."""
FOOT_M, STRIDE_M = 0.18, 0.3
"""How far apart these are, by which a wrong tilt lifts one."""
STRETCHED_KNEE_RAD, ACTING_KNEE_RAD = (0.03, 0.05), (0.25, 0.4)
"""How far the knee of a leg that carries somebody is bent, and its spread: of one that looks straight, of others."""
_KNEES = [9, 12]  # places of the knees' hinge angles among the pose's 63


def expect_upright(problem: FitProblem, gravity: Gravity, stances: Sequence[Stance]) -> FitProblem:
    """The problem with what gravity lets expect.

    Args:
        problem: B people.
        gravity: which way is down in the picture.
        stances: of the same people.
    """
    targets = problem.targets
    count, like = len(stances), targets.rays
    R = problem.rotation.cpu().numpy()
    up = R @ gravity.up  # (B, 3)
    away = np.array([0.0, 0.0, 1.0]) - up[:, 2:] * up
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    tilt = float(np.radians(gravity.pitch_sigma_deg))
    standing = np.array([s.standing for s in stances])
    legs = np.array([s.legs for s in stances])
    trunk, both = trunk_factors(stances, tilt)
    carries = np.array([s.carries for s in stances])
    carry = np.clip((carries / np.maximum(carries.max(1, keepdims=True), 1e-6) - 0.2) / 0.3, 0, 1)
    relaxed = [relaxed_limbs(d, problem.camera.size, s) for d, s in zip(problem.detections, stances, strict=True)]
    pose, pose_factor = np.stack([r.pose for r in relaxed]), np.stack([r.factor for r in relaxed])
    stretched = np.array([s.stretched for s in stances])
    bend, spread = (
        stretched * a + (1 - stretched) * b for a, b in zip(STRETCHED_KNEE_RAD, ACTING_KNEE_RAD, strict=True)
    )
    straight = legs * standing[:, None] / spread
    surer = straight > pose_factor[:, _KNEES]
    pose[:, _KNEES] = np.where(surer, bend, pose[:, _KNEES])
    pose_factor[:, _KNEES] = np.where(surer, straight, pose_factor[:, _KNEES])

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(array, dtype=like.dtype, device=like.device)

    upright = Upright(
        up=tensor(up),
        away=tensor(away),
        mass=tensor(standing / np.hypot(OVER_FEET_M, MASS_M * tilt)),
        carry=tensor(np.stack([1 - carry[:, 0], carry[:, 1]], 1)),
        trunk=tensor(trunk),
        along=tensor(standing * both),
        soles=tensor(legs * standing[:, None] / np.hypot(SOLE_M, FOOT_M * tilt)),
        level=tensor(legs.min(1) * standing / np.hypot(LEVEL_M, STRIDE_M * tilt)),
        pose=tensor(pose),
        pose_factor=tensor(pose_factor),
        floor=tensor(np.zeros(count)),
        contact=tensor(np.zeros((count, 2))),
    )
    pose_sigma = targets.pose_sigma
    if pose_sigma is not None:  # a network has seen few people who just stand, and bends their knees
        pose_sigma = pose_sigma.clone()
        pose_sigma[:, _KNEES] /= tensor(1 - 0.95 * stretched)
    shares = tensor(np.stack([keypoint_shares(d, problem.camera.size) for d in problem.detections]))
    believed = None if targets.landmark_weight is None else targets.landmark_weight * shares
    weight = targets.weight * shares
    targets = replace(targets, weight=weight, landmark_weight=believed, upright=upright, pose_sigma=pose_sigma)
    return replace(problem, targets=targets)
