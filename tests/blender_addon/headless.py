"""Checks inside Blender: ``python headless.py FOLDER`` with the bpy wheel, ``blender -b -P headless.py -- FOLDER``.

Reads what the test wrote into the folder, prints one JSON line per check: its name, what went wrong, and figures.
"""

import json
import os
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "blender_addon"))

import bpy
import dsr_fit_body
import numpy as np
from bpy_extras.object_utils import world_to_camera_view
from dsr_fit_body import compat, session
from dsr_fit_body.builders import camera as cam
from dsr_fit_body.builders import ground, scene, shape
from dsr_fit_body.builders import mesh as msh
from dsr_fit_body.builders.motion import MotionOptions
from dsr_fit_body.builders.scene import BuildOptions
from dsr_fit_body.core import geometry
from dsr_fit_body.core.asset import read_body
from dsr_fit_body.core.names import SMPL24, TABLE
from dsr_fit_body.core.result import read_result
from mathutils import Vector

FOLDER = Path(sys.argv[sys.argv.index("--") + 1] if "--" in sys.argv else sys.argv[1])
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def fresh():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if not bpy.context.preferences.addons.get("dsr_fit_body"):
        bpy.context.preferences.addons.new().module = "dsr_fit_body"
    dsr_fit_body.register()


def posed(mesh_object):
    bpy.context.view_layer.update()
    return ground.world_vertices(mesh_object)


def expected(result, person, betas=None, transl=None, rotations=None):
    """Vertices in Blender's world by the plainest linear blend skinning."""
    body = read_body(result.body_file)
    betas = person.betas if betas is None else betas
    turns = person.rotations[0] if rotations is None else rotations
    joints = body.shaped_joints(betas)
    move = person.transl[0] if transl is None else transl
    rest = body.shaped_vertices(betas)
    extra = body.corrective(turns)
    rest = rest if extra is None else rest + extra
    vertices = geometry.skin(rest, joints, body.weights, body.parents, turns, move)
    return vertices @ geometry.CAMERA.T


def census():
    """Everything in the file, by kind and name."""
    kinds = ("objects", "meshes", "armatures", "cameras", "collections", "materials", "images", "actions", "shape_keys")
    return {kind: sorted(item.name for item in getattr(bpy.data, kind)) for kind in kinds}


@check
def vertices_are_those_of_the_fit():
    worst = 0.0
    for name in ("landscape", "portrait", "off-centre", "correctives"):
        fresh()
        result = read_result(FOLDER / name / f"{name.replace('correctives', 'landscape')}.json")
        built = scene.build(result, BuildOptions())
        assert len(built.meshes) == len(result.people)
        for mesh_object, person in zip(built.meshes, result.people, strict=True):
            error = np.abs(posed(mesh_object) - person.vertices_cam_m @ geometry.CAMERA.T).max()
            worst = max(worst, float(error))
    assert worst < 1e-4, worst
    return {"vertex_error_m": worst}


@check
def projection_is_that_of_the_intrinsics():
    worst = 0.0
    for name in ("landscape", "portrait", "off-centre"):
        fresh()
        result = read_result(FOLDER / name / f"{name}.json")
        built = scene.build(result, BuildOptions())
        render = bpy.context.scene.render
        assert (render.resolution_x, render.resolution_y) == result.size
        assert bpy.context.scene.camera == built.camera
        points = result.people[0].vertices_cam_m[::200].astype(float)
        want = points @ result.K.T
        want = want[:, :2] / want[:, 2:]
        for point, pixel in zip(points @ geometry.CAMERA.T, want, strict=True):
            seen = world_to_camera_view(bpy.context.scene, built.camera, Vector(point))
            got = (seen.x * result.size[0], (1 - seen.y) * result.size[1])
            worst = max(worst, abs(got[0] - pixel[0]), abs(got[1] - pixel[1]))
        background = built.camera.data.background_images[0]
        assert background.image.packed_file and tuple(background.image.size) == result.size
        assert background.alpha == 0.5 and built.camera.data.show_background_images
    assert worst < 0.1, worst
    return {"projection_error_px": worst}


