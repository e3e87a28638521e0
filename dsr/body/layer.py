"""Body: linear blend skinning of any SMPL-style asset as a torch module (SMPL, SIGGRAPH Asia 2015, section 3).

Rest frame y up, facing +z, metres. As in SMPL, ``global_orient`` turns about the pelvis joint and ``transl`` is added
last. Rest joints are linear in the betas, so no vertex is touched to pose the skeleton.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dsr.body.asset import BodyAsset, tree_levels
from dsr.body.directions import Direction, named_directions
from dsr.body.load import load_asset
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.body.skinning import skin, skin_blocks
from dsr.errors import BodyError


@dataclass(frozen=True)
class BodyOutput:
    """What a body computes.

    Attributes:
        vertices: (B, V, 3) metres.
        joints: (B, J, 3) metres, the posed kinematic joints.
        transforms: (B, J, 4, 4) from every joint's rest frame (axes parallel to the body frame, origin in the rest
            joint) to the posed body, ``transl`` included.
    """

    vertices: Tensor
    joints: Tensor
    transforms: Tensor


class Body(nn.Module):
    """A posable, shapeable body.

    Args:
        asset: the body model's arrays.
        dtype: ``torch.float32`` or ``torch.float64``; inputs are converted to it.

    Attributes:
        asset: the :class:`BodyAsset` it was made from.
        faces: (F, 3) int64.
        parents: (J,) int64, root -1.
        fused: True for the fast skinning; set it to False to use ``torch.func`` transforms on the vertices.

    Example:
        >>> body = load_body("open")
        >>> output = body(betas=torch.zeros(1, body.num_betas))
        >>> output.vertices.shape[1] == body.asset.num_vertices
        True
    """

    faces: Tensor
    parents: Tensor
    _template: Tensor
    _directions: Tensor
    _joint_template: Tensor
    _joint_dirs: Tensor
    _weights: Tensor
    _to_order: Tensor
    _level0: Tensor
    _parent_row: Tensor

    def __init__(self, asset: BodyAsset, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.asset = asset
        self.fused = True
        v, j, b = asset.num_vertices, asset.num_joints, asset.num_betas
        self.num_vertices, self.num_joints, self.num_betas = v, j, b
        regressor = asset.J_regressor.astype(np.float64)
        template = asset.v_template.astype(np.float64)
        joint_dirs = regressor @ asset.shapedirs.reshape(v, -1).astype(np.float64)

        def keep(name: str, array: np.ndarray) -> None:
            self.register_buffer(name, torch.from_numpy(np.array(array, order="C")).to(dtype), persistent=False)

        directions = asset.shapedirs
        if asset.posedirs is not None:
            directions = np.concatenate((directions, asset.posedirs), 2)
        keep("_template", asset.v_template.T.reshape(1, -1))  # (1, 3 V)
        keep("_directions", directions.transpose(2, 1, 0).reshape(-1, 3 * v))  # (nb [+ 9 (J-1)], 3 V)
        keep("_joint_template", regressor @ template)  # (J, 3)
        keep("_joint_dirs", joint_dirs.reshape(j, 3, b).transpose(2, 0, 1).reshape(b, j * 3))  # (nb, 3 J)
        keep("_weights", asset.weights.T)  # (J, V)
        self.register_buffer("faces", torch.from_numpy(asset.faces.astype(np.int64)), persistent=False)
        self.register_buffer("parents", torch.from_numpy(asset.parents.copy()), persistent=False)
        self._regressors: dict[str, Tensor] = {}
        self._plan_tree(tree_levels(asset.parents, asset.name))

    def forward(
        self,
        betas: Tensor | None = None,
        body_pose: Tensor | None = None,
        global_orient: Tensor | None = None,
        transl: Tensor | None = None,
    ) -> BodyOutput:
        """Shape and pose the body.

        Args:
            betas: (B, n) with n <= num_betas; missing ones are zero.
            body_pose: (B, J-1, 3, 3) matrices, or (B, J-1, 3) or (B, 3 (J-1)) axis-angle in radians.
            global_orient: (B, 3, 3) or (B, 3).
            transl: (B, 3) metres.

        Every argument may be left out or have a batch of 1 against the others' B.

        Raises:
            BodyError: if a shape does not fit this body.
        """
        betas = self._betas(betas)
        transforms, rotations = self._pose(betas, body_pose, global_orient, transl)
        return BodyOutput(self._skin(betas, transforms, rotations), transforms[..., :3, 3], transforms)

    def pose_joints(
        self,
        betas: Tensor | None = None,
        body_pose: Tensor | None = None,
        global_orient: Tensor | None = None,
        transl: Tensor | None = None,
    ) -> Tensor:
        """Posed joints (B, J, 3) alone, without touching a vertex; arguments as in :meth:`forward`."""
        transforms, _ = self._pose(self._betas(betas), body_pose, global_orient, transl)
        return transforms[..., :3, 3]

    def rest_joints(self, betas: Tensor | None = None) -> Tensor:
        """Joints of the shaped body in the rest pose, (B, J, 3) metres."""
        return self._rest_joints(self._betas(betas))

    def keypoints(self, vertices: Tensor, name: str) -> Tensor:
        """Keypoints from vertices by a sparse regressor.

        Args:
            vertices: (B, V, 3).
            name: ``coco17``, ``h36m17``, ``blazepose33`` or ``openpose25``.

        Returns:
            (B, K, 3) in the unit and frame of the vertices.

        Raises:
            BodyError: if the body has no such regressor.
        """
        regressor = self._keypoint_matrix(name).to(vertices)
        columns = vertices.permute(1, 0, 2).reshape(self.num_vertices, -1)
        return torch.sparse.mm(regressor, columns).unflatten(1, (-1, 3)).permute(1, 0, 2)

    def measure(self, betas: Tensor | np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Stature, weight and 48 lengths, breadths and girths by name, as :func:`dsr.body.shapes.measure_shape`.

        Args:
            betas: (..., n); None is the average body.

        Returns:
            Arrays (...) in metres, ``weight`` in kilograms.

        Raises:
            BodyError: if the body holds no marked points.
        """
        from dsr.body.shapes import measure_shape

        return measure_shape(self.asset, _plain(betas))

    def betas_for(self, sex: str | None = None, **targets: float) -> np.ndarray:
        """The most likely betas (B,) for measures such as ``height_m=1.8, mass_kg=75, chest_cm=95``.

        As :func:`dsr.body.likely_shapes.betas_for`, which says how measures are named.

        Raises:
            BodyError: for an unknown measure, or if the body holds no marked points or no distribution of its betas.
        """
        from dsr.body.likely_shapes import betas_for

        return betas_for(self.asset, sex, **targets)

    def directions(self) -> dict[str, Direction]:
        """Named directions of the betas: height, mass, muscle, age, sex, lengths and breadths, for sliders.

        As :func:`dsr.body.directions.named_directions`, which says what stays as it is.

        Raises:
            BodyError: if the body has none.
        """
        return named_directions(self.asset)

    @classmethod
    def from_smplx(cls, model: Any, dtype: torch.dtype = torch.float32) -> Body:
        """The same body as an object of the ``smplx`` package (SMPL, SMPL-H or SMPL-X), expression after the shape.

        Args:
            model: an instance of one of smplx's classes; its arrays are copied.
            dtype: of the new body.
        """
        from dsr.body.licensed import asset_from_smplx

        return cls(asset_from_smplx(model), dtype)

    def _betas(self, betas: Tensor | None) -> Tensor:
        """Betas (B, n) as given: directions behind them are not multiplied."""
        like = self._joint_template
        if betas is None:
            return like.new_zeros(1, 0)
        betas = betas.to(like)
        if betas.dim() != 2 or betas.shape[1] > self.num_betas:
            raise BodyError(f"betas have shape {tuple(betas.shape)} where (B, up to {self.num_betas}) is needed.")
        return betas

    def _rest_joints(self, betas: Tensor) -> Tensor:
        directions = self._joint_dirs[: betas.shape[1]]
        return torch.addmm(self._joint_template.reshape(1, -1), betas, directions).unflatten(1, (-1, 3))

    def _rotations(self, pose: Tensor | None, count: int, what: str) -> Tensor:
        """Rotation matrices (B, count, 3, 3) from any accepted form."""
        like = self._joint_template
        if pose is None:
            return torch.eye(3, dtype=like.dtype, device=like.device).expand(1, count, 3, 3)
        pose = pose.to(like)
        batch = pose.shape[0] if pose.dim() else 0
        if pose.shape[1:] in ((count, 3, 3), (3, 3) if count == 1 else ()):
            return pose.reshape(batch, count, 3, 3)
        if pose.shape[1:] in ((count, 3), (3 * count,)):
            return axis_angle_to_rotmat(pose.reshape(batch, count, 3))
        raise BodyError(
            f"{what} has shape {tuple(pose.shape)} where (B, {count}, 3, 3) matrices or (B, {count}, 3) axis-angle "
            "is needed."
        )

    def _plan_tree(self, levels: list[np.ndarray]) -> None:
        """Index tables of the batched kinematics: per level, where the parents sit in the level above."""
        order = np.concatenate(levels)
        self.register_buffer("_to_order", torch.from_numpy(np.argsort(order)), persistent=False)
        self._depth = len(levels)
        for depth, joints in enumerate(levels):
            self.register_buffer(f"_level{depth}", torch.from_numpy(joints), persistent=False)
            if depth:
                above = {int(joint): i for i, joint in enumerate(levels[depth - 1])}
                rows = np.array([above[int(p)] for p in self.asset.parents[joints]], np.int64)
                self.register_buffer(f"_above{depth}", torch.from_numpy(rows), persistent=False)
        safe = np.where(self.asset.parents < 0, len(order), self.asset.parents)
        self.register_buffer("_parent_row", torch.from_numpy(safe), persistent=False)

    def _pose(
        self, betas: Tensor, body_pose: Tensor | None, global_orient: Tensor | None, transl: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Joint transforms (B, J, 4, 4) with ``transl``, and the body pose as matrices (B, J-1, 3, 3)."""
        rotations = self._rotations(body_pose, self.num_joints - 1, "body_pose")
        orient = self._rotations(global_orient, 1, "global_orient")
        rest = self._rest_joints(betas)
        batch = max(rest.shape[0], rotations.shape[0], orient.shape[0], 1 if transl is None else transl.shape[0])
        try:
            turns = torch.cat((orient.expand(batch, -1, -1, -1), rotations.expand(batch, -1, -1, -1)), 1)
            rest = rest.expand(batch, -1, -1)
            shift = rest.new_zeros(1, 1, 3) if transl is None else transl.to(rest).reshape(-1, 1, 3)
            padded = torch.cat((rest, -shift.expand(batch, -1, -1)), 1)  # the root's "parent" sits at -transl
        except RuntimeError as error:
            raise BodyError(f"The batch sizes of betas, poses and transl do not fit together ({error}).") from error
        local = torch.cat((turns, (rest - padded[:, self._parent_row]).unsqueeze(-1)), -1)
        bottom = local.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(batch, self.num_joints, 1, 4)
        local = torch.cat((local, bottom), -2)
        level = local[:, self._level0]
        levels = [level]
        for depth in range(1, self._depth):
            level = level[:, getattr(self, f"_above{depth}")] @ local[:, getattr(self, f"_level{depth}")]
            levels.append(level)
        return torch.cat(levels, 1)[:, self._to_order], rotations

    def _skin(self, betas: Tensor, transforms: Tensor, rotations: Tensor) -> Tensor:
        """Vertices (B, V, 3): blend shapes, then the weighted transforms of the joints."""
        features = self._features(betas, rotations)
        shaped = torch.addmm(self._template, features, self._directions[: features.shape[1]]).unflatten(1, (3, -1))
        affine = self._affine(betas, transforms)
        shaped = shaped.expand(len(affine), -1, -1)
        return (skin_blocks if self.fused else skin)(affine, shaped, self._weights)

    def _features(self, betas: Tensor, rotations: Tensor) -> Tensor:
        """What the rest vertices are linear in, (B, L): betas, and R - I of every joint where there are correctives."""
        if self.asset.posedirs is None:
            return betas
        betas = torch.nn.functional.pad(betas, (0, self.num_betas - betas.shape[1]))
        bends = (rotations - torch.eye(3, dtype=rotations.dtype, device=rotations.device)).flatten(1)
        batch = max(len(betas), len(bends))
        return torch.cat((betas.expand(batch, -1), bends.expand(batch, -1)), 1)

    def _affine(self, betas: Tensor, transforms: Tensor) -> Tensor:
        """Transforms (B, J, 3, 4) that act on rest coordinates of the body instead of the joint's."""
        turn = transforms[..., :3, :3]
        offset = transforms[..., :3, 3] - (turn @ self._rest_joints(betas).unsqueeze(-1)).squeeze(-1)
        return torch.cat((turn, offset.unsqueeze(-1)), -1)

    def _keypoint_matrix(self, name: str) -> Tensor:
        if name not in self._regressors:
            matrix = self.asset.keypoint_regressor(name).tocoo()
            index = torch.from_numpy(np.stack((matrix.row, matrix.col)).astype(np.int64))
            values = torch.from_numpy(matrix.data.astype(np.float64))
            sparse = torch.sparse_coo_tensor(index, values, matrix.shape, check_invariants=True).coalesce()
            self._regressors[name] = sparse.to(self._joint_template)
        return self._regressors[name]

    def _apply(self, *args: Any, **kwargs: Any) -> Body:
        self._regressors.clear()
        return super()._apply(*args, **kwargs)


def _plain(betas: Tensor | np.ndarray | None) -> np.ndarray | None:
    return betas.detach().cpu().numpy() if isinstance(betas, Tensor) else betas


def load_body(
    name_or_path: str | Path = "open",
    *,
    gender: str = "neutral",
    num_betas: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Body:
    """Load a body model as a torch module.

    Args:
        name_or_path: ``open``, ``open-light``, or a licensed file or folder, as in :func:`dsr.body.load_asset`.
        gender: ``neutral``, ``female`` or ``male``, where a folder holds several.
        num_betas: shape coefficients to keep; by default all of the open body and 10 of a licensed one.
        dtype: ``torch.float32`` or ``torch.float64``.
        device: where its tensors live.

    Raises:
        BodyError: if the file is missing, of the wrong kind or not safe to read.
    """
    return Body(load_asset(name_or_path, gender=gender, num_betas=num_betas), dtype).to(device)
