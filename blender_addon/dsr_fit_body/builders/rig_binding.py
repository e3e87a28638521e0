# SPDX-License-Identifier: GPL-3.0-or-later
"""A body's mesh on the bones that Rigify's rig deforms with, and the body's pose on the rig's FK controls."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..carried.skeleton_names import RIG_NAMES
from . import armature as arm
from . import character, clothes, twist

RIG = "fitbody_rig"
"""Custom property of a rig that moves a fitted body: the name of the body's own armature."""
_BLEND = (0.35, 0.65)
"""Where along a limb its second half takes over, so that a turned wrist or ankle twists it evenly."""


def bind(rig: Any, armature: Any, mesh_object: Any) -> None:
    """Let a generated rig move a body as it stands or moves now; the body's own armature is hidden.

    Args:
        rig: generated on the body's joints, at the body's place.
        armature: of the body.
        mesh_object: of the body.
    """
    if twist.has_twist(armature):
        twist.remove_twist(armature, twist.meshes_of(armature, mesh_object))  # the rig has its own
    options = character.CharacterOptions(path="same", keep_feet=False)
    character.apply_to((armature, mesh_object), rig, character.guess_map(rig), options, f"{armature.name} Rig")
    for bone in rig.data.bones:
        if bone.use_deform:
            bone.bbone_segments = 1  # the weights are for straight bones: bent ones would move the fitted surface
    for item in (mesh_object, *clothes.worn_by(armature)):
        _add_weights(rig, armature, item)
        for modifier in item.modifiers:
            if modifier.type == "ARMATURE" and modifier.object == armature:
                modifier.object = rig
        item.parent = rig
    rig[RIG] = armature.name
    armature.hide_set(True)
    armature.hide_render = True


def _add_weights(rig: Any, armature: Any, mesh_object: Any) -> None:
    """Groups of the rig's bones beside those of the body's joints, with the same weights in sum."""
    groups = mesh_object.vertex_groups
    joints = [str(name) for name in armature.data[arm.BONES]]
    names = arm.bone_names(armature)
    weights = np.zeros((len(joints), len(mesh_object.data.vertices)))
    rows = {groups[name].index: k for k, name in enumerate(names) if name in groups}
    for vertex in mesh_object.data.vertices:
        for entry in vertex.groups:
            if entry.group in rows:
                weights[rows[entry.group], vertex.index] = entry.weight
    rest = np.empty(3 * weights.shape[1], np.float32)
    mesh_object.data.vertices.foreach_get("co", rest)
    totals: dict[str, np.ndarray] = {}
    for joint, row in zip(joints, weights, strict=True):
        for bone, share in _shares(rig, joint, rest.reshape(-1, 3).astype(np.float64)):
            totals[bone] = totals.get(bone, 0.0) + row * share
    for bone, values in totals.items():
        group = groups.get(bone) or groups.new(name=bone)
        for vertex in np.flatnonzero(values > 1e-5).tolist():
            group.add([vertex], float(values[vertex]), "REPLACE")


def _shares(rig: Any, joint: str, vertices: np.ndarray) -> list[tuple[str, Any]]:
    """The rig's bones that do a joint's work and (V,) how much of it each does."""
    bones = rig.data.bones
    first = bones.get(f"DEF-{RIG_NAMES['rigify'].get(joint, '')}")
    if first is None:
        side = joint.partition("_")[0]
        first = bones[
            f"DEF-hand.{side[0].upper()}" if side in ("left", "right") and "eye" not in joint else "DEF-spine.006"
        ]
    second = bones.get(_second_half(first.name))
    if second is None:
        return [(first.name, 1.0)]
    start = np.array(first.head_local, np.float64)
    along = np.array(second.tail_local, np.float64) - start
    place = (vertices - start) @ along / max(float(along @ along), 1e-9)
    share = np.clip((place - _BLEND[0]) / (_BLEND[1] - _BLEND[0]), 0.0, 1.0)
    return [(first.name, 1.0 - share), (second.name, share)]


def _second_half(name: str) -> str:
    if name == "DEF-spine.004":
        return "DEF-spine.005"
    return f"{name}.001" if any(limb in name for limb in ("arm", "thigh", "shin")) else ""
