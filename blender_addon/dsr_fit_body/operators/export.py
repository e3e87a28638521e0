# SPDX-License-Identifier: GPL-3.0-or-later
"""Export of one body: a copy is prepared (names, baked shape), written and removed again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.props import EnumProperty, StringProperty
from mathutils import Matrix

from .. import compat
from ..builders import armature as arm
from ..builders import shape
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

    filepath: StringProperty(subtype="FILE_PATH")
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
            with prepared(armature, mesh_object, settings.export_names, settings.export_bake) as (a, m):
                write(self.format, path, a, m, settings.export_scale)
        except (OSError, RuntimeError) as error:
            detail = sentence("{path} could not be written ({error})", path=path.name, error=error)
            raise FitBodyError("build_failed", detail=detail) from error
        self.inform(sentence("Wrote {path}", path=path))


@contextmanager
def prepared(armature: Any, mesh_object: Any, names: str, bake: bool) -> Iterator[tuple[Any, Any]]:
    """A copy of a body, alone selected, removed at the end.

    Args:
        armature: of the body.
        mesh_object: of the body.
        names: bone naming scheme.
        bake: shape into the mesh.
    """
    layer, scene = bpy.context.view_layer, bpy.context.scene
    active = layer.objects.active
    if active is not None and active.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    selected = [item for item in layer.objects if item.select_get()]
    scale_length = scene.unit_settings.scale_length
    actions, keys = set(bpy.data.actions), set(bpy.data.shape_keys)
    made = []
    try:
        copies = []
        for item in (armature, mesh_object):
            copy = item.copy()
            copy.data = item.data.copy()
            scene.collection.objects.link(copy)
            made.append(copy)
            copies.append(copy)
        a, m = copies
        world = armature.matrix_world.copy()
        a.parent = None
        a.matrix_world = Matrix.Scale(1.0 / compat.units_per_metre(scene), 4) @ world
        scene.unit_settings.scale_length = 1.0  # the copy is in metres
        m.parent = a
        for modifier in m.modifiers:
            if modifier.type == "ARMATURE":
                modifier.object = a
        if a.animation_data and a.animation_data.action:  # renaming bones must not touch the scene's motion
            action = a.animation_data.action.copy()
            slot = getattr(a.animation_data, "action_slot", None)
            a.animation_data.action = action
            if slot is not None:
                a.animation_data.action_slot = next(s for s in action.slots if s.identifier == slot.identifier)
        if bake:
            bake_shape(m)
        arm.rename_bones(a, names)
        for item in selected:
            item.select_set(False)
        a.select_set(True)
        m.select_set(True)
        layer.objects.active = a
        layer.update()
        yield a, m
    finally:
        scene.unit_settings.scale_length = scale_length
        for item in reversed(made):
            data = item.data
            bpy.data.objects.remove(item)
            if data.users == 0:
                bpy.data.batch_remove([data])
        bpy.data.batch_remove([*(set(bpy.data.actions) - actions), *(set(bpy.data.shape_keys) - keys)])
        for item in selected:
            item.select_set(True)
        layer.objects.active = active


def bake_shape(mesh_object: Any) -> None:
    """Put the mix of all shape keys, still ones, into the mesh and remove the keys."""
    blocks = mesh_object.data.shape_keys.key_blocks
    count = len(mesh_object.data.vertices) * 3
    flat = np.empty(count, np.float32)
    blocks[0].data.foreach_get("co", flat)
    basis, total = flat.astype(np.float64), flat.astype(np.float64)
    for key in blocks[1:]:
        if key.value and not key.mute:
            key.data.foreach_get("co", flat)
            total += key.value * (flat - basis)
    mesh_object.shape_key_clear()
    mesh_object.data.vertices.foreach_set("co", total.astype(np.float32))
    mesh_object.data.update()


def write(kind: str, path: Path, armature: Any, mesh_object: Any, scale: float) -> None:
    """Write the selected copy.

    Args:
        kind: a key of :data:`FORMATS`.
        path: of the file.
        armature: active and selected.
        mesh_object: selected.
        scale: file units per metre.
    """
    moving = bool(armature.animation_data and armature.animation_data.action)
    first, last = bpy.context.scene.frame_current, bpy.context.scene.frame_current
    if moving:
        first, last = (round(value) for value in armature.animation_data.action.frame_range)
    name = str(path)
    if kind == "GLB":
        options = bpy.ops.export_scene.gltf.get_rna_type().properties
        alone = {"export_animation_mode": "ACTIVE_ACTIONS"} if "export_animation_mode" in options else {}
        bpy.ops.export_scene.gltf(
            filepath=name,
            use_selection=True,
            export_format="GLB",
            export_animations=moving,
            export_current_frame=False,
            **alone,
        )
    elif kind == "FBX":
        bpy.ops.export_scene.fbx(
            filepath=name,
            use_selection=True,
            global_scale=scale,
            apply_scale_options="FBX_SCALE_UNITS",
            object_types={"ARMATURE", "MESH"},
            add_leaf_bones=False,
            bake_anim=moving,
            bake_anim_use_nla_strips=False,
            bake_anim_use_all_actions=False,
            bake_anim_simplify_factor=0.0,
        )
    elif kind == "OBJ":
        armature.select_set(False)
        bpy.ops.wm.obj_export(filepath=name, export_selected_objects=True, global_scale=scale, export_materials=False)
    elif kind == "BVH":
        bpy.ops.export_anim.bvh(
            filepath=name,
            global_scale=scale,
            frame_start=first,
            frame_end=last,
            rotate_mode="NATIVE",
            root_transform_only=True,
        )
    elif kind == "USD":
        bpy.ops.wm.usd_export(filepath=name, selected_objects_only=True, export_animation=moving)
    elif kind == "ABC":
        bpy.ops.wm.alembic_export(filepath=name, selected=True, start=first, end=last, global_scale=scale)
    if not path.is_file() or path.stat().st_size == 0:
        raise RuntimeError("the file is empty")


CLASSES = (FITBODY_OT_export,)