@check
def shape_sliders_keep_joints_and_surface_together():
    fresh()
    result = read_result(FOLDER / "landscape" / "landscape.json")
    built = scene.build(result, BuildOptions())
    body, person, armature = read_body(result.body_file), result.people[0], built.armatures[0]
    betas = person.betas.copy()
    worst = 0.0
    for index, value in ((0, 4.0), (3, -2.5), (10, 1.0), (0, -3.0)):
        before = np.array(armature.pose.bones["pelvis"].matrix.translation)
        armature.dsr_fit_body.shape[index] = value
        betas[index] = value
        joints = body.shaped_joints(betas)
        heads = np.array([armature.data.bones[name].head_local for name in body.names])
        worst = max(worst, float(np.abs(heads - joints @ geometry.REST.T).max()))
        moved = before - geometry.CAMERA @ joints[0]  # the pelvis stays where it was
        transl = geometry.CAMERA.T @ moved
        error = np.abs(posed(built.meshes[0]) - expected(result, person, betas, transl)).max()
        worst = max(worst, float(error))
        pelvis = np.array(armature.pose.bones["pelvis"].matrix.translation)
        assert np.abs(pelvis - before).max() < 1e-5
    assert worst < 1e-4, worst
    assert bpy.ops.fitbody.set_shape.poll() is False  # nothing selected
    bpy.context.view_layer.objects.active = built.meshes[0]
    began = time.perf_counter()
    assert bpy.ops.fitbody.reset_shape() == {"FINISHED"}
    took = time.perf_counter() - began
    assert np.abs(posed(built.meshes[0]) - person.vertices_cam_m @ geometry.CAMERA.T).max() < 1e-4
    keys = built.meshes[0].data.shape_keys.key_blocks
    keys["Shape 00"].value = 2.0  # by hand, in the mesh's own panel
    assert bpy.ops.fitbody.update_joints() == {"FINISHED"}
    assert abs(armature.dsr_fit_body.shape[0] - 2.0) < 1e-6
    heads = np.array([armature.data.bones[name].head_local for name in body.names])
    betas = person.betas.copy()
    betas[0] = 2.0
    assert np.abs(heads - body.shaped_joints(betas) @ geometry.REST.T).max() < 1e-4
    return {"worst_m": worst, "slider_s": took}


@check
def slider_moves_also_in_pose_mode_and_hidden():
    fresh()
    result = read_result(FOLDER / "landscape" / "landscape.json")
    built = scene.build(result, BuildOptions())
    armature = built.armatures[0]
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="POSE")
    armature.dsr_fit_body.shape[0] = 3.0
    assert armature.mode == "POSE"
    bpy.ops.object.mode_set(mode="OBJECT")
    armature.hide_set(True)
    armature.dsr_fit_body.shape[0] = -3.0
    assert armature.hide_get()
    body = read_body(result.body_file)
    betas = result.people[0].betas.copy()
    betas[0] = -3.0
    heads = np.array([armature.data.bones[name].head_local for name in body.names])
    assert np.abs(heads - body.shaped_joints(betas) @ geometry.REST.T).max() < 1e-4


@check
def measurements_agree_with_dsr():
    fresh()
    want = json.loads((FOLDER / "measured.json").read_text())
    result = read_result(FOLDER / "landscape" / "landscape.json")
    built = scene.build(result, BuildOptions())
    got = shape.measurements_cm(built.meshes[0])
    assert abs(got["Height"] - want["height_cm"]) < 0.05, (got, want)
    assert abs(got["Waist"] - want["waist_cm"]) < 1.5, (got, want)
    assert abs(got["Hips"] - want["hip_cm"]) < 1.5, (got, want)


