# SPDX-License-Identifier: GPL-3.0-or-later
"""Poses as assets: of a body in the scene, and of everybody in a folder of results as a library file."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Vector

from .. import compat
from ..core.body_model import BodyModel, read_body_model
from ..core.geometry import CAMERA_TO_BLENDER, pose_to_channels
from ..core.messages import FitBodyError
from ..core.names import cut_name
from ..core.result import Person, Result, read_result
from . import armature as arm

FILE_NAME = "fit_body_poses.blend"
"""Of the library in a folder of results."""
PREVIEW_PX = 512
"""Size of the picture of a pose."""
PICTURE_FILES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


def pose_action(armature: Any, name: str, frame: float) -> Any:
    """The pose as it is now as an asset: an action of one frame, which the armature does not keep.

    Args:
        armature: of a body.
        name: of the action.
        frame: of the keys.
    """
    animation = armature.animation_data
    before = (animation.action, getattr(animation, "action_slot", None)) if animation is not None else (None, None)
    action, bag = compat.action_for(armature, name)
    frames = np.array([frame])
    for bone in arm.bone_names(armature):
        posed = armature.pose.bones[bone]
        path = f"{posed.path_from_id()}.rotation_quaternion"
        for index, value in enumerate(posed.rotation_quaternion):
            compat.new_curve(bag, path, index, bone, frames, np.array([value]), compat.CONSTANT)
    action.asset_mark()
    action.asset_data.tags.new("Fit Body", skip_if_exists=True)
    action.asset_data.description = str(armature.get("fitbody_model", ""))
    action.use_fake_user = True
    armature.animation_data.action = before[0]
    if before[0] is not None and before[1] is not None:
        armature.animation_data.action_slot = before[1]
    return action


def write_library(folder: Path, paths: list[Path]) -> tuple[int, int]:
    """Write a file with a pose for everybody in results; the scene stays as it is.

    Args:
        folder: gets the file, in the place of an earlier one.
        paths: of results.

    Returns:
        how many poses it has, and how many results could not be read.

    Raises:
        RuntimeError: where Blender cannot write the file.
    """
    actions: list[Any] = []
    armatures: dict[Path, tuple[BodyModel, Any]] = {}
    left_out = 0
    try:
        for path in paths:
            try:
                result = read_result(path)
                if result.body_file not in armatures:
                    body = read_body_model(result.body_file, result.body.get("sha256", ""))
                    armatures[result.body_file] = body, _bare_armature(body)
                body, armature = armatures[result.body_file]
                for person in result.people:
                    actions.append(_library_pose(armature, body, result, person))
            except (FitBodyError, ValueError):
                left_out += 1
        if actions:
            bpy.data.libraries.write(str(folder / FILE_NAME), set(actions), fake_user=True)
    finally:
        bpy.data.batch_remove(actions)
        for _, armature in armatures.values():
            data = armature.data
            bpy.data.objects.remove(armature)
            bpy.data.armatures.remove(data)
    return len(actions), left_out


def add_to_preferences(folder: Path) -> None:
    """Let the Asset Browser know the folder; a folder that it knows is not added again."""
    libraries = bpy.context.preferences.filepaths.asset_libraries
    if any(Path(library.path).resolve() == folder.resolve() for library in libraries if library.path):
        return
    bpy.ops.preferences.asset_library_add(directory=str(folder))
    libraries[-1].name = f"Fit Body {cut_name(folder.name)}"


def _bare_armature(body: BodyModel) -> Any:
    """An armature of the average shape, at the origin."""
    armature = bpy.data.objects.new("Pose", arm.new_armature(body, "Pose"))
    bpy.context.scene.collection.objects.link(armature)
    arm.make_bones(armature, body)
    arm.tag_bones(armature)
    armature["fitbody_model"] = body.name
    return armature


def _library_pose(armature: Any, body: BodyModel, result: Result, person: Person) -> Any:
    """One person's pose, upright where the result knows what is up; of a clip the one in the middle of what is seen."""
    seen = np.flatnonzero(person.observed) if person.observed.any() else np.arange(len(person.frames))
    moment = int(seen[len(seen) // 2])
    rotations = person.rotations[moment : moment + 1].copy()
    if rotations.shape[1] != len(body.parents):
        raise ValueError("the pose has other joints than the body")
    if result.up is not None:
        up = Vector((CAMERA_TO_BLENDER @ result.up).tolist())
        turn = np.array(up.rotation_difference(Vector((0, 0, 1))).to_matrix(), np.float64)
        rotations[:, body.root] = CAMERA_TO_BLENDER.T @ turn @ CAMERA_TO_BLENDER @ rotations[:, body.root]
    joints = body.shaped_joints(person.betas)
    quaternions, _ = pose_to_channels(
        arm.rest_matrices(armature), rotations, person.transl[moment : moment + 1], joints, body.root
    )
    arm.set_pose(armature, quaternions[0], np.zeros(3), body.root)
    action = pose_action(armature, f"{cut_name(result.stem)} Person {person.number}", 1.0)
    picture = result.background if result.background_kind == "FILE" else None
    if picture is not None and not result.is_clip and picture.suffix.lower() in PICTURE_FILES and picture.is_file():
        with contextlib.suppress(RuntimeError, OSError), tempfile.TemporaryDirectory() as folder:  # a pose without one
            part = _part_of(picture, person.box_px, Path(folder) / "person.png")  # is one still
            with bpy.context.temp_override(id=action):
                bpy.ops.ed.lib_id_load_custom_preview(filepath=str(part))
    return action


def _part_of(picture: Path, box_px: np.ndarray | None, target: Path) -> Path:
    """The person's part of a photo as a small picture of its own; the photo where the box is not in it."""
    if box_px is None or not np.isfinite(box_px).all():
        return picture
    image = bpy.data.images.load(str(picture))
    try:
        width, height = image.size
        x0, y0, x1, y1 = np.asarray(box_px, float).ravel()[:4]
        margin = 0.1 * max(x1 - x0, y1 - y0)
        size = min(1.0, PREVIEW_PX / max(x1 - x0, y1 - y0, 1.0))  # small before it is read: photos are large
        left, right = (round(size * min(max(x, 0), width)) for x in (x0 - margin, x1 + margin))
        top, bottom = (round(size * min(max(y, 0), height)) for y in (y0 - margin, y1 + margin))
        if right - left < 8 or bottom - top < 8:
            return picture
        image.scale(max(right, round(size * width)), max(bottom, round(size * height)))
        rows = np.empty(image.size[0] * image.size[1] * 4, np.float32)
        image.pixels.foreach_get(rows)
        rows = rows.reshape(image.size[1], image.size[0], 4)[::-1][top:bottom, left:right][::-1]  # first row lowest
        part = bpy.data.images.new("part", right - left, bottom - top)
        try:
            part.pixels.foreach_set(np.ascontiguousarray(rows).ravel())
            part.filepath_raw, part.file_format = str(target), "PNG"
            part.save()
        finally:
            bpy.data.images.remove(part)
    finally:
        bpy.data.images.remove(image)
    return target
