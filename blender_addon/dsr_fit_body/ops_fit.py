# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit, Cancel, import of results, and the buttons that mend what went wrong."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from . import compat, session
from .builders import camera as cam
from .builders import scene as builder
from .core import find
from .core.job import Outcome
from .core.messages import FIXES, FitBodyError, message
from .core.names import cut_name
from .core.result import read_result
from .core.version import VERSION
from .core.worker import worker_command
from .prefs import preferences, python
from .props import settings
from .session import STATE

CHECK_S = 30.0


class Guarded:
    """Operators whose failures become one sentence, in the report and in the panel."""

    def execute(self, context: Any) -> set[str]:
        """Blender's entry; the work is in ``run``."""
        try:
            return self.run(context)
        except FitBodyError as error:
            session.tell(error.message)
            self.report({"ERROR"}, error.message.text)
            return {"CANCELLED"}


class FITBODY_OT_fit(Guarded, bpy.types.Operator):
    """Fit shaped, rigged, posed bodies to the people in the photo, with the matching camera"""

    bl_idname = "fitbody.fit"
    bl_label = "Fit Body"
    bl_options = {"REGISTER"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE", "HIDDEN"})

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Only one fit at a time."""
        if session.running():
            cls.poll_message_set("A fit is running")
            return False
        return True

    def run(self, context: Any) -> set[str]:
        """Start, and in the background also finish."""
        chosen = settings()
        if self.filepath:
            _choose(chosen, bpy.path.abspath(self.filepath))
        source = chosen.source_path()
        if source is None:
            raise FitBodyError("no_photo")
        if not source.exists():
            raise FitBodyError("photo_missing", photo=source)
        if chosen.source == "RESULT":
            STATE.message = None
            said = _bring_in([source], chosen.build_options(), chosen.look)
            bpy.ops.ed.undo_push(message="Import fitted bodies")
            self.report({"INFO"}, said)
            return {"FINISHED"}
        if not python():
            raise FitBodyError("no_python")
        command = worker_command(python(), preferences().keep_warm)
        folder = new_run_folder(source)
        request = {"inputs": [str(source)], "out": str(folder), "options": chosen.fit_options(preferences().device)}
        request |= {"format": "", "sequence": chosen.source in ("SEQUENCE", "VIDEO")}
        session.start_job(command, "fit", request, float(preferences().time_limit), _finisher(chosen))
        if bpy.app.background:
            if STATE.message is not None:
                self.report({"ERROR"}, STATE.message.text)
                return {"CANCELLED"}
            self.report({"INFO"}, STATE.note)
        return {"FINISHED"}


class FITBODY_OT_fit_file(bpy.types.Operator, ImportHelper):
    """Choose a photo and fit shaped, rigged, posed bodies to the people in it"""

    bl_idname = "fitbody.fit_file"
    bl_label = "Body from Photo"
    bl_options = {"REGISTER"}

    filter_image: BoolProperty(default=True, options={"HIDDEN"})
    filter_movie: BoolProperty(default=True, options={"HIDDEN"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})
    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: Any, event: Any) -> set[str]:
        """A dropped photo is fitted at once, else a file is chosen."""
        if self.filepath and Path(bpy.path.abspath(self.filepath)).is_file():
            return self.execute(context)
        return ImportHelper.invoke(self, context, event)

    def execute(self, context: Any) -> set[str]:
        """Same as the panel's button."""
        return bpy.ops.fitbody.fit(filepath=self.filepath)


class FITBODY_OT_cancel(bpy.types.Operator):
    """Stop the fit; the scene stays as it is"""

    bl_idname = "fitbody.cancel"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Only while a fit is running."""
        return STATE.job is not None and not STATE.job.stopping

    def execute(self, context: Any) -> set[str]:
        """Stop."""
        session.cancel()
        session.redraw()
        return {"FINISHED"}


class FITBODY_OT_import_result(Guarded, bpy.types.Operator, ImportHelper):
    """Bring bodies that dsr-fit found into the scene"""

    bl_idname = "fitbody.import_result"
    bl_label = "Import Fitted Bodies"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json;*.npz", options={"HIDDEN"})
    camera: BoolProperty(name="Camera and Photo", default=True)
    ground: BoolProperty(name="Place on Ground", default=False)
    correctives: BoolProperty(name="Pose Correctives", default=True)
    parts: BoolProperty(name="Part Materials", default=False)
    replace: BoolProperty(name="Replace Earlier", description="Of the same photo", default=False)

    def run(self, context: Any) -> set[str]:
        """Read, check, build."""
        from dataclasses import replace

        chosen = settings()
        options = replace(
            chosen.build_options(),
            camera=self.camera,
            ground=self.ground,
            correctives=self.correctives,
            parts=self.parts,
            replace=self.replace,
        )
        STATE.message = None
        self.report({"INFO"}, _bring_in([Path(bpy.path.abspath(self.filepath))], options, look=False))
        return {"FINISHED"}


class FITBODY_OT_check_runtime(Guarded, bpy.types.Operator):
    """Start the worker and show what it finds: versions, devices, body models"""

    bl_idname = "fitbody.check_runtime"
    bl_label = "Check"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Not while a fit is running."""
        return not session.running()

    def run(self, context: Any) -> set[str]:
        """Ask the worker for its self-test."""
        STATE.checks = []
        if not python():
            raise FitBodyError("no_python")
        session.start_job(worker_command(python(), preferences().keep_warm), "check", {}, CHECK_S, _take_check)
        if bpy.app.background and STATE.message is not None:
            self.report({"ERROR"}, STATE.message.text)
            return {"CANCELLED"}
        return {"FINISHED"}


class FITBODY_OT_find_python(bpy.types.Operator):
    """Look for an environment that has dsr"""

    bl_idname = "fitbody.find_python"
    bl_label = "Find Python"
    bl_options = {"INTERNAL"}

    def execute(self, context: Any) -> set[str]:
        """Files are looked at, nothing is run."""
        near = Path(bpy.data.filepath).parent if bpy.data.filepath else None
        found = find.find_python(near)
        if not found:
            self.report({"WARNING"}, "No environment with dsr was found; choose its Python yourself")
            return {"CANCELLED"}
        preferences().python = found
        STATE.message = None
        self.report({"INFO"}, f"Found {found}")
        session.redraw()
        return {"FINISHED"}


class FITBODY_OT_locate_model(bpy.types.Operator, ImportHelper):
    """Choose the file of a licensed SMPL or SMPL-X body"""

    bl_idname = "fitbody.locate_model"
    bl_label = "Locate Body Model"
    bl_options = {"INTERNAL"}

    filter_glob: StringProperty(default="*.npz;*.pkl;*.json", options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        """Use it from now on."""
        settings().body, settings().body_file = "FILE", self.filepath
        STATE.message = None
        session.redraw()
        return {"FINISHED"}


class FITBODY_OT_fix(bpy.types.Operator):
    """Do what helps"""

    bl_idname = "fitbody.fix"
    bl_label = "Fix"
    bl_options = {"INTERNAL"}

    def execute(self, context: Any) -> set[str]:
        """One of the known fixes."""
        code = STATE.message.fix if STATE.message else ""
        return _FIXERS[code]() if code in _FIXERS else {"CANCELLED"}


class FITBODY_OT_dismiss(bpy.types.Operator):
    """Put the message away"""

    bl_idname = "fitbody.dismiss"
    bl_label = "Dismiss"
    bl_options = {"INTERNAL"}

    def execute(self, context: Any) -> set[str]:
        """Forget it."""
        STATE.message, STATE.note, STATE.warnings = None, "", []
        session.redraw()
        return {"FINISHED"}


class FITBODY_OT_copy_error(bpy.types.Operator):
    """Copy the message and the worker's last lines"""

    bl_idname = "fitbody.copy_error"
    bl_label = "Copy Details"
    bl_options = {"INTERNAL"}

    def execute(self, context: Any) -> set[str]:
        """Into the clipboard."""
        lines = list(STATE.worker.tail) if STATE.worker else []
        context.window_manager.clipboard = "\n".join([STATE.message.text if STATE.message else "", *lines])
        return {"FINISHED"}


def new_run_folder(source: Path) -> Path:
    """A fresh folder for the files of one fit; old ones beyond the number to keep are removed."""
    runs = compat.user_folder(__package__) / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    for old in sorted(p for p in runs.iterdir() if p.is_dir())[: -preferences().keep_runs or None]:
        shutil.rmtree(old, ignore_errors=True)
    base = f"{time.strftime('%Y%m%d-%H%M%S')}-{cut_name(source.stem)}"
    number = 0
    while (folder := runs / (f"{base}-{number}" if number else base)).exists():
        number += 1
    folder.mkdir()
    return folder


def _choose(chosen: Any, path: str) -> None:
    """Put a file into the panel's field that takes it."""
    kind = Path(path).suffix.lower()
    if kind in bpy.path.extensions_movie and kind not in bpy.path.extensions_image:
        chosen.source, chosen.video = "VIDEO", path
    else:
        chosen.source, chosen.image = "IMAGE", path


def _finisher(chosen: Any) -> Callable[[Outcome], None]:
    """Build when the fit is over; settings are taken now, the artist may change them meanwhile."""
    options, look = chosen.build_options(), chosen.look

    def finish(outcome: Outcome) -> None:
        if outcome.message is not None:
            return
        try:
            said = _bring_in(outcome.results, options, look, outcome.seconds)
        except FitBodyError as error:
            STATE.message = error.message
        except Exception as error:  # what a file or another add-on did must not stop the timer
            STATE.message = message("build_failed", detail=f"{type(error).__name__}: {error}")
            raise
        else:
            STATE.note = said
            bpy.ops.ed.undo_push(message="Fit body from image")

    return finish


def _bring_in(paths: list[Path], options: builder.BuildOptions, look: bool, seconds: float | None = None) -> str:
    """Results into the scene; returns the sentence about it."""
    results = [read_result(path) for path in paths]
    count = 0
    warnings: list[str] = []
    for result in results:
        built = builder.build(result, options, version=VERSION)
        count += len(built.armatures)
        warnings += built.warnings
        _select(built)
        if look and built.camera is not None:
            cam.look_through(built.camera)
    STATE.warnings += [text for text in warnings if text not in STATE.warnings]
    took = "" if seconds is None else f" in {seconds:.1f} s"
    STATE.note = f"{count} {'body' if count == 1 else 'bodies'}{took}"
    return STATE.note


def _select(built: builder.Built) -> None:
    """The first person's body becomes the active object."""
    for item in bpy.context.view_layer.objects:
        if item.select_get():
            item.select_set(False)
    built.armatures[0].select_set(True)
    bpy.context.view_layer.objects.active = built.armatures[0]


def _take_check(outcome: Outcome) -> None:
    """Four lines that matter, and whatever is not right."""
    lines = outcome.answers.get("check", {}).get("checks", [])
    hello = STATE.worker.hello if STATE.worker and STATE.worker.hello else {}
    shown = [("ok", f"dsr {hello.get('dsr', '?')}, protocol {hello.get('protocol', '?')}")]
    for line in lines if isinstance(lines, list) else []:
        status, name = str(line.get("status", "")), str(line.get("name", ""))
        if name in ("Python", "torch", "devices", "open body") or status not in ("ok", "note"):
            shown.append((status, f"{name}: {line.get('detail', '')} {line.get('fix', '')}".strip()))
    STATE.checks = shown if lines else []
    if lines:
        bad = [text for status, text in shown if status not in ("ok", "note")]
        STATE.note = "The runtime is ready" if not bad else ""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()


def _open_preferences() -> set[str]:
    if bpy.app.background:
        return {"CANCELLED"}
    bpy.ops.screen.userpref_show("INVOKE_DEFAULT")
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "Fit Body"
    if hasattr(bpy.ops.preferences, "addon_show"):
        bpy.ops.preferences.addon_show(module=__package__)
    return {"FINISHED"}


def _lower_score() -> set[str]:
    settings().min_score = 0.3
    return bpy.ops.fitbody.fit()


def _use_cpu() -> set[str]:
    preferences().device = "cpu"
    return bpy.ops.fitbody.fit()


_FIXERS: dict[str, Callable[[], set[str]]] = {
    "PREFERENCES": _open_preferences,
    "CHECK": lambda: bpy.ops.fitbody.check_runtime(),
    "LOCATE_MODEL": lambda: bpy.ops.fitbody.locate_model("INVOKE_DEFAULT"),
    "LOWER_SCORE": _lower_score,
    "CPU": _use_cpu,
    "RETRY": lambda: bpy.ops.fitbody.fit(),
}
assert set(_FIXERS) == set(FIXES) - {""}

CLASSES = (
    FITBODY_OT_fit,
    FITBODY_OT_fit_file,
    FITBODY_OT_cancel,
    FITBODY_OT_import_result,
    FITBODY_OT_check_runtime,
    FITBODY_OT_find_python,
    FITBODY_OT_locate_model,
    FITBODY_OT_fix,
    FITBODY_OT_dismiss,
    FITBODY_OT_copy_error,
)
