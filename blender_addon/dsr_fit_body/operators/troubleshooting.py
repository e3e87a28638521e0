# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators for when something went wrong: find and check the worker's Python, locate a body model, try again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
from bpy.props import StringProperty
from bpy_extras.io_utils import ImportHelper

from .. import i18n, session
from ..core.environments import find_python
from ..core.job import Outcome
from ..core.messages import FIXES, FitBodyError, sentence
from ..core.worker import worker_command
from ..preferences import FitBodyPreferences, addon_preferences, worker_python
from ..properties import panel_settings
from ..session import STATE
from .base import AddonOperator

CHECK_TIMEOUT_S = 30.0


class FITBODY_OT_check_runtime(AddonOperator, bpy.types.Operator):
    """Start the worker and show what it finds: versions, devices, body models"""

    bl_idname = "fitbody.check_runtime"
    bl_label = "Check"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Not while a fit is running."""
        return cls.poll_with_reason(not session.running(), sentence("A fit is running"))

    def run(self, context: Any) -> set[str] | None:
        """Ask the worker for its self-test."""
        STATE.checks = []
        if not worker_python():
            raise FitBodyError("no_python")
        command = worker_command(worker_python(), addon_preferences().keep_warm)
        session.start_job(command, "check", {}, CHECK_TIMEOUT_S, _show_check)
        if bpy.app.background and STATE.message is not None:
            return self.refuse(STATE.message.sentence, "ERROR")
        return None


class FITBODY_OT_find_python(AddonOperator, bpy.types.Operator):
    """Look for an environment that has dsr"""

    bl_idname = "fitbody.find_python"
    bl_label = "Find Python"
    bl_options = {"INTERNAL"}

    def run(self, context: Any) -> set[str] | None:
        """Files are looked at, nothing is run."""
        near = Path(bpy.data.filepath).parent if bpy.data.filepath else None
        path = find_python(near)
        if not path:
            return self.refuse(sentence("No environment with dsr was found; choose its Python yourself"))
        addon_preferences().python = path
        STATE.message = None
        self.inform(sentence("Found {path}", path=path))
        session.redraw()
        return None


class FITBODY_OT_locate_model(AddonOperator, bpy.types.Operator, ImportHelper):
    """Choose the file of a licensed SMPL or SMPL-X body"""

    bl_idname = "fitbody.locate_model"
    bl_label = "Locate Body Model"
    bl_options = {"INTERNAL"}

    filter_glob: StringProperty(default="*.npz;*.pkl;*.json", options={"HIDDEN"})

    def run(self, context: Any) -> None:
        """Use it from now on."""
        panel_settings().body, panel_settings().body_file = "FILE", self.filepath
        STATE.message = None
        session.redraw()


class FITBODY_OT_fix(AddonOperator, bpy.types.Operator):
    """Do what helps"""

    bl_idname = "fitbody.fix"
    bl_label = "Fix"
    bl_options = {"INTERNAL"}

    def run(self, context: Any) -> set[str]:
        """One of the known fixes."""
        code = STATE.message.fix if STATE.message else ""
        try:
            return _FIXERS[code]() if code in _FIXERS else {"CANCELLED"}
        except RuntimeError as error:  # what the other operator reports, which the panel shows already
            if STATE.message is None:
                raise FitBodyError("failed", detail=str(error).removeprefix("Error: ")) from error
            return self.refuse(STATE.message.sentence, "ERROR")


class FITBODY_OT_dismiss(AddonOperator, bpy.types.Operator):
    """Put the message away"""

    bl_idname = "fitbody.dismiss"
    bl_label = "Dismiss"
    bl_options = {"INTERNAL"}

    def run(self, context: Any) -> None:
        """Forget it."""
        STATE.message, STATE.note, STATE.warnings = None, "", []
        session.redraw()


class FITBODY_OT_copy_error(AddonOperator, bpy.types.Operator):
    """Copy the message and the worker's last lines"""

    bl_idname = "fitbody.copy_error"
    bl_label = "Copy Details"
    bl_options = {"INTERNAL"}

    def run(self, context: Any) -> None:
        """Into the clipboard."""
        lines = list(STATE.worker.log_tail) if STATE.worker else []
        lines += list(STATE.install_log)
        text = i18n.translate(STATE.message.sentence) if STATE.message else ""
        context.window_manager.clipboard = "\n".join([text, *lines])


def _show_check(outcome: Outcome) -> None:
    """The four lines that matter, and every check that failed."""
    lines = outcome.answers.get("check", {}).get("checks", [])
    hello = STATE.worker.hello if STATE.worker and STATE.worker.hello else {}
    rows = [("ok", f"dsr {hello.get('dsr', '?')}, protocol {hello.get('protocol', '?')}")]
    for line in lines if isinstance(lines, list) else []:
        status, name = str(line.get("status", "")), str(line.get("name", ""))
        if name in ("Python", "torch", "devices", "open body") or status not in ("ok", "note"):
            rows.append((status, f"{name}: {line.get('detail', '')} {line.get('fix', '')}".strip()))
    STATE.checks = rows if lines else []
    if lines:
        bad = [text for status, text in rows if status not in ("ok", "note")]
        STATE.note = sentence("The runtime is ready") if not bad else ""
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
        bpy.ops.preferences.addon_show(module=FitBodyPreferences.bl_idname)
    return {"FINISHED"}


def _lower_score() -> set[str]:
    panel_settings().min_score = min(0.3, panel_settings().min_score)
    return bpy.ops.fitbody.fit()


def _use_cpu() -> set[str]:
    addon_preferences().device = "cpu"
    return bpy.ops.fitbody.fit()


_FIXERS: dict[str, Callable[[], set[str]]] = {
    "PREFERENCES": _open_preferences,
    "CHECK": lambda: bpy.ops.fitbody.check_runtime(),
    "LOCATE_MODEL": lambda: bpy.ops.fitbody.locate_model("INVOKE_DEFAULT"),
    "LOWER_SCORE": _lower_score,
    "CPU": _use_cpu,
    "RETRY": lambda: bpy.ops.fitbody.fit(),
    "INSTALL": lambda: bpy.ops.fitbody.install("EXEC_DEFAULT" if bpy.app.background else "INVOKE_DEFAULT"),
    "VIDEO": lambda: bpy.ops.fitbody.install_video("EXEC_DEFAULT" if bpy.app.background else "INVOKE_DEFAULT"),
}
assert set(_FIXERS) == set(FIXES) - {""}

CLASSES = (
    FITBODY_OT_check_runtime,
    FITBODY_OT_find_python,
    FITBODY_OT_locate_model,
    FITBODY_OT_fix,
    FITBODY_OT_dismiss,
    FITBODY_OT_copy_error,
)
