# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar tab "Fit Body"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from . import ahead, compat, session
from .body_settings import GESTURES, SIZES
from .builders import clothes, photos, shape
from .builders.armature import direction_spreads
from .builders.gestures import has_gestures
from .builders.measurements import measured_once
from .builders.mesh import CORRECTIVE, GARMENT, expression_keys, get_shapes
from .builders.metarig_armature import has_rigify, is_metarig
from .builders.twist import has_twist
from .core.directions import KEY_NAMES
from .core.garment import title
from .core.messages import FIXES, sentence
from .i18n import translate
from .operators.character import is_character
from .operators.rigify import ENABLE_RIGIFY
from .panel_parts import fold, full_width, paragraph, props
from .preferences import addon_preferences, clothes_folder, draw_installation, worker_python
from .preview import PREVIEW, THUMBNAILS
from .session import STATE


class SidePanel:
    """Place and looks of all panels; ``draw_content(context, layout, column, settings)`` draws one."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Fit Body"

    def draw(self, context: Any) -> None:
        """Blender's entry."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        self.draw_content(context, layout, layout.column(), context.window_manager.dsr_fit_body)


class SubPanel(SidePanel):
    """Below the main panel, closed at first."""

    bl_parent_id = "FITBODY_PT_main"
    bl_options = {"DEFAULT_CLOSED"}


class FITBODY_PT_main(SidePanel, bpy.types.Panel):
    """Source, choices, Fit."""

    bl_idname = "FITBODY_PT_main"
    bl_label = "Fit body from image"

    def draw_content(self, context: Any, layout: Any, column: Any, settings: Any) -> None:
        """Top to bottom as it is used."""
        ahead.panel_seen()
        if not worker_python():
            box = column.box()
            draw_installation(box)
            paragraph(box, translate(sentence("Or set the Python that has dsr")), "INFO")
            box.operator("fitbody.find_python", icon="VIEWZOOM")
            box.operator("preferences.addon_show", text="Open Preferences", icon="PREFERENCES").module = __package__
        column = layout.column()
        column.enabled = not session.running()
        column.prop(settings, "source", text="")
        _source(column, settings)
        if settings.source != "RESULT":
            _choices(column, settings)
        column.prop(settings, "again", expand=False)
        _button(layout, settings)
        _messages(layout)


class FITBODY_PT_scene(SubPanel, bpy.types.Panel):
    """What is made."""

    bl_idname = "FITBODY_PT_scene"
    bl_label = "Scene"

    def draw_content(self, context: Any, layout: Any, column: Any, settings: Any) -> None:
        """Options and buttons."""
        props(column, settings, "camera")
        row = full_width(column).row(align=True)
        row.prop(settings, "opacity")
        row.operator("fitbody.photo_opacity", text="", icon="CHECKMARK")
        props(
            column,
            settings,
            "pack",
            "scene_camera",
            "set_size",
            "look",
            "ground",
            "twist",
            "correctives",
            "parts",
            "alone",
        )
        column.operator("fitbody.view_photo", text="Look Through Camera", icon="CAMERA_DATA")
        column.operator("fitbody.place_on_ground", icon="TRIA_DOWN_BAR")
        _photos(layout)


class FITBODY_PT_animation(SubPanel, bpy.types.Panel):
    """For clips."""

    bl_idname = "FITBODY_PT_animation"
    bl_label = "Animation"

    def draw_content(self, context: Any, layout: Any, column: Any, settings: Any) -> None:
        """Options."""
        props(column, settings, "start_current", "fps", "root_motion")
        props(full_width(column), settings, "smoothing", "fill")


