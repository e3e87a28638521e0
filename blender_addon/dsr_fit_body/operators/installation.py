# SPDX-License-Identifier: GPL-3.0-or-later
"""Install, repair and remove the private environment in which the fit runs; add video support to one's own."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty

from .. import i18n, session
from ..core import runtime
from ..core.messages import FitBodyError, Sentence, sentence
from ..preferences import runtime_folder, worker_python
from ..session import STATE
from .base import AddonOperator

CARRIED = Path(__file__).resolve().parents[1] / "runtime"
"""Where ``build.py --with-runtime`` puts a wheel of dsr, one of pip and the tested versions."""
VIDEO_PACKAGES = ["av>=14.0"]


def online() -> bool:
    """Whether Blender may go online; before 4.2 nobody asks."""
    return bool(getattr(bpy.app, "online_access", True))


def refusal() -> Sentence | None:
    """Why nothing can be installed now, or None."""
    if STATE.installation is not None:
        return sentence("An installation is running")
    if session.running():
        return sentence("A fit is running")
    if not online():
        return sentence("Allow Online Access in Preferences > System first")
    return None


class FITBODY_OT_install(AddonOperator, bpy.types.Operator):
    """Make an environment of this add-on's own in your user folder, with everything the fit needs"""

    bl_idname = "fitbody.install"
    bl_label = "Install"
    bl_options = {"REGISTER"}

    repair: BoolProperty(name="Repair", description="Make it anew", default=False, options={"SKIP_SAVE", "HIDDEN"})

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Online, in a zip that carries what is needed, and nothing else at work."""
        if runtime.carried(CARRIED) is None:
            return cls.poll_with_reason(False, sentence("This zip carries no runtime; set a Python that has dsr"))
        reason = refusal()
        return reason is None or cls.poll_with_reason(False, reason)

    def invoke(self, context: Any, event: Any) -> set[str]:
        """Asks for consent."""
        return context.window_manager.invoke_props_dialog(self, width=480)

    def draw(self, context: Any) -> None:
        """What it takes, where it goes, and the commands."""
        column = self.layout.column(align=True)
        values = {"download": runtime.DOWNLOAD_MB, "disk": round(runtime.DISK_MB / 1000, 1)}
        size = sentence("Downloads up to {download} MB, takes {disk} GB of the disk", **values)
        column.label(text=i18n.translate(size), icon="IMPORT")
        column.label(text=i18n.translate(sentence("In {path}", path=runtime_folder())), icon="FILE_FOLDER")
        column.label(text="Nothing is installed into Blender; Remove takes it away again", icon="INFO")
        box = self.layout.box().column(align=True)
        box.scale_y = 0.7
        for line in textwrap.wrap(runtime.command_text(_steps()).replace("\n", "  ;  "), 84)[:12]:
            box.label(text=line, translate=False)
        self.layout.operator("fitbody.copy_commands", icon="COPYDOWN")

    def run(self, context: Any) -> set[str] | None:
        """Start, and in the background also finish."""
        steps = _steps()
        if self.repair:
            session.shut_down()
            runtime.remove(runtime_folder())
        session.start_installation(runtime.Installation(steps, runtime_folder()), _installed)
        if bpy.app.background and STATE.message is not None:
            return self.refuse(STATE.message.sentence, "ERROR")
        return None


class FITBODY_OT_copy_commands(AddonOperator, bpy.types.Operator):
    """Copy the commands, to run them yourself in a terminal"""

    bl_idname = "fitbody.copy_commands"
    bl_label = "Copy Commands"
    bl_options = {"INTERNAL"}

    def run(self, context: Any) -> None:
        """Into the clipboard."""
        context.window_manager.clipboard = runtime.command_text(_steps())


class FITBODY_OT_cancel_installation(AddonOperator, bpy.types.Operator):
    """Stop the installation; what was downloaded is kept for the next time"""

    bl_idname = "fitbody.cancel_installation"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Only while one is running."""
        return STATE.installation is not None

    def run(self, context: Any) -> None:
        """Stop."""
        STATE.installation.cancel()
        session.redraw(preferences=True)


class FITBODY_OT_remove_installation(AddonOperator, bpy.types.Operator):
    """Remove this add-on's own environment from your user folder"""

    bl_idname = "fitbody.remove_installation"
    bl_label = "Remove"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Where there is one and it is not at work."""
        there = runtime_folder().is_dir() and STATE.installation is None and not session.running()
        return cls.poll_with_reason(there, sentence("Nothing is installed"))

    def invoke(self, context: Any, event: Any) -> set[str]:
        """Asks first."""
        return context.window_manager.invoke_confirm(self, event)

    def run(self, context: Any) -> None:
        """The warm worker first: it runs in there."""
        session.shut_down()
        runtime.remove(runtime_folder())
        session.redraw(preferences=True)


class FITBODY_OT_install_video(AddonOperator, bpy.types.Operator):
    """Install what reads videos into the environment of the Python that is set"""

    bl_idname = "fitbody.install_video"
    bl_label = "Install Video Support"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Online, and nothing else at work."""
        reason = refusal()
        return reason is None or cls.poll_with_reason(False, reason)

    def invoke(self, context: Any, event: Any) -> set[str]:
        """Asks for consent."""
        return context.window_manager.invoke_props_dialog(self, width=480)

    def draw(self, context: Any) -> None:
        """The command."""
        for line in textwrap.wrap(runtime.command_text(_video_steps()), 80):
            self.layout.label(text=line, translate=False)

    def run(self, context: Any) -> set[str] | None:
        """Start, and in the background also finish."""
        session.start_installation(runtime.Installation(_video_steps()), _installed)
        session.shut_down()  # the worker that is loaded does not see new packages
        if bpy.app.background and STATE.message is not None:
            return self.refuse(STATE.message.sentence, "ERROR")
        return None


def _steps() -> list[runtime.Step]:
    """Commands of an installation here and now.

    Raises:
        FitBodyError: if there is no Python to make it with, or nothing to install.
    """
    files = runtime.carried(CARRIED)
    if files is None:
        raise FitBodyError("install_failed", detail=sentence("this zip carries no runtime"))
    base = runtime.base_python()
    if not base:
        raise FitBodyError("install_failed", detail=sentence("no Python 3.10 to 3.12 was found"))
    return runtime.installation_steps(base, runtime_folder(), files, os.environ)


def _video_steps() -> list[runtime.Step]:
    if not worker_python():
        raise FitBodyError("no_python")
    return runtime.extra_steps(worker_python(), VIDEO_PACKAGES)


def _installed(installation: runtime.Installation) -> None:
    STATE.note = sentence("The runtime is ready")


CLASSES = (
    FITBODY_OT_install,
    FITBODY_OT_copy_commands,
    FITBODY_OT_cancel_installation,
    FITBODY_OT_remove_installation,
    FITBODY_OT_install_video,
)
