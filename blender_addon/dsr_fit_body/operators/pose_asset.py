# SPDX-License-Identifier: GPL-3.0-or-later
"""A fitted pose for the Asset Browser, and for other bodies with the same bones."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from .. import compat
from ..builders import armature as arm
from ..core.messages import sentence
from .base import BodyOperator


class FITBODY_OT_save_pose_asset(BodyOperator, bpy.types.Operator):
    """Make the pose as it is now an asset, to apply it from the Asset Browser to other bodies"""

    bl_idname = "fitbody.save_pose_asset"
    bl_label = "Save Pose as Asset"
    bl_options = {"REGISTER", "UNDO"}

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """An action of one frame with a key for every bone."""
        animation = armature.animation_data
        before = (animation.action, getattr(animation, "action_slot", None)) if animation is not None else (None, None)
        action, bag = compat.action_for(armature, f"{armature.name} Pose")
        frame = np.array([float(context.scene.frame_current)])
        for name in arm.bone_names(armature):
            posed = armature.pose.bones[name]
            for index, value in enumerate(posed.rotation_quaternion):
                path = f"{posed.path_from_id()}.rotation_quaternion"
                compat.new_curve(bag, path, index, name, frame, np.array([value]), compat.CONSTANT)
        action.asset_mark()
        action.asset_data.tags.new("Fit Body", skip_if_exists=True)
        action.asset_data.description = str(armature.get("fitbody_model", ""))
        action.use_fake_user = True
        armature.animation_data.action = before[0]
        if before[0] is not None and before[1] is not None:
            armature.animation_data.action_slot = before[1]
        self.inform(sentence("Made {name}", name=action.name))


CLASSES = (FITBODY_OT_save_pose_asset,)
