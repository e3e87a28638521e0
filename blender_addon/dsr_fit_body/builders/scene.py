# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole result in the scene: a collection with root, camera, and an armature and a mesh per person."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import bpy
import numpy as np

from .. import compat
from ..core.body_model import BodyModel, read_body_model
from ..core.geometry import pose_to_channels
from ..core.messages import FitBodyError, Sentence, sentence
from ..core.names import cut_name
from ..core.result import Person, Result
from . import armature as arm
from . import camera as cam
from . import edits, ground, motion, photos, twist
from . import mesh as msh

VERSION = "fitbody_version"
"""Custom property of the collection: the add-on's version."""


@dataclass(frozen=True)
class BuildOptions:
    """What is made of a result.

    Attributes:
        camera: camera and photo.
        opacity: of the photo, 0 to 1.
        pack: keep the photo in the .blend file.
        scene_camera: the photo's camera becomes the scene's; the artist's own stays where False.
        set_size: then also the render size is the photo's.
        ground: up as in the photo, lowest vertex at z = 0; camera and bodies move together.
        correctives: pose correctives where the body model has any.
        parts: a material per body part.
        twist: bones that spread a limb's turn along it.
        replace: remove what an earlier import of the same photo made, unless it was edited.
        replace_edited: then also what was edited.
        skip: ids of people to leave out.
        fps: take the clip's frame rate and frames.
        alone: hide the bodies of other photos.
        motion: for clips.
    """

    camera: bool = True
    opacity: float = 0.5
    pack: bool = True
    scene_camera: bool = True
    set_size: bool = True
    ground: bool = False
    correctives: bool = True
    parts: bool = False
    twist: bool = False
    replace: bool = False
    replace_edited: bool = False
    skip: tuple[str, ...] = ()
    fps: bool = True
    alone: bool = True
    motion: motion.MotionOptions = field(default_factory=motion.MotionOptions)


@dataclass
class Built:
    """What was made.

    Attributes:
        collection: of everything.
        root: empty, parent of all.
        camera: or None.
        armatures: one per person, left to right.
        meshes: in the same order.
        warnings: sentences.
        largest: index of the person who fills most of the picture.
    """

    collection: Any
    root: Any
    camera: Any | None
    armatures: list[Any]
    meshes: list[Any]
    warnings: list[Sentence | str]
    largest: int = 0


def build(result: Result, options: BuildOptions, version: str = "") -> Built:
    """Put a result into the current scene; everything that can fail on the files is done before the scene is touched.

    Raises:
        FitBodyError: if nobody is in it, or the body model does not fit.
    """
    people = [person for person in result.people if person.id not in options.skip]
    if not people:
        raise FitBodyError("no_person", photo=result.source)
    body = read_body_model(result.body_file, result.body.get("sha256", ""))
    for person in people:
        if person.rotations.shape[1] != len(body.parents) or len(person.betas) > body.shapedirs.shape[2]:
            detail = sentence("{path} was made with another body than {body}", path=result.path.name, body=body.name)
            raise FitBodyError("bad_result", detail=detail)
    _leave_edit_mode()
    kept = remove_earlier(result, options.replace_edited) if options.replace else 0
    collection = bpy.data.collections.new(f"FitBody {cut_name(result.stem)}")
    try:
        built = _build(result, people, body, options, collection, version)
    except Exception:
        remove_collection(collection)  # never half a body
        raise
    if kept:
        photo = result.source.name
        built.warnings.append(sentence('The earlier bodies of "{photo}" were edited and are still there', photo=photo))
    return built


