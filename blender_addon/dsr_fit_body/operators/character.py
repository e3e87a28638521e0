# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that put a fitted pose or motion on the artist's own character."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bpy
from bpy.props import StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..builders import armature as arm
from ..builders import character, shape
from ..core.messages import FitBodyError, sentence
from .base import AddonOperator


def is_character(item: Any) -> bool:
    """Whether an object is an armature that is no fitted body."""
    return item is not None and item.type == "ARMATURE" and arm.JOINTS not in item.data


def fitted_body(context: Any) -> tuple[Any, Any] | None:
    """The body to take the pose from: a selected one, else the first that is to be seen."""
    for item in [*context.selected_objects, *context.view_layer.objects]:
        body = shape.body_objects(item) if item != context.active_object else None
        if body is not None and body[0].visible_get() and not arm.missing_bones(body[0]):
            return body
    return None


class CharacterOperator(AddonOperator):
    """Needs an armature of the artist's as active object: ``run_on_character(context, armature)``."""

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Whether there is one."""
        return cls.poll_with_reason(is_character(context.active_object), sentence("Select your character's armature"))

    def run(self, context: Any) -> set[str] | None:
        """With the armature."""
        return self.run_on_character(context, context.active_object)


class FITBODY_OT_apply_to_armature(CharacterOperator, bpy.types.Operator):
    """Put the pose or motion of a fitted body on the selected armature, as a new action"""

    bl_idname = "fitbody.apply_to_armature"
    bl_label = "Apply to Selected Armature"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """A character, and a body to take the pose from."""
        if not is_character(context.active_object):
            return cls.poll_with_reason(False, sentence("Select your character's armature"))
        return cls.poll_with_reason(fitted_body(context) is not None, sentence("Fit a photo first"))

    def run_on_character(self, context: Any, armature: Any) -> None:
        """With the map of its rows, or one that is guessed."""
        body, settings = fitted_body(context), armature.dsr_bone_map
        if not settings.rows:
            settings.fill(character.guess_map(armature))
        options = character.CharacterOptions(settings.path, settings.keep_feet, settings.at_body)
        source = body[0].animation_data.action if body[0].animation_data else None
        name = source.name if source is not None else body[0].name
        settings.show = settings.show or bool(character.missing_joints(settings.table()))
        character.apply_to(body, armature, settings.table(), options, name)
        count = len(settings.table())
        self.inform(sentence("{body} on {name}: {count} bones", body=body[0].name, name=armature.name, count=count))


class FITBODY_OT_guess_bone_map(CharacterOperator, bpy.types.Operator):
    """Find out from the names of the bones which one stands for which joint"""

    bl_idname = "fitbody.guess_bone_map"
    bl_label = "Guess Bones"
    bl_options = {"REGISTER", "UNDO"}

    def run_on_character(self, context: Any, armature: Any) -> set[str] | None:
        """Into the rows."""
        table = character.guess_map(armature)
        armature.dsr_bone_map.fill(table)
        armature.dsr_bone_map.show = True
        lacking = character.missing_joints(table)
        if lacking:
            self.inform(sentence("No bone was found for {joints}", joints=", ".join(lacking)), "WARNING")
        return None


class FITBODY_OT_save_bone_map(CharacterOperator, bpy.types.Operator, ExportHelper):
    """Write the bone map to a file, for other characters with these bones and for dsr-retarget"""

    bl_idname = "fitbody.save_bone_map"
    bl_label = "Save Bone Map"
    bl_options = {"REGISTER"}

    filename_ext = ".json"
    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE", "HIDDEN"})
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def run_on_character(self, context: Any, armature: Any) -> None:
        """As JSON."""
        path = Path(bpy.path.abspath(bpy.path.ensure_ext(self.filepath, ".json")))
        table = armature.dsr_bone_map.table() or character.guess_map(armature)
        try:
            path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            detail = sentence("{path} could not be written ({error})", path=path.name, error=error)
            raise FitBodyError("bad_result", detail=detail) from error
        self.inform(sentence("Wrote {path}", path=path))


class FITBODY_OT_load_bone_map(CharacterOperator, bpy.types.Operator, ImportHelper):
    """Read a bone map from a file"""

    bl_idname = "fitbody.load_bone_map"
    bl_label = "Load Bone Map"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".json"
    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE", "HIDDEN"})
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def run_on_character(self, context: Any, armature: Any) -> None:
        """Into the rows."""
        path = Path(bpy.path.abspath(self.filepath))
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            armature.dsr_bone_map.fill({str(joint): str(bone) for joint, bone in table.items()})
        except (OSError, ValueError, AttributeError) as error:
            detail = sentence("{path} is no bone map ({error})", path=path.name, error=error)
            raise FitBodyError("bad_result", detail=detail) from error
        armature.dsr_bone_map.show = True


CLASSES = (
    FITBODY_OT_apply_to_armature,
    FITBODY_OT_guess_bone_map,
    FITBODY_OT_save_bone_map,
    FITBODY_OT_load_bone_map,
)
