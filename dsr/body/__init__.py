"""SMPL-family bodies: assets and safe loading, the layer, joint conventions, rotations, measurements.

Nothing is imported until a name is used: :func:`load_asset` and the measurements work without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset as BodyAsset
    from dsr.body.directions import Direction as Direction
    from dsr.body.directions import named_directions as named_directions
    from dsr.body.joints import JOINT_SETS as JOINT_SETS
    from dsr.body.joints import KEYPOINT_SETS as KEYPOINT_SETS
    from dsr.body.joints import PARENTS as PARENTS
    from dsr.body.joints import flip_pairs as flip_pairs
    from dsr.body.joints import flip_permutation as flip_permutation
    from dsr.body.joints import joint_names as joint_names
    from dsr.body.layer import Body as Body
    from dsr.body.layer import BodyOutput as BodyOutput
    from dsr.body.layer import load_body as load_body
    from dsr.body.likely_shapes import betas_for as betas_for
    from dsr.body.load import load_asset as load_asset
    from dsr.body.measure import Measurements as Measurements
    from dsr.body.measure import measure_body as measure_body
    from dsr.body.measure import standing_height_m as standing_height_m
    from dsr.body.numpy_lbs import pose_vertices as pose_vertices
    from dsr.body.numpy_lbs import skeleton as skeleton
    from dsr.body.rotations import axis_angle_to_rotmat as axis_angle_to_rotmat
    from dsr.body.rotations import rot6d_to_rotmat as rot6d_to_rotmat
    from dsr.body.rotations import rotmat_to_axis_angle as rotmat_to_axis_angle
    from dsr.body.shapes import measure_shape as measure_shape
    from dsr.body.smpl24 import pose_from_smpl24 as pose_from_smpl24
    from dsr.body.smpl24 import pose_to_smpl24 as pose_to_smpl24
    from dsr.body.smpl24 import smpl24_joints as smpl24_joints
    from dsr.body.spin_joints import joints49 as joints49
    from dsr.body.spin_joints import load_extra_regressor as load_extra_regressor
    from dsr.body.transfer import BodyTransfer as BodyTransfer

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "asset": ("BodyAsset",),
        "directions": ("Direction", "named_directions"),
        "joints": ("JOINT_SETS", "KEYPOINT_SETS", "PARENTS", "flip_pairs", "flip_permutation", "joint_names"),
        "layer": ("Body", "BodyOutput", "load_body"),
        "likely_shapes": ("betas_for",),
        "load": ("load_asset",),
        "measure": ("Measurements", "measure_body", "standing_height_m"),
        "numpy_lbs": ("pose_vertices", "skeleton"),
        "rotations": ("axis_angle_to_rotmat", "rot6d_to_rotmat", "rotmat_to_axis_angle"),
        "shapes": ("measure_shape",),
        "smpl24": ("pose_from_smpl24", "pose_to_smpl24", "smpl24_joints"),
        "spin_joints": ("joints49", "load_extra_regressor"),
        "transfer": ("BodyTransfer",),
    },
)
