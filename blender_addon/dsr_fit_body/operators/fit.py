# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit, Cancel and import of results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from .. import ahead, session
from ..builders import photos
from ..builders.edits import is_edited
from ..core.messages import FitBodyError, sentence
from ..core.result import read_result
from ..core.worker import worker_command
from ..preferences import addon_preferences, worker_python
from ..properties import panel_settings
from ..runs import build_when_done, import_results, new_run_folder
from ..session import STATE
from .base import AddonOperator


class FITBODY_OT_fit(AddonOperator, bpy.types.Operator):
    """Fit shaped, rigged, posed bodies to the people in the photo, with the matching camera"""

    bl_idname = "fitbody.fit"
    bl_label = "Fit Body"
    bl_options = {"REGISTER"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE", "HIDDEN"})
    edited: EnumProperty(
        name="Edited Bodies",
        description="What becomes of earlier bodies of this photo that were edited",
        items=[
            ("KEEP", "Keep", "Put the new bodies beside them"),
            ("REPLACE", "Replace", "Remove them with everything done to them"),
        ],
        default="KEEP",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Only one fit at a time."""
        return cls.poll_with_reason(not session.running(), sentence("A fit is running"))

    def invoke(self, context: Any, event: Any) -> set[str]:
        """Asks first where bodies would be replaced that were edited."""
        settings = panel_settings()
        if self.filepath:
            set_source(settings, [bpy.path.abspath(self.filepath)])
        if settings.again == "REPLACE" and edited_earlier(settings):
            return context.window_manager.invoke_props_dialog(self, width=360)
        return self.execute(context)

    def draw(self, context: Any) -> None:
        """The question."""
        self.layout.label(text="Earlier bodies of this photo were edited", icon="QUESTION")
        self.layout.row().prop(self, "edited", expand=True)

    def run(self, context: Any) -> set[str] | None:
        """Start, and in the background also finish."""
        settings = panel_settings()
        if self.filepath:
            set_source(settings, [bpy.path.abspath(self.filepath)])
        options = replace(settings.build_options(), replace_edited=self.edited == "REPLACE")
        sources = settings.source_paths()
        if not sources:
            raise FitBodyError("no_photo")
        source = sources[0]
        for path in sources:
            if not path.exists():
                raise FitBodyError("photo_missing", photo=path)
        if settings.source == "RESULT":
            STATE.message, STATE.warnings = None, []
            summary = import_results([source], options, settings.look)
            bpy.ops.ed.undo_push(message="Import fitted bodies")
            self.inform(summary)
            return None
        if not worker_python():
            raise FitBodyError("no_python")
        preferences = addon_preferences()
        command = worker_command(worker_python(), preferences.keep_warm)
        folder = new_run_folder(source)
        request = {
            "inputs": [str(path) for path in sources],
            "out": str(folder),
            "options": settings.fit_options(preferences.device),
        }
        request |= {"format": "", "sequence": settings.source in ("SEQUENCE", "VIDEO")}
        if settings.source == "SEQUENCE":
            request["fps"] = round(settings.sequence_fps, 4)
        on_done = build_when_done(options, settings.look)
        session.start_job(command, "fit", request, float(preferences.time_limit), on_done)
        if bpy.app.background:
            if STATE.message is not None:
                return self.refuse(STATE.message.sentence, "ERROR")
            self.inform(STATE.note)
        return None


class FITBODY_OT_fit_file(bpy.types.Operator, ImportHelper):
    """Choose a photo and fit shaped, rigged, posed bodies to the people in it"""

    bl_idname = "fitbody.fit_file"
    bl_label = "Body from Photo"
    bl_options = {"REGISTER"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE", "HIDDEN"})
    filter_image: BoolProperty(default=True, options={"HIDDEN"})
    filter_movie: BoolProperty(default=True, options={"HIDDEN"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})
    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    files: CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: Any, event: Any) -> set[str]:
        """Dropped photos are fitted at once, else they are chosen."""
        if all(path.is_file() for path in self.paths()) and self.paths():
            return self.execute(context)
        ahead.photo_chosen()
        return ImportHelper.invoke(self, context, event)

    def execute(self, context: Any) -> set[str]:
        """Same as the panel's button."""
        call = "EXEC_DEFAULT" if bpy.app.background else "INVOKE_DEFAULT"
        set_source(panel_settings(), [str(path) for path in self.paths()])
        answer = bpy.ops.fitbody.fit(call)
        return {"FINISHED"} if "RUNNING_MODAL" in answer else answer  # the question is the other operator's

    def paths(self) -> list[Path]:
        """What was dropped or chosen."""
        several = [Path(bpy.path.abspath(self.directory)) / file.name for file in self.files if file.name]
        return several or ([Path(bpy.path.abspath(self.filepath))] if self.filepath else [])


class FITBODY_OT_clear_photos(AddonOperator, bpy.types.Operator):
    """Take all photos off the list"""

    bl_idname = "fitbody.clear_photos"
    bl_label = "Clear List"
    bl_options = {"REGISTER"}

    def run(self, context: Any) -> None:
        """The photos themselves stay."""
        panel_settings().photos.clear()


class FITBODY_OT_cancel(AddonOperator, bpy.types.Operator):
    """Stop the fit; the scene stays as it is"""

    bl_idname = "fitbody.cancel"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Only while a fit is running."""
        return STATE.job is not None and not STATE.job.stopping

    def run(self, context: Any) -> None:
        """Stop."""
        session.cancel()
        session.redraw()


class FITBODY_OT_import_result(AddonOperator, bpy.types.Operator, ImportHelper):
    """Bring bodies that dsr-fit found into the scene"""

    bl_idname = "fitbody.import_result"
    bl_label = "Import Fitted Bodies"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json;*.npz", options={"HIDDEN"})
    camera: BoolProperty(name="Camera and Photo", default=True)
    ground: BoolProperty(name="Place on Ground", default=True)
    correctives: BoolProperty(name="Pose Correctives", default=True)
    parts: BoolProperty(name="Part Materials", default=False)
    twist: BoolProperty(name="Twist Bones", default=True)
    replace: BoolProperty(name="Replace Earlier", description="Of the same photo, unless edited", default=False)

    def run(self, context: Any) -> None:
        """Read, check, build."""
        settings = panel_settings()
        options = replace(
            settings.build_options(),
            camera=self.camera,
            ground=self.ground,
            correctives=self.correctives,
            parts=self.parts,
            twist=self.twist,
            replace=self.replace,
        )
        STATE.message, STATE.warnings = None, []
        self.inform(import_results([Path(bpy.path.abspath(self.filepath))], options, look=False))


def edited_earlier(settings: Any) -> bool:
    """Whether the scene has edited bodies of the photo that is chosen."""
    sources = settings.source_paths()
    if settings.source == "RESULT":
        try:
            sources = [read_result(path).source for path in sources]
        except FitBodyError:
            return False  # what is wrong with it is said when it is imported
    return any(is_edited(collection) for source in sources for collection in photos.of_file(source))


def set_source(settings: Any, paths: list[str]) -> None:
    """Put a file into the panel's field that takes it, several photos into the list."""
    if len(paths) != 1:
        settings.source = "PHOTOS"
        settings.photos.clear()
        for path in paths:
            settings.photos.add().name = path
        return
    path = paths[0]
    kind = Path(path).suffix.lower()
    if kind in bpy.path.extensions_movie and kind not in bpy.path.extensions_image:
        settings.source, settings.video = "VIDEO", path
    else:
        settings.source, settings.image = "IMAGE", path


CLASSES = (
    FITBODY_OT_fit,
    FITBODY_OT_fit_file,
    FITBODY_OT_clear_photos,
    FITBODY_OT_cancel,
    FITBODY_OT_import_result,
)
