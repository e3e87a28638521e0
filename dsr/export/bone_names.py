"""Skeletons as other programs know them: the body's own bones under the names of Mixamo, Rigify or game engines.

The trees of these rigs are that of SMPL-X without jaw and eyes (MakeHuman's CC0 files of them, compared bone by bone),
so a fitted pose carries over as it is. The weights are those of the body: the mesh in the file is the fit, where
MakeHuman's own weights of these rigs move bent limbs by 4 to 6 mm on average and by centimetres at shoulders and hips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from dsr.body.load import load_asset
from dsr.body.numpy_lbs import pose_vertices, skeleton
from dsr.errors import BodyError, UsageError
from dsr.export.carried.skeleton_names import RIG_NAMES
from dsr.results.clip import TrackResult
from dsr.results.picture import PersonResult

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset

Fitted = TypeVar("Fitted", PersonResult, TrackResult)

RIGS = ("smpl", "mixamo", "rigify", "game-engine")
"""Names of :func:`on_rig`; ``game-engine`` are the bones of Unreal's mannequin."""

_TABLES = {"mixamo": RIG_NAMES["mixamo"], "rigify": RIG_NAMES["rigify"], "game-engine": RIG_NAMES["unreal"]}


def bone_names(joint_names: Sequence[str], rig: str) -> tuple[str, ...]:
    """Names of a body's joints in a rig of :data:`RIGS`; joints that it does not know keep theirs.

    Raises:
        UsageError: for another rig.

    Example:
        >>> bone_names(["left_elbow", "right_index1"], "mixamo")
        ('mixamorig:LeftForeArm', 'mixamorig:RightHandIndex1')
    """
    if rig not in RIGS:
        raise UsageError(f"Unknown rig {rig!r}; use one of: {', '.join(RIGS)}.")
    if rig == "smpl":
        return tuple(joint_names)
    return tuple(_TABLES[rig].get(name, name) for name in joint_names)


def on_rig(fitted: Fitted, asset: BodyAsset, rig: str) -> tuple[Fitted, BodyAsset]:
    """A fitted person or track with a body whose bones are those of a rig.

    The open body gets its fingers, jaw and eyes for it (open-x), at rest; other bodies get the names alone.

    Args:
        fitted: the fit.
        asset: the body it was fitted with.
        rig: a name in :data:`RIGS`; with ``smpl`` nothing changes.

    Raises:
        UsageError: for another rig.
    """
    if rig == "smpl":
        return fitted, asset
    wide = _with_fingers(asset)
    if wide is not None:
        fitted, asset = _with_finger_pose(fitted, wide), wide
    return fitted, _renamed(asset, rig)


def _with_finger_pose(fitted: Fitted, wide: BodyAsset) -> Fitted:
    """The same person on the body with fingers; its vertices, where a hand joint was turned."""
    from dsr.body.smpl24 import pose_from_smpl24

    pose = pose_from_smpl24(np.asarray(fitted.body_pose), wide.num_joints)
    if isinstance(fitted, TrackResult):
        rows = zip(pose, fitted.global_orient, fitted.transl, strict=True)
        joints = [skeleton(wide, fitted.betas, *row)[1][:, :3, 3] for row in rows]
        return replace(fitted, body_pose=pose, joints_cam_m=np.stack(joints), joint_uncertainty_mm=None)
    posed = fitted.betas, pose, fitted.global_orient, fitted.transl
    joints_cam = skeleton(wide, *posed)[1][:, :3, 3]
    vertices = pose_vertices(wide, *posed) if np.any(fitted.body_pose[21:]) else fitted.vertices_cam_m
    return replace(fitted, body_pose=pose, vertices_cam_m=vertices, joints_cam_m=joints_cam, joint_uncertainty_mm=None)


@lru_cache(maxsize=4)
def _with_fingers(asset: BodyAsset) -> BodyAsset | None:
    """open-x, where the asset is the open body that it was made for."""
    if asset.name != "open":
        return None
    try:
        wide = load_asset("open-x")
    except BodyError:
        return None
    return wide if np.array_equal(wide.v_template, asset.v_template) else None


@lru_cache(maxsize=8)
def _renamed(asset: BodyAsset, rig: str) -> BodyAsset:
    return replace(asset, joint_names=bone_names(asset.joint_names, rig))
