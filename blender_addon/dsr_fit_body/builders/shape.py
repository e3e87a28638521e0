# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing the shape of a body that is in the scene: surface, joints and where the pelvis is, together."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from .. import compat
from ..core.geometry import REST
from . import armature as arm
from . import mesh as msh


def body_parts(item: Any) -> tuple[Any, Any] | None:
    """Armature and mesh of the body an object belongs to, or None; by structure, not by name."""
    if item is not None and item.type == "MESH":
        item = next((m.object for m in item.modifiers if m.type == "ARMATURE" and m.object), None)
    if item is None or item.type != "ARMATURE" or arm.JOINTS not in item.data:
        return None
    meshes = [m for m in item.children if m.type == "MESH" and m.data.shape_keys and _moved_by(m, item)]
    return (item, meshes[0]) if meshes else None


def _moved_by(mesh_object: Any, armature: Any) -> bool:
    return any(m.type == "ARMATURE" and m.object == armature for m in mesh_object.modifiers)


def set_shape(armature: Any, betas: np.ndarray) -> bool:
    """Shape keys and joints of a body; the pelvis stays where it is.

    Returns:
        False where the armature is no body of ours or cannot be edited now.
    """
    found = body_parts(armature)
    if found is None:
        return False
    msh.set_shapes(found[1], betas)
    return follow_shape(armature)


def follow_shape(armature: Any) -> bool:
    """Put the joints where the shape keys want them."""
    found = body_parts(armature)
    if found is None or armature.library is not None or armature.name not in bpy.context.view_layer.objects:
        return False
    root = arm.bone_names(armature)[int(armature.get("fitbody_root", 0))]
    bone = armature.data.bones[root]
    before = np.array(bone.head_local, np.float64)
    joints = arm.joints_for(armature, msh.get_shapes(found[1]))
    arm.move_joints(armature, joints)
    bone = armature.data.bones[root]
    after = REST @ joints[int(armature.get("fitbody_root", 0))]
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


def measurements_cm(mesh_object: Any) -> dict[str, float]:
    """Standing height, arm span and girths of the shape in its rest pose, centimetres."""
    vertices = shaped_rest(mesh_object)
    inside = np.zeros(len(mesh_object.data.polygons), np.int32)
    if msh.INTERIOR in mesh_object.data.attributes:
        mesh_object.data.attributes[msh.INTERIOR].data.foreach_get("value", inside)
    loops = np.empty(len(mesh_object.data.loops), np.int32)
    mesh_object.data.loops.foreach_get("vertex_index", loops)
    if len(loops) != 3 * len(inside):
        return {"Height": 100 * float(np.ptp(vertices[:, 2]))}
    faces = loops.reshape(-1, 3)[inside == 0]
    skin = vertices[np.unique(faces)]
    found = {"Height": float(np.ptp(skin[:, 2])), "Arm Span": float(np.ptp(skin[:, 0]))}
    found |= _girths(mesh_object, vertices, faces)
    return {name: 100 * value for name, value in found.items()}


def shaped_rest(mesh_object: Any) -> np.ndarray:
    """(V, 3) rest vertices with the shape keys of the shape, without pose correctives; Blender's rest axes."""
    blocks = mesh_object.data.shape_keys.key_blocks
    flat = np.empty(len(mesh_object.data.vertices) * 3, np.float32)
    blocks[0].data.foreach_get("co", flat)
    basis = flat.astype(np.float64)
    total = basis.copy()
    for index, value in enumerate(msh.get_shapes(mesh_object)):
        if value:
            blocks[msh.shape_name(index)].data.foreach_get("co", flat)
            total += value * (flat - basis)
    return total.reshape(-1, 3)


_TORSO = ("pelvis", "left_hip", "right_hip", "spine1", "spine2", "spine3", "left_collar", "right_collar")
_LEVELS = {"Chest": (0.55, 0.8), "Waist": (0.25, 0.6), "Hips": (-0.3, 0.2)}  # share of the way from hips to shoulders


def _girths(mesh_object: Any, vertices: np.ndarray, faces: np.ndarray) -> dict[str, float]:
    """Taut-tape girths: convex outlines of horizontal slices through the torso, arms left out."""
    armature = mesh_object.parent
    names = [str(name) for name in armature.data[arm.BONES]]
    part = mesh_object.data.attributes.get(msh.PART)
    if part is None or not {"left_hip", "left_shoulder", *_TORSO} <= set(names):
        return {}
    parts = np.empty(len(mesh_object.data.polygons), np.int32)
    part.data.foreach_get("value", parts)
    if len(parts) != len(faces):
        inside = np.zeros(len(parts), np.int32)
        mesh_object.data.attributes[msh.INTERIOR].data.foreach_get("value", inside)
        parts = parts[inside == 0]
    torso = faces[np.isin(parts, [names.index(name) for name in _TORSO])]
    joints = arm.joints_for(armature, msh.get_shapes(mesh_object)) @ REST.T
    low, high = joints[names.index("left_hip"), 2], joints[names.index("left_shoulder"), 2]
    edges = np.concatenate((torso[:, [0, 1]], torso[:, [1, 2]], torso[:, [2, 0]]))
    found = {}
    for name, (a, b) in _LEVELS.items():
        girths = [_girth(vertices, edges, low + share * (high - low)) for share in np.linspace(a, b, 12)]
        found[name] = min(girths) if name == "Waist" else max(girths)
    return found


def _girth(vertices: np.ndarray, edges: np.ndarray, height: float) -> float:
    a, b = vertices[edges[:, 0]], vertices[edges[:, 1]]
    cut = (a[:, 2] - height) * (b[:, 2] - height) < 0
    a, b = a[cut], b[cut]
    if len(a) < 3:
        return 0.0
    share = ((height - a[:, 2]) / (b[:, 2] - a[:, 2]))[:, None]
    points = (a + share * (b - a))[:, :2]
    angles = np.linspace(
        0, 2 * np.pi, 180, endpoint=False
    )  # Cauchy: perimeter of the convex hull = mean width times pi
    reach = (points @ np.stack([np.cos(angles), np.sin(angles)])).max(axis=0)
    return float(reach.mean() * 2 * np.pi)