@check
def bones_look_like_a_skeleton():
    fresh()
    result = read_result(FOLDER / "landscape" / "landscape.json")
    built = scene.build(result, BuildOptions())
    bones = built.armatures[0].data.bones
    assert [b.name for b in bones if b.parent is None] == ["pelvis"] and len(bones) == 24
    tail = {name: bones[name].tail_local for name in ("left_knee", "left_shoulder", "neck")}
    assert (tail["left_knee"] - bones["left_ankle"].head_local).length < 0.03
    assert (tail["left_shoulder"] - bones["left_elbow"].head_local).length < 0.03
    assert (tail["neck"] - bones["head"].head_local).length < 0.03
    assert bpy.utils.flip_name("left_hip") == "right_hip"
    left, right = (np.array(bones[f"{side}_elbow"].matrix_local.to_3x3()) for side in ("left", "right"))
    mirror = np.diag([-1.0, 1, 1])
    assert np.abs(mirror @ left @ np.diag([-1.0, 1, 1]) - right).max() < 0.05  # rolls are mirrored: pose paste flips
    groups = [g.name for g in built.meshes[0].vertex_groups]
    assert groups == list(SMPL24)


@check
def surface_carries_uv_parts_and_uncertainty():
    fresh()
    result = read_result(FOLDER / "landscape" / "landscape.json")
    body = read_body(result.body_file)
    built = scene.build(result, BuildOptions())
    mesh = built.meshes[0].data
    uv = np.empty(len(mesh.loops) * 2, np.float32)
    mesh.uv_layers[0].data.foreach_get("uv", uv)
    assert np.array_equal(uv.reshape(-1, 3, 2), body.uv)
    spread = np.empty(len(mesh.vertices), np.float32)
    mesh.attributes["uncertainty_mm"].data.foreach_get("value", spread)
    assert np.allclose(spread, body.weights @ result.people[0].uncertainty_mm, atol=1e-3)
    assert abs(built.armatures[0].data.bones["head"]["uncertainty_mm"] - result.people[0].uncertainty_mm[15]) < 1e-6
    slots = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("material_index", slots)
    assert np.array_equal(slots, body.interior.astype(int)) and len(mesh.materials) == 1 + body.interior.any()
    assert all(m.materials[0] == mesh.materials[0] for m in (o.data for o in built.meshes))
    bpy.context.view_layer.objects.active = built.meshes[0]
    assert bpy.ops.fitbody.part_materials(kind="PARTS") == {"FINISHED"}
    mesh.polygons.foreach_get("material_index", slots)
    assert np.array_equal(slots, body.part_ids) and len(mesh.materials) == len(body.part_names)
    assert bpy.ops.fitbody.part_materials(kind="SKIN") == {"FINISHED"}
    mesh.polygons.foreach_get("material_index", slots)
    assert np.array_equal(slots, body.interior.astype(int))


@check
def names_and_facts_are_in_the_scene():
    fresh()
    result = read_result(FOLDER / "landscape" / "landscape.json")
    built = scene.build(result, BuildOptions(), version="9.9.9")
    assert built.collection.name == "FitBody landscape"
    assert built.collection[scene.IMAGE] == str(result.source) and built.collection[scene.VERSION] == "9.9.9"
    assert [a.name for a in built.armatures] == [f"landscape Person {n}" for n in (1, 2)]
    assert all(a.parent == built.root for a in built.armatures) and built.camera.parent == built.root
    xs = [posed(m)[:, 0].mean() for m in built.meshes]
    assert xs == sorted(xs)  # Person 1 is the leftmost
    assert np.allclose(built.armatures[0]["fitbody_betas"], result.people[0].betas)
    assert built.warnings == ["a warning"]


@check
def ground_moves_camera_and_bodies_together():
    fresh()
    result = read_result(FOLDER / "landscape" / "landscape.json")
    built = scene.build(result, BuildOptions(ground=True))
    lows = [posed(m)[:, 2].min() for m in built.meshes]
    assert abs(min(lows)) < 1e-4 and min(lows) > -1e-4
    height = built.root.location.z
    want = result.people[0].vertices_cam_m @ geometry.CAMERA.T + [0, 0, height]
    assert np.abs(posed(built.meshes[0]) - want).max() < 1e-4
    assert abs(built.camera.matrix_world.translation.z - height) < 1e-5


