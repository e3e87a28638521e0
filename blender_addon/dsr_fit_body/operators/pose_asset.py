# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitted poses for the Asset Browser and for other bodies with the same bones: one, or those of a folder of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import StringProperty

from ..builders import pose_library
from ..core.messages import FitBodyError, sentence
from ..core.result import find_results
from .base import AddonOperator, BodyOperator


class FITBODY_OT_save_pose_asset(BodyOperator, bpy.types.Operator):
    """Make the pose as it is now an asset, to apply it from the Asset Browser to other bodies"""

    bl_idname = "fitbody.save_pose_asset"
    bl_label = "Save Pose as Asset"
    bl_options = {"REGISTER", "UNDO"}

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """An action of one frame with a key for every bone."""
        frame = float(context.scene.frame_current)
        action = pose_library.pose_action(armature, f"{armature.name} Pose", frame)
        self.inform(sentence("Made {name}", name=action.name))


class FITBODY_OT_make_pose_library(AddonOperator, bpy.types.Operator):
    """Make an asset library of the poses in a folder of results, with pictures, for the Asset Browser"""

    bl_idname = "fitbody.make_pose_library"
    bl_label = "Make Pose Library"
    bl_options = {"REGISTER"}

    directory: StringProperty(subtype="DIR_PATH", options={"SKIP_SAVE", "HIDDEN"})

    def invoke(self, context: Any, event: Any) -> set[str]:
        """Choose a folder, where the panel has none."""
        if self.directory:
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def run(self, context: Any) -> set[str] | None:
        """A file with a pose for every person, beside the results; the folder becomes one of Blender's libraries."""
        folder = Path(bpy.path.abspath(self.directory))
        paths = find_results(folder)
        if not paths:
            return self.refuse(sentence("There are no results in {path}", path=folder))
        try:
            made, left_out = pose_library.write_library(folder, paths)
        except (OSError, RuntimeError) as error:
            detail = sentence("{path} could not be written ({error})", path=folder.name, error=error)
            raise FitBodyError("build_failed", detail=detail) from error
        if not made:
            return self.refuse(sentence("There are no results in {path}", path=folder))
        pose_library.add_to_preferences(folder)
        values = {"count": made, "path": folder, "left": left_out}
        if left_out:
            self.inform(sentence("{count} poses in {path}; {left} results could not be read", **values), "WARNING")
        else:
            self.inform(sentence("{count} poses in {path}", **values))
        return None


CLASSES = (FITBODY_OT_save_pose_asset, FITBODY_OT_make_pose_library)
