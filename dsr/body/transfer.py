"""One body's pose, shape and place on another body: licensed SMPL to the open body, and back.

Both kinds of body rest in the T-pose with joint axes parallel to the body frame, so rotations carry over as they are.
What differs are the rest skeletons: a limb that rests in a slightly other direction gets the turn between the two, so
that upper and lower arms and legs point the same way in the camera. Shape is solved for: limb lengths, height, girths
and volume of the other body. Everything is closed-form or Gauss-Newton, hence deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dsr.body import Body, BodyAsset, measure_body, standing_height_m
from dsr.body.joints import SMPL24_PARENTS
from dsr.camera.directions import swing
from dsr.errors import BodyError

NUM_JOINTS = 24
LIMBS = {1: 4, 2: 5, 4: 7, 5: 8, 16: 18, 17: 19, 18: 20, 19: 21}
"""Joints whose bone means the same on every body, and where it ends: upper and lower legs and arms."""
PLACED = (1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21)
"""Joints that mean the same on every body; the translation brings them together in the camera."""

_SHARED_JOINTS = 22  # SMPL-H and SMPL-X have fingers, SMPL-X a jaw, where SMPL has hands
_WIDTHS = ((1, 2), (16, 17), (0, 12))
_SIGMA_LIMB, _SIGMA_BONE, _SIGMA_WIDTH = 0.003, 0.03, 0.01
_SIGMA_HEIGHT, _SIGMA_GIRTH, _SIGMA_SIZE = 0.003, 0.015, 0.004
_SIGMA_BETA = 3.0
_STEPS = 8


@dataclass(frozen=True)
class PosedBody:
    """Parameters of a batch of bodies.

    Attributes:
        pose_rotmat: (B, J, 3, 3) rotations of the joints, 0 is the global orientation.
        betas: (B, n) shape coefficients.
        transl: (B, 3) metres, SMPL's translation.
    """

    pose_rotmat: Tensor
    betas: Tensor
    transl: Tensor

    def select(self, rows: slice | list[int]) -> PosedBody:
        """Some of the bodies."""
        return PosedBody(self.pose_rotmat[rows], self.betas[rows], self.transl[rows])


class BodyTransfer:
    """From one body to another, in either direction.

    Args:
        source: body the parameters belong to, 24 joints or more with SMPL's first.
        target: body that parameters are wanted for, likewise.

    Raises:
        BodyError: if a body has not SMPL's 22 first joints.

    Example:
        >>> from dsr.body import load_body
        >>> to_open = BodyTransfer(load_body("open-light"), load_body("open"))
        >>> to_open(torch.eye(3).expand(1, 24, 3, 3), torch.zeros(1, 41), torch.zeros(1, 3)).betas.shape
        torch.Size([1, 41])
    """

    def __init__(self, source: Body, target: Body) -> None:
        for body in (source, target):
            parents = tuple(int(p) for p in body.asset.parents[:_SHARED_JOINTS])
            if parents != tuple(SMPL24_PARENTS[:_SHARED_JOINTS]):
                raise BodyError(f"The body {body.asset.name} has not SMPL's joints; poses cannot be carried over.")
        self.source, self.target = source, target

    def __call__(self, pose_rotmat: Tensor, betas: Tensor, transl: Tensor) -> PosedBody:
        """The target body in the source body's pose, shape and place.

        Args:
            pose_rotmat: (B, J, 3, 3) of the source body.
            betas: (B, n) of the source body.
            transl: (B, 3) metres of the source body.
        """
        return self.with_betas(pose_rotmat, betas, transl, self.shape(betas))

    def with_betas(self, pose_rotmat: Tensor, betas: Tensor, transl: Tensor, target_betas: Tensor) -> PosedBody:
        """As calling the object, where the target's shape (B, m) is known."""
        like = self.target.rest_joints()
        pose_rotmat, transl = pose_rotmat.to(like), transl.to(like)
        betas, target_betas = betas.to(like), target_betas.to(like)
        source_rest, target_rest = self.source.rest_joints(betas), self.target.rest_joints(target_betas)
        pose = carry_pose(pose_rotmat, source_rest, target_rest, self.target.num_joints)
        before = self.source.pose_joints(betas, pose_rotmat[:, 1:], pose_rotmat[:, 0], transl)
        after = self.target.pose_joints(target_betas, pose[:, 1:], pose[:, 0])
        placed = (before[:, PLACED] - after[:, PLACED]).mean(1)
        return PosedBody(pose, target_betas, placed)

    def shape(self, betas: Tensor) -> Tensor:
        """Betas (B, m) of the target body with the measures of the source body of betas (B, n)."""
        source, target = self.source.asset, self.target.asset
        if source.sha256 and source.sha256 == target.sha256 and source.num_betas == target.num_betas:
            return betas
        rows = [_solve_shape(source, target, row) for row in betas.detach().cpu().double().numpy()]
        return torch.as_tensor(np.stack(rows), dtype=betas.dtype, device=betas.device)