@check
def import_is_one_undo_step():
    fresh()
    bpy.ops.ed.undo_push(message="start")
    before = census()
    assert bpy.ops.fitbody.import_result(filepath=str(FOLDER / "landscape" / "landscape.json")) == {"FINISHED"}
    bpy.ops.ed.undo_push(message="import")  # what the interface does after an operator with UNDO
    assert len(bpy.data.objects) == 6
    bpy.ops.ed.undo()
    assert census() == before
    bpy.ops.ed.redo()
    assert len(bpy.data.objects) == 6
    body = next(o for o in bpy.data.objects if o.type == "MESH")
    assert shape.body_parts(body) is not None


@check
def every_editing_operator_can_be_undone():
    fresh()
    bpy.ops.fitbody.import_result(filepath=str(FOLDER / "landscape" / "landscape.json"))
    calls = {
        "set_shape": {"index": 0, "value": 3.0},
        "reset_shape": {"to": "AVERAGE"},
        "reset_pose": {},
        "place_on_ground": {},
        "rename_bones": {"scheme": "MIXAMO"},
        "part_materials": {"kind": "PARTS"},
    }
    name = bpy.context.view_layer.objects.active.name

    def state():
        armature = bpy.data.objects[name]
        found = shape.body_parts(armature)
        heads = [tuple(round(v, 5) for v in b.head_local) for b in armature.data.bones]
        return (
            posed(found[1]).round(4).tobytes(),
            heads,
            [b.name for b in armature.data.bones],
            len(found[1].data.materials),
        )

    for call, options in calls.items():
        bpy.ops.ed.undo_push(message="before")
        before = state()
        assert getattr(bpy.ops.fitbody, call)(**options) == {"FINISHED"}, call
        assert state() != before, call
        bpy.ops.ed.undo_push(message=call)
        bpy.ops.ed.undo()
        assert state() == before, call


@check
def again_replaces_or_adds():
    fresh()
    path = str(FOLDER / "landscape" / "landscape.json")
    bpy.ops.fitbody.import_result(filepath=path)
    first = census()
    material = bpy.data.materials[msh.SKIN_NAME]
    material.diffuse_color = (0, 1, 0, 1)
    bpy.ops.fitbody.import_result(filepath=path, replace=True)
    now = census()
    assert now == first, {k: (now[k], first[k]) for k in now if now[k] != first[k]}
    assert tuple(bpy.data.materials[msh.SKIN_NAME].diffuse_color) == (0, 1, 0, 1)  # the artist's
    bpy.ops.fitbody.import_result(filepath=path)
    assert len([c for c in bpy.data.collections if c.name.startswith("FitBody")]) == 2
    assert len(bpy.data.objects) == 12 and len(bpy.data.materials) == len(first["materials"])


@check
def file_with_a_cube_at_the_camera():
    bpy.ops.wm.read_factory_settings(use_empty=False)
    dsr_fit_body.register()
    result = read_result(FOLDER / "landscape" / "landscape.json")
    built = scene.build(result, BuildOptions())
    assert 0.9 < built.camera.data.clip_start < result.people[0].vertices_cam_m[:, 2].min()
    assert "Cube" in built.warnings[-1] and bpy.data.objects["Cube"].visible_get()
    fresh()
    built = scene.build(result, BuildOptions())
    assert abs(built.camera.data.clip_start - cam.CLIP_START) < 1e-6


@check
def import_from_edit_mode():
    bpy.ops.wm.read_factory_settings(use_empty=False)
    dsr_fit_body.register()
    bpy.context.view_layer.objects.active = bpy.data.objects["Cube"]
    bpy.ops.object.mode_set(mode="EDIT")
    assert bpy.ops.fitbody.import_result(filepath=str(FOLDER / "landscape" / "landscape.json")) == {"FINISHED"}


@check
def failures_leave_the_scene_alone():
    fresh()
    before = census()
    for name, said in (
        ("no_such.json", "missing"),
        ("nobody/landscape.json", "No person found"),
        ("newer/landscape.json", "newer worker (schema 3)"),
        ("no_body/landscape.json", "Body model not found"),
        ("truncated/landscape.json", "cannot be read"),
    ):
        try:
            bpy.ops.fitbody.import_result(filepath=str(FOLDER / name))
        except RuntimeError as error:
            assert said in str(error), (name, str(error))
        else:
            raise AssertionError(name)
        assert said in session.STATE.message.text
        assert census() == before, name


