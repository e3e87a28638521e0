# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigify: its metarig on a body's joints, and the control rig from it."""

from __future__ import annotations

from typing import Any

import bpy

from .builders import metarig
from .core.messages import say
from .ops_base import Guarded, OnBody

ENABLE = say("Enable Rigify in Preferences > Add-ons to generate a control rig")


class FITBODY_OT_add_metarig(OnBody, bpy.types.Operator):
    """Put Rigify's basic human metarig onto the joints of the body's rest pose"""

    bl_idname = "fitbody.add_metarig"
    bl_label = "Add Rigify Metarig"
    bl_options = {"REGISTER", "UNDO"}

    def work(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """At the body's place, as the active object."""
        metarig.add_metarig(armature, mesh_object)
        if not metarig.has_rigify():
            self.tell(ENABLE)


class FITBODY_OT_generate_rig(Guarded, bpy.types.Operator):
    """Let Rigify make its control rig from the metarig; moving it like the body is a retargeter's work"""

    bl_idname = "fitbody.generate_rig"
    bl_label = "Generate Rig"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """With Rigify and one of our metarigs."""
        if not metarig.is_metarig(context.active_object):
            return cls.allow(False, say("Select a metarig"))
        return cls.allow(metarig.has_rigify(), ENABLE)

    def run(self, context: Any) -> None:
        """Takes a moment."""
        rig = metarig.generate_rig(context.active_object)
        self.tell(say("Made {name}", name=rig.name))


CLASSES = (FITBODY_OT_add_metarig, FITBODY_OT_generate_rig)