def _build(
    result: Result, people: list[Person], body: BodyModel, options: BuildOptions, collection: Any, version: str
) -> Built:
    scene = bpy.context.scene
    warnings = list(result.warnings)
    stem = cut_name(result.stem)
    scene.collection.children.link(collection)
    collection[photos.RUN], collection[photos.IMAGE] = str(result.path), str(result.source)
    collection[VERSION] = version
    root = bpy.data.objects.new(f"{stem} Root", None)
    root.empty_display_type, root.empty_display_size = "PLAIN_AXES", 0.04  # it sits in the camera: small, not seen
    collection.objects.link(root)
    root.scale = [compat.units_per_metre(scene)] * 3
    camera = None
    if options.camera:
        camera = cam.new_camera(result, f"{stem} Camera", collection, options.motion.start)
        camera.parent = root
        if cam.add_photo(camera, result, options.opacity, options.pack, options.motion.start) is None:
            photo = result.source.name
            warnings.append(
                sentence('The picture "{photo}" cannot be shown: it was moved or Blender cannot read it', photo=photo)
            )
        if options.scene_camera or scene.camera is None:
            cam.use_camera(scene, camera, options.set_size)
    residuals = [person.residual_px for person in people if person.residual_px is not None]
    if residuals:
        collection[photos.RESIDUAL] = max(residuals)
    if result.is_clip:
        collection[photos.RANGE] = [options.motion.start, options.motion.start + result.num_frames - 1]
        collection[motion.FPS] = result.fps if result.fps > 0 else compat.scene_fps(scene)
    _show(collection, result, options, warnings)
    armatures, meshes = _people(people, body, result, options, collection, root, stem)
    sizes = [_size(person, result) for person in people]
    built = Built(collection, root, camera, armatures, meshes, warnings, sizes.index(max(sizes)))
    bpy.context.view_layer.update()
    ground.remember_floor(root, armatures, result.up, [person.id in result.standing for person in people])
    if options.ground:
        ground.place_on_ground(root, meshes)
    if camera is not None:
        warning = cam.clear_view(camera, _nearest(people), set(collection.objects))
        warnings += [] if warning is None else [warning]
    edits.remember(armatures)
    return built


def remove_earlier(result: Result, edited: bool) -> int:
    """Remove the collections of earlier imports of the same photo, with everything that only they use.

    Args:
        result: of the photo.
        edited: also those with bodies that were changed by hand.

    Returns:
        how many of these are kept.
    """
    kept = 0
    for collection in photos.of_file(result.source):
        if edited or not edits.is_edited(collection):
            remove_collection(collection)
        else:
            kept += 1
    return kept


def remove_collection(collection: Any) -> None:
    """Remove a collection made here, its objects and their data."""
    data: list[Any] = []
    for item in list(collection.objects):
        owners = (item, getattr(item.data, "shape_keys", None), item.data)
        data += [o.animation_data.action for o in owners if o is not None and getattr(o, "animation_data", None)]
        data += [item.data] if item.data is not None else []
        bpy.data.objects.remove(item)
    bpy.data.collections.remove(collection)
    remove_unused(data)


def remove_unused(data: list[Any]) -> None:
    """Remove data without users; a mesh takes its shape keys along, which 3.4 would leave behind."""
    for item in dict.fromkeys(d for d in data if d is not None):
        if item.users == 0:
            before = set(bpy.data.shape_keys)
            keys = getattr(item, "shape_keys", None)
            key = keys.name if keys is not None else ""
            bpy.data.batch_remove([item])
            if key in bpy.data.shape_keys and len(before) == len(bpy.data.shape_keys):
                bpy.data.batch_remove([bpy.data.shape_keys[key]])