@check
def photo_missing_is_a_warning():
    fresh()
    built = scene.build(read_result(FOLDER / "no_photo" / "landscape.json"), BuildOptions())
    assert "cannot be shown" in built.warnings[-1]
    assert len(built.meshes) == 1 and len(built.camera.data.background_images) == 0


@check
def clip_becomes_actions():
    fresh()
    result = read_result(FOLDER / "clip" / "clip.json")
    assert result.is_clip and len(result.people) == 2
    began = time.perf_counter()
    options = BuildOptions(motion=MotionOptions(start=10, smoothing=0.0, fill=5))
    built = scene.build(result, options)
    took = time.perf_counter() - began
    scene_now = bpy.context.scene
    assert scene_now.frame_end >= 10 + result.num_frames - 1
    assert abs(scene_now.render.fps / scene_now.render.fps_base - result.fps) < 1e-3
    body = read_body(result.body_file)
    worst = 0.0
    for frame in (0, 7, 29):
        scene_now.frame_set(10 + frame)
        for mesh_object, person in zip(built.meshes, result.people, strict=True):
            if frame not in person.frames:
                continue
            at = int(np.flatnonzero(person.frames == frame)[0])
            if not person.observed[at]:
                continue
            want = geometry.skin(
                body.shaped_vertices(person.betas), body.shaped_joints(person.betas), body.weights, body.parents,
                person.rotations[at], person.transl[at],
            )  # fmt: skip
            worst = max(worst, float(np.abs(posed(mesh_object) - want @ geometry.CAMERA.T).max()))
    assert worst < 1e-4, worst
    curves = compat.curves_of(built.armatures[0])
    assert len(curves) == 24 * 4 + 3
    keys = curves[0].keyframe_points
    assert {k.interpolation for k in keys} == {"LINEAR"} and keys[0].co[0] == 10
    assert {c.group.name for c in curves if c.group} in ({*SMPL24}, set())
    # p1: not seen in frames 10 to 12 (filled in), nor in 16 to 25 (hidden), and only from frame 4 on
    second = built.meshes[1]
    hidden = []
    for frame in range(result.num_frames):
        scene_now.frame_set(10 + frame)
        hidden.append(bool(second.hide_render))
    assert hidden == [f < 4 or 16 <= f <= 25 for f in range(result.num_frames)]
    pelvis = built.armatures[1].pose.bones["pelvis"]
    scene_now.frame_set(10 + 8)
    shifted = np.array(pelvis.matrix.translation)
    built.armatures[1].dsr_fit_body.shape[0] += 2.0
    scene_now.frame_set(10 + 5)
    scene_now.frame_set(10 + 8)
    assert np.abs(np.array(pelvis.matrix.translation) - shifted).max() < 1e-4  # keys follow a new shape
    return {"clip_error_m": worst, "two_people_30_frames_s": took}


@check
def moving_lens_and_motion_options():
    fresh()
    result = read_result(FOLDER / "clip" / "clip.json")
    K = result.K.copy()
    K[:, 0, 0] *= np.linspace(1, 2, len(K))
    options = BuildOptions(motion=MotionOptions(smoothing=0.8, root_motion=False))
    built = scene.build(replace(result, K=K), options)
    bpy.context.scene.frame_set(result.num_frames)
    assert abs(built.camera.data.lens - 2 * geometry.lens_from_intrinsics(result.K[0], result.size).lens) < 1e-3
    spots = []
    for frame in (1, 15, 30):
        bpy.context.scene.frame_set(frame)
        spots.append(np.array(built.armatures[0].pose.bones["pelvis"].location))
    assert np.abs(np.diff(spots, axis=0)).max() < 1e-6
    assert abs(built.armatures[0].animation_data.action["fitbody_smoothing"] - 0.8) < 1e-6


