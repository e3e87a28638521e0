"""Closed-form inverse kinematics: the pose whose limbs point along BlazePose landmarks.

Rest directions are the T-pose's: arms along +-x with a vertical elbow hinge, legs along -y with the knee hinge along
+x.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsr.body.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle
from dsr.camera.directions import angle_between, unit, unit_across

NOSE, EARS, SHOULDERS, ELBOWS, WRISTS = 0, (7, 8), (11, 12), (13, 14), (15, 16)
HIPS, KNEES, ANKLES, HEELS, TOES = (23, 24), (25, 26), (27, 28), (29, 30), (31, 32)
# left and right arm, left and right leg: where the limb lies at rest, its hinge there, and how far the hinge wins where
# the limb is straight
_REST = ((1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, -1.0, 0.0))
_HINGE = ((0.0, -1.0, 0.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, 0.0))
_STRAIGHT = (0.2, 0.2, 0.4, 0.4)
_PARENTS = [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]


def pose_from_landmarks(landmarks: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    """Root rotation and joint angles that point the limbs along BlazePose landmarks.

    Args:
        landmarks: (B, 33, 3) BlazePose landmarks in camera axes (x right, y down, z forward), any scale.
        rest: (33, 3) the same keypoints on the rest body (y up, facing +z), metres.

    Returns:
        Root rotation (B, 3, 3), body to camera, and axis-angle (B, 63) of joints 1..21, radians.
    """
    batch = len(landmarks)
    every = torch.cat([landmarks, rest[None]])
    ears, shoulders, hips = (every[:, pair] for pair in (EARS, SHOULDERS, HIPS))
    up = shoulders.mean(1) - hips.mean(1)
    ups = torch.stack([up, up, every[:, NOSE] - ears.mean(1)], 1)
    sides = torch.stack([hips, shoulders, ears], 1)
    pelvis, chest, head = _upright(ups, sides[:, :, 0] - sides[:, :, 1]).unbind(1)
    head = head[:-1] @ head[-1].T
    pelvis, chest = pelvis[:-1], chest[:-1]
    twist = rotmat_to_axis_angle(pelvis.transpose(1, 2) @ chest)
    twist = twist * (1.2 / twist.norm(dim=-1, keepdim=True).clamp(min=1.2))  # a spine turns no further
    third = axis_angle_to_rotmat(twist / 3)
    spine = [pelvis]
    for _ in range(3):
        spine.append(spine[-1] @ third)
    turn = rotmat_to_axis_angle(spine[3].transpose(1, 2) @ head)
    turn = turn * (1.0 / turn.norm(dim=-1, keepdim=True).clamp(min=1.0))
    half = axis_angle_to_rotmat(turn / 2)
    neck = spine[3] @ half

    first, middle, last = (landmarks[:, [*a, *b]] for a, b in ((SHOULDERS, HIPS), (ELBOWS, KNEES), (WRISTS, ANKLES)))
    trunk = torch.stack([spine[3], spine[3], pelvis, pelvis], 1)
    upper, lower = (part.unbind(1) for part in _limbs(middle - first, last - middle, trunk))
    shins = torch.stack(lower[2:], 1)
    soles = (shins @ (rest[list(TOES)] - rest[list(HEELS)])[..., None])[..., 0]
    feet = (_limited_swing(soles, landmarks[:, TOES] - landmarks[:, HEELS], 0.6) @ shins).unbind(1)
    world = torch.stack(
        [
            *(pelvis, *upper[2:], spine[1], *lower[2:], spine[2], *feet, spine[3], *feet),
            *(neck, spine[3], spine[3], neck @ half, *upper[:2], *lower[:2], *lower[:2]),
        ],
        1,
    )
    local = world[:, _PARENTS].transpose(-1, -2) @ world[:, 1:]
    return pelvis, rotmat_to_axis_angle(local).reshape(batch, 63)


def _limbs(upper: Tensor, lower: Tensor, trunk: Tensor) -> tuple[Tensor, Tensor]:
    """World rotations (B, 4, 3, 3) of both bones of arms and legs, from their directions and the trunk's rotation."""
    rest, hinge, straight = (upper.new_tensor(constant) for constant in (_REST, _HINGE, _STRAIGHT))
    upper, lower = unit(upper), unit(lower)
    axis = torch.linalg.cross(upper, lower) + straight[:, None] * (trunk @ hinge[..., None])[..., 0]
    origin = torch.stack([rest, torch.linalg.cross(hinge, rest), hinge], -2)  # transposed
    both = _frame(torch.stack([upper, lower], 1), axis[:, None]) @ origin
    return both[:, 0], both[:, 1]


def _frame(x: Tensor, z: Tensor) -> Tensor:
    """Rotation with its first column along x and its third towards z."""
    x = unit(x)
    z = unit_across(z.expand_as(x), x)
    return torch.stack([x, torch.linalg.cross(z, x), z], -1)


def _upright(up: Tensor, left: Tensor) -> Tensor:
    """Rotation with its second column along ``up`` and its first towards the person's left."""
    y = unit(up)
    x = unit_across(left, y)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


def _limited_swing(start: Tensor, target: Tensor, limit: float) -> Tensor:
    """Smallest rotation from one direction towards another, at most ``limit`` radians; a zero target turns nothing."""
    a = unit(start)
    b = unit(target, a)
    axis = unit(torch.linalg.cross(a, b), unit_across(b, a))
    return axis_angle_to_rotmat(axis * angle_between(a, b).clamp(max=limit)[..., None])
