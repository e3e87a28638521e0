# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators for Rigify: put its metarig onto a body's joints, and generate the control rig from it."""

from __future__ import annotations

from typing import Any

import bpy

from ..builders import metarig_armature
from ..core.messages import sentence
from .base import AddonOperator, BodyOperator

ENABLE_RIGIFY = sentence("Enable Rigify in Preferences > Add-ons to generate a control rig")


class FITBODY_OT_add_metarig(BodyOperator, bpy.types.Operator):
    """Put Rigify's basic human metarig onto the joints of the body's rest pose"""

    bl_idname = "fitbody.add_metarig"
    bl_label = "Add Rigify Metarig"
    bl_options = {"REGISTER", "UNDO"}

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """At the body's place, as the active object."""
        metarig_armature.add_metarig(armature, mesh_object)
        if not metarig_armature.has_rigify():
            self.inform(ENABLE_RIGIFY)


class FITBODY_OT_generate_rig(AddonOperator, bpy.types.Operator):
    """Let Rigify make its control rig on the body: the mesh follows it, and its FK controls have the pose"""

    bl_idname = "fitbody.generate_rig"
    bl_label = "Generate Rig"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """With Rigify and one of our metarigs."""
        if not metarig_armature.is_metarig(context.active_object):
            return cls.poll_with_reason(False, sentence("Select a metarig"))
        return cls.poll_with_reason(metarig_armature.has_rigify(), ENABLE_RIGIFY)

    def run(self, context: Any) -> None:
        """Takes a moment."""
        rig = metarig_armature.generate_rig(context.active_object)
        self.inform(sentence("Made {name}", name=rig.name))


CLASSES = (FITBODY_OT_add_metarig, FITBODY_OT_generate_rig)
