# SPDX-License-Identifier: GPL-3.0-or-later
"""The pose or motion of a fitted body on another armature of the scene, baked as an action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Quaternion, Vector

from .. import compat
from ..carried.pose_transfer import PARENT, Movement, Skeleton, Transfer, body_frame, transfer
from ..carried.rig_pose import Rig, unscaled
from ..carried.skeleton_names import RIG_NAMES, ROOT, guess_bone_map, missing_joints
from ..core.geometry import BODY_TO_BLENDER
from ..core.messages import FitBodyError, sentence
from . import armature as arm
from . import shape
from .motion import FPS

SOURCE = "fitbody_character"
"""Custom property of a baked action: the armature of the fitted body."""


_TWEAKS = {
    **{
        f"tweak_spine{'' if k == 0 else f'.00{k}'}": joint
        for k, joint in enumerate(("pelvis", "spine1", "spine2", "spine3"))
    },
    **{
        f"{bone}_tweak.{side[0].upper()}{half}": f"{side}_{joint}"
        for side in ("left", "right")
        for bone, joint in (("upper_arm", "shoulder"), ("thigh", "hip"))
        for half in ("", ".001")
    },
}
"""Rigify's controls that twist a piece of a limb or of the spine -> the joint whose twist a fitted body has there."""


@dataclass(frozen=True)
class CharacterOptions:
    """How a body's motion is put on a character.

    Attributes:
        path: ``own``, ``none`` or ``same``, as of :func:`~..carried.pose_transfer.transfer`.
        keep_feet: standing feet stay where they are.
        at_body: move the character to where the body stands.
    """

    path: str = "own"
    keep_feet: bool = True
    at_body: bool = False


def guess_map(armature: Any) -> dict[str, str]:
    """Joint -> bone of an armature, by the names of its bones."""
    bones = list(armature.data.bones)
    places = {bone.name: k for k, bone in enumerate(bones)}
    return guess_bone_map([bone.name for bone in bones], [places[b.parent.name] if b.parent else -1 for b in bones])


def frames_of(armature: Any) -> list[int]:
    """Frames of a body's motion; the current one of a pose."""
    action = armature.animation_data.action if armature.animation_data else None
    if action is None:
        return [bpy.context.scene.frame_current]
    keyed = sorted({round(key.co[0]) for curve in compat.curves_of(armature)[:1] for key in curve.keyframe_points})
    return list(range(keyed[0], keyed[-1] + 1)) if keyed else [bpy.context.scene.frame_current]


def movement_of(armature: Any, mesh_object: Any, frames: list[int], local: bool = False) -> Movement:
    """How a fitted body stands or moves in the scene.

    Args:
        armature: of the body.
        mesh_object: of the body; its lowest point at rest is its sole.
        frames: of the scene.
        local: in the armature's own space instead of the world.
    """
    scene, now = bpy.context.scene, bpy.context.scene.frame_current
    joints = [str(name) for name in armature.data[arm.BONES]]
    names = arm.bone_names(armature)
    up = BODY_TO_BLENDER.T
    rest_axes = arm.rest_matrices(armature)
    turns, places = [], []
    for frame in frames:
        if len(frames) > 1:
            scene.frame_set(frame)
        metres = Matrix() if local else Matrix.Scale(1 / compat.units_per_metre(scene), 4) @ armature.matrix_world
        posed = [metres @ armature.pose.bones[name].matrix for name in names]
        axes = np.array([unscaled(np.array(matrix)) for matrix in posed])
        turns.append(up @ axes @ np.swapaxes(rest_axes, 1, 2) @ up.T)
        places.append(np.array([matrix.translation for matrix in posed], np.float64) @ up.T)
    if scene.frame_current != now:
        scene.frame_set(now)
    action = armature.animation_data.action if armature.animation_data else None
    return Movement(
        names=tuple(joints),
        rest=np.array([armature.data.bones[name].head_local for name in names], np.float64) @ up.T,
        rotations=np.array(turns),
        positions=np.array(places),
        fps=compat.scene_fps(scene) if action is None else float(action.get(FPS, compat.scene_fps(scene))),
        sole=float(shape.shaped_rest(mesh_object)[:, 2].min()),
    )


