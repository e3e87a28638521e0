# SPDX-License-Identifier: GPL-3.0-or-later
"""Twist bones: a turned forearm, upper arm, thigh or hand turns the limb's skin bit by bit, not in a ring at the joint.

A limb's bone does all of its turn at its beginning. Here bones that do none and half of it (they look along the limb
from the joint above) take over the skin's weights towards that end, and bones that do half and all of the hand's turn
those towards the wrist. Bends, and limbs that do not turn, look as without them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.body_model import BodyModel
from . import armature as arm
from . import mesh as msh

TWIST = "dsr_twist_of"
"""Custom property of a twist bone: the joint whose weights it shares."""


@dataclass(frozen=True)
class _Limb:
    """A joint whose limb gets twist bones.

    Attributes:
        joint: at the limb's beginning.
        end: joint at its end.
        stops: (place along the limb, kind) of the bones that share its weights; kinds are ``none`` and ``half`` of the
            limb's own turn, ``all`` (the limb's bone itself), ``end half`` and ``end all`` of the turn of the joint at
            its end.
    """

    joint: str
    end: str
    stops: tuple[tuple[float, str], ...]


_UPPER = ((0.0, "none"), (0.35, "half"), (0.7, "all"))
_FOREARM = ((0.0, "none"), (0.25, "half"), (0.5, "all"), (0.75, "end half"), (1.0, "end all"))
_LIMBS = [
    _Limb(f"{side}_{joint}", f"{side}_{end}", stops)
    for side in ("left", "right")
    for joint, end, stops in (("shoulder", "elbow", _UPPER), ("elbow", "wrist", _FOREARM), ("hip", "knee", _UPPER))
]
_SUFFIX = {"none": "twist1", "half": "twist2", "end half": "twist3", "end all": "twist4"}


def has_twist(armature: Any) -> bool:
    """Whether a body has twist bones."""
    return any(TWIST in bone for bone in armature.data.bones)


def add_twist(armature: Any, meshes: list[Any]) -> bool:
    """Give a body twist bones.

    Args:
        armature: of the body.
        meshes: the body's and its garments'.

    Returns:
        False where it has none of the limbs, or has them already.
    """
    if has_twist(armature) or not make_twist(armature):
        return False
    turn_with_limbs(armature)
    for item in meshes:
        share_weights(armature, item)
    return True


def make_twist(armature: Any) -> bool:
    """The bones of :func:`add_twist`, without weights, following nothing; False where the body has no limbs."""
    names = _joints(armature)
    limbs = [limb for limb in _LIMBS if limb.joint in names and limb.end in names]
    if not limbs:
        return False
    with arm.edit_mode(armature):
        bones = armature.data.edit_bones
        for limb in limbs:
            for _, kind in limb.stops:
                if kind != "all":
                    bone = bones.new(_name(limb, kind))
                    bone.use_deform = True
                    above = bones[names[limb.joint]]
                    bone.parent = above if kind.startswith("end") else above.parent
        _place(bones, names, limbs)
    for limb in limbs:
        for _, kind in limb.stops:
            if kind != "all":
                armature.data.bones[_name(limb, kind)][TWIST] = limb.joint
                armature.data.bones[_name(limb, kind)].hide = True
    return True


def turn_with_limbs(armature: Any) -> None:
    """Let the twist bones of an armature, whose data may be a copy, follow its limbs."""
    names = _joints(armature)
    for limb in _LIMBS:
        for _, kind in limb.stops:
            if kind != "all" and _name(limb, kind) in armature.pose.bones:
                _constrain(armature, limb, kind, names)


def remove_twist(armature: Any, meshes: list[Any]) -> None:
    """Take the twist bones away; their weights go back to the limbs' bones."""
    joints = _joints(armature)
    twisted = {bone.name: joints[str(bone[TWIST])] for bone in armature.data.bones if TWIST in bone}
    for item in meshes:
        weights = _weights(item, [*twisted, *set(twisted.values())])
        for bone in set(twisted.values()):
            total = weights[bone] + sum(weights[name] for name, owner in twisted.items() if owner == bone)
            _set_weights(item, bone, total)
        for name in twisted:
            if name in item.vertex_groups:
                item.vertex_groups.remove(item.vertex_groups[name])
    with arm.edit_mode(armature):
        for name in twisted:
            armature.data.edit_bones.remove(armature.data.edit_bones[name])


def follow_joints(armature: Any) -> None:
    """Put twist bones on their limbs again, after the joints moved."""
    names = _joints(armature)
    limbs = [limb for limb in _LIMBS if _name(limb, "none") in armature.data.bones]
    if limbs:
        with arm.edit_mode(armature):
            _place(armature.data.edit_bones, names, limbs)


def share_weights(armature: Any, item: Any) -> None:
    """Divide the limbs' weights on a mesh among their bones and twist bones, by the place along the limb."""
    names = _joints(armature)
    limbs = [limb for limb in _LIMBS if _name(limb, "none") in armature.data.bones]
    rest = _rest(item)
    weights = _weights(item, [bone.name for bone in armature.data.bones])
    changed = {}
    for limb in limbs:
        bone = names[limb.joint]
        start, end = (np.array(armature.data.bones[name].head_local, np.float64) for name in (bone, names[limb.end]))
        for kind, part in _shares(limb, rest, start, end, weights[bone]):
            changed[bone if kind == "all" else _name(limb, kind)] = part
    weights |= changed
    for limb in limbs:
        _at_most_four(weights, [names[limb.joint] if kind == "all" else _name(limb, kind) for _, kind in limb.stops])
    for name in changed:
        _set_weights(item, name, weights[name])