def _people(
    people: list[Person], body: BodyModel, result: Result, options: BuildOptions, collection: Any, root: Any, stem: str
) -> tuple[list[Any], list[Any]]:
    """Armatures, then meshes: a round trip through edit mode evaluates everything that hangs on an armature."""
    armatures = _armatures(people, body, collection, root, stem, options.twist)
    meshes: list[Any] = []
    shapes = min(max(len(person.betas) for person in people), body.num_shapes)
    for person, armature in zip(people, armatures, strict=True):
        number = person.number
        mesh = meshes[0].data.copy() if meshes else msh.new_mesh(body, f"{stem} Body")
        mesh.name = f"{stem} Person {number} Body"
        mesh_object = bpy.data.objects.new(mesh.name, mesh)
        if not meshes:
            names, weights = twist.shared_weights(body) if options.twist else (body.names, body.weights)
            msh.add_weights(mesh_object, names, weights)
            msh.add_shapes(mesh_object, body, shapes)
            msh.add_directions(mesh_object, body)
            msh.add_expressions(mesh_object, body)
        mesh_object.parent = armature
        mesh_object.modifiers.new("Armature", "ARMATURE").object = armature
        meshes.append(mesh_object)
    for armature, mesh_object, person in zip(armatures, meshes, people, strict=True):
        collection.objects.link(mesh_object)
        _shape_and_pose(armature, mesh_object, person, body, result, options)
        if person.texture is not None:
            msh.use_texture(mesh_object.data, person.texture, f"{stem} Person {person.number} Photo", options.pack)
        if options.parts:
            msh.use_part_materials(mesh_object.data, body.part_names)
    return armatures, meshes


def _armatures(
    people: list[Person], body: BodyModel, collection: Any, root: Any, stem: str, with_twist: bool
) -> list[Any]:
    """Armatures with the joints of each person's shape; the first one's bones are copied for the others."""
    armatures: list[Any] = []
    for person in people:
        name = f"{stem} Person {person.number}"
        data = armatures[0].data.copy() if armatures else arm.new_armature(body, name)
        data.name = name
        armature = bpy.data.objects.new(name, data)
        collection.objects.link(armature)
        armature.parent = root
        armature.show_in_front = True
        if not armatures:
            arm.make_bones(armature, body)
            arm.tag_bones(armature)
            if with_twist:
                twist.make_twist(armature)
        arm.move_joints(armature, body.shaped_joints(person.betas))
        if with_twist:
            twist.follow_joints(armature)
            twist.turn_with_limbs(armature)
        armatures.append(armature)
    return armatures


def _nearest(people: list[Person]) -> float:
    """Depth of the nearest body's front, metres."""
    depths = [
        float(p.transl[:, 2].min()) - 0.6 if p.vertices_cam_m is None else float(p.vertices_cam_m[:, 2].min())
        for p in people
    ]
    return max(min(depths), 0.1)


def _shape_and_pose(
    armature: Any, mesh_object: Any, person: Person, body: BodyModel, result: Result, options: BuildOptions
) -> None:
    joints = body.shaped_joints(person.betas)
    msh.set_shapes(mesh_object, person.betas[: body.num_shapes])
    msh.set_expressions(mesh_object, body, person.betas)
    rest = person.betas[: body.num_shapes].copy()
    rest[: msh.MAX_SHAPES] = 0
    if rest.any():
        msh.bake_rest(mesh_object, body.shaped_vertices(rest) - body.vertices)
        armature.data[arm.JOINTS] = body.shaped_joints(rest).ravel().tolist()
    if result.is_clip:
        moving = motion.motion_of(armature, person, joints, body.root, options.motion)
        moved = _origin_to_root(armature, moving.locations[0], body.root)
        moving = replace(moving, locations=moving.locations - moved)
        action = motion.animate_pose(armature, moving, body.root, f"{armature.name} Motion")
        action["fitbody_smoothing"] = options.motion.smoothing
        action[motion.FPS] = result.fps
        action.use_frame_range = True
        action.frame_start = options.motion.start
        action.frame_end = options.motion.start + result.num_frames - 1
        motion.animate_presence(
            [mesh_object], moving, options.motion.start, options.motion.start + result.num_frames - 1
        )
        if options.correctives and body.posedirs is not None:
            _moving_correctives(armature, mesh_object, moving, joints, body)
    else:
        bones = arm.rest_matrices(armature)
        q, location = pose_to_channels(bones, person.rotations, person.transl, joints, body.root)
        moved = _origin_to_root(armature, location[0], body.root)
        arm.set_pose(armature, q[0], location[0] - moved, body.root)
        offset = body.corrective(person.rotations[0]) if options.correctives else None
        if offset is not None:
            msh.add_key(mesh_object, msh.CORRECTIVE, offset, 1.0)
    if person.uncertainty_mm is not None:
        msh.set_uncertainty(mesh_object.data, body, person.uncertainty_mm)
        for name, value in zip(arm.bone_names(armature), person.uncertainty_mm, strict=True):
            armature.data.bones[name]["uncertainty_mm"] = float(value)
    _store_properties(armature, person, body, result)