def apply_to(
    source: tuple[Any, Any], target: Any, bone_map: Mapping[str, str], options: CharacterOptions, name: str
) -> Any:
    """Put a body's pose or motion on an armature, as a new action.

    Args:
        source: armature and mesh of a fitted body.
        target: the character's armature.
        bone_map: joint -> bone.
        options: how.
        name: of the action.

    Raises:
        FitBodyError: if the map lacks a bone that is needed.
    """
    bone_map = {joint: bone for joint, bone in bone_map.items() if bone and bone in target.data.bones}
    lacking = missing_joints(bone_map)
    if lacking:
        detail = sentence("the bone map has no bone for {joints}", joints=", ".join(lacking))
        raise FitBodyError("build_failed", detail=detail)
    if bpy.context.view_layer.objects.active is not None and bpy.context.view_layer.objects.active.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    frames = frames_of(source[0])
    movement = movement_of(*source, frames, local=options.path == "same")
    skeleton = _skeleton(target, bone_map)
    try:
        moved = transfer(movement, skeleton, options.path, options.keep_feet)
    except ValueError as error:
        raise FitBodyError("build_failed", detail=str(error)) from error
    if options.at_body:
        _stand_at(target, skeleton, moved, movement)
    if target.animation_data is not None:
        if target.animation_data.action is not None:
            target.animation_data.action.use_fake_user = True  # the artist's own motion is kept in the file
        target.animation_data.action = None
    if _is_constrained(target, bone_map):
        channels = _pose_step_by_step(target, bone_map, moved, tweaks=options.path == "same")
    else:
        channels = _pose_at_once(target, bone_map, moved)
    action = _bake(target, channels, np.array(frames), name)
    action[SOURCE] = source[0].name
    action[FPS] = movement.fps
    bpy.context.view_layer.update()
    return action


def _skeleton(target: Any, bone_map: Mapping[str, str]) -> Skeleton:
    """The mapped bones at rest, in the armature's own space; of Rigify's controls, the joints they turn about."""
    bones = target.data.bones
    if is_rigify(target):
        heads, axes = {}, {}
        for joint, bone in bone_map.items():
            if joint != ROOT:
                original = bones.get(f"ORG-{RIG_NAMES['rigify'].get(joint, '')}") or bones[bone]
                heads[joint] = np.array(original.head_local, np.float64)
                axes[joint] = np.array(bones[bone].matrix_local.to_3x3(), np.float64)
        return Skeleton(heads, axes)
    return _rig(target).skeleton(bone_map)


def _rig(target: Any) -> Rig:
    bones = list(target.data.bones)
    places = {bone.name: k for k, bone in enumerate(bones)}
    parents = tuple(places[bone.parent.name] if bone.parent else -1 for bone in bones)
    return Rig(tuple(places), parents, np.array([bone.matrix_local for bone in bones], np.float64))


def is_rigify(target: Any) -> bool:
    """Whether an armature is a rig that Rigify generated."""
    return "torso" in target.data.bones and "upper_arm_fk.L" in target.data.bones


def _is_constrained(target: Any, bone_map: Mapping[str, str]) -> bool:
    """Whether bones of a map, or what they hang on, follow constraints: then Blender must work out each pose."""
    if is_rigify(target):
        return True
    posed = target.pose.bones
    chain = {bone for name in bone_map.values() for bone in (posed[name], *posed[name].parent_recursive)}
    return any(constraint.enabled for bone in chain for constraint in bone.constraints)


@dataclass
class _Channels:
    """(T, 4) turns and (T, 3) places of pose bones, by name; and bones that stay at rest."""

    turns: dict[str, np.ndarray]
    places: dict[str, np.ndarray]
    still: tuple[str, ...] = ()