@check
def clip_with_pose_correctives():
    fresh()
    result = read_result(FOLDER / "clip_correctives" / "clip.json")
    built = scene.build(result, BuildOptions(motion=MotionOptions(smoothing=0.0)))
    bpy.context.scene.frame_set(4)
    person = result.people[0]
    want = expected(result, person, transl=person.transl[3], rotations=person.rotations[3])
    error = float(np.abs(posed(built.meshes[0]) - want).max())
    assert error < 1e-4, error
    return {"error_m": error}


@check
def renaming_goes_there_and_back():
    fresh()
    result = read_result(FOLDER / "clip" / "clip.json")
    built = scene.build(result, BuildOptions(motion=MotionOptions(smoothing=0.0)))
    bpy.context.view_layer.objects.active = built.armatures[0]
    bpy.context.scene.frame_set(8)
    before = posed(built.meshes[0])
    for scheme, column in (("MIXAMO", 0), ("RIGIFY", 1), ("SMPL", None)):
        assert bpy.ops.fitbody.rename_bones(scheme=scheme) == {"FINISHED"}
        names = [b.name for b in built.armatures[0].data.bones]
        want = list(SMPL24) if column is None else [TABLE[n][column] for n in SMPL24]
        assert sorted(names) == sorted(want)
        assert sorted(g.name for g in built.meshes[0].vertex_groups) == sorted(want)
        bpy.context.scene.frame_set(2)
        bpy.context.scene.frame_set(8)
        assert np.abs(posed(built.meshes[0]) - before).max() < 1e-6, scheme
        built.armatures[0].dsr_fit_body.shape[1] = 1.0  # sliders know the bones by any name
        built.armatures[0].dsr_fit_body.shape[1] = float(result.people[0].betas[1])
        bpy.context.scene.frame_set(8)
        back = posed(built.meshes[0])
        assert np.abs(back - before).max() < 1e-4, scheme
        before = back


@check
def export_writes_every_format_and_leaves_no_trace():
    fresh()
    result = read_result(FOLDER / "clip" / "clip.json")
    built = scene.build(result, BuildOptions(motion=MotionOptions(smoothing=0.0)))
    bpy.context.view_layer.objects.active = built.armatures[0]
    from dsr_fit_body.ops_export import FORMATS, available

    out = FOLDER / f"out_{bpy.app.version[0]}"
    chosen = bpy.context.window_manager.dsr_fit_body
    chosen.export_names = "MIXAMO"
    before = census()
    vertices = posed(built.meshes[0])
    sizes = {}
    for kind in available():
        path = out / f"body{FORMATS[kind][1]}"
        assert bpy.ops.fitbody.export(filepath=str(path), format=kind) == {"FINISHED"}, kind
        sizes[kind] = path.stat().st_size
        after = census()
        assert after == before, (kind, {k: (after[k], before[k]) for k in after if after[k] != before[k]})
    assert {"GLB", "FBX", "OBJ", "BVH"} <= set(sizes) and min(sizes.values()) > 1000
    assert "pelvis" in built.armatures[0].data.bones and len(compat.curves_of(built.armatures[0])) == 99
    assert np.abs(posed(built.meshes[0]) - vertices).max() < 1e-6
    # OBJ as posed now, y up
    lines = (out / "body.obj").read_text().splitlines()
    rows = np.array([[float(v) for v in line.split()[1:4]] for line in lines if line.startswith("v ")])
    back = rows @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]).T
    assert np.abs(np.sort(back, 0) - np.sort(vertices, 0)).max() < 1e-4
    text = (out / "body.bvh").read_text()
    assert "mixamorig:Hips" in text and "Frames:" in text
    if bpy.app.version < (4, 0, 0) and np.lib.NumpyVersion(np.__version__) >= "1.24.0":
        return sizes  # the importer that came with 3.4 uses names that this numpy has no more
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps, bpy.context.scene.render.fps_base = 30, 30 / 29.97
    bpy.ops.import_scene.gltf(filepath=str(out / "body.glb"))
    skeleton = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    assert "mixamorig:LeftArm" in skeleton.data.bones and bpy.data.actions
    mesh = next(o for o in bpy.data.objects if o.type == "MESH" and o.vertex_groups)
    assert mesh.data.shape_keys is None  # baked
    bpy.context.scene.frame_set(1)
    got, want = posed(mesh), expected(result, result.people[0])
    error = max(np.abs(got.min(0) - want.min(0)).max(), np.abs(got.max(0) - want.max(0)).max())
    assert error < 2e-3, (got.min(0), want.min(0), got.max(0), want.max(0))
    return sizes