def carry_pose(pose_rotmat: Tensor, source_rest: Tensor, target_rest: Tensor, num_joints: int = NUM_JOINTS) -> Tensor:
    """Rotations that point the limbs of another rest skeleton the same way.

    In world terms ``G_target = G_source S`` with S the smallest turn from the target's to the source's resting bone for
    :data:`LIMBS`, and no turn for torso, head, hands and feet, whose joints lie elsewhere in other bodies although the
    flesh rests in the same attitude.

    Args:
        pose_rotmat: (B, J, 3, 3) of the source skeleton.
        source_rest: (B, J, 3) its joints at rest, metres.
        target_rest: (B, num_joints, 3) of the target skeleton.
        num_joints: of the target; joints that the source has not (fingers, jaw) stay at rest.

    Returns:
        (B, num_joints, 3, 3).
    """
    batch, shared = len(pose_rotmat), _SHARED_JOINTS
    if pose_rotmat.shape[1] == num_joints == NUM_JOINTS:
        shared = NUM_JOINTS
    elif pose_rotmat.shape[1] < _SHARED_JOINTS:
        raise BodyError(f"A pose of {pose_rotmat.shape[1]} joints cannot be carried over; 24 or more are needed.")
    parents = SMPL24_PARENTS[:shared]
    before: list[Tensor] = []
    after: list[Tensor] = []
    out = torch.eye(3).to(pose_rotmat).expand(batch, num_joints, 3, 3).clone()
    for joint, parent in enumerate(parents):
        world = pose_rotmat[:, joint] if joint == 0 else before[parent] @ pose_rotmat[:, joint]
        before.append(world)
        if joint in LIMBS:
            end = LIMBS[joint]
            bones = (rest[:, end] - rest[:, joint] for rest in (target_rest, source_rest))
            world = world @ swing(*bones)
        after.append(world)
        out[:, joint] = world if joint == 0 else after[parent].transpose(-1, -2) @ world
    return out


@dataclass(frozen=True)
class _Measures:
    """What two bodies of the same person have in common, with how far each may be off."""

    values: np.ndarray
    sigma: np.ndarray


def _measure(asset: BodyAsset, betas: np.ndarray, girths: bool) -> _Measures:
    """Bone lengths, widths, height and, where the body has part names, girths and volume; metres."""
    rest, dirs = _rest_skeleton(asset)
    joints = rest + dirs[..., : len(betas)] @ betas
    children = range(1, _SHARED_JOINTS)
    pairs = [(SMPL24_PARENTS[child], child) for child in children] + list(_WIDTHS)
    values = [float(np.linalg.norm(joints[b] - joints[a])) for a, b in pairs]
    sigma = [_SIGMA_LIMB if LIMBS.get(a) == b else _SIGMA_BONE for a, b in pairs[: len(children)]]
    trunk, usual = (j[[16, 17]].mean(0) - j[[1, 2]].mean(0) for j in (joints, rest))
    values += [float(np.linalg.norm(trunk)), float(trunk[2] - usual[2])]  # how far ahead shoulders are of hips
    sigma += [_SIGMA_WIDTH] * (len(_WIDTHS) + 2) + [_SIGMA_HEIGHT]
    if not girths:
        return _Measures(np.array([*values, float(standing_height_m(asset, betas))]), np.array(sigma))
    body = measure_body(asset, betas)
    values += [body.height_m, body.chest_m, body.waist_m, body.hip_m, float(np.cbrt(body.volume_m3))]
    return _Measures(np.array(values), np.array([*sigma, *[_SIGMA_GIRTH] * 3, _SIGMA_SIZE]))


@lru_cache(maxsize=8)
def _rest_skeleton(asset: BodyAsset) -> tuple[np.ndarray, np.ndarray]:
    """Rest joints (J, 3) and their change per beta (J, 3, n)."""
    regressor = asset.J_regressor.astype(np.float64)
    flat = asset.shapedirs.reshape(asset.num_vertices, -1).astype(np.float64)
    return regressor @ asset.v_template.astype(np.float64), (regressor @ flat).reshape(asset.num_joints, 3, -1)


@lru_cache(maxsize=8)
def _has_girths(asset: BodyAsset) -> bool:
    try:
        sizes = measure_body(asset)
    except BodyError:
        return False
    return min(sizes.chest_m, sizes.waist_m, sizes.hip_m) > 0.1


@lru_cache(maxsize=8)
def _slopes(asset: BodyAsset, girths: bool) -> np.ndarray:
    """(M, n) change of the measures per beta around the average body."""
    columns = []
    for axis in range(asset.num_betas - asset.num_expressions):
        step = np.zeros(axis + 1)
        step[axis] = 1.0
        columns.append((_measure(asset, step, girths).values - _measure(asset, -step, girths).values) / 2)
    return np.stack(columns, 1)


def _solve_shape(source: BodyAsset, target: BodyAsset, betas: np.ndarray) -> np.ndarray:
    """Betas (m,) of the target that give the source's measures.

    The slopes of the average body, corrected by what every step changed (Broyden 1965); of all steps the best.
    """
    girths = _has_girths(source) and _has_girths(target)
    goal = _measure(source, betas, girths)
    slopes = _slopes(target, girths) / goal.sigma[:, None]
    solution = best = np.zeros(slopes.shape[1])
    residual = (goal.values - _measure(target, solution, girths).values) / goal.sigma
    least = float(residual @ residual)
    for _ in range(_STEPS):
        normal = slopes.T @ slopes + np.eye(len(solution)) / _SIGMA_BETA**2
        step = np.linalg.solve(normal, slopes.T @ residual - solution / _SIGMA_BETA**2)
        before, solution = residual, solution + step
        residual = (goal.values - _measure(target, solution, girths).values) / goal.sigma
        cost = float(residual @ residual + solution @ solution / _SIGMA_BETA**2)
        if cost < least:
            best, least = solution, cost
        slopes = slopes + np.outer(before - residual - slopes @ step, step) / max(step @ step, 1e-12)
    return np.pad(best, (0, target.num_betas - len(best)))
