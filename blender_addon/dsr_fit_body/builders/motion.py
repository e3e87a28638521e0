# SPDX-License-Identifier: GPL-3.0-or-later
"""Poses in time as curves, all keys of a curve at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import compat
from ..core.geometry import channels_to_pose, pose_to_channels
from ..core.result import Person
from ..core.smoothing import fill_gaps, smoothed, smoothed_quaternions
from .armature import bone_names, rest_matrices, set_pose

FPS = "fitbody_fps"
"""Custom property of an action and of a photo's collection: the clip's frames per second."""
PRESENCE = "Presence"
"""Modifier and vertex group of meshes that a clip hides for a while."""


@dataclass(frozen=True)
class MotionOptions:
    """How motion is brought in.

    Attributes:
        start: scene frame of the clip's first frame.
        smoothing: 0 to 1.
        root_motion: whether the person moves through space.
        fill: longest gap to fill, frames; over longer ones the body is hidden.
    """

    start: int = 1
    smoothing: float = 0.3
    root_motion: bool = True
    fill: int = 5


@dataclass(frozen=True, eq=False)
class Motion:
    """Channels in scene frames.

    Attributes:
        frames: (T,).
        quaternions: (T, J, 4).
        locations: (T, 3) of the root bone.
        gaps: frames (first, last) in which nobody is there, also before and after.
    """

    frames: np.ndarray
    quaternions: np.ndarray
    locations: np.ndarray
    gaps: list[tuple[int, int]]


def motion_of(armature: Any, person: Person, joints: np.ndarray, root: int, options: MotionOptions) -> Motion:
    """Smoothed and filled channels of a person.

    Args:
        armature: with the bones of the person's shape.
        person: with T frames.
        joints: (J, 3) rest joints of the shape.
        root: index of the root joint.
        options: smoothing, gaps, start.
    """
    q, location = pose_to_channels(rest_matrices(armature), person.rotations, person.transl, joints, root)
    frames = np.asarray(person.frames)
    keep = person.observed | ~_long_runs(~person.observed, options.fill)
    q, location, frames = q[keep], location[keep], frames[keep]
    q = smoothed_quaternions(q, options.smoothing, frames)
    location = smoothed(location, options.smoothing, frames)
    if not options.root_motion:
        location = np.broadcast_to(location[:1], location.shape)
    frames, q, location, gaps = fill_gaps(frames, q, location, options.fill)
    shift = options.start
    return Motion(frames + shift, q, location, [(a + shift, b + shift) for a, b in gaps])


def _long_runs(mask: np.ndarray, longest: int) -> np.ndarray:
    """Where a mask is true for more than ``longest`` rows in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    out = np.zeros(len(mask), bool)
    for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        out[first:stop] = stop - first > longest
    return out


def animate_pose(armature: Any, motion: Motion, root: int, name: str) -> Any:
    """An action on the armature with a curve group per bone; returns the action."""
    names = bone_names(armature)
    set_pose(armature, motion.quaternions[0], motion.locations[0], root)
    action, bag = compat.action_for(armature, name)
    for joint, bone in enumerate(names):
        base = f'pose.bones["{bone}"].'
        for k in range(4):
            values = motion.quaternions[:, joint, k]
            compat.new_curve(bag, base + "rotation_quaternion", k, bone, motion.frames, values, compat.LINEAR)
        if joint == root:
            for k in range(3):
                values = motion.locations[:, k]
                compat.new_curve(bag, base + "location", k, bone, motion.frames, values, compat.LINEAR)
    return action


def animate_presence(objects: list[Any], motion: Motion, first: int, last: int) -> None:
    """Hide bodies where nobody was seen, between scene frames ``first`` and ``last``."""
    hidden = list(motion.gaps)
    if motion.frames[0] > first:
        hidden.insert(0, (first, int(motion.frames[0]) - 1))
    if motion.frames[-1] < last:
        hidden.append((int(motion.frames[-1]) + 1, last))
    if not hidden:
        return
    keys = {first: 0.0}
    for a, b in hidden:
        keys[a] = 1.0
        if b < last:
            keys[b + 1] = 0.0
    frames = np.array(sorted(keys))
    values = np.array([keys[frame] for frame in frames.tolist()])
    for item in objects:
        add_mask(item)
        _, bag = compat.action_for(item, f"{item.name} {PRESENCE}")
        for path in ("show_viewport", "show_render"):
            compat.new_curve(bag, f'modifiers["{PRESENCE}"].{path}', 0, "", frames, values, compat.CONSTANT)


def add_mask(item: Any) -> None:
    """A modifier that hides all of a mesh while it is on.

    The object itself stays visible: Blender 3.4 loses track of where bodies are that are moved while they are hidden.
    """
    group = item.vertex_groups.new(name=PRESENCE)  # with nothing in it
    modifier = item.modifiers.new(PRESENCE, "MASK")
    modifier.vertex_group, modifier.show_expanded = group.name, False


def drop_mask(item: Any) -> bool:
    """Take the modifier and its group away; whether it hid the mesh."""
    modifier = item.modifiers.get(PRESENCE)
    if modifier is None:
        return False
    hid = bool(modifier.show_viewport)
    item.modifiers.remove(modifier)
    if PRESENCE in item.vertex_groups:
        item.vertex_groups.remove(item.vertex_groups[PRESENCE])
    return hid


def animate_correctives(mesh_object: Any, keys: list[str], values: np.ndarray, frames: np.ndarray, name: str) -> None:
    """Curves (T, n) for the values of shape keys."""
    _, bag = compat.action_for(mesh_object.data.shape_keys, name)
    for index, key in enumerate(keys):
        path = f'key_blocks["{key}"].value'
        compat.new_curve(bag, path, 0, "", frames, values[:, index], compat.LINEAR)


def poses_at(armature: Any, motion: Motion, joints: np.ndarray, root: int) -> np.ndarray:
    """(T, J, 3, 3) local rotations of the files for channels, after smoothing."""
    rotations, _ = channels_to_pose(rest_matrices(armature), motion.quaternions, motion.locations, joints, root)
    return rotations