class FITBODY_PT_body(SubPanel, bpy.types.Panel):
    """The active body."""

    bl_idname = "FITBODY_PT_body"
    bl_label = "Body"

    def draw_content(self, context: Any, layout: Any, column: Any, settings: Any) -> None:
        """Sizes, sliders, resets."""
        body = shape.body_objects(context.active_object)
        if is_metarig(context.active_object):
            _metarig_buttons(column)
            return
        if body is None:
            column.label(text="Select a fitted body", icon="INFO")
            return
        armature, mesh_object = body
        sizes = full_width(column)
        for name, size in measured_once(mesh_object).items():
            if name in SIZES:
                sizes.prop(armature.dsr_fit_body, SIZES[name])
                continue
            row = sizes.row()
            row.label(text=name)
            row.label(text=f"{size:.1f} cm")
        _shape_sliders(layout, armature, mesh_object, settings)
        row = layout.row(align=True)
        row.operator("fitbody.reset_shape")
        row.operator("fitbody.reset_pose")
        row = layout.row(align=True)
        row.operator("fitbody.update_joints")
        row.operator("fitbody.twist_bones", depress=has_twist(armature))
        if CORRECTIVE in mesh_object.data.shape_keys.key_blocks:
            layout.operator("fitbody.bake_correctives")
        row = layout.row(align=True)
        row.operator("fitbody.part_materials", text="Parts").kind = "PARTS"
        row.operator("fitbody.part_materials", text="Skin").kind = "SKIN"
        layout.operator("fitbody.save_pose_asset", icon="ASSET_MANAGER")
        layout.operator("fitbody.add_metarig", icon="OUTLINER_OB_ARMATURE")


class FITBODY_PT_face(SubPanel, bpy.types.Panel):
    """Face and hands of the active body."""

    bl_idname = "FITBODY_PT_face"
    bl_label = "Face and Hands"

    def draw_content(self, context: Any, layout: Any, column: Any, settings: Any) -> None:
        """Bones as sliders, then the facial expressions' keys."""
        body = shape.body_objects(context.active_object)
        if body is None or not has_gestures(body[0]):
            text = sentence("Select a body with fingers and face: fit with Fingers and Face")
            paragraph(column, translate(text), "INFO")
            return
        sliders = full_width(column)
        for name in GESTURES:
            sliders.prop(body[0].dsr_fit_body, name, slider=True)
        sliders = full_width(layout)
        for key in expression_keys(body[1]):
            text = key.name.removesuffix("Left").removesuffix("Right")  # whole, the longest are cut
            side = key.name[len(text) :][:1]
            sliders.prop(key, "value", text=f"{text} {side}".strip(), slider=True, translate=False)


class FITBODY_PT_clothes(SubPanel, bpy.types.Panel):
    """What the active body wears."""

    bl_idname = "FITBODY_PT_clothes"
    bl_label = "Clothes"

    def draw_content(self, context: Any, layout: Any, column: Any, settings: Any) -> None:
        """The folder, a garment of it, what is worn, a skin."""
        column.prop(addon_preferences(), "clothes", text="Folder")
        folder = clothes_folder()
        if folder is None or not settings.garment:
            text = sentence("Choose a folder with garments of MakeHuman's format (.mhclo): its CC0 asset packs, say")
            paragraph(column, translate(text), "INFO")
            return
        part = full_width(column)
        part.prop(settings, "garment", text="")
        part.operator("fitbody.wear", text="Wear", icon="MATCLOTH")
        body = shape.body_objects(context.active_object)
        for item in clothes.worn_by(body[0]) if body is not None else ():
            row = column.row(align=True)
            row.label(text=title(Path(str(item[GARMENT]))), icon="MATCLOTH", translate=False)
            row.operator("fitbody.take_off", text="", icon="X").garment = item.name
        if settings.skin:
            part = full_width(column)
            part.prop(settings, "skin", text="")
            part.operator("fitbody.use_skin", text="Use Skin", icon="MATERIAL")


