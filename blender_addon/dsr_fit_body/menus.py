# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries in Add, File > Import and the Image Editor's menu, and dropping of pictures where Blender has it."""

from __future__ import annotations

from typing import Any

import bpy


def _add(self: Any, context: Any) -> None:
    self.layout.separator()
    self.layout.operator("fitbody.fit_file", icon="ARMATURE_DATA")


def _import(self: Any, context: Any) -> None:
    self.layout.operator("fitbody.import_result", text="Fitted Bodies (.json)")
    self.layout.operator("fitbody.fit_file", text="Body from Photo")


def _image(self: Any, context: Any) -> None:
    self.layout.separator()
    self.layout.operator("fitbody.use_active_image", text="Use as Photo of Fit Body", icon="ARMATURE_DATA")


def _drop_class() -> Any | None:
    if not hasattr(bpy.types, "FileHandler"):
        return None

    class FITBODY_FH_photo(bpy.types.FileHandler):
        """Photos dropped on the 3D view."""

        bl_idname = "FITBODY_FH_photo"
        bl_label = "Body from Photo"
        bl_import_operator = "fitbody.fit_file"
        bl_file_extensions = ".jpg;.jpeg;.png;.webp;.heic;.tif;.tiff;.bmp"

        @classmethod
        def poll_drop(cls, context: Any) -> bool:
            """On the 3D view."""
            return context.area is not None and context.area.type == "VIEW_3D"

    return FITBODY_FH_photo


_DROP: list[Any] = []


def register() -> None:
    """Add the entries."""
    bpy.types.VIEW3D_MT_add.append(_add)
    bpy.types.TOPBAR_MT_file_import.append(_import)
    bpy.types.IMAGE_MT_image.append(_image)
    handler = _drop_class()
    if handler is not None:
        bpy.utils.register_class(handler)
        _DROP.append(handler)


def unregister() -> None:
    """Take them away."""
    while _DROP:
        bpy.utils.unregister_class(_DROP.pop())
    bpy.types.IMAGE_MT_image.remove(_image)
    bpy.types.TOPBAR_MT_file_import.remove(_import)
    bpy.types.VIEW3D_MT_add.remove(_add)
