"""Motion capture: BVH files, their retargeting to SMPL poses, generated walks, and the pose prior learned from them.

Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.mocap.bvh import Motion as Motion
    from dsr.mocap.bvh import read_bvh as read_bvh
    from dsr.mocap.pose_prior import PosePrior as PosePrior
    from dsr.mocap.retarget import SmplMotion as SmplMotion
    from dsr.mocap.retarget import load_mocap as load_mocap
    from dsr.mocap.retarget import retarget_to_smpl as retarget_to_smpl

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "bvh": ("Motion", "read_bvh"),
        "pose_prior": ("PosePrior",),
        "retarget": ("SmplMotion", "load_mocap", "retarget_to_smpl"),
    },
)
