# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that change a body's shape."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from bpy.props import EnumProperty, FloatProperty, IntProperty

from ..builders import ground, shape
from ..builders import mesh as msh
from ..core.messages import FitBodyError, sentence
from .base import BodyOperator


class FITBODY_OT_set_shape(BodyOperator, bpy.types.Operator):
    """Set one shape coefficient; joints follow"""

    bl_idname = "fitbody.set_shape"
    bl_label = "Set Shape"
    bl_options = {"REGISTER", "UNDO"}

    index: IntProperty(name="Index", min=0, max=msh.MAX_SHAPES - 1)
    value: FloatProperty(name="Value", soft_min=-5.0, soft_max=5.0)

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """Through the slider."""
        armature.dsr_fit_body.shape[self.index] = self.value


class FITBODY_OT_reset_shape(BodyOperator, bpy.types.Operator):
    """Back to the shape that was fitted; with Shift to the average body"""

    bl_idname = "fitbody.reset_shape"
    bl_label = "Reset Shape"
    bl_options = {"REGISTER", "UNDO"}

    to: EnumProperty(name="To", items=[("FIT", "As Fitted", ""), ("AVERAGE", "Average Body", "")], default="FIT")

    def invoke(self, context: Any, event: Any) -> set[str]:
        """Shift means average."""
        self.to = "AVERAGE" if event.shift else "FIT"
        return self.execute(context)

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """Move all sliders."""
        betas = np.array(armature.get("fitbody_betas", [])) if self.to == "FIT" else np.zeros(0)
        values = np.zeros(msh.MAX_SHAPES)
        values[: min(len(betas), msh.MAX_SHAPES)] = betas[: msh.MAX_SHAPES]
        armature.dsr_fit_body.set_quietly(values)
        with ground.feet_kept(armature, mesh_object):
            msh.set_shapes(mesh_object, values)
            shape.set_directions(armature, {})


class FITBODY_OT_update_joints(BodyOperator, bpy.types.Operator):
    """Put the joints where the shape keys want them, after changing the keys by hand"""

    bl_idname = "fitbody.update_joints"
    bl_label = "Update Joints"
    bl_options = {"REGISTER", "UNDO"}

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """Keys to sliders, joints to keys."""
        directions = shape.get_directions(armature, mesh_object)
        armature.dsr_fit_body.set_quietly(msh.get_shapes(mesh_object), directions)
        if not shape.update_joints(armature):
            raise FitBodyError("build_failed", detail=sentence("this armature cannot be edited here"))


CLASSES = (
    FITBODY_OT_set_shape,
    FITBODY_OT_reset_shape,
    FITBODY_OT_update_joints,
)
