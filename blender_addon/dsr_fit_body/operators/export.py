# SPDX-License-Identifier: GPL-3.0-or-later
"""Export of a body, or of everybody of its photo: copies (names, baked shape) are written and removed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import EnumProperty, StringProperty

from .. import compat
from ..builders import shape
from ..builders.export_bvh import armature_bvh
from ..builders.export_copy import BodyCopies, CopyOptions, copied
from ..core.messages import FitBodyError, sentence
from ..properties import panel_settings
from .base import BodyOperator

FORMATS = {
    "GLB": ("glTF (.glb)", ".glb", "export_scene.gltf"),
    "FBX": ("FBX (.fbx)", ".fbx", "export_scene.fbx"),
    "OBJ": ("OBJ (.obj), as posed now", ".obj", "wm.obj_export"),
    "BVH": ("BVH (.bvh), motion alone", ".bvh", "export_anim.bvh"),
    "USD": ("USD (.usdc)", ".usdc", "wm.usd_export"),
    "ABC": ("Alembic (.abc)", ".abc", "wm.alembic_export"),
}
_items: list[tuple[str, str, str]] = []


def available_formats() -> list[str]:
    """Formats that this build of Blender can write."""
    return [key for key, (_, _, operator) in FORMATS.items() if compat.has_operator(operator)]


def _format_items(self: Any, context: Any) -> list[tuple[str, str, str]]:
    if not _items:
        _items.extend((key, FORMATS[key][0], "") for key in available_formats())
    return _items


class FITBODY_OT_export(BodyOperator, bpy.types.Operator):
    """Write the active body to a file for other programs"""

    bl_idname = "fitbody.export"
    bl_label = "Export Body"
    bl_options = {"REGISTER"}
    needs_bones = False

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE", "HIDDEN"})
    format: EnumProperty(name="Format", items=_format_items)
    check_existing: bpy.props.BoolProperty(default=True, options={"HIDDEN"})

    def invoke(self, context: Any, event: Any) -> set[str]:
        """Choose a file."""
        armature, _ = shape.body_objects(context.active_object)
        self.filepath = bpy.path.clean_name(armature.name) + FORMATS[self.format][1]
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def check(self, context: Any) -> bool:
        """Keep the ending right."""
        path = bpy.path.ensure_ext(self.filepath, FORMATS[self.format][1])
        changed, self.filepath = path != self.filepath, path
        return changed

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """Write it."""
        settings = panel_settings()
        path = Path(bpy.path.abspath(bpy.path.ensure_ext(self.filepath, FORMATS[self.format][1])))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            options = CopyOptions(settings.export_names, settings.export_bake, settings.export_origin)
            with copied(_bodies(armature, mesh_object, settings.export_people), options) as copies:
                write(self.format, path, copies, settings.export_scale)
        except (OSError, RuntimeError) as error:
            detail = sentence("{path} could not be written ({error})", path=path.name, error=error)
            raise FitBodyError("build_failed", detail=detail) from error
        self.inform(sentence("Wrote {path}", path=path))


def _bodies(armature: Any, mesh_object: Any, people: str) -> list[tuple[Any, Any]]:
    """The active body, and the others of its photo where all are wanted."""
    bodies = [(armature, mesh_object)]
    if people == "ALL" and armature.parent is not None:
        others = [item for item in armature.parent.children if item.type == "ARMATURE" and item != armature]
        bodies += [body for item in others if (body := shape.body_objects(item)) is not None]
    return bodies


def write(kind: str, path: Path, copies: BodyCopies, scale: float) -> None:
    """Write the selected copies.

    Args:
        kind: a key of :data:`FORMATS`.
        path: of the file.
        copies: active and selected.
        scale: file units per metre.
    """
    name, moving = str(path), copies.moving
    if kind == "GLB":
        _write_gltf(name, copies)
    elif kind == "FBX":
        copies.shift(-1)  # FBX has seconds: what begins at frame 1 begins at second 0
        bpy.ops.export_scene.fbx(
            filepath=name,
            use_selection=True,
            global_scale=scale,
            apply_scale_options="FBX_SCALE_UNITS",
            object_types={"ARMATURE", "MESH", "EMPTY"},
            add_leaf_bones=False,
            bake_anim=moving,
            bake_anim_use_nla_strips=False,
            bake_anim_use_all_actions=False,
            bake_anim_simplify_factor=0.0,
        )
    elif kind == "OBJ":
        bpy.context.scene.frame_set(copies.now)  # there is no motion in it
        for item in (*copies.armatures, *copies.unseen):
            item.select_set(False)
        bpy.ops.wm.obj_export(filepath=name, export_selected_objects=True, global_scale=scale, export_materials=False)
    elif kind == "BVH":
        for armature in copies.armatures:  # one skeleton a file
            own = path if armature == copies.armatures[0] else path.with_stem(f"{path.stem} {armature.name}")
            own.write_text(armature_bvh(armature, copies.first, copies.last, copies.fps, scale), encoding="utf-8")
    elif kind == "USD":
        bpy.ops.wm.usd_export(filepath=name, selected_objects_only=True, export_animation=moving)
    elif kind == "ABC":
        bpy.ops.wm.alembic_export(filepath=name, selected=True, start=copies.first, end=copies.last, global_scale=scale)
    if not path.is_file() or path.stat().st_size == 0:
        raise RuntimeError("the file is empty")


def _write_gltf(name: str, copies: BodyCopies) -> None:
    """Bones stand as they do now, also where nothing moves: a viewer that plays nothing shows the pose."""
    known = bpy.ops.export_scene.gltf.get_rna_type().properties
    options: dict[str, Any] = {"use_selection": True, "export_format": "GLB", "export_current_frame": True}
    options["export_animations"] = copies.moving
    newer = {"export_rest_position_armature": False, "export_animation_mode": "ACTIVE_ACTIONS"}
    options |= {option: value for option, value in newer.items() if option in known}
    compat.renew_context()
    bpy.ops.export_scene.gltf(filepath=name, **options)


CLASSES = (FITBODY_OT_export,)
