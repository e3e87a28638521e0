# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of bodies for other programs: names, baked shape, metres, place; the scene at their clip's rate and frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from .. import compat
from ..core.directions import KEY_NAMES
from . import armature as arm
from . import clothes
from . import mesh as msh
from .motion import FPS, drop_mask


@dataclass(frozen=True)
class CopyOptions:
    """How bodies are copied.

    Attributes:
        names: bone naming scheme.
        bake: shape into the mesh.
        origin: the first body's pelvis over the origin, everybody's lowest point at height 0.
    """

    names: str = "SMPL"
    bake: bool = True
    origin: bool = False


@dataclass
class BodyCopies:
    """Copies that are alone selected.

    Attributes:
        root: what everything hangs on: the armature, or an empty over several.
        armatures: one per person.
        meshes: in the same order.
        first: frame in which their motion begins; the current one of a pose.
        last: frame in which it ends.
        moving: whether there is a motion.
        fps: frames per second of the motion.
        now: the scene's current frame.
        unseen: copies of what a clip hides then.
        pairs: every original and its copy.
    """

    root: Any
    armatures: list[Any]
    meshes: list[Any]
    first: int
    last: int
    moving: bool
    fps: float
    actions: list[Any] = field(default_factory=list)
    now: int = 1
    unseen: list[Any] = field(default_factory=list)
    pairs: list[tuple[Any, Any]] = field(default_factory=list)

    def shift(self, frames: int) -> None:
        """Let the motion begin so many frames later."""
        for action in self.actions:
            for curve in compat.all_curves(action):
                flat = np.empty(2 * len(curve.keyframe_points), np.float32)
                curve.keyframe_points.foreach_get("co", flat)
                flat[::2] += frames
                curve.keyframe_points.foreach_set("co", flat)
                curve.update()
        self.first, self.last = self.first + frames, self.last + frames
        scene = bpy.context.scene
        scene.frame_start, scene.frame_end = self.first, self.last
        scene.frame_set(self.first)


@contextmanager
def copied(bodies: list[tuple[Any, Any]], options: CopyOptions) -> Iterator[BodyCopies]:
    """Copies of bodies, removed at the end; time, units and selection of the scene are then as before.

    Args:
        bodies: armature and mesh of each, the active one first.
        options: how.
    """
    layer, scene = bpy.context.view_layer, bpy.context.scene
    active = layer.objects.active
    if active is not None and active.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    selected = [item for item in layer.objects if item.select_get()]
    render, now = scene.render, scene.frame_current
    before = (scene.unit_settings.scale_length, scene.frame_start, scene.frame_end, render.fps, render.fps_base)
    actions, keys = set(bpy.data.actions), set(bpy.data.shape_keys)
    made: list[Any] = []
    renamed: list[tuple[Any, str]] = []
    try:
        copies = _copy(bodies, options, made)
        renamed = _take_names(copies.pairs)
        for item in selected:
            item.select_set(False)
        for item in made:
            item.select_set(True)
        layer.objects.active = copies.armatures[0]
        layer.update()
        yield copies
    finally:
        scene.unit_settings.scale_length, scene.frame_start, scene.frame_end, render.fps, render.fps_base = before
        data = [item.data for item in made if item.data is not None]
        for item in reversed(made):
            bpy.data.objects.remove(item)
        layer.update()  # nothing that is evaluated may still use what is removed now
        bpy.data.batch_remove([item for item in data if item.users == 0])
        bpy.data.batch_remove([*(set(bpy.data.actions) - actions), *(set(bpy.data.shape_keys) - keys)])
        for item, name in renamed:
            item.name = name
        for item in selected:
            item.select_set(True)
        layer.objects.active = active
        scene.frame_set(now)


def _take_names(pairs: list[tuple[Any, Any]]) -> list[tuple[Any, str]]:
    """Copies are called as what they are copies of, which steps aside for a while.

    Args:
        pairs: original and copy.

    Returns:
        What stepped aside, with its name.
    """
    aside = [(original, original.name) for original, _ in pairs]
    for (original, copy), (_, name) in zip(pairs, aside, strict=True):
        original.name = f"~{name}"
        copy.name = name
    return aside


def _copy(bodies: list[tuple[Any, Any]], options: CopyOptions, made: list[Any]) -> BodyCopies:
    layer, scene = bpy.context.view_layer, bpy.context.scene
    metres = Matrix.Scale(1.0 / compat.units_per_metre(scene), 4)
    now = scene.frame_current
    copies = BodyCopies(None, [], [], now, now, False, compat.scene_fps(scene), now=now)
    for armature, mesh_object in bodies:
        world = metres @ armature.matrix_world
        a, m = (_copy_object(item, scene, made, copies) for item in (armature, mesh_object))
        a.parent = None
        a.matrix_world = world
        m.parent = a
        for constraint in (c for bone in a.pose.bones for c in bone.constraints):
            if getattr(constraint, "target", None) == armature:
                constraint.target = a
        for modifier in m.modifiers:
            if modifier.type == "ARMATURE":
                modifier.object = a
        for owner in (a, m.data.shape_keys):
            _own_action(owner, copies)
        worn = [_copy_worn(item, a, m, scene, made, copies) for item in clothes.worn_by(armature)]
        clothes.drop_hidden_skin(m)
        for item in (m, *worn):
            (bake_shape if options.bake else rest_as_fitted)(item)
        arm.rename_bones(a, options.names)
        copies.armatures.append(a)
        copies.meshes.append(m)
    scene.unit_settings.scale_length = 1.0  # the copies are in metres
    _take_time(copies, scene)
    layer.update()
    if options.origin:
        _to_origin(copies)
    copies.root = copies.armatures[0]
    if len(copies.armatures) > 1:
        copies.root = bpy.data.objects.new("People", None)
        scene.collection.objects.link(copies.root)
        made.append(copies.root)
        for a in copies.armatures:
            a.parent = copies.root
    return copies