class FITBODY_PT_character(SubPanel, bpy.types.Panel):
    """The pose on the artist's own character."""

    bl_idname = "FITBODY_PT_character"
    bl_label = "Pose to My Character"

    def draw_content(self, context: Any, layout: Any, column: Any, settings: Any) -> None:
        """The map of the active armature, and what is done with it."""
        armature = context.active_object
        if not is_character(armature):
            paragraph(column, translate(sentence("Select your character's armature")), "INFO")
            return
        bones = armature.dsr_bone_map
        column.operator("fitbody.apply_to_armature", icon="ARMATURE_DATA")
        props(column, bones, "path", "keep_feet", "at_body")
        row = fold(layout, bones, "show")
        row.operator("fitbody.guess_bone_map", text="", icon="VIEWZOOM")
        row.operator("fitbody.load_bone_map", text="", icon="FILEBROWSER")
        row.operator("fitbody.save_bone_map", text="", icon="FILE_TICK")
        if bones.show:
            rows = layout.column(align=True)
            for entry in bones.rows:
                text = entry.name.replace("_", " ").title()
                rows.prop_search(entry, "bone", armature.data, "bones", text=text, icon="BONE_DATA")


class FITBODY_PT_export(SubPanel, bpy.types.Panel):
    """Out again."""

    bl_idname = "FITBODY_PT_export"
    bl_label = "Export"

    def draw_content(self, context: Any, layout: Any, column: Any, settings: Any) -> None:
        """Names, shape, scale, formats."""
        column.prop(settings, "export_people")
        column.prop(settings, "export_names", text="Names")
        props(column, settings, "export_scale", "export_origin", "export_bake")
        column.operator_menu_enum("fitbody.export", "format", text="Export Body")
        column.operator("fitbody.rename_bones", text="Rename in Scene").scheme = settings.export_names


def _shape_sliders(layout: Any, armature: Any, mesh_object: Any, settings: Any) -> None:
    """Named directions first, and the coefficients behind a fold; bodies of earlier versions have these alone."""
    named = direction_spreads(armature)
    sliders = full_width(layout)
    for name in KEY_NAMES:
        if name in named:
            sliders.prop(armature.dsr_fit_body, name, slider=True)
    if named:
        fold(layout, settings, "all_shapes")
    if settings.all_shapes or not named:
        sliders = full_width(layout)
        for index in range(len(get_shapes(mesh_object))):
            text = translate(sentence("Shape {number}", number=index))
            sliders.prop(armature.dsr_fit_body, "shape", index=index, text=text, slider=True)


def _metarig_buttons(column: Any) -> None:
    """What can be done with a metarig."""
    if has_rigify():
        column.operator("fitbody.generate_rig", icon="POSE_HLT")
    else:
        paragraph(column, translate(ENABLE_RIGIFY), "INFO")


def _photos(layout: Any) -> None:
    """Photos of the scene, whose bodies fit worst first: picture, what is shown, how far bodies are from keypoints."""
    found = photos.photos()
    rows = layout.column(align=True)
    for photo in found[:_MOST_PHOTOS] if len(found) > 1 else ():
        row = _thumbnail(rows, str(photo.get(photos.IMAGE, "")))
        icon = "HIDE_OFF" if photos.is_shown(photo) else "HIDE_ON"
        name = photo.name.removeprefix("FitBody ")
        row.operator("fitbody.show_photo", text=name, icon=icon, translate=False).collection = photo.name
        if photos.RESIDUAL in photo:
            row.label(text=f"{photo[photos.RESIDUAL]:.1f} px")


def _thumbnail(column: Any, path: str) -> Any:
    """A row that begins with a small picture of a photo, once it was read."""
    row = column.row(align=True)
    icon = THUMBNAILS.icon_of(path)
    if icon:
        row.template_icon(icon_value=icon, scale=2.0)
        row = row.column(align=True).row(align=True)
        row.scale_y = 2.0
    return row


def _listed_photos(settings: Any) -> list[tuple[str, float | None]]:
    """Chosen photos with how far their bodies are from the keypoints; once fitted, the worst come first."""
    residuals = photos.residuals_px()
    rows = [(path, residuals.get(str(path))) for path in settings.source_paths()]
    rows.sort(key=lambda row: -1.0 if row[1] is None else -row[1] - 1.0)
    return [(str(path), residual) for path, residual in rows]


