# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar tab "Fit Body"."""

from __future__ import annotations

import textwrap
from typing import Any

import bpy

from . import compat, session
from .builders import shape
from .builders.mesh import CORRECTIVE, get_shapes
from .core.messages import FIXES
from .prefs import python
from .session import STATE


class SidePanel:
    """Place of all panels."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Fit Body"


class FITBODY_PT_main(SidePanel, bpy.types.Panel):
    """Source, choices, Fit."""

    bl_idname = "FITBODY_PT_main"
    bl_label = "Fit body from image"

    def draw(self, context: Any) -> None:
        """Top to bottom as it is used."""
        layout, chosen = self.layout, context.window_manager.dsr_fit_body
        if not python():
            box = layout.box()
            box.label(text="Set the Python that has dsr", icon="ERROR")
            box.operator("fitbody.find_python", icon="VIEWZOOM")
            box.operator("preferences.addon_show", text="Open Preferences", icon="PREFERENCES").module = __package__
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        column.enabled = not session.running()
        column.prop(chosen, "source", text="")
        self._source(column, chosen)
        if chosen.source != "RESULT":
            self._choices(column, chosen)
        column.prop(chosen, "again", expand=False)
        self._button(layout, chosen)
        self._messages(layout)

    @staticmethod
    def _source(column: Any, chosen: Any) -> None:
        if chosen.source == "RESULT":
            column.prop(chosen, "result_folder", text="")
            column.prop(chosen, "result", text="")
        else:
            column.prop(chosen, {"IMAGE": "image", "SEQUENCE": "frames", "VIDEO": "video"}[chosen.source], text="")

    @staticmethod
    def _choices(column: Any, chosen: Any) -> None:
        column.prop(chosen, "people")
        if chosen.people == "one":
            column.prop(chosen, "person")
        elif chosen.people == "some":
            column.prop(chosen, "count")
        column.prop(chosen, "min_score")
        column.prop(chosen, "body")
        if chosen.body == "FILE":
            column.prop(chosen, "body_file")
        column.prop(chosen, "focal")
        if chosen.focal == "MM":
            column.prop(chosen, "focal_mm")
        elif chosen.focal == "FOV":
            column.prop(chosen, "fov")
        column.prop(chosen, "quality")
        column.prop(chosen, "refine")

    @staticmethod
    def _button(layout: Any, chosen: Any) -> None:
        job = STATE.job
        row = layout.row()
        row.scale_y = 1.4
        if job is None:
            text = "Import" if chosen.source == "RESULT" else "Fit Body"
            row.operator("fitbody.fit", text=text, icon="ARMATURE_DATA")
            return
        compat.draw_progress(row, job.share, job.text)
        row = layout.row(align=True)
        row.label(text=f"{job.seconds:.0f} s", icon="SORTTIME")
        row.operator("fitbody.cancel", icon="CANCEL", text="Stopping" if job.stopping else "Cancel")

    @staticmethod
    def _messages(layout: Any) -> None:
        if STATE.message is not None:
            box = layout.box()
            box.alert = STATE.message.code not in ("cancelled", "file_loaded")
            paragraph(box, STATE.message.text, "ERROR" if box.alert else "INFO")
            row = box.row(align=True)
            if STATE.message.fix:
                row.operator("fitbody.fix", text=FIXES[STATE.message.fix])
            row.operator("fitbody.copy_error", text="", icon="COPYDOWN")
            row.operator("fitbody.dismiss", text="", icon="X")
        elif STATE.note:
            layout.label(text=STATE.note, icon="CHECKMARK")
        for text in STATE.warnings[:6]:
            paragraph(layout, text, "INFO")


class FITBODY_PT_scene(SidePanel, bpy.types.Panel):
    """What is made."""

    bl_idname = "FITBODY_PT_scene"
    bl_parent_id = "FITBODY_PT_main"
    bl_label = "Scene"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        """Options and buttons."""
        layout, chosen = self.layout, context.window_manager.dsr_fit_body
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        column.prop(chosen, "camera")
        row = column.row(align=True)
        row.prop(chosen, "opacity")
        row.operator("fitbody.photo_opacity", text="", icon="CHECKMARK")
        for name in ("pack", "set_size", "look", "ground", "correctives", "parts"):
            column.prop(chosen, name)
        column.operator("fitbody.view_photo", icon="CAMERA_DATA")
        column.operator("fitbody.place_on_ground", icon="TRIA_DOWN_BAR")


class FITBODY_PT_animation(SidePanel, bpy.types.Panel):
    """For clips."""

    bl_idname = "FITBODY_PT_animation"
    bl_parent_id = "FITBODY_PT_main"
    bl_label = "Animation"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        """Options."""
        layout, chosen = self.layout, context.window_manager.dsr_fit_body
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        for name in ("start_current", "fps", "smoothing", "root_motion", "fill"):
            column.prop(chosen, name)


class FITBODY_PT_body(SidePanel, bpy.types.Panel):
    """The active body."""

    bl_idname = "FITBODY_PT_body"
    bl_parent_id = "FITBODY_PT_main"
    bl_label = "Body"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        """Sizes, sliders, resets."""
        layout = self.layout
        found = shape.body_parts(context.active_object)
        if found is None:
            layout.label(text="Select a fitted body", icon="INFO")
            return
        armature, mesh_object = found
        grid = layout.column(align=True)
        for name, size in _sizes(mesh_object).items():
            row = grid.row()
            row.label(text=name)
            row.label(text=f"{size:.1f} cm")
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column(align=True)
        for index in range(len(get_shapes(mesh_object))):
            column.prop(armature.dsr_fit_body, "shape", index=index, text=f"Shape {index}", slider=True)
        row = layout.row(align=True)
        row.operator("fitbody.reset_shape")
        row.operator("fitbody.reset_pose")
        layout.operator("fitbody.update_joints")
        if CORRECTIVE in mesh_object.data.shape_keys.key_blocks:
            layout.operator("fitbody.bake_correctives")
        row = layout.row(align=True)
        row.operator("fitbody.part_materials", text="Parts").kind = "PARTS"
        row.operator("fitbody.part_materials", text="Skin").kind = "SKIN"


class FITBODY_PT_export(SidePanel, bpy.types.Panel):
    """Out again."""

    bl_idname = "FITBODY_PT_export"
    bl_parent_id = "FITBODY_PT_main"
    bl_label = "Export"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        """Names, shape, scale, formats."""
        layout, chosen = self.layout, context.window_manager.dsr_fit_body
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        for name in ("export_names", "export_bake", "export_scale"):
            column.prop(chosen, name)
        column.operator_menu_enum("fitbody.export", "format", text="Export Body")
        column.operator("fitbody.rename_bones", text="Rename in Scene").scheme = chosen.export_names


_MEASURED: dict[tuple[int, ...], dict[str, float]] = {}


def _sizes(mesh_object: Any) -> dict[str, float]:
    """Measurements of the active body, worked out once per shape."""
    key = (mesh_object.as_pointer(), *(round(1000 * value) for value in get_shapes(mesh_object).tolist()))
    if key not in _MEASURED:
        _MEASURED.clear()
        _MEASURED[key] = shape.measurements_cm(mesh_object)
    return _MEASURED[key]


def paragraph(layout: Any, text: str, icon: str) -> None:
    """Text in lines that fit a narrow sidebar."""
    region = bpy.context.region
    width = max(24, int((region.width if region else 260) / 8.5) - 4)
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(textwrap.wrap(text, width)[:8]):
        column.label(text=line, icon=icon if number == 0 else "BLANK1")


CLASSES = (FITBODY_PT_main, FITBODY_PT_scene, FITBODY_PT_animation, FITBODY_PT_body, FITBODY_PT_export)