@check
def result_folder_as_the_source():
    fresh()
    chosen = bpy.context.window_manager.dsr_fit_body
    chosen.source = "RESULT"
    chosen.result_folder = str(FOLDER / "landscape")
    chosen.result = str(FOLDER / "landscape" / "landscape.json")
    assert bpy.ops.fitbody.fit() == {"FINISHED"}
    assert len(bpy.data.objects) == 6


def fit(path, worker, **preferences):
    own = bpy.context.preferences.addons["dsr_fit_body"].preferences
    own.python = worker
    for name, value in preferences.items():
        setattr(own, name, value)
    return bpy.ops.fitbody.fit(filepath=str(path))


def refused(call, said):
    try:
        call()
    except RuntimeError as error:
        assert said in str(error), str(error)
    else:
        raise AssertionError(f"nothing said of {said!r}")
    assert session.STATE.message is not None and not session.running()


@check
def fit_with_a_worker_in_the_background():
    fresh()
    photo = FOLDER / "landscape" / "landscape.png"
    assert fit(photo, str(FOLDER / "worker_good")) == {"FINISHED"}
    assert len(bpy.data.objects) == 6 and session.STATE.note.startswith("2 bodies in")
    assert "from the worker" in session.STATE.warnings
    pid = session.STATE.worker.process.pid
    assert fit(photo, str(FOLDER / "worker_good")) == {"FINISHED"}
    assert session.STATE.worker.process.pid == pid  # warm
    assert len(bpy.data.objects) == 6  # replaced
    assert bpy.ops.fitbody.check_runtime() == {"FINISHED"}
    assert any("9.9" in text for _, text in session.STATE.checks)
    session.shut_down()


@check
def workers_that_misbehave():
    fresh()
    photo = FOLDER / "landscape" / "landscape.png"
    before = census()
    for worker, said in (
        ("", "Set the Python"),
        ("/nowhere/python", "Could not start the worker"),
        (str(FOLDER / "worker_dies"), "Could not start the worker: no module named torch"),
        (str(FOLDER / "worker_dies_later"), "The worker stopped: Segmentation fault"),
        (str(FOLDER / "worker_version"), "speaks protocol 7"),
        (str(FOLDER / "worker_nobody"), 'No person found in "landscape.png"'),
        (str(FOLDER / "worker_unreadable"), 'Cannot read photo "landscape.png"'),
        (str(FOLDER / "worker_model"), "Body model not found"),
        (str(FOLDER / "worker_memory"), "run on the CPU"),
        (str(FOLDER / "worker_lies"), "missing"),
        (str(FOLDER / "worker_hangs"), "Stopped after 1 s"),
    ):
        os.environ.pop("FITBODY_PYTHON", None)
        refused(lambda worker=worker: fit(photo, worker, time_limit=1 if "hangs" in worker else 20), said)
        assert census() == before, worker
        session.shut_down()
    refused(lambda: fit(FOLDER / "no_such_photo.jpg", str(FOLDER / "worker_good")), "There is no file")
    assert census() == before
    assert fit(photo, str(FOLDER / "worker_noisy")) == {"FINISHED"}  # rubbish between the lines does not matter
    session.shut_down()


