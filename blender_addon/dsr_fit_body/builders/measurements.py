# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures a body's shape in its rest pose: height, arm span and girths."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.geometry import BODY_TO_BLENDER
from . import armature as arm
from . import mesh as msh
from . import shape

_TORSO = ("pelvis", "left_hip", "right_hip", "spine1", "spine2", "spine3", "left_collar", "right_collar")
_LEVELS = {"Chest": (0.55, 0.8), "Waist": (0.25, 0.6), "Hips": (-0.3, 0.2)}
"""Where girths are measured, as fractions of the way from hips to shoulders."""


def measurements_cm(mesh_object: Any) -> dict[str, float]:
    """Standing height, arm span and girths of the shape in its rest pose, centimetres."""
    vertices = shape.shaped_rest(mesh_object)
    inside = np.zeros(len(mesh_object.data.polygons), np.int32)
    if msh.INTERIOR in mesh_object.data.attributes:
        mesh_object.data.attributes[msh.INTERIOR].data.foreach_get("value", inside)
    loops = np.empty(len(mesh_object.data.loops), np.int32)
    mesh_object.data.loops.foreach_get("vertex_index", loops)
    sides = len(loops) // max(len(inside), 1)
    if sides not in (3, 4) or len(loops) != sides * len(inside):  # the artist changed the mesh
        return {"Height": 100 * float(np.ptp(vertices[:, 2]))}
    faces = loops.reshape(-1, sides)[inside == 0]
    skin = vertices[np.unique(faces)]
    sizes = {"Height": float(np.ptp(skin[:, 2])), "Arm Span": float(np.ptp(skin[:, 0]))}
    sizes |= _girths(mesh_object, vertices, faces)
    return {name: 100 * value for name, value in sizes.items()}


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
    joints = shape.rest_joints(armature, mesh_object) @ BODY_TO_BLENDER.T
    low, high = joints[names.index("left_hip"), 2], joints[names.index("left_shoulder"), 2]
    edges = np.stack((torso, np.roll(torso, -1, axis=1)), axis=-1).reshape(-1, 2)
    girths_m = {}
    for name, (a, b) in _LEVELS.items():
        girths = [_girth(vertices, edges, low + fraction * (high - low)) for fraction in np.linspace(a, b, 12)]
        girths_m[name] = min(girths) if name == "Waist" else max(girths)
    return girths_m


def _girth(vertices: np.ndarray, edges: np.ndarray, height: float) -> float:
    a, b = vertices[edges[:, 0]], vertices[edges[:, 1]]
    cut = (a[:, 2] - height) * (b[:, 2] - height) < 0
    a, b = a[cut], b[cut]
    if len(a) < 3:
        return 0.0
    fraction = ((height - a[:, 2]) / (b[:, 2] - a[:, 2]))[:, None]
    points = (a + fraction * (b - a))[:, :2]
    angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    reach = (points @ np.stack([np.cos(angles), np.sin(angles)])).max(axis=0)
    # Cauchy: the perimeter of a convex hull is its mean width times pi.
    return float(reach.mean() * 2 * np.pi)