def _copy_worn(item: Any, armature: Any, mesh_object: Any, scene: Any, made: list[Any], copies: BodyCopies) -> Any:
    """A garment on the copy of its body."""
    copy = _copy_object(item, scene, made, copies)
    copy.parent = armature
    for modifier in copy.modifiers:
        if modifier.type == "ARMATURE":
            modifier.object = armature
    blocks = mesh_object.data.shape_keys.key_blocks
    for key in copy.data.shape_keys.key_blocks[1:]:
        key.driver_remove("value")
        key.value = blocks[key.name].value if key.name in blocks else 0.0
    return copy


def _copy_object(item: Any, scene: Any, made: list[Any], copies: BodyCopies) -> Any:
    """A copy that is there all the time: what a clip hides for a while would be missing in files."""
    copy = item.copy()
    made.append(copy)
    copy.data = item.data.copy()
    copies.pairs += [(item, copy), (item.data, copy.data)]
    if item.type == "MESH":
        copy.animation_data_clear()
        if drop_mask(copy):
            copies.unseen.append(copy)
    scene.collection.objects.link(copy)
    copy.hide_viewport = copy.hide_render = False
    copy.hide_set(False)
    return copy


def _own_action(owner: Any | None, copies: BodyCopies) -> None:
    """A copy of the action on a data-block: renaming bones and shifting keys must not touch the scene's motion."""
    animation = owner.animation_data if owner is not None else None
    if animation is None or animation.action is None:
        return
    slot, original = getattr(animation, "action_slot", None), animation.action
    animation.action = action = original.copy()
    copies.actions.append(action)
    copies.pairs.append((original, action))
    if slot is not None:
        animation.action_slot = next(s for s in action.slots if s.identifier == slot.identifier)


def _take_time(copies: BodyCopies, scene: Any) -> None:
    """Rate and frames of the clip, not of the scene."""
    moving = [a.animation_data.action for a in copies.armatures if a.animation_data and a.animation_data.action]
    if not moving:
        return
    spans = [action.frame_range for action in moving]
    copies.moving = True
    copies.first, copies.last = min(round(s[0]) for s in spans), max(round(s[1]) for s in spans)
    copies.fps = float(moving[0].get(FPS, copies.fps))
    compat.set_fps(scene, copies.fps)
    scene.frame_start, scene.frame_end = copies.first, copies.last
    scene.frame_set(copies.first)


def _to_origin(copies: BodyCopies) -> None:
    """Everybody together, so that the first one's pelvis is over the origin and the lowest point at height 0."""
    from .ground import lowest_vertex

    first = copies.armatures[0]
    names = arm.bone_names(first)
    pelvis = first.matrix_world @ first.pose.bones[names[int(first.get("fitbody_root", 0))]].head
    move = Matrix.Translation((-pelvis.x, -pelvis.y, -lowest_vertex(copies.meshes)))
    for a in copies.armatures:
        a.matrix_world = move @ a.matrix_world
    bpy.context.view_layer.update()


def rest_as_fitted(mesh_object: Any) -> None:
    """Put the mix of the shape's keys into the rest of the mesh, and begin those keys at 0.

    Many programs, Blender's own FBX importer among them, cut values of keys to 0 to 1: they would show somebody else.
    """
    blocks = mesh_object.data.shape_keys.key_blocks
    names = [msh.shape_name(index) for index in range(msh.MAX_SHAPES)] + list(KEY_NAMES.values())
    moved = [blocks[name] for name in names if name in blocks and blocks[name].value and not blocks[name].mute]
    flat = np.empty(len(mesh_object.data.vertices) * 3, np.float32)
    blocks[0].data.foreach_get("co", flat)
    basis, change = flat.astype(np.float64), np.zeros(len(flat))
    for key in moved:
        key.data.foreach_get("co", flat)
        change += key.value * (flat - basis)
        key.value = 0.0
    for key in blocks:
        key.data.foreach_get("co", flat)
        key.data.foreach_set("co", (flat + change).astype(np.float32))
    mesh_object.data.vertices.foreach_set("co", (basis + change).astype(np.float32))
    mesh_object.data.update()


def bake_shape(mesh_object: Any) -> None:
    """Put the mix of all shape keys, still ones, into the mesh and remove the keys."""
    blocks = mesh_object.data.shape_keys.key_blocks
    count = len(mesh_object.data.vertices) * 3
    flat = np.empty(count, np.float32)
    blocks[0].data.foreach_get("co", flat)
    basis, total = flat.astype(np.float64), flat.astype(np.float64)
    for key in blocks[1:]:
        if key.value and not key.mute:
            key.data.foreach_get("co", flat)
            total += key.value * (flat - basis)
    mesh_object.shape_key_clear()
    mesh_object.data.vertices.foreach_set("co", total.astype(np.float32))
    mesh_object.data.update()