def _origin_to_root(armature: Any, location: np.ndarray, root: int) -> np.ndarray:
    """Put the armature, not its root bone, where the person is, so that both turn and scale about the pelvis.

    Args:
        armature: at its parent's origin.
        location: (3,) of the root bone there; at the start of a clip.
        root: index of the root joint.

    Returns:
        what the root bone's location has too much now.
    """
    armature.location = (arm.rest_matrices(armature)[root] @ location).tolist()
    return location


def _moving_correctives(
    armature: Any, mesh_object: Any, moving: motion.Motion, joints: np.ndarray, body: BodyModel
) -> None:
    """A key per entry of the pose feature, and curves for their values."""
    assert body.posedirs is not None
    names = [f"Pose {k:03d}" for k in range(body.posedirs.shape[2])]
    for k, name in enumerate(names):
        msh.add_key(mesh_object, name, body.posedirs[..., k], 0.0)
    rotations = np.delete(motion.poses_at(armature, moving, joints, body.root), body.root, axis=1)
    values = (rotations - np.eye(3)).reshape(len(rotations), -1)
    motion.animate_correctives(mesh_object, names, values, moving.frames, f"{mesh_object.name} Correctives")


def _store_properties(armature: Any, person: Person, body: BodyModel, result: Result) -> None:
    """Custom properties of the armature: where the body comes from, its shape and score."""
    armature["fitbody_person"] = person.id
    armature["fitbody_model"] = body.name
    armature["fitbody_licence"] = body.licence
    armature["fitbody_score"] = person.score
    armature["fitbody_betas"] = person.betas.tolist()
    armature["fitbody_root"] = body.root
    armature["fitbody_body_file"] = str(result.body_file)
    if person.box_px is not None:
        armature["fitbody_box_px"] = np.asarray(person.box_px, float).ravel().tolist()
    settings = getattr(armature, "dsr_fit_body", None)
    if settings is not None:
        settings.set_quietly(person.betas)


def _show(collection: Any, result: Result, options: BuildOptions, warnings: list[Sentence | str]) -> None:
    """The new photo is to be seen; where another clip stays in sight, the scene keeps that one's rate and frames."""
    scene = bpy.context.scene
    others = [c for c in photos.photos() if c != collection and motion.FPS in c and photos.is_shown(c)]
    keep = bool(others) and not options.alone
    photos.show(collection, options.alone, time=options.fps and not keep)
    if result.is_clip and keep and abs(compat.scene_fps(scene) - float(collection[motion.FPS])) > 1e-3:
        values = {"clip": f"{result.fps:.4g}", "scene": f"{compat.scene_fps(scene):.4g}"}
        warnings.append(
            sentence(
                "The clip has {clip} frames a second and plays at the scene's {scene}, as another one does", **values
            )
        )
    if result.is_clip and (keep or not options.fps):
        scene.frame_end = max(scene.frame_end, int(collection[photos.RANGE][1]))


def _size(person: Person, result: Result) -> float:
    """How large somebody is in the picture, squared pixels; of a clip by height and distance."""
    if person.box_px is not None and np.isfinite(person.box_px).all():
        x0, y0, x1, y1 = np.asarray(person.box_px, float).ravel()[:4].tolist()
        return (min(x1, result.size[0]) - max(x0, 0.0)) * (min(y1, result.size[1]) - max(y0, 0.0))
    focal = float(np.asarray(result.K).reshape(-1, 3, 3)[0, 0, 0])
    return (focal * (person.height_m or 1.7) / max(float(np.median(person.transl[:, 2])), 0.1)) ** 2


def _leave_edit_mode() -> None:
    active = bpy.context.view_layer.objects.active
    if active is not None and active.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
