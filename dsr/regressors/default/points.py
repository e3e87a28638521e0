"""Points of a body that are moved by its joints alone: keypoints and vertices, cheap enough to train through.

A point that is a fixed blend of vertices is a sum over the joints of one attached point each,
``p_k = sum_j G_j a_kj + w_kj t_j`` with world rotation ``G_j`` and position ``t_j`` of joint j. Pose-dependent blend
shapes (licensed SMPL only) are left out, as in the fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from dsr.body.asset import BodyAsset, tree_levels

JOINTS = 24


class BodyPoints(nn.Module):
    """Joints and points of a body of SMPL's 24 joints.

    Args:
        asset: the body.
        keypoint_set: its keypoints are the first points.
        vertices: indices of vertices that follow them.
        num_betas: shape coefficients that are used, the asset's first ones.

    Attributes:
        rest: (K, 3) the keypoints on the average body at rest, metres.
    """

    rest: Tensor
    _attached: Tensor
    _attached_dirs: Tensor
    _blend: Tensor
    _joints: Tensor
    _joint_dirs: Tensor

    def __init__(
        self, asset: BodyAsset, keypoint_set: str = "blazepose33", vertices: Sequence[int] = (), num_betas: int = 11
    ) -> None:
        super().__init__()
        rows = asset.keypoint_regressor(keypoint_set).astype(np.float64)
        count, joints, size = rows.shape[0], asset.num_joints, asset.num_vertices
        chosen = sparse.csr_matrix(
            (np.ones(len(vertices)), (np.arange(len(vertices)), np.asarray(vertices, np.int64))), (len(vertices), size)
        )
        rows = sparse.vstack([rows, chosen]).tocsr()
        shapes = np.concatenate([asset.v_template[..., None], asset.shapedirs[..., :num_betas]], -1).astype(np.float64)
        rest = (asset.J_regressor.astype(np.float64) @ shapes.reshape(size, -1)).reshape(joints, 3, 1 + num_betas)
        weights = asset.weights.astype(np.float64)
        attached = np.stack([rows @ (weights[:, j, None] * shapes.reshape(size, -1)) for j in range(joints)], 1)
        blend = rows @ weights  # (K, J)
        attached = attached.reshape(-1, joints, 3, 1 + num_betas) - blend[..., None, None] * rest
        self.num_keypoints, self.num_betas = count, num_betas
        for name, array in (
            ("_attached", attached[..., 0]),
            ("_attached_dirs", attached[..., 1:]),
            ("_blend", blend),
            ("_joints", rest[..., 0]),
            ("_joint_dirs", rest[..., 1:]),
            ("rest", (rows @ shapes[..., 0])[:count]),
        ):
            tensor = torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32)
            self.register_buffer(name, tensor, persistent=False)
        levels = tree_levels(asset.parents, asset.name)
        self._levels = [(level.tolist(), asset.parents[level].tolist()) for level in levels[1:]]
        self._parents = torch.as_tensor(asset.parents[1:].copy())

    def rest_joints(self, betas: Tensor) -> Tensor:
        """Joints (B, 24, 3) of the shaped bodies at rest."""
        joints: Tensor = self._joints + torch.einsum("jcn,bn->bjc", self._joint_dirs, betas)
        return joints

    def forward(self, turns: Tensor, betas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pose the points.

        Args:
            turns: (B, 24, 3, 3) rotations of the joints, the first is the global orientation.
            betas: (B, n).

        Returns:
            Joints (B, 24, 3), points (B, K, 3) metres with zero translation, and world rotations (B, 24, 3, 3).
        """
        rest = self.rest_joints(betas)
        world: list[Tensor] = [turns[:, 0]] * JOINTS
        place: list[Tensor] = [rest[:, 0]] * JOINTS
        for level, parents in self._levels:
            above = torch.stack([world[p] for p in parents], 1)
            now = above @ turns[:, level]
            at = torch.stack([place[p] for p in parents], 1)
            at = at + (above @ (rest[:, level] - rest[:, parents])[..., None])[..., 0]
            for i, joint in enumerate(level):
                world[joint], place[joint] = now[:, i], at[:, i]
        rotation, position = torch.stack(world, 1), torch.stack(place, 1)
        attached = self._attached + torch.einsum("kjcn,bn->bkjc", self._attached_dirs, betas)
        points = torch.einsum("bjxy,bkjy->bkx", rotation, attached)
        return position, points + self._blend @ position, rotation
