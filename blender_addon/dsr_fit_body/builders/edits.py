# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an artist has changed a body since it was made here, so that nothing made by hand is replaced unasked."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from .. import compat
from . import shape

MADE = "fitbody_made"
"""Custom property of an armature: its body's fingerprint when it was made."""


def remember(armatures: list[Any]) -> None:
    """Note how bodies are now."""
    for armature in armatures:
        armature[MADE] = _fingerprint(armature)


def is_edited(collection: Any) -> bool:
    """Whether a body in a collection made here was changed by hand: pose, motion, shape, surface, place, additions.

    Materials, the ground and the camera do not count. Bodies of earlier versions, which noted nothing, count as edited.
    """
    made = [item for item in collection.objects if item.type == "ARMATURE" and MADE in item]
    bodies = [item for item in collection.objects if shape.body_objects(item) and item.type == "ARMATURE"]
    if set(made) - set(bodies):
        return True  # a body whose mesh follows another rig, or is gone
    return any(armature.get(MADE) != _fingerprint(armature) for armature in bodies)


def _fingerprint(armature: Any) -> str:
    _, mesh_object = shape.body_objects(armature)
    mesh, keys = mesh_object.data, mesh_object.data.shape_keys.key_blocks
    digest = hashlib.sha256()

    def add(*values: Any) -> None:
        for value in values:
            text = isinstance(value, str)
            digest.update(value.encode() if text else (np.round(np.asarray(value, np.float64), 4) + 0.0).tobytes())

    for item in (armature, mesh_object):
        add(item.matrix_basis, *(m.type for m in item.modifiers), *(c.type for c in item.constraints))
    add([len(armature.children), len(mesh_object.children)])
    for curve in compat.curves_of(armature):
        keyed = np.empty(len(curve.keyframe_points) * 2, np.float32)
        curve.keyframe_points.foreach_get("co", keyed)
        add(curve.data_path, keyed)
    moving = bool(compat.curves_of(armature))
    for bone in armature.pose.bones:
        add(*(c.type for c in bone.constraints), [] if moving else bone.matrix_basis)
    basis = np.empty(3 * len(mesh.vertices), np.float32)
    keys[0].data.foreach_get("co", basis)
    add([len(mesh.vertices), len(mesh.edges), len(mesh.polygons), len(mesh_object.vertex_groups)], basis)
    add([key.value for key in keys], [key.mute for key in keys])
    return digest.hexdigest()
