# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker before it is needed: it starts when the panel is first seen, and looks at a photo that is chosen."""

from __future__ import annotations

import contextlib
from typing import Any

import bpy

from . import session
from .core.messages import FitBodyError
from .core.worker import worker_command
from .preferences import addon_preferences, worker_python

PAUSE_S = 0.1
"""Seconds for one choice to be followed by others, as a script or Use Active Image makes them."""


_seen = False


def panel_seen() -> None:
    """For drawing: the first time that there is a worker, it starts."""
    global _seen
    if not _seen and worker_python():
        _seen = True
        photo_chosen()


def photo_chosen() -> None:
    """A photo is chosen, or about to be."""
    if not bpy.app.background and not bpy.app.timers.is_registered(get_ready):
        bpy.app.timers.register(get_ready, first_interval=PAUSE_S)


def changed(self: Any, context: Any) -> None:
    """For Blender's ``update`` of settings that change what is looked for."""
    photo_chosen()


def get_ready() -> None:
    """Tell the worker what will be asked for; what is wrong with it is said when it is asked for."""
    settings, preferences = bpy.context.window_manager.dsr_fit_body, addon_preferences()
    if not preferences.early or not worker_python() or settings.source == "RESULT" or session.running():
        return
    path = settings.source_path()
    options = settings.fit_options(preferences.device) | {"refine": "none"}  # that would take long
    picture = settings.source in ("IMAGE", "PHOTOS") and path is not None and path.is_file()
    with contextlib.suppress(FitBodyError):
        command = worker_command(worker_python(), preferences.keep_warm)
        session.get_ready(command, {"inputs": [str(path)] if picture else [], "options": options})


def unregister() -> None:
    """No timer of ours stays with Blender."""
    global _seen
    _seen = False
    if bpy.app.timers.is_registered(get_ready):
        bpy.app.timers.unregister(get_ready)
