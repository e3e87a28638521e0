"""Keypoints of a posed body and their exact derivatives, without touching the mesh.

A keypoint is a fixed blend of vertices, and a vertex a fixed blend of joint transforms, so a keypoint is a sum over
the joints of one attached point each: ``p_k = sum_j G_j a_kj + w_kj t_j`` with world rotation ``G_j`` and position
``t_j`` of joint j. That makes 33 keypoints as cheap as 33 vertices and gives closed-form Jacobians for second-order
fitting. Pose-dependent blend shapes (licensed SMPL only) move these points by a few millimetres at most and are left
out here; the final mesh has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.linalg import block_diag
from torch import Tensor

from dsr.body.asset import BodyAsset, tree_levels
from dsr.body.joints import joint_names
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.camera.directions import cross_matrix
from dsr.fitting.balance import anchor_blends

POSED_JOINTS = 21
"""Joints 1..21 are fitted; the two hand joints stay at rest (no keypoint sees them)."""
MOST_BETAS = 11
"""Keypoints say nothing about finer shape than this; facial expressions are never fitted."""


@dataclass(frozen=True)
class PosedKeypoints:
    """Keypoints and their Jacobian.

    Attributes:
        points: (B, K, 3) metres.
        jacobian: (B, K, 3, P), columns: world rotation of the root (3), axis-angle of joints 1..21 (63), betas (n),
            transl (3).
        anchors: (B, 7, 3) metres, the points that balance is told by (:data:`dsr.fitting.balance.ANCHORS`).
        anchor_jacobian: (B, 7, 3, P).
        root_m: (B, 3) position of the root joint.
        rotations: (B, J, 3, 3) world rotations of the joints.
        joints: (B, J, 3) metres.
    """

    points: Tensor
    jacobian: Tensor
    anchors: Tensor
    anchor_jacobian: Tensor
    root_m: Tensor
    rotations: Tensor
    joints: Tensor


class KeypointModel:
    """Differentiable keypoints of one body asset.

    Args:
        asset: body with 24 or more joints whose first 22 are SMPL's.
        keypoint_set: ``blazepose33``, ``coco17``, ``openpose25`` or ``h36m17``; or several, one after the other.
        dtype: float64 by default: the matrices are tiny and normal equations like it.
        device: where to compute.

    Attributes:
        num_betas: shape coefficients that are fitted, the asset's first ones.
        hanging: (K, K) the row of a point on a hand, a foot or the head holds what it hangs on (the wrist, the ankle,
            the middle of the shoulders), 1 in all; rows of trunk and limbs are 0.
        child_axis: which of them leads to a child, or None.
        rest: (K, 3) the keypoints of the average body at rest, metres.

    Raises:
        BodyError: if the asset has no such regressor.
    """

    def __init__(
        self,
        asset: BodyAsset,
        keypoint_set: str | tuple[str, ...],
        dtype: torch.dtype = torch.float64,
        device: str | torch.device = "cpu",
    ) -> None:
        sets = (keypoint_set,) if isinstance(keypoint_set, str) else keypoint_set
        regressor = sparse.vstack([asset.keypoint_regressor(name).astype(np.float64) for name in sets]).tocsr()
        count = regressor.shape[0]
        inner, skin = anchor_blends(asset)
        regressor = sparse.vstack([regressor, skin]).tocsr()
        v, j = asset.num_vertices, asset.num_joints
        n = min(asset.num_betas - asset.num_expressions, MOST_BETAS)
        self.child_axis = asset.child_beta
        shapes = np.concatenate([asset.v_template[..., None], asset.shapedirs[..., :n]], -1).astype(np.float64)
        rest = (asset.J_regressor.astype(np.float64) @ shapes.reshape(v, -1)).reshape(j, 3, 1 + n)
        weights = asset.weights.astype(np.float64)
        attached = np.stack([(regressor @ (weights[:, i, None] * shapes.reshape(v, -1))) for i in range(j)], 1)
        blend = regressor @ weights  # (K, J)
        attached = attached.reshape(-1, j, 3, 1 + n) - blend[..., None, None] * rest
        blend[count:] += inner  # a joint is a point that nothing is attached to

        def tensor(array: np.ndarray) -> Tensor:
            return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype, device=device)

        self.dtype, self.device = dtype, torch.device(device)
        self.num_betas, self.num_joints, self.num_keypoints = n, j, count
        self.hanging = tensor(block_diag(*(_hanging_points(joint_names(name)) for name in sets)))
        self.num_parameters = 3 + 3 * POSED_JOINTS + n + 3
        self._attached, self._attached_dirs = tensor(attached[..., 0]), tensor(attached[..., 1:])
        self._shape_dirs = self._attached_dirs.permute(1, 2, 0, 3).reshape(3 * j, -1)  # (3 J, K n)
        self._blend, self._rest, self._rest_dirs = tensor(blend), tensor(rest[..., 0]), tensor(rest[..., 1:])
        parents = asset.parents
        self._levels = [(level.tolist(), parents[level].tolist()) for level in tree_levels(parents, asset.name)[1:]]
        below = np.eye(j)
        for child in range(j - 1, 0, -1):  # parents come before children in every SMPL-family tree
            below[parents[child]] += below[child]
        self._below = tensor(below)
        self._above = tensor(below.T[:, 1:])  # (J, J-1): the joints on the way from the root
        self._parents = torch.as_tensor(parents[1:].copy())
        self._bones = torch.cat([self._rest[..., None], self._rest_dirs], -1)
        self._bones = self._bones[1:] - self._bones[self._parents]  # (J-1, 3, 1+n) from the parents
        self._blend_below = self._blend @ self._below.T  # (K, J): how much of a keypoint hangs below a joint
        self.rest = self._attached[:count].sum(1) + self._blend[:count] @ self._rest
        self._eye = torch.eye(3, dtype=dtype, device=device)
        self._turned = -cross_matrix(self._eye)  # (3, 3, 3): -[v] of v along each axis
        height = asset.v_template[:, 1]
        ends = shapes[[int(height.argmax()), int(height.argmin())], 1]
        self._height = tensor(ends[0] - ends[1])  # (1+n): standing height is linear in betas, all but exactly

    def beta_sigma(self, beta: float, child: float) -> Tensor:
        """(n,) standard deviations of the shape coefficients: all alike, but for the one that leads to a child."""
        sigma = torch.full((self.num_betas,), beta, dtype=self.dtype, device=self.device)
        if self.child_axis is not None:
            sigma[self.child_axis] = child
        return sigma

    def height(self, betas: Tensor) -> tuple[Tensor, Tensor]:
        """Standing height (B,) in metres and its gradient (n,)."""
        return self._height[0] + betas @ self._height[1:], self._height[1:]

    def pose(self, root: Tensor, theta: Tensor, betas: Tensor, transl: Tensor) -> PosedKeypoints:
        """Pose the keypoints.

        Args:
            root: (B, 3, 3) world rotation of the root.
            theta: (B, 63) axis-angle of joints 1..21, radians.
            betas: (B, n).
            transl: (B, 3) metres.
        """
        batch, joints, n = len(root), self.num_joints, self.num_betas
        local = axis_angle_to_rotmat(theta.reshape(batch, POSED_JOINTS, 3))
        world, above, position, slope = self._transforms(root, local, betas, transl)
        attached = self._attached + (self._attached_dirs @ betas.T).movedim(-1, 0)  # (B, K, J, 3)
        part = attached.transpose(1, 2) @ world.mT + self._blend.T[..., None] * position[:, :, None]  # (B, J, K, 3)
        points = part.sum(1)

        # lever arm of everything a joint carries of a keypoint, about that joint
        lever = (self._below @ part.flatten(2)).view(part.shape) - self._blend_below.T[..., None] * position[:, :, None]
        count = len(self._blend)
        jacobian = torch.zeros(batch, count, 3, self.num_parameters, dtype=self.dtype, device=self.device)
        jacobian[..., 0:3] = -cross_matrix(lever[:, 0])
        axes = above[:, :POSED_JOINTS] @ left_jacobian(theta.reshape(batch, POSED_JOINTS, 3))  # (B, 21, 3, 3)
        turned = (self._turned @ axes[:, :, None]).flatten(3)  # (B, 21, 3, 9): -[v] axes is linear in v
        turn = (lever[:, 1 : 1 + POSED_JOINTS] @ turned).unflatten(-1, (3, 3))  # (B, 21, K, 3, 3)
        stop = 3 + 3 * POSED_JOINTS
        jacobian[..., 3:stop] = turn.permute(0, 2, 3, 1, 4).flatten(3)
        by_shape = world.transpose(1, 2).flatten(2) @ self._shape_dirs  # (B, 3, K n)
        jacobian[..., stop : stop + n] = by_shape.view(batch, 3, count, n).transpose(1, 2) + (
            self._blend @ slope.view(batch, joints, 3 * n)
        ).view(batch, count, 3, n)
        jacobian[..., -3:] = self._eye
        k = self.num_keypoints
        return PosedKeypoints(
            points[:, :k], jacobian[:, :k], points[:, k:], jacobian[:, k:], position[:, 0], world, position
        )

    def carried(self, root: Tensor, theta: Tensor, betas: Tensor, transl: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints (B, K, 3) alone, and their lever arms about the root (B, K, 3); arguments as of :meth:`pose`."""
        local = axis_angle_to_rotmat(theta.reshape(len(root), POSED_JOINTS, 3))
        world, _, position, _ = self._transforms(root, local, betas, transl)
        k = self.num_keypoints
        attached = self._attached[:k] + (self._attached_dirs[:k] @ betas.T).movedim(-1, 0)
        points = torch.einsum("bjxy,bkjy->bkx", world, attached) + self._blend[:k] @ position
        return points, points - self._blend_below[:k, :1] * position[:, :1]

    def _transforms(
        self, root: Tensor, local: Tensor, betas: Tensor, transl: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """World rotations (B, J, 3, 3), the parents' (B, J-1, 3, 3), positions (B, J, 3) and their slopes by betas."""
        batch, joints = len(root), self.num_joints
        turns = [root, *local.unbind(1), *[self._eye.expand(batch, 3, 3)] * (joints - 1 - POSED_JOINTS)]
        for level, parents in self._levels:
            if len(level) == 1:
                turns[level[0]] = turns[parents[0]] @ turns[level[0]]
                continue
            now = torch.stack([turns[p] for p in parents]) @ torch.stack([turns[i] for i in level])
            for joint, turn in zip(level, now.unbind(0), strict=True):
                turns[joint] = turn
        world = torch.stack(turns, 1)
        above = world[:, self._parents]
        bones = (self._bones[..., 1:] @ betas.T).movedim(-1, 0) + self._bones[..., 0]  # (B, J-1, 3)
        bones = torch.cat([bones[..., None], self._bones[..., 1:].expand(batch, -1, -1, -1)], -1)
        placed = (self._above @ (above @ bones).flatten(2)).view(batch, joints, 3, -1)
        first = self._rest[0] + betas @ self._rest_dirs[0].T + transl
        return world, above, placed[..., 0] + first[:, None], placed[..., 1:] + self._rest_dirs[0]


def left_jacobian(axis_angle: Tensor) -> Tensor:
    """Left Jacobian J of SO(3), (..., 3) to (..., 3, 3): ``exp(theta + d) = exp(J d) exp(theta)`` at first order."""
    angle2 = (axis_angle**2).sum(-1)[..., None, None]
    small = angle2 < 1e-8
    safe = torch.where(small, torch.ones_like(angle2), angle2)
    angle = safe.sqrt()
    a = torch.where(small, 0.5 - angle2 / 24, (1 - angle.cos()) / safe)
    b = torch.where(small, 1 / 6 - angle2 / 120, (angle - angle.sin()) / (safe * angle))
    k = cross_matrix(axis_angle)
    return torch.eye(3, dtype=k.dtype, device=k.device) + a * k + b * (k @ k)


def _hanging_points(names: Sequence[str]) -> np.ndarray:
    """(K, K) as :attr:`KeypointModel.hanging`, of K named keypoints."""
    parts = {"wrist": ("pinky", "index", "thumb"), "ankle": ("heel", "toe", "foot_index")}
    hanging = np.zeros((len(names), len(names)))
    for row, name in enumerate(names):
        side = name.split("_")[0]
        anchors = [f"{side}_{joint}" for joint, ends in parts.items() if name.endswith(ends)][-1:]
        if name != "neck_nose" and any(part in name for part in ("nose", "eye", "ear", "mouth", "head")):
            anchors = ["left_shoulder", "right_shoulder"]
        if anchors and all(anchor in names for anchor in anchors):
            hanging[row, [names.index(anchor) for anchor in anchors]] = 1 / len(anchors)
    return hanging
