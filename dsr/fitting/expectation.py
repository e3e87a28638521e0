"""What gravity lets expect of the people of a picture, as terms of their fit; and their landmarks, turned to agree.

The detector's 3D landmarks err together: a whole body is seen leaning towards the camera. Their error is one turn about
the horizontal axis across the line of sight; how far it goes is weighed against how far people lean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from dsr.body.joints import joint_names
from dsr.camera.tilt import Gravity
from dsr.fitting.balance import MASS_M, Upright
from dsr.fitting.problem import FitProblem
from dsr.fitting.stance import Stance
from dsr.fitting.unseen import keypoint_shares, relaxed_limbs

OVER_FEET_M = 0.05
"""How far the mass of somebody who stands is from over the feet, metres."""
STANDING_DEG, SITTING_DEG, CUT_DEG, ACTING_DEG = 6.0, 12.0, 7.0, 25.0
"""How far a trunk leans: of people who stand, who sit, whose legs are not seen, and who do something else."""
LANDMARKS_DEG = 11.0
"""By how much the landmarks of a whole body lean wrongly."""
SOLE_M, LEVEL_M = 0.025, 0.05
"""By how much heel and ball, and the feet of somebody who stands on both, differ in height."""
CALM_KNEE_RAD, ACTING_KNEE_RAD = (0.04, 0.08), (0.25, 0.3)
"""How far the knee of a leg that looks straight is bent, and its spread: of who stands calmly, of others who stand."""
_KNEES = [9, 12]  # places of the knees' hinge angles among the pose's 63
_LEFT, _RIGHT = "left_", "right_"


def expect_upright(problem: FitProblem, gravity: Gravity, stances: Sequence[Stance]) -> FitProblem:
    """The problem with what gravity lets expect, and with its landmarks turned.

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
    tilt = np.radians(gravity.pitch_sigma_deg)
    standing = np.array([s.standing for s in stances])
    sitting = np.array([s.sitting for s in stances])
    legs = np.array([s.legs for s in stances])
    unseen = 1 - np.array([s.feet.max() for s in stances])
    # the lean of the mass and of the trunk share the error of gravity: the trunk's is taken given the mass's
    alone = (OVER_FEET_M / MASS_M) ** 2
    both = tilt**2 / (alone + tilt**2)
    trunk = standing / np.sqrt(np.radians(STANDING_DEG) ** 2 + tilt**2 * (1 - both))
    rest = 1 - standing
    for share, degrees in (
        (rest * sitting, SITTING_DEG),
        (rest * (1 - sitting) * unseen, CUT_DEG),
        (rest * (1 - sitting) * (1 - unseen), ACTING_DEG),
    ):
        trunk = trunk + share / np.hypot(np.radians(degrees), tilt)
    carries = np.array([s.carries for s in stances])
    carry = np.clip((carries / np.maximum(carries.max(1, keepdims=True), 1e-6) - 0.2) / 0.3, 0, 1)
    relaxed = [relaxed_limbs(d, problem.camera.size, s) for d, s in zip(problem.detections, stances, strict=True)]
    pose, pose_factor = np.stack([r.pose for r in relaxed]), np.stack([r.factor for r in relaxed])
    calm = np.array([s.calm for s in stances])[:, None]
    bend, spread = (calm * a + (1 - calm) * b for a, b in zip(CALM_KNEE_RAD, ACTING_KNEE_RAD, strict=True))
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
        soles=tensor(legs * standing[:, None] / SOLE_M),
        level=tensor(legs.min(1) * standing / LEVEL_M),
        pose=tensor(pose),
        pose_factor=tensor(pose_factor),
        floor=tensor(np.zeros(count)),
        contact=tensor(np.zeros((count, 2))),
    )
    landmarks = targets.landmarks
    if landmarks is not None:
        names = joint_names(problem.detections[0].keypoint_set)
        turned = []
        for i, points in enumerate(landmarks.cpu().numpy()):
            error = _lean_error(
                points, names, up[i], away[i], stances[i], float(trunk[i]), tilt, float(problem.factor[i])
            )
            turned.append(_turned(points, up[i], away[i], error))
        landmarks = tensor(np.stack(turned))
    shares = tensor(np.stack([keypoint_shares(d, problem.camera.size) for d in problem.detections]))
    weight = targets.weight * shares
    return replace(problem, targets=replace(targets, weight=weight, upright=upright, landmarks=landmarks))


def _lean_error(
    points: np.ndarray,
    names: tuple[str, ...],
    up: np.ndarray,
    away: np.ndarray,
    stance: Stance,
    trunk: float,
    tilt: float,
    factor: float,
) -> float:
    """By how much somebody's landmarks (K, 3) likely lean away from the camera in error, radians."""

    def middle(part: str) -> np.ndarray:
        return (points[names.index(_LEFT + part)] + points[names.index(_RIGHT + part)]) / 2

    def lean(direction: np.ndarray) -> float:
        return float(np.arctan2(direction @ away, direction @ up))

    error2 = (factor * np.radians(LANDMARKS_DEG)) ** 2
    shoulders, hips = middle("shoulder"), middle("hip")
    angle = lean(shoulders - hips) * error2 / (error2 + 1 / max(trunk, 1e-6) ** 2)
    if stance.standing > 0:
        mass = hips + 0.25 * (shoulders - hips)
        feet = [_foot(points, names, side) for side in (_LEFT, _RIGHT)]
        over = [
            lean(mass - foot)
            for foot, down in zip(feet, stance.carries, strict=True)
            if down > 0.3 * stance.carries.max()
        ]
        off = min(over, key=abs) if min(over) * max(over) > 0 else 0.0
        sigma2 = (OVER_FEET_M / MASS_M) ** 2 + tilt**2
        angle += stance.standing * (off * error2 / (error2 + sigma2) - angle)
    return float(angle)


def _turned(points: np.ndarray, up: np.ndarray, away: np.ndarray, angle: float) -> np.ndarray:
    """Points (K, 3) turned towards the camera by an angle, about the axis across the line of sight."""
    axis, along, above = np.cross(up, away), points @ away, points @ up
    cos, sin = np.cos(angle), np.sin(angle)
    turned = np.outer(points @ axis, axis)
    return turned + np.outer(cos * along - sin * above, away) + np.outer(sin * along + cos * above, up)


def _foot(points: np.ndarray, names: tuple[str, ...], side: str) -> np.ndarray:
    """Where somebody stands, between heel and toes; below the ankle where a set has neither."""
    for heel, toes in (("heel", "foot_index"), ("heel", "big_toe")):
        if side + heel in names and side + toes in names:
            return 0.6 * points[names.index(side + heel)] + 0.4 * points[names.index(side + toes)]
    return points[names.index(side + "ankle")]
