# SPDX-License-Identifier: GPL-3.0-or-later
"""Feet on the ground, camera and bodies together: up is Blender's up, the lowest vertex of who stands goes to z = 0."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np
from mathutils import Vector

from ..core.geometry import CAMERA_TO_BLENDER
from .mesh import GARMENT

_SAMPLES = 60
UP, ON_FLOOR = "fitbody_up", "fitbody_on_floor"
"""Custom properties: of a root, the photo's up in Blender's axes; of an armature, whether it stands on the floor."""
GROUNDED = "fitbody_grounded"
"""Custom property of a root that was placed on the ground: shape sliders then keep feet at their height."""


def lowest_vertex(meshes: list[Any]) -> float:
    """World z of the lowest posed vertex now, metres; infinite where nobody is seen."""
    graph = bpy.context.evaluated_depsgraph_get()
    lowest = np.inf
    for mesh_object in meshes:
        posed = world_vertices(mesh_object, graph)
        lowest = min(lowest, float(posed[:, 2].min(initial=np.inf)))
    return lowest


def world_vertices(mesh_object: Any, graph: Any = None) -> np.ndarray:
    """(V, 3) posed vertices in the world, metres."""
    graph = graph or bpy.context.evaluated_depsgraph_get()
    evaluated = mesh_object.evaluated_get(graph)
    mesh = evaluated.to_mesh()
    try:
        flat = np.empty(len(mesh.vertices) * 3, np.float32)
        mesh.vertices.foreach_get("co", flat)
    finally:
        evaluated.to_mesh_clear()
    world = np.array(evaluated.matrix_world, np.float64)
    return flat.reshape(-1, 3).astype(np.float64) @ world[:3, :3].T + world[:3, 3]


def remember_floor(root: Any, armatures: list[Any], up: np.ndarray | None, standing: list[bool]) -> None:
    """Note which way is up in the photo, for :func:`place_on_ground`.

    Args:
        root: of the photo.
        armatures: everybody's.
        up: (3,) in the camera frame of the files, or None where it is not known.
        standing: who stands on the floor.
    """
    if up is not None:
        root[UP] = (CAMERA_TO_BLENDER @ up).tolist()
    for armature, stands in zip(armatures, standing, strict=True):
        armature[ON_FLOOR] = stands


def place_on_ground(root: Any, meshes: list[Any]) -> float:
    """Turn the root so that the photo's up is z, and move it so that the lowest vertex is at z = 0.

    The lowest vertex over all frames of a motion, of those who stand on the photo's floor, or of everybody where nobody
    does.

    Returns:
        how far it moved, in Blender's units.
    """
    if UP in root:
        root.rotation_euler = Vector(root[UP]).rotation_difference(Vector((0, 0, 1))).to_euler(root.rotation_mode)
        bpy.context.view_layer.update()
    meshes = [m for m in meshes if m.parent and m.parent.get(ON_FLOOR)] or meshes
    meshes = [*meshes, *(worn for m in meshes if m.parent for worn in m.parent.children if GARMENT in worn)]
    scene = bpy.context.scene
    moving = [m.parent.animation_data.action for m in meshes if m.parent and m.parent.animation_data]
    spans = [action.frame_range for action in moving if action is not None]
    if spans:
        now = scene.frame_current
        first, last = min(int(s[0]) for s in spans), max(int(s[1]) for s in spans)
        lowest = np.inf
        for frame in np.unique(np.linspace(first, last, min(_SAMPLES, last - first + 1)).round().astype(int)).tolist():
            scene.frame_set(frame)
            lowest = min(lowest, lowest_vertex(meshes))
        scene.frame_set(now)
    else:
        lowest = lowest_vertex(meshes)
    if not np.isfinite(lowest):
        return 0.0
    root.location.z -= lowest
    root[GROUNDED] = True
    bpy.context.view_layer.update()
    return -lowest


@contextmanager
def feet_kept(armature: Any, mesh_object: Any) -> Iterator[None]:
    """While a body's shape changes, keep its lowest point at its height, where the photo was placed on the ground.

    The root moves, and with it the camera and everybody of the photo, so that the pelvis stays on the photo.
    """
    root = armature.parent
    if root is None or not root.get(GROUNDED):
        yield
        return
    bpy.context.view_layer.update()
    before = lowest_vertex([mesh_object])
    yield
    bpy.context.view_layer.update()
    moved = before - lowest_vertex([mesh_object])
    root.location.z += moved if np.isfinite(moved) else 0.0
