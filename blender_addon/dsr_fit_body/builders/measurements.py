# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures a body's shape in its rest pose: height, mass, arm span and girths."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.directions import KEY_NAMES
from ..core.geometry import BODY_TO_BLENDER
from ..core.tape import Tape
from . import armature as arm
from . import mesh as msh
from . import shape

_TORSO = ("pelvis", "left_hip", "right_hip", "spine1", "spine2", "spine3", "left_collar", "right_collar")
_MEASURED: dict[tuple[int, ...], dict[str, float]] = {}


def measured(mesh_object: Any) -> dict[str, float]:
    """Standing height, arm span and girths of the shape in its rest pose, centimetres, and mass, kilograms."""
    vertices = shape.shaped_rest(mesh_object)
    tape = tape_for(mesh_object)
    if tape is None:  # the artist changed the mesh
        return {"Height": 100 * float(np.ptp(vertices[:, 2]))}
    return tape.sizes(vertices, *levels(mesh_object.parent, shape.rest_joints(mesh_object.parent, mesh_object)))


def measured_once(mesh_object: Any) -> dict[str, float]:
    """The same for the body that is looked at, worked out once per shape."""
    values = (*msh.get_shapes(mesh_object).tolist(), *msh.get_directions(mesh_object, KEY_NAMES).tolist())
    key = (mesh_object.as_pointer(), *(round(1000 * value) for value in values))
    if key not in _MEASURED:
        _MEASURED.clear()
        _MEASURED[key] = measured(mesh_object)
    return _MEASURED[key]


def tape_for(mesh_object: Any) -> Tape | None:
    """What measures a body's mesh; None where the mesh has other polygons than the body had."""
    mesh = mesh_object.data
    inside = np.zeros(len(mesh.polygons), np.int32)
    if msh.INTERIOR in mesh.attributes:
        mesh.attributes[msh.INTERIOR].data.foreach_get("value", inside)
    loops = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", loops)
    sides = len(loops) // max(len(inside), 1)
    if sides not in (3, 4) or len(loops) != sides * len(inside):
        return None
    faces = loops.reshape(-1, sides)
    return Tape(faces[inside == 0], faces[(inside == 0) & _on_torso(mesh_object)])


def levels(armature: Any, joints: np.ndarray) -> tuple[float, float]:
    """Heights of the hip and the shoulder joints among rest joints (J, 3), files' body frame; zeros without any."""
    names = [str(name) for name in armature.data[arm.BONES]]
    if not {"left_hip", "left_shoulder"} <= set(names):
        return 0.0, 0.0
    heights = (joints @ BODY_TO_BLENDER.T)[:, 2]
    return float(heights[names.index("left_hip")]), float(heights[names.index("left_shoulder")])


def _on_torso(mesh_object: Any) -> np.ndarray:
    """(P,) bool per polygon; nowhere where the mesh knows no parts."""
    names = [str(name) for name in mesh_object.parent.data[arm.BONES]]
    parts = np.full(len(mesh_object.data.polygons), -1, np.int32)
    part = mesh_object.data.attributes.get(msh.PART)
    if part is not None and {"left_hip", "left_shoulder", *_TORSO} <= set(names):
        part.data.foreach_get("value", parts)
    return np.isin(parts, [names.index(name) for name in _TORSO if name in names])