@check
def turned_off_and_on_while_a_job_is_there():
    fresh()
    from dsr_fit_body.core.job import Job
    from dsr_fit_body.core.worker import worker_command

    command = worker_command(str(FOLDER / "worker_slow"))

    for stop in ("disable", "load"):
        session.STATE.job = Job(lambda: session._worker(command), "fit", {}, 60)
        job, worker = session.STATE.job, session.STATE.worker
        while not job._sent:
            job.poll()
            time.sleep(0.01)
        if stop == "disable":
            dsr_fit_body.unregister()
            assert job.outcome is not None and worker.process.poll() is not None
            dsr_fit_body.register()
            dsr_fit_body.register()
        else:
            bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
            assert job.stopping or not job.running
            outcome = job.wait()
            assert outcome.message.text == "Job stopped because another file was opened"
            session.shut_down()
        assert not session.running()
    dsr_fit_body.unregister()
    dsr_fit_body.unregister()
    assert not hasattr(bpy.types.Object, "dsr_fit_body") and not hasattr(bpy.types, "FITBODY_PT_main")


class RecordingLayout:
    """Stands in for a panel's layout: every property and operator named must exist."""

    def __init__(self):
        self.drawn = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *a, **k: self

    def prop(self, owner, name, **_):
        assert name in owner.bl_rna.properties, (owner, name)
        self.drawn.append(name)

    def operator(self, name, **_):
        group, call = name.split(".")
        kind = getattr(getattr(bpy.ops, group), call).get_rna_type()
        self.drawn.append(name)

        class Settable:
            def __setattr__(self, key, value):
                assert key in kind.properties, (name, key)

        return Settable()

    def operator_menu_enum(self, name, prop, **_):
        self.operator(name)

    def label(self, **_):
        return None


@check
def panels_draw_what_exists():
    fresh()
    from types import SimpleNamespace

    from dsr_fit_body import menus, prefs, ui
    from dsr_fit_body.core.messages import message

    bpy.ops.fitbody.import_result(filepath=str(FOLDER / "landscape" / "landscape.json"))
    chosen = bpy.context.window_manager.dsr_fit_body
    for source in ("IMAGE", "SEQUENCE", "VIDEO", "RESULT"):
        chosen.source = source
        for code in (None, "no_person", "cancelled"):
            session.STATE.message = message(code, photo="x.jpg") if code else None
            for panel in ui.CLASSES:
                layout = RecordingLayout()
                context = SimpleNamespace(
                    window_manager=bpy.context.window_manager,
                    active_object=bpy.context.view_layer.objects.active,
                    scene=bpy.context.scene,
                )
                own = SimpleNamespace(layout=layout)
                for name in ("_source", "_choices", "_button", "_messages"):
                    if hasattr(panel, name):
                        setattr(own, name, getattr(panel, name))
                panel.draw(own, context)
                assert layout.drawn, panel
    layout = RecordingLayout()
    page = bpy.context.preferences.addons["dsr_fit_body"].preferences
    prefs.FitBodyPreferences.draw(
        SimpleNamespace(layout=layout, **{"bl_rna": page.bl_rna, "python": page.python}), bpy.context
    )
    for menu in (menus._add, menus._import):
        menu(SimpleNamespace(layout=RecordingLayout()), bpy.context)


@check
def speed():
    fresh()
    figures = {}
    for name, path in (("one", "one/landscape.json"), ("ten", "ten/landscape.json")):
        fresh()
        began = time.perf_counter()
        bpy.ops.fitbody.import_result(filepath=str(FOLDER / path))
        figures[f"{name}_s"] = round(time.perf_counter() - began, 3)
    fresh()
    began = time.perf_counter()
    bpy.ops.fitbody.import_result(filepath=str(FOLDER / "long" / "clip.json"))
    figures["frames_300_s"] = round(time.perf_counter() - began, 3)
    assert len(bpy.data.actions) >= 1
    return figures


def main():
    wanted = os.environ.get("ADDON_CHECKS", "").split()
    for function in CHECKS:
        if wanted and function.__name__ not in wanted:
            continue
        line = {"check": function.__name__, "error": "", "figures": {}}
        began = time.perf_counter()
        try:
            line["figures"] = function() or {}
        except Exception:
            line["error"] = traceback.format_exc()
        line["seconds"] = round(time.perf_counter() - began, 2)
        sys.stdout.write("CHECK " + json.dumps(line) + "\n")
        sys.stdout.flush()


main()
