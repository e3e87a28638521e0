# SPDX-License-Identifier: GPL-3.0-or-later
"""Turning the add-on on and off; twice in a row is harmless."""

from __future__ import annotations

import bpy

from . import (
    i18n,
    menus,
    ops_edit,
    ops_export,
    ops_fit,
    ops_help,
    ops_image,
    ops_rigify,
    prefs,
    preview,
    props,
    session,
    ui,
)

_CLASSES = (
    *prefs.CLASSES,
    *props.CLASSES,
    *ops_fit.CLASSES,
    *ops_image.CLASSES,
    *ops_help.CLASSES,
    *ops_edit.CLASSES,
    *ops_rigify.CLASSES,
    *ops_export.CLASSES,
    *ui.CLASSES,
)
_registered = False


def register() -> None:
    """All classes, properties, menus, handlers."""
    global _registered
    if _registered:
        unregister()
    i18n.register()
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    props.register()
    menus.register()
    session.register()
    _registered = True


def unregister() -> None:
    """Everything away again; a running fit is stopped first."""
    global _registered
    if not _registered:
        return
    _registered = False
    session.unregister()
    preview.unregister()
    menus.unregister()
    props.unregister()
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
    i18n.unregister()
