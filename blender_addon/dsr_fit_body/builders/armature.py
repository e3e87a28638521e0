# SPDX-License-Identifier: GPL-3.0-or-later
"""The armature: bones along the limbs, joints that follow the shape, pose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np

from ..core.body_model import BodyModel
from ..core.bone_axes import bone_axes
from ..core.geometry import BODY_TO_BLENDER
from ..core.names import SCHEMES, bone_name_in

JOINTS, JOINTDIRS, BONES = "dsr_joints", "dsr_jointdirs", "dsr_bones"
"""Custom properties on armature data: average joints (J x 3), their shape directions (J x 3 x B), bones in order."""
DIRECTIONS, SPREADS, DIRECTION_JOINTS = "dsr_directions", "dsr_direction_spreads", "dsr_direction_joints"
"""Custom properties on armature data: names of D named directions, their spreads, joints per spread (J x 3 x D)."""
ADULT_SHAPES = "dsr_adult_shapes"
"""Custom property on armature data: indices of the coefficients that named directions move, which no child's is."""
TAG = "dsr_joint"
"""Custom property of a bone: the joint it stands for, whatever the bone is called."""


def new_armature(body: BodyModel, name: str) -> Any:
    """Armature data with the bones of the average shape; an object of it must be made and shaped after.

    Directions and rolls of bones never change with the shape, so a pose means the same for every shape.
    """
    data = bpy.data.armatures.new(name)
    data[JOINTS] = body.joints.ravel().tolist()
    data[JOINTDIRS] = body.jointdirs.ravel().tolist()
    data[BONES] = list(body.names)
    if body.directions:
        data[DIRECTIONS] = [direction.name for direction in body.directions]
        moved = np.any([direction.betas != 0 for direction in body.directions], axis=0)
        data[ADULT_SHAPES] = np.flatnonzero(moved).tolist()
        data[SPREADS] = [direction.spread for direction in body.directions]
        rows = np.stack([direction.spread * direction.betas for direction in body.directions], 1)
        data[DIRECTION_JOINTS] = (body.jointdirs @ rows).ravel().tolist()
    data.display_type = "STICK"  # thick bones would show through shins and hands
    return data


def make_bones(armature: Any, body: BodyModel) -> None:
    """Create the bones of an armature object that has none."""
    directions, lengths = bone_axes(body.names, body.parents, body.joints)
    heads = body.joints @ BODY_TO_BLENDER.T
    tails = heads + (directions * lengths[:, None]) @ BODY_TO_BLENDER.T
    with edit_mode(armature):
        bones = [armature.data.edit_bones.new(name) for name in body.names]
        for joint, bone in enumerate(bones):
            bone.head, bone.tail = heads[joint].tolist(), tails[joint].tolist()
            along = directions[joint] @ BODY_TO_BLENDER.T
            bone.align_roll((0.0, 0.0, 1.0) if abs(along[1]) > 0.8 else (0.0, -1.0, 0.0))
            if body.parents[joint] >= 0:
                bone.parent = bones[int(body.parents[joint])]


def move_joints(armature: Any, joints: np.ndarray) -> None:
    """Put the rest joints of an armature at (J, 3), files' body frame, and keep directions and rolls.

    Args:
        armature: object made by this add-on.
        joints: in the order of :func:`bone_names`.
    """
    names = bone_names(armature)
    heads = np.asarray(joints) @ BODY_TO_BLENDER.T
    with edit_mode(armature):
        bones = armature.data.edit_bones
        ends = {name: np.array(bones[name].tail) - np.array(bones[name].head) for name in names}
        children = {name: [child.name for child in bones[name].children] for name in names}
        where = dict(zip(names, heads, strict=True))
        for name in names:
            bone, along = bones[name], ends[name]
            size = float(np.linalg.norm(along))
            reach = [(where[child] - where[name]) @ along / size for child in children[name] if child in where]
            fitting = [r for r in reach if 0.5 * size < r < 2 * size]
            if fitting:  # the child it points at
                along = along * (min(fitting, key=lambda r: abs(r - size)) / size)
            roll = bone.roll
            bone.head, bone.tail = where[name].tolist(), (where[name] + along).tolist()
            bone.roll = roll


def bone_names(armature: Any) -> list[str]:
    """Names of the bones in the order of the body's joints, as they are called now."""
    bones = armature.data.bones
    by_tag = {str(bone[TAG]): bone.name for bone in bones if TAG in bone}
    return [by_tag.get(str(name), str(name)) for name in armature.data[BONES]]


