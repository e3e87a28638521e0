"""Data sets: BVH motion capture, its retargeting to SMPL poses, and MakeHuman garments.

Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

__all__ = [
    "Garment", "Motion", "SmplMotion", "assemble_base", "load_garment", "load_mocap", "read_bvh", "retarget_to_smpl",
]  # fmt: skip

_HOME = {
    **dict.fromkeys(("Garment", "assemble_base", "load_garment"), "mhclo"),
    **dict.fromkeys(("Motion", "read_bvh"), "bvh"),
    **dict.fromkeys(("SmplMotion", "load_mocap", "retarget_to_smpl"), "retarget"),
}

if TYPE_CHECKING:
    from .bvh import Motion, read_bvh
    from .mhclo import Garment, assemble_base, load_garment
    from .retarget import SmplMotion, load_mocap, retarget_to_smpl

__getattr__, __dir__ = attach(__name__, _HOME)
