# SPDX-License-Identifier: GPL-3.0-or-later
"""Materials of a body's parts."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import EnumProperty

from ..builders import armature as arm
from ..builders import mesh as msh
from ..core.messages import sentence
from .base import BodyOperator


class FITBODY_OT_part_materials(BodyOperator, bpy.types.Operator):
    """A material for every part of the body, or skin alone"""

    bl_idname = "fitbody.part_materials"
    bl_label = "Part Materials"
    bl_options = {"REGISTER", "UNDO"}
    needs_bones = False

    kind: EnumProperty(name="Materials", items=[("PARTS", "Parts", ""), ("SKIN", "Skin", "")], default="PARTS")

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> set[str] | None:
        """Slots and face assignments."""
        if self.kind == "SKIN":
            msh.use_skin_materials(mesh_object.data)
        elif not msh.use_part_materials(mesh_object.data, [str(n) for n in armature.data[arm.BONES]]):
            return self.refuse(sentence("This body model knows no parts"))
        return None


CLASSES = (FITBODY_OT_part_materials,)
