"""SMPL-family bodies: assets and safe loading, the layer, joint conventions, rotations, measurements.

Nothing is imported until a name is used: :func:`load_asset` and the measurements work without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

_PUBLIC = {
    "BodyAsset": "asset",
    "load_asset": "asset",
    "Body": "layer",
    "BodyOutput": "layer",
    "load_body": "layer",
    "JOINT_SETS": "joints",
    "KEYPOINT_SETS": "joints",
    "PARENTS": "joints",
    "flip_pairs": "joints",
    "flip_permutation": "joints",
    "joint_names": "joints",
    "Measurements": "measure",
    "measure_body": "measure",
    "standing_height_m": "measure",
    "pose_vertices": "numpy_lbs",
    "skeleton": "numpy_lbs",
    "axis_angle_to_rotmat": "rotations",
    "nearest_rotmat": "rotations",
    "quaternion_to_axis_angle": "rotations",
    "quaternion_to_rotmat": "rotations",
    "rot6d_to_rotmat": "rotations",
    "rotmat_to_axis_angle": "rotations",
    "rotmat_to_quaternion": "rotations",
    "rotmat_to_rot6d": "rotations",
}

__all__ = [
    "JOINT_SETS",
    "KEYPOINT_SETS",
    "PARENTS",
    "Body",
    "BodyAsset",
    "BodyOutput",
    "Measurements",
    "axis_angle_to_rotmat",
    "flip_pairs",
    "flip_permutation",
    "joint_names",
    "load_asset",
    "load_body",
    "measure_body",
    "nearest_rotmat",
    "pose_vertices",
    "quaternion_to_axis_angle",
    "quaternion_to_rotmat",
    "rot6d_to_rotmat",
    "rotmat_to_axis_angle",
    "rotmat_to_quaternion",
    "rotmat_to_rot6d",
    "skeleton",
    "standing_height_m",
]

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset, load_asset
    from dsr.body.joints import JOINT_SETS, KEYPOINT_SETS, PARENTS, flip_pairs, flip_permutation, joint_names
    from dsr.body.layer import Body, BodyOutput, load_body
    from dsr.body.measure import Measurements, measure_body, standing_height_m
    from dsr.body.numpy_lbs import pose_vertices, skeleton
    from dsr.body.rotations import (
        axis_angle_to_rotmat,
        nearest_rotmat,
        quaternion_to_axis_angle,
        quaternion_to_rotmat,
        rot6d_to_rotmat,
        rotmat_to_axis_angle,
        rotmat_to_quaternion,
        rotmat_to_rot6d,
    )

__getattr__, __dir__ = attach(__name__, _PUBLIC)
