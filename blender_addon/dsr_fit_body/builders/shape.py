# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes the shape of a body that is in the scene: surface, joints and root location, together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bpy
import numpy as np

from .. import compat
from ..core.directions import KEY_NAMES
from ..core.geometry import BODY_TO_BLENDER
from . import armature as arm
from . import ground, twist
from . import mesh as msh


def body_objects(item: Any) -> tuple[Any, Any] | None:
    """Armature and mesh of the body an object belongs to, or None; by structure, not by name."""
    if item is not None and item.type == "MESH":  # also a garment on it
        item = next((m.object for m in item.modifiers if m.type == "ARMATURE" and m.object), None)
    if item is None or item.type != "ARMATURE" or arm.JOINTS not in item.data:
        return None
    bodies = [m for m in item.children if m.type == "MESH" and msh.GARMENT not in m]
    meshes = [m for m in bodies if m.data.shape_keys and _moved_by(m, item)]
    return (item, meshes[0]) if meshes else None


def _moved_by(mesh_object: Any, armature: Any) -> bool:
    return any(m.type == "ARMATURE" and m.object == armature for m in mesh_object.modifiers)


def set_shape(armature: Any, betas: np.ndarray) -> bool:
    """Shape keys and joints of a body; the pelvis stays where it is.

    Returns:
        False where the armature is no body of ours or cannot be edited now.
    """
    body = body_objects(armature)
    if body is None or arm.missing_bones(armature):
        return False
    with ground.feet_kept(*body):
        msh.set_shapes(body[1], betas)
        return update_joints(armature)


def set_directions(armature: Any, units: Mapping[str, float]) -> bool:
    """Named directions of a body in their units, and its joints; the pelvis stays where it is.

    Returns:
        False where the armature is no body of ours or cannot be edited now.
    """
    body = body_objects(armature)
    if body is None or arm.missing_bones(armature):
        return False
    spreads = arm.direction_spreads(armature)
    with ground.feet_kept(*body):
        msh.set_directions(body[1], {name: units.get(name, 0.0) / spread for name, spread in spreads.items()})
        return update_joints(armature)


def get_directions(armature: Any, mesh_object: Any) -> dict[str, float]:
    """Named directions of a body in their units, by name."""
    spreads = arm.direction_spreads(armature)
    values = msh.get_directions(mesh_object, spreads)
    return {name: float(value) * spread for (name, spread), value in zip(spreads.items(), values, strict=True)}


def rest_joints(armature: Any, mesh_object: Any) -> np.ndarray:
    """(J, 3) rest joints for the values of all shape keys, files' body frame."""
    named = msh.get_directions(mesh_object, arm.direction_spreads(armature))
    return arm.joints_for(armature, msh.get_shapes(mesh_object), named)


def update_joints(armature: Any) -> bool:
    """Put the joints where they belong for the values of the shape keys."""
    body = body_objects(armature)
    if body is None or arm.missing_bones(armature) or armature.library is not None:
        return False
    if armature.name not in bpy.context.view_layer.objects:
        return False
    root = arm.bone_names(armature)[int(armature.get("fitbody_root", 0))]
    bone = armature.data.bones[root]
    before = np.array(bone.head_local, np.float64)
    joints = rest_joints(*body)
    arm.move_joints(armature, joints)
    twist.follow_joints(armature)
    bone = armature.data.bones[root]
    after = BODY_TO_BLENDER @ joints[int(armature.get("fitbody_root", 0))]
    shift = np.array(bone.matrix_local.to_3x3(), np.float64).T @ (before - after)
    _shift_root(armature, root, shift)
    return True


def _shift_root(armature: Any, root: str, shift: np.ndarray) -> None:
    """Move the root bone's location, and its keys, by (3,)."""
    pose = armature.pose.bones[root]
    pose.location = (np.array(pose.location) + shift).tolist()
    path = f'pose.bones["{root}"].location'
    for curve in compat.curves_of(armature):
        if curve.data_path == path:
            flat = np.empty(len(curve.keyframe_points) * 2, np.float32)
            curve.keyframe_points.foreach_get("co", flat)
            flat[1::2] += shift[curve.array_index]
            curve.keyframe_points.foreach_set("co", flat)
            curve.update()


def shaped_rest(mesh_object: Any) -> np.ndarray:
    """(V, 3) rest vertices with the shape keys of the shape, without pose correctives; Blender's rest axes."""
    blocks = mesh_object.data.shape_keys.key_blocks
    flat = np.empty(len(mesh_object.data.vertices) * 3, np.float32)
    blocks[0].data.foreach_get("co", flat)
    basis = flat.astype(np.float64)
    total = basis.copy()
    names = [msh.shape_name(index) for index in range(len(msh.get_shapes(mesh_object)))]
    for name in (*names, *(key for key in KEY_NAMES.values() if key in blocks)):
        if blocks[name].value:
            blocks[name].data.foreach_get("co", flat)
            total += blocks[name].value * (flat - basis)
    return total.reshape(-1, 3)
