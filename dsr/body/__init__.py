"""SMPL-family bodies: assets and safe loading, the layer, joint conventions, rotations, measurements.

Nothing is imported until a name is used: :func:`load_asset` and the measurements work without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset as BodyAsset
    from dsr.body.asset import load_asset as load_asset
    from dsr.body.joints import JOINT_SETS as JOINT_SETS
    from dsr.body.joints import KEYPOINT_SETS as KEYPOINT_SETS
    from dsr.body.joints import PARENTS as PARENTS
    from dsr.body.joints import flip_pairs as flip_pairs
    from dsr.body.joints import flip_permutation as flip_permutation
    from dsr.body.joints import joint_names as joint_names
    from dsr.body.spin_joints import JOINTS49_NAMES as JOINTS49_NAMES
    from dsr.body.spin_joints import joints49 as joints49
    from dsr.body.spin_joints import load_extra_regressor as load_extra_regressor
    from dsr.body.layer import Body as Body
    from dsr.body.layer import BodyOutput as BodyOutput
    from dsr.body.layer import load_body as load_body
    from dsr.body.measure import Measurements as Measurements
    from dsr.body.measure import measure_body as measure_body
    from dsr.body.measure import standing_height_m as standing_height_m
    from dsr.body.numpy_lbs import pose_vertices as pose_vertices
    from dsr.body.numpy_lbs import skeleton as skeleton
    from dsr.body.perspose_ik import IkResult as IkResult
    from dsr.body.perspose_ik import solve_ik as solve_ik
    from dsr.body.perspose_ik import twist_labels as twist_labels
    from dsr.body.rotations import axis_angle_to_rotmat as axis_angle_to_rotmat
    from dsr.body.rotations import nearest_rotmat as nearest_rotmat
    from dsr.body.rotations import quaternion_to_axis_angle as quaternion_to_axis_angle
    from dsr.body.rotations import quaternion_to_rotmat as quaternion_to_rotmat
    from dsr.body.rotations import rot6d_to_rotmat as rot6d_to_rotmat
    from dsr.body.rotations import rotmat_to_axis_angle as rotmat_to_axis_angle
    from dsr.body.rotations import rotmat_to_quaternion as rotmat_to_quaternion
    from dsr.body.rotations import rotmat_to_rot6d as rotmat_to_rot6d
    from dsr.body.transfer import BodyTransfer as BodyTransfer

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "asset": (
            "BodyAsset",
            "load_asset",
        ),
        "joints": (
            "JOINT_SETS",
            "KEYPOINT_SETS",
            "PARENTS",
            "flip_pairs",
            "flip_permutation",
            "joint_names",
        ),
        "spin_joints": (
            "JOINTS49_NAMES",
            "joints49",
            "load_extra_regressor",
        ),
        "layer": (
            "Body",
            "BodyOutput",
            "load_body",
        ),
        "measure": (
            "Measurements",
            "measure_body",
            "standing_height_m",
        ),
        "numpy_lbs": (
            "pose_vertices",
            "skeleton",
        ),
        "perspose_ik": (
            "IkResult",
            "solve_ik",
            "twist_labels",
        ),
        "rotations": (
            "axis_angle_to_rotmat",
            "nearest_rotmat",
            "quaternion_to_axis_angle",
            "quaternion_to_rotmat",
            "rot6d_to_rotmat",
            "rotmat_to_axis_angle",
            "rotmat_to_quaternion",
            "rotmat_to_rot6d",
        ),
        "transfer": ("BodyTransfer",),
    },
)
