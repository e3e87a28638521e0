# SPDX-License-Identifier: GPL-3.0-or-later
"""Turning the add-on on and off; twice in a row is harmless."""

from __future__ import annotations

import bpy

from . import ahead, i18n, menus, operators, panels, preferences, preview, properties, session

CLASSES = (*preferences.CLASSES, *properties.CLASSES, *operators.CLASSES, *panels.CLASSES)
_registered = False


def register() -> None:
    """All classes, properties, menus, handlers."""
    global _registered
    if _registered:
        unregister()
    i18n.register()
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    properties.register()
    menus.register()
    session.register()
    _registered = True


def unregister() -> None:
    """Everything away again; a running fit is stopped first."""
    global _registered
    if not _registered:
        return
    _registered = False
    ahead.unregister()
    session.unregister()
    preview.unregister()
    menus.unregister()
    properties.unregister()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
    i18n.unregister()
