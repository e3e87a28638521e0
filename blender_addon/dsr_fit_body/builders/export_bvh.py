# SPDX-License-Identifier: GPL-3.0-or-later
"""BVH of an armature, y up: Blender's own exporter leaves z up, which every reader lays on its back."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ..carried.bvh_text import bvh_text
from ..core.geometry import BODY_TO_BLENDER
from .twist import TWIST


def armature_bvh(armature: Any, first: int, last: int, fps: float, scale: float) -> str:
    """The text of a BVH file with the bones of an armature, from frame to frame.

    Args:
        armature: with one bone that all others hang on.
        first: frame.
        last: frame.
        fps: frames per second of the file.
        scale: file units per Blender unit.
    """
    bones = [bone for bone in _parents_first(armature.data.bones) if TWIST not in bone]
    places = {bone.name: k for k, bone in enumerate(bones)}
    parents = [places[bone.parent.name] if bone.parent else -1 for bone in bones]
    up = BODY_TO_BLENDER.T
    world = np.array(armature.matrix_world.to_3x3().normalized(), np.float64)
    size = scale * armature.matrix_world.to_scale().x
    heads = np.array([bone.head_local for bone in bones], np.float64) * size @ up.T
    tails = np.array([bone.tail_local for bone in bones], np.float64) * size @ up.T
    rest = np.array([bone.matrix_local.to_3x3() for bone in bones], np.float64)
    offsets = np.array([heads[k] - heads[p] if p >= 0 else np.zeros(3) for k, p in enumerate(parents)])
    turns, roots = [], []
    for frame in range(first, last + 1):
        if last > first:
            bpy.context.scene.frame_set(frame)
        posed = np.array([armature.pose.bones[bone.name].matrix.to_3x3().normalized() for bone in bones], np.float64)
        turns.append(up @ world @ posed @ np.swapaxes(rest, 1, 2) @ up.T)
        roots.append(up @ np.array(armature.matrix_world @ armature.pose.bones[bones[0].name].head) * scale)
    whole = np.array(turns)
    local = np.stack(
        [np.swapaxes(whole[:, p], 1, 2) @ whole[:, k] if p >= 0 else whole[:, k] for k, p in enumerate(parents)], 1
    )
    ends = {k: tails[k] - heads[k] for k in range(len(bones)) if k not in parents}
    return bvh_text([bone.name for bone in bones], parents, offsets, ends, local, np.array(roots), fps)


def _parents_first(bones: Any) -> list[Any]:
    return sorted(bones, key=lambda bone: len(bone.parent_recursive))
