# SPDX-License-Identifier: GPL-3.0-or-later
"""The metarig armature in the scene, on the joints of a body, and the control rig that Rigify generates from it."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from .. import compat
from ..core.messages import FitBodyError, sentence
from ..core.metarig_bones import MetaBone, metarig_bones
from . import armature as arm
from . import rig_binding, shape

METARIG = "fitbody_metarig"
"""Custom property of a metarig made here: the name of the body's armature."""


def has_rigify() -> bool:
    """Whether Rigify is enabled."""
    return compat.has_operator("pose.rigify_generate")


def is_metarig(item: Any) -> bool:
    """Whether an object is a metarig made here."""
    return item is not None and item.type == "ARMATURE" and METARIG in item


def add_metarig(armature: Any, mesh_object: Any) -> Any:
    """Put a metarig onto the joints of a body's rest pose, at the body's place; it becomes the active object.

    With Rigify enabled it is Rigify's own, with all its settings; otherwise its bones, to which :func:`generate_rig`
    adds the settings later.

    Raises:
        FitBodyError: if the body has not the joints of a human.
    """
    names = arm.bone_names(armature)
    joint_names = [str(name) for name in armature.data[arm.BONES]]
    joints = {
        joint: np.array(armature.data.bones[name].head_local, np.float64)
        for joint, name in zip(joint_names, names, strict=True)
    }
    try:
        bones = metarig_bones(joints, shape.shaped_rest(mesh_object))
    except KeyError as error:
        detail = sentence("the body has no joint {joint}", joint=error.args[0])
        raise FitBodyError("build_failed", detail=detail) from error
    metarig = _new_metarig(f"{armature.name} Metarig", bones)
    metarig[METARIG] = armature.name
    _place_like(metarig, armature)
    return metarig


def generate_rig(metarig: Any) -> Any:
    """Let Rigify make its control rig from a metarig, which is then hidden; the rig takes over the body.

    Returns:
        the rig, which is the active object.

    Raises:
        FitBodyError: with what Rigify says, if it refuses.
    """
    if not any(bone.rigify_type for bone in metarig.pose.bones):
        metarig = _with_rigify_settings(metarig)
    _activate(metarig)
    before = set(bpy.data.objects)
    try:
        bpy.ops.pose.rigify_generate()
    except RuntimeError as error:
        raise FitBodyError("build_failed", detail=str(error).removeprefix("Error: ")) from error
    made = [item for item in bpy.data.objects if item not in before and item.type == "ARMATURE"]
    rig = made[0] if made else bpy.context.view_layer.objects.active
    body = shape.body_objects(bpy.data.objects.get(str(metarig[METARIG])))
    _place_like(rig, metarig)
    rig.name = f"{metarig[METARIG]} Rig"
    if body is not None:
        rig_binding.bind(rig, *body)
    if rig != metarig:
        metarig.hide_set(True)
    return rig


def _new_metarig(name: str, bones: list[MetaBone]) -> Any:
    """Rigify's own metarig where it is enabled, else one with its bones; in the scene's collection."""
    if has_rigify() and compat.has_operator("object.armature_basic_human_metarig_add"):
        active = bpy.context.view_layer.objects.active
        if active is not None and active.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        bpy.ops.object.armature_basic_human_metarig_add()
        metarig = bpy.context.view_layer.objects.active
        if metarig.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        metarig.name = metarig.data.name = name
    else:
        metarig = bpy.data.objects.new(name, bpy.data.armatures.new(name))
        bpy.context.scene.collection.objects.link(metarig)
    with arm.edit_mode(metarig):
        edit_bones = metarig.data.edit_bones
        for bone in bones:
            if bone.name not in edit_bones:
                made = edit_bones.new(bone.name)
                made.parent = edit_bones.get(bone.parent)
                made.use_connect = bone.connected
        for bone in bones:
            edit_bones[bone.name].head, edit_bones[bone.name].tail = bone.head.tolist(), bone.tail.tolist()
    metarig.show_in_front = True
    return metarig


def _with_rigify_settings(metarig: Any) -> Any:
    """Rigify's own metarig in the place of one that was made without Rigify; the artist's changes to bones are kept."""
    bones = [
        MetaBone(
            bone.name,
            np.array(bone.head_local),
            np.array(bone.tail_local),
            bone.parent.name if bone.parent else "",
            bone.use_connect,
        )
        for bone in metarig.data.bones
    ]
    name, body, data = metarig.name, metarig[METARIG], metarig.data
    metarig.name = f"{name} "
    new = _new_metarig(name, bones)
    new[METARIG] = body
    _place_like(new, metarig)
    bpy.data.objects.remove(metarig)
    if data.users == 0:
        bpy.data.armatures.remove(data)
    new.name = new.data.name = name
    return new


def _place_like(item: Any, other: Any) -> None:
    """Same collections, parent and transform as another object."""
    for collection in list(item.users_collection):
        collection.objects.unlink(item)
    for collection in other.users_collection:
        collection.objects.link(item)
    item.parent = other.parent
    item.matrix_parent_inverse = other.matrix_parent_inverse.copy()
    item.matrix_basis = other.matrix_basis.copy()
    bpy.context.view_layer.update()
    _activate(item)


def _activate(item: Any) -> None:
    layer = bpy.context.view_layer
    if layer.objects.active is not None and layer.objects.active.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    for other in layer.objects:
        if other.select_get():
            other.select_set(False)
    item.select_set(True)
    layer.objects.active = item
