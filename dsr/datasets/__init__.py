"""Data sets: BVH motion capture, its retargeting to SMPL poses, and MakeHuman garments."""

from __future__ import annotations

from .bvh import Motion, read_bvh
from .retarget import SmplMotion, load_mocap, retarget_to_smpl

__all__ = ["Motion", "SmplMotion", "load_mocap", "read_bvh", "retarget_to_smpl"]