def _pose_at_once(target: Any, bone_map: Mapping[str, str], moved: Transfer) -> _Channels:
    """Channels worked out from the rest pose alone."""
    rig = _rig(target)
    pose = rig.pose(moved, bone_map)
    channels = _Channels({}, {}, tuple(_bones_between(target, bone_map)))
    for bone in (*bone_map.values(), *channels.still):
        posed = target.pose.bones[bone]
        size = posed.scale.copy()  # the artist's; turns and places are what another action left there
        posed.matrix_basis = Matrix()
        posed.scale = size
    index = {name: k for k, name in enumerate(rig.names)}
    for joint in moved.joints:
        k = index[bone_map[joint]]
        own, parent = unscaled(rig.rest[k]), rig.parents[k]
        under = unscaled(rig.rest[parent]).T @ own if parent >= 0 else own
        basis = under.T @ pose.local[:, k]
        if parent >= 0 and not _inherits_rotation(target.data.bones[rig.names[k]]):
            basis = own.T @ pose.world[:, k]
        channels.turns[rig.names[k]] = _quaternions(basis)
    carrier = target.data.bones[bone_map["pelvis"]]
    shift = pose.root_world - np.array(carrier.head_local)
    while carrier.use_connect and carrier.parent is not None:
        carrier = carrier.parent  # a connected bone has no place of its own
    axes = np.array(carrier.matrix_local.to_3x3(), np.float64) if carrier.use_local_location else np.eye(3)
    channels.places[carrier.name] = shift @ axes
    return channels


def _bones_between(target: Any, bone_map: Mapping[str, str]) -> list[str]:
    """Bones of no joint of which some joint's bone hangs and which hang on one themselves."""
    mapped = set(bone_map.values())
    between: dict[str, None] = {}
    for name in mapped:
        chain = [bone.name for bone in target.data.bones[name].parent_recursive]
        last = max((k for k, bone in enumerate(chain) if bone in mapped), default=0)
        between |= dict.fromkeys(bone for bone in chain[:last] if bone not in mapped)
    return list(between)


def _inherits_rotation(bone: Any) -> bool:
    return bool(bone.use_inherit_rotation)


def _pose_step_by_step(target: Any, bone_map: Mapping[str, str], moved: Transfer, tweaks: bool) -> _Channels:
    """Channels of a rig with constraints: every bone gets its turn in the armature, parents first, frame by frame."""
    _use_fk(target)
    layer, posed = bpy.context.view_layer, target.pose.bones
    root = bone_map.get(ROOT) or bone_map["pelvis"]
    axes = {bone: np.array(target.data.bones[bone].matrix_local.to_3x3(), np.float64) for bone in bone_map.values()}
    turns = {bone_map[joint]: moved.turns[joint] for joint in moved.joints}
    pivot = "spine2" if root != bone_map["pelvis"] and "spine2" in moved.positions else "pelvis"
    turns[root] = moved.turns["pelvis"]
    arms = np.array(target.data.bones[root].head_local) - _skeleton(target, bone_map).heads[pivot]
    places = moved.positions[pivot] + turns[root] @ arms
    for bone in turns:
        posed[bone].matrix_basis = Matrix()
    levels = _levels(target, bone_map, moved.joints)
    if tweaks:
        twisted = {bone: joint for bone, joint in _TWEAKS.items() if bone in posed and joint in moved.turns}
        turns |= {bone: moved.turns[joint] for bone, joint in twisted.items()}
        axes |= {b: np.array(target.data.bones[b].matrix_local.to_3x3(), np.float64) for b in twisted}
        levels.append(list(twisted))
    channels = _Channels({bone: np.empty((len(places), 4)) for bone in turns}, {root: np.empty((len(places), 3))})
    for frame in range(len(places)):
        for bones in levels:
            layer.update()
            for bone in bones:
                matrix = Matrix((turns[bone][frame] @ axes[bone]).tolist()).to_4x4()
                matrix.translation = Vector(places[frame]) if bone == root else posed[bone].matrix.translation
                posed[bone].matrix = matrix
                if bone != root:
                    posed[bone].location, posed[bone].scale = (0, 0, 0), (1, 1, 1)
        for bone in turns:
            channels.turns[bone][frame] = posed[bone].matrix_basis.to_quaternion()
        channels.places[root][frame] = posed[root].location
    return channels


