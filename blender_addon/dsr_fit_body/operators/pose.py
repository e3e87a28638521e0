# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that change a body's pose, or what the pose does to the surface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..builders import armature as arm
from ..builders import mesh as msh
from ..builders import twist
from ..core.body_model import read_body_model
from ..core.geometry import channels_to_pose
from ..core.messages import sentence
from .base import BodyOperator


class FITBODY_OT_reset_pose(BodyOperator, bpy.types.Operator):
    """All joints back to the T-pose; the body stays where it stands and keeps its direction"""

    bl_idname = "fitbody.reset_pose"
    bl_label = "Reset Pose"
    bl_options = {"REGISTER", "UNDO"}

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """All bones but the root."""
        for joint, name in enumerate(arm.bone_names(armature)):
            if joint != int(armature.get("fitbody_root", 0)):
                armature.pose.bones[name].rotation_quaternion = (1.0, 0.0, 0.0, 0.0)
        keys = mesh_object.data.shape_keys.key_blocks
        if msh.CORRECTIVE in keys:
            keys[msh.CORRECTIVE].value = 0.0


class FITBODY_OT_bake_correctives(BodyOperator, bpy.types.Operator):
    """Work out the body model's pose correctives for the pose as it is now"""

    bl_idname = "fitbody.bake_correctives"
    bl_label = "Update Pose Correctives"
    bl_options = {"REGISTER", "UNDO"}

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> set[str] | None:
        """One key for this pose."""
        body = read_body_model(Path(str(armature.get("fitbody_body_file", ""))))
        if body.posedirs is None:
            return self.refuse(sentence("Body {body} has no pose correctives", body=body.name), "INFO")
        names = arm.bone_names(armature)
        q = np.array([armature.pose.bones[name].rotation_quaternion for name in names], np.float64)
        rest = arm.rest_matrices(armature)
        rotations, _ = channels_to_pose(rest, q[None], np.zeros((1, 3)), body.joints, body.root)
        keys = mesh_object.data.shape_keys.key_blocks
        if msh.CORRECTIVE in keys:
            mesh_object.shape_key_remove(keys[msh.CORRECTIVE])
        offset = body.corrective(rotations[0])
        if offset is not None:
            msh.add_key(mesh_object, msh.CORRECTIVE, offset, 1.0)
        return None


class FITBODY_OT_twist_bones(BodyOperator, bpy.types.Operator):
    """Bones that spread a turn of arms, hands and thighs along the limb, without a ring at the joint; or none"""

    bl_idname = "fitbody.twist_bones"
    bl_label = "Twist Bones"
    bl_options = {"REGISTER", "UNDO"}

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> set[str] | None:
        """On the skin and on clothes."""
        meshes = twist.meshes_of(armature, mesh_object)
        if twist.has_twist(armature):
            twist.remove_twist(armature, meshes)
            self.inform(sentence("Removed the twist bones"))
        elif not twist.add_twist(armature, meshes):
            return self.refuse(sentence("This body model knows no parts"))
        else:
            self.inform(sentence("Added twist bones"))
        return None


CLASSES = (
    FITBODY_OT_twist_bones,
    FITBODY_OT_reset_pose,
    FITBODY_OT_bake_correctives,
)