def shared_weights(body: BodyModel) -> tuple[list[str], np.ndarray]:
    """Names of a body's bones with twist bones, and the weights (V, n) of the average shape on them."""
    weights = dict(zip(body.names, body.weights.T, strict=True))
    limbs = [limb for limb in _LIMBS if limb.joint in weights and limb.end in weights]
    for limb in limbs:
        start, end = (body.joints[body.names.index(joint)] for joint in (limb.joint, limb.end))
        parts = _shares(limb, body.vertices, start, end, weights[limb.joint])
        weights |= {limb.joint if kind == "all" else _name(limb, kind): part for kind, part in parts}
    for limb in limbs:
        _at_most_four(weights, [limb.joint if kind == "all" else _name(limb, kind) for _, kind in limb.stops])
    return list(weights), np.stack(list(weights.values()), 1)


def _rest(item: Any) -> np.ndarray:
    """(V, 3) vertices at rest as the shape keys have them now."""
    flat = np.empty(3 * len(item.data.vertices), np.float32)
    item.data.vertices.foreach_get("co", flat)
    total = flat.astype(np.float64)
    keys = item.data.shape_keys
    if keys is not None:
        basis, one = np.empty_like(flat), np.empty_like(flat)
        keys.key_blocks[0].data.foreach_get("co", basis)
        total = basis.astype(np.float64)
        for key in keys.key_blocks[1:]:
            if key.value:
                key.data.foreach_get("co", one)
                total += key.value * (one - basis)
    return total.reshape(-1, 3)


def _shares(
    limb: _Limb, rest: np.ndarray, start: np.ndarray, end: np.ndarray, whole: np.ndarray
) -> list[tuple[str, np.ndarray]]:
    """Kinds of a limb's bones and the parts (V,) of its weights that are theirs, by the place along it."""
    along = end - start
    place = (rest - start) @ along / max(float(along @ along), 1e-12)
    stops = [stop for stop, _ in limb.stops]
    return [(kind, whole * np.interp(place, stops, np.eye(len(stops))[k])) for k, (_, kind) in enumerate(limb.stops)]


def _at_most_four(weights: dict[str, np.ndarray], limb: list[str]) -> None:
    """Where more than four bones pull at a vertex, only one of a limb's does: games and glTF know no more than four."""
    many = np.count_nonzero([column > 0 for column in weights.values()], axis=0) > 4
    if not many.any():
        return
    parts = np.stack([weights[name][many] for name in limb])
    largest = parts.argmax(0)
    for k, name in enumerate(limb):
        weights[name] = weights[name].copy()
        weights[name][many] = np.where(largest == k, parts.sum(0), 0.0)


def _joints(armature: Any) -> dict[str, str]:
    """Bone of every joint, as it is called now."""
    return dict(zip(map(str, armature.data[arm.BONES]), arm.bone_names(armature), strict=True))


def _name(limb: _Limb, kind: str) -> str:
    return f"{limb.joint}_{_SUFFIX[kind]}"


def _place(bones: Any, names: dict[str, str], limbs: list[_Limb]) -> None:
    """Bones that look along the limb reach from joint to joint; the others lie as the bone whose turn they share."""
    for limb in limbs:
        own, end = bones[names[limb.joint]], bones[names[limb.end]]
        for _, kind in limb.stops:
            if kind == "all":
                continue
            bone = bones[_name(limb, kind)]
            bone.head = own.head
            bone.tail = end.head if kind == "none" else own.tail
            bone.roll = own.roll
            if kind == "half":
                bone.parent = bones[_name(limb, "none")]


def _constrain(armature: Any, limb: _Limb, kind: str, names: dict[str, str]) -> None:
    constraints = armature.pose.bones[_name(limb, kind)].constraints
    if kind == "none":
        look = constraints.new("DAMPED_TRACK")
        look.target, look.subtarget, look.track_axis = armature, names[limb.end], "TRACK_Y"
        return
    turn = constraints.new("COPY_ROTATION")
    turn.target, turn.subtarget = armature, names[limb.joint if kind == "half" else limb.end]
    turn.influence = 1.0 if kind == "end all" else 0.5
    if kind != "half":  # about the bone alone; what is turned first is the twist
        turn.owner_space = turn.target_space = "LOCAL"
        turn.use_x = turn.use_z = False
        turn.euler_order = "YXZ"


def _weights(item: Any, bones: list[str]) -> dict[str, np.ndarray]:
    rows = {item.vertex_groups[name].index: name for name in bones if name in item.vertex_groups}
    weights = {name: np.zeros(len(item.data.vertices)) for name in bones}
    for vertex in item.data.vertices:
        for entry in vertex.groups:
            if entry.group in rows:
                weights[rows[entry.group]][vertex.index] = entry.weight
    return weights


def _set_weights(item: Any, bone: str, values: np.ndarray) -> None:
    group = item.vertex_groups.get(bone)
    if group is None and not (values > 0).any():
        return
    group = group or item.vertex_groups.new(name=bone)
    nothing = np.flatnonzero(values <= 0).tolist()
    group.remove(nothing)
    for vertex in np.flatnonzero(values > 0).tolist():
        group.add([vertex], float(values[vertex]), "REPLACE")


def meshes_of(armature: Any, mesh_object: Any) -> list[Any]:
    """The body's mesh and its garments."""
    return [mesh_object, *(item for item in armature.children if msh.GARMENT in item)]