def _levels(target: Any, bone_map: Mapping[str, str], joints: Sequence[str]) -> list[list[str]]:
    """Bones in steps: each after those it hangs on, in the armature or, through constraints, in the body."""
    bones = dict.fromkeys([bone_map.get(ROOT) or bone_map["pelvis"], *(bone_map[joint] for joint in joints)])
    above = {bone: {b.name for b in target.pose.bones[bone].parent_recursive} & set(bones) for bone in bones}
    waits = {bone: set(names) for bone, names in above.items()}
    for joint in joints:
        parent = PARENT.get(joint, "")
        while parent and parent not in joints:
            parent = PARENT.get(parent, "")
        if parent and bone_map[joint] not in above[bone_map[parent]]:  # Rigify's hips hang on its spine
            waits[bone_map[joint]].add(bone_map[parent])
    levels: list[list[str]] = []
    while waits:
        ready = [bone for bone, names in waits.items() if not names & set(waits)] or list(waits)
        levels.append(ready)
        waits = {bone: names for bone, names in waits.items() if bone not in ready}
    return levels


def _use_fk(target: Any) -> None:
    """Rigify's limbs follow their FK controls."""
    for bone in target.pose.bones:
        if "IK_FK" in bone:
            bone["IK_FK"] = 1.0


def _quaternions(rotations: np.ndarray) -> np.ndarray:
    return np.array([Matrix(one.tolist()).to_quaternion() for one in rotations])


def _bake(target: Any, channels: _Channels, frames: np.ndarray, name: str) -> Any:
    """Curves in the way each bone is turned, and the pose of the first frame."""
    action, bag = compat.action_for(target, name)
    action.use_frame_range = True
    action.frame_start, action.frame_end = float(frames[0]), float(frames[-1])
    for bone, turns in channels.turns.items():
        posed = target.pose.bones[bone]
        if posed.rotation_mode == "AXIS_ANGLE":
            posed.rotation_mode = "QUATERNION"
        path = "rotation_quaternion" if posed.rotation_mode == "QUATERNION" else "rotation_euler"
        values = _in_mode(turns, posed.rotation_mode)
        _curves(bag, posed, path, bone, frames, values)
    for bone in channels.still:
        posed = target.pose.bones[bone]
        if posed.rotation_mode != "AXIS_ANGLE":
            path = "rotation_quaternion" if posed.rotation_mode == "QUATERNION" else "rotation_euler"
            _curves(bag, posed, path, bone, frames[:1], np.array([getattr(posed, path)]))
    for bone, places in channels.places.items():
        _curves(bag, target.pose.bones[bone], "location", bone, frames, places)
    return action


def _in_mode(turns: np.ndarray, mode: str) -> np.ndarray:
    """(T, 3 or 4) as quaternions or Euler angles, without jumps."""
    rows: list[Any] = []
    for row in turns:
        quaternion = Quaternion(row)
        if mode == "QUATERNION":
            if rows:
                quaternion.make_compatible(rows[-1])
            rows.append(quaternion)
        else:
            rows.append(quaternion.to_euler(mode, rows[-1]) if rows else quaternion.to_euler(mode))
    return np.array(rows)


def _curves(bag: Any, posed: Any, path: str, bone: str, frames: np.ndarray, values: np.ndarray) -> None:
    setattr(posed, path, values[0].tolist())
    for index in range(values.shape[1]):
        whole = f"{posed.path_from_id()}.{path}"
        compat.new_curve(bag, whole, index, bone, frames, values[:, index], compat.LINEAR)


def _stand_at(target: Any, skeleton: Skeleton, moved: Transfer, movement: Movement) -> None:
    """Turn and move the character's object so that it stands where the body does; its height stays."""
    world = target.matrix_world.copy()
    forward = Vector(unscaled(np.array(world)) @ body_frame(skeleton)[:, 2])
    turn = Matrix.Rotation(np.arctan2(forward.x, -forward.y), 4, "Z").inverted()  # a body at rest faces -y
    hips = world @ Vector(moved.positions["pelvis"][0])
    units = compat.units_per_metre(bpy.context.scene)
    body = BODY_TO_BLENDER @ movement.positions[0, movement.names.index("pelvis")] * units
    place = Matrix.Translation((body[0], body[1], hips.z))
    target.matrix_world = place @ turn @ Matrix.Translation(-hips) @ world
    bpy.context.view_layer.update()