def missing_bones(armature: Any) -> list[str]:
    """Joints of a body whose bones an artist has removed."""
    names = zip(map(str, armature.data[BONES]), bone_names(armature), strict=True)
    return [joint for joint, bone in names if bone not in armature.data.bones]


def tag_bones(armature: Any) -> None:
    """Note on every bone which joint it is, so that renaming loses nothing."""
    for bone in armature.data.bones:
        bone[TAG] = bone.name


def rename_bones(armature: Any, scheme: str) -> None:
    """Rename every bone that stands for a joint; Blender renames vertex groups and curves with them.

    Args:
        armature: of a body.
        scheme: one of :data:`SCHEMES`.
    """
    if scheme not in SCHEMES:
        raise ValueError(scheme)
    new_names = {bone.name: bone_name_in(str(bone[TAG]), scheme) for bone in armature.data.bones if TAG in bone}
    for old in new_names:  # two steps: a new name may be another bone's old one
        armature.data.bones[old].name = f"~{old}"
    for old, new in new_names.items():
        armature.data.bones[f"~{old}"].name = new


def rest_matrices(armature: Any) -> np.ndarray:
    """(J, 3, 3) rest orientations of the bones."""
    bones = armature.data.bones
    return np.array([bones[name].matrix_local.to_3x3() for name in bone_names(armature)], np.float64)


def direction_spreads(armature: Any) -> dict[str, float]:
    """Spreads of the body's named directions by name; empty for a body without any."""
    data = armature.data
    return {} if DIRECTIONS not in data else dict(zip(map(str, data[DIRECTIONS]), data[SPREADS], strict=True))


def joints_for(armature: Any, betas: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(J, 3) rest joints of a shape, from the custom properties of the armature.

    Args:
        armature: of the body.
        betas: (n,) shape coefficients.
        directions: (D,) named directions in spreads, in the order of :func:`direction_spreads`.
    """
    joints = np.array(armature.data[JOINTS], np.float64).reshape(-1, 3)
    per_beta = np.array(armature.data[JOINTDIRS], np.float64).reshape(len(joints), 3, -1)
    count = min(len(betas), per_beta.shape[2])
    joints = joints + per_beta[..., :count] @ np.asarray(betas, np.float64)[:count]
    if len(directions):
        joints = joints + np.array(armature.data[DIRECTION_JOINTS], np.float64).reshape(*joints.shape, -1) @ directions
    return joints


def set_pose(armature: Any, quaternions: np.ndarray, root_location: np.ndarray, root: int = 0) -> None:
    """Pose the bones.

    Args:
        armature: object made by this add-on.
        quaternions: (J, 4) as w, x, y, z.
        root_location: (3,).
        root: index of the root joint.
    """
    names = bone_names(armature)
    for joint, name in enumerate(names):
        bone = armature.pose.bones[name]
        bone.rotation_mode = "QUATERNION"
        bone.rotation_quaternion = quaternions[joint].tolist()
        if joint == root:
            bone.location = root_location.tolist()


@contextmanager
def edit_mode(armature: Any) -> Iterator[None]:
    """Armature edit mode, and back to the mode and active object there were."""
    layer = bpy.context.view_layer
    before = layer.objects.active
    mode = before.mode if before is not None else "OBJECT"
    if before is not None and mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    closed = [collection for collection in armature.users_collection if collection.hide_viewport]
    for collection in closed:
        collection.hide_viewport = False
    hidden = armature.hide_get(), armature.hide_viewport
    selected = armature.select_get()
    armature.hide_set(False)
    armature.hide_viewport = False
    mirrored = armature.data.use_mirror_x
    armature.data.use_mirror_x = False
    layer.objects.active = armature
    try:
        bpy.ops.object.mode_set(mode="EDIT")
        try:
            yield
        finally:
            bpy.ops.object.mode_set(mode="OBJECT")
    finally:
        armature.data.use_mirror_x = mirrored
        armature.hide_set(hidden[0])
        armature.hide_viewport = hidden[1]
        armature.select_set(selected)
        for collection in closed:
            collection.hide_viewport = True
        layer.objects.active = before
        if before is not None and mode != "OBJECT":
            bpy.ops.object.mode_set(mode=mode)
