# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences: which Python, which device, how long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from . import compat
from .core.environments import python_from_variables
from .core.garment import usual_folder
from .core.messages import sentence
from .core.runtime import installed
from .i18n import translate
from .session import STATE

DEVICES = [
    ("auto", "Automatic", "The GPU where there is one"),
    ("cpu", "CPU", "The processor"),
    ("cuda", "GPU", "The graphics card (CUDA)"),
]


class FitBodyPreferences(bpy.types.AddonPreferences):
    """Set once."""

    bl_idname = __package__

    python: StringProperty(
        name="Python",
        description="The Python of the environment that has dsr, that environment's folder, or its dsr-fit",
        subtype="FILE_PATH",
    )
    device: EnumProperty(name="Device", items=DEVICES, default="auto")
    time_limit: IntProperty(
        name="Time Limit",
        description="Seconds one picture or frame may take before the fit is stopped; 0 for no limit",
        default=120,
        min=0,
        soft_max=3600,
    )
    keep_warm: FloatProperty(
        name="Keep Worker",
        description="Seconds the worker stays loaded after a fit for the next one to be quick; it uses memory",
        default=300.0,
        min=1.0,
        soft_max=3600.0,
    )
    early: BoolProperty(
        name="Start Worker Early",
        description="A photo is looked at as soon as it is chosen, and a fit is there at once; off: after the button",
        default=True,
    )
    keep_runs: IntProperty(
        name="Keep Results",
        description="How many of the last fits' files are kept",
        default=20,
        min=1,
        soft_max=500,
    )

    clothes: StringProperty(
        name="Garments",
        description="Folder with garments of MakeHuman's format (.mhclo): MakeHuman's or MPFB's data, or an asset pack",
        subtype="DIR_PATH",
    )

    def draw(self, context: Any) -> None:
        """The page."""
        layout = self.layout
        layout.use_property_split = True
        row = layout.row(align=True)
        row.prop(self, "python")
        row.operator("fitbody.find_python", text="", icon="VIEWZOOM")
        if not self.python and python_from_variables():
            layout.label(text=translate(sentence("From the environment: {path}", path=python_from_variables())))
        layout.prop(self, "clothes")
        for name in ("device", "time_limit", "early", "keep_warm", "keep_runs"):
            layout.prop(self, name)
        draw_installation(layout)
        layout.operator("fitbody.check_runtime", icon="CHECKMARK")
        for status, text in STATE.checks:
            layout.label(text=text, icon={"ok": "CHECKMARK", "note": "INFO"}.get(status, "ERROR"))
        layout.label(text="Panel: 3D View > Sidebar (N) > Fit Body", icon="INFO")


def addon_preferences() -> FitBodyPreferences:
    """This add-on's preferences."""
    return bpy.context.preferences.addons[__package__].preferences


def worker_python() -> str:
    """The worker's Python: the preference, what an environment variable names, or the add-on's own environment."""
    return bpy.path.abspath(addon_preferences().python) or python_from_variables() or installed(runtime_folder())


def clothes_folder() -> Path | None:
    """Where garments are: the preference, what the zip carried, or MakeHuman's or MPFB's own folder; or None."""
    chosen = bpy.path.abspath(addon_preferences().clothes)
    return Path(chosen) if chosen else usual_folder(Path(__file__).parent / "clothes", Path.home())


def runtime_folder() -> Path:
    """Where the add-on's own environment is."""
    return compat.user_folder(__package__) / "runtime"


def draw_installation(layout: Any) -> None:
    """Install, or how far it is; repair and remove where it is there."""
    installation = STATE.installation
    if installation is not None:
        column = layout.column(align=True)
        compat.draw_progress(column, installation.fraction, translate(installation.activity))
        column.operator("fitbody.cancel_installation", icon="CANCEL")
    elif installed(runtime_folder()):
        row = layout.row(align=True)
        row.operator("fitbody.install", text="Repair", icon="FILE_REFRESH").repair = True
        row.operator("fitbody.remove_installation", icon="TRASH")
    else:
        column = layout.column(align=True)
        column.scale_y = 1.4
        column.operator("fitbody.install", icon="IMPORT")
        if not getattr(bpy.app, "online_access", True):
            layout.label(text="Allow Online Access in Preferences > System first", icon="INFO")


CLASSES = (FitBodyPreferences,)
