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


def pose_from_landmarks(landmarks: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    """Root rotation and joint angles that point the limbs along BlazePose landmarks.

    Args:
        landmarks: (B, 33, 3) BlazePose landmarks in camera axes (x right, y down, z forward), any scale.
        rest: (33, 3) the same keypoints on the rest body (y up, facing +z), metres.

    Returns:
        Root rotation (B, 3, 3), body to camera, and axis-angle (B, 63) of joints 1..21, radians.
    """
    batch = len(landmarks)
    mid = {name: landmarks[:, pair].mean(1) for name, pair in (("hip", HIPS), ("shoulder", SHOULDERS), ("ear", EARS))}
    up = mid["shoulder"] - mid["hip"]

    def side_axis(pair: tuple[int, int]) -> Tensor:
        return landmarks[:, pair[0]] - landmarks[:, pair[1]]

    world = torch.eye(3).to(landmarks).expand(batch, 22, 3, 3).clone()
    pelvis, chest = _upright(up, side_axis(HIPS)), _upright(up, side_axis(SHOULDERS))
    twist = rotmat_to_axis_angle(pelvis.transpose(1, 2) @ chest)
    twist = twist * (1.2 / twist.norm(dim=-1, keepdim=True).clamp(min=1.2))  # a spine turns no further
    third = axis_angle_to_rotmat(twist / 3)
    world[:, 0] = pelvis
    for joint, parent in ((3, 0), (6, 3), (9, 6)):
        world[:, joint] = world[:, parent] @ third
    rest_head = _upright(rest[NOSE] - rest[list(EARS)].mean(0), rest[EARS[0]] - rest[EARS[1]])
    head = _upright(landmarks[:, NOSE] - mid["ear"], side_axis(EARS)) @ rest_head.T
    turn = rotmat_to_axis_angle(world[:, 9].transpose(1, 2) @ head)
    turn = turn * (1.0 / turn.norm(dim=-1, keepdim=True).clamp(min=1.0))
    half = axis_angle_to_rotmat(turn / 2)
    world[:, 12] = world[:, 9] @ half
    world[:, 15] = world[:, 12] @ half
    world[:, 13] = world[:, 14] = world[:, 9]

    forward = landmarks.new_tensor([0.0, 0.0, 1.0])
    for side, sign in enumerate((1.0, -1.0)):
        out = landmarks.new_tensor([sign, 0.0, 0.0])
        hinge = torch.linalg.cross(out, forward)
        shoulder, elbow, wrist = (landmarks[:, j[side]] for j in (SHOULDERS, ELBOWS, WRISTS))
        world[:, 16 + side], world[:, 18 + side] = _limb(elbow - shoulder, wrist - elbow, out, hinge, world[:, 9], 0.2)
        world[:, 20 + side] = world[:, 18 + side]
        hip, knee, ankle = (landmarks[:, j[side]] for j in (HIPS, KNEES, ANKLES))
        down, axis = landmarks.new_tensor([0.0, -1.0, 0.0]), landmarks.new_tensor([1.0, 0.0, 0.0])
        world[:, 1 + side], world[:, 4 + side] = _limb(knee - hip, ankle - knee, down, axis, world[:, 0], 0.4)
        foot = world[:, 4 + side] @ (rest[TOES[side]] - rest[HEELS[side]])
        world[:, 7 + side] = (
            _limited_swing(foot, landmarks[:, TOES[side]] - landmarks[:, HEELS[side]], 0.6) @ world[:, 4 + side]
        )
        world[:, 10 + side] = world[:, 7 + side]

    parents = torch.tensor([0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19])
    local = world[:, parents].transpose(-1, -2) @ world[:, 1:]
    return world[:, 0], rotmat_to_axis_angle(local).reshape(batch, 63)


def _limb(
    upper: Tensor, lower: Tensor, rest: Tensor, hinge: Tensor, parent: Tensor, straight: float
) -> tuple[Tensor, Tensor]:
    """World rotations of a two-bone limb; ``straight`` is how far the resting hinge wins where the limb is straight."""
    upper, lower = unit(upper), unit(lower)
    axis = torch.linalg.cross(upper, lower) + straight * (parent @ hinge)
    origin = _frame(rest[None], hinge[None]).transpose(-1, -2)
    return _frame(upper, axis) @ origin, _frame(lower, axis) @ origin


def _frame(x: Tensor, z: Tensor) -> Tensor:
    """Rotation with its first column along x and its third towards z."""
    x = unit(x)
    z = unit_across(z, x)
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
    return axis_angle_to_rotmat(axis * angle_between(a, b).clamp(max=limit)[:, None])
