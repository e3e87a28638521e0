# SPDX-License-Identifier: GPL-3.0-or-later
"""Renaming the bones of a body in the scene."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import EnumProperty

from ..builders import armature as arm
from .base import BodyOperator

NAMING_SCHEMES = [
    ("SMPL", "SMPL", "left_knee"),
    ("MIXAMO", "Mixamo", "mixamorig:LeftLeg"),
    ("RIGIFY", "Rigify", "shin.L"),
]


class FITBODY_OT_rename_bones(BodyOperator, bpy.types.Operator):
    """Other names for the bones; weights and motion go along, and it can be reversed"""

    bl_idname = "fitbody.rename_bones"
    bl_label = "Rename Bones"
    bl_options = {"REGISTER", "UNDO"}

    scheme: EnumProperty(name="Names", items=NAMING_SCHEMES, default="MIXAMO")

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """Blender renames groups and curves with the bones."""
        arm.rename_bones(armature, self.scheme)


CLASSES = (FITBODY_OT_rename_bones,)