_MOST_PHOTOS = 24


def _source(column: Any, settings: Any) -> None:
    """What is fitted, and a small picture of it."""
    if settings.source == "RESULT":
        column.prop(settings, "result_folder", text="")
        column.prop(settings, "result", text="")
        library = column.operator("fitbody.make_pose_library", icon="ASSET_MANAGER")
        library.directory = settings.result_folder
        return
    if settings.source == "PHOTOS":
        rows = column.column(align=True)
        for path, residual in _listed_photos(settings)[:_MOST_PHOTOS]:
            row = _thumbnail(rows, path)
            row.label(text=Path(path).name, translate=False)
            if residual is not None:
                row.label(text=f"{residual:.1f} px")
        row = column.row(align=True)
        row.operator("fitbody.fit_file", text="Choose Photos", icon="FILEBROWSER")
        row.operator("fitbody.clear_photos", text="", icon="X")
        return
    column.prop(settings, {"IMAGE": "image", "SEQUENCE": "frames", "VIDEO": "video"}[settings.source], text="")
    if settings.source == "SEQUENCE":
        full_width(column).prop(settings, "sequence_fps")
    column.operator("fitbody.use_active_image", icon="IMAGE_DATA")
    icon = PREVIEW.icon_of(settings.source_path(), settings.source)
    if icon:
        column.template_icon(icon_value=icon, scale=5.0)


def _choices(column: Any, settings: Any) -> None:
    """How it is fitted."""
    details = {"people": {"one": "person", "some": "count"}, "body": {"FILE": "body_file"}}
    details["focal"] = {"MM": "focal_mm", "FOV": "fov"}
    for name in ("people", "min_score", "body", "focal", "quality", "refine"):
        column.prop(settings, name)
        extra = details.get(name, {}).get(getattr(settings, name))
        if extra:
            column.prop(settings, extra)
    fingers = full_width(column)
    fingers.enabled = settings.body != "open-light"
    fingers.prop(settings, "expressive")


def _button(layout: Any, settings: Any) -> None:
    """Fit, or how far it is."""
    job = STATE.job
    row = layout.row()
    row.scale_y = 1.4
    if job is None:
        text = "Import" if settings.source == "RESULT" else "Fit Body"
        row.operator("fitbody.fit", text=text, icon="ARMATURE_DATA")
        return
    compat.draw_progress(row, job.fraction, translate(job.activity))
    row = layout.row(align=True)
    row.label(text=f"{job.seconds:.1f} s", icon="SORTTIME")
    row.operator("fitbody.cancel", icon="CANCEL", text="Stopping" if job.stopping else "Cancel")


def _messages(layout: Any) -> None:
    """What went wrong with one button that helps, or what went well."""
    if STATE.message is not None:
        box = layout.box()
        box.alert = STATE.message.code not in ("cancelled", "file_loaded")
        paragraph(box, translate(STATE.message.sentence), "ERROR" if box.alert else "INFO")
        row = box.row(align=True)
        if STATE.message.fix:
            row.operator("fitbody.fix", text=FIXES[STATE.message.fix])
        row.operator("fitbody.copy_error", text="", icon="COPYDOWN")
        row.operator("fitbody.dismiss", text="", icon="X")
    elif STATE.note:
        layout.label(text=translate(STATE.note), icon="CHECKMARK")
    for text in STATE.warnings[:6]:
        paragraph(layout, translate(text), "INFO")


CLASSES = (
    FITBODY_PT_main,
    FITBODY_PT_scene,
    FITBODY_PT_animation,
    FITBODY_PT_body,
    FITBODY_PT_face,
    FITBODY_PT_clothes,
    FITBODY_PT_character,
    FITBODY_PT_export,
)
