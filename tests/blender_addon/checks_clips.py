"""Clips, names of bones, files for other programs."""

import time
from dataclasses import replace

import bpy
import numpy as np
from check_tools import FOLDER, census, check, expected, fresh, glb_document, posed
from dsr_fit_body import compat
from dsr_fit_body.builders import scene
from dsr_fit_body.builders.motion import MotionOptions
from dsr_fit_body.builders.scene import BuildOptions
from dsr_fit_body.core import geometry
from dsr_fit_body.core.body_model import read_body_model
from dsr_fit_body.core.names import BONE_NAMES, SMPL24
from dsr_fit_body.core.result import read_result
from skinning import linear_blend_skinning


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
    body = read_body_model(result.body_file)
    worst = 0.0
    for frame in (0, 7, 29):
        scene_now.frame_set(10 + frame)
        for mesh_object, person in zip(built.meshes, result.people, strict=True):
            if frame not in person.frames:
                continue
            at = int(np.flatnonzero(person.frames == frame)[0])
            if not person.observed[at]:
                continue
            target = linear_blend_skinning(
                body.shaped_vertices(person.betas),
                body.shaped_joints(person.betas),
                body.weights,
                body.parents,
                person.rotations[at],
                person.transl[at],
            )
            worst = max(worst, float(np.abs(posed(mesh_object) - target @ geometry.CAMERA_TO_BLENDER.T).max()))
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
        hidden.append(bool(second.modifiers["Presence"].show_render))
        assert hidden[-1] == (len(posed(second)) == 0)
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
    target = expected(result, person, transl=person.transl[3], rotations=person.rotations[3])
    error = float(np.abs(posed(built.meshes[0]) - target).max())
    assert error < 1e-4, error
    return {"error_m": error}


def clip_in_scene():
    """Two people, unsmoothed; the first one's armature is active."""
    fresh()
    result = read_result(FOLDER / "clip" / "clip.json")
    built = scene.build(result, BuildOptions(motion=MotionOptions(smoothing=0.0)))
    bpy.context.view_layer.objects.active = built.armatures[0]
    return result, built


@check
def renaming_goes_there_and_back():
    result, built = clip_in_scene()
    bpy.context.scene.frame_set(8)
    before = posed(built.meshes[0])
    for scheme, index in (("MIXAMO", 0), ("RIGIFY", 1), ("SMPL", None)):
        assert bpy.ops.fitbody.rename_bones(scheme=scheme) == {"FINISHED"}
        names = [b.name for b in built.armatures[0].data.bones]
        target = list(SMPL24) if index is None else [BONE_NAMES[n][index] for n in SMPL24]
        assert sorted(names) == sorted(target)
        assert sorted(g.name for g in built.meshes[0].vertex_groups) == sorted(target)
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
    result, built = clip_in_scene()
    from dsr_fit_body.operators.export import FORMATS, available_formats

    out = FOLDER / f"out_{bpy.app.version[0]}"
    settings = bpy.context.window_manager.dsr_fit_body
    settings.export_names = "MIXAMO"
    before = census()
    vertices = posed(built.meshes[0])
    sizes = {}
    for kind in available_formats():
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
    got, target = posed(mesh), expected(result, result.people[0])
    error = max(np.abs(got.min(0) - target.min(0)).max(), np.abs(got.max(0) - target.max(0)).max())
    assert error < 2e-3, (got.min(0), target.min(0), got.max(0), target.max(0))
    return sizes


@check
def who_comes_later_is_whole_after_the_scene_changed():
    """Blender 3.4 ruined bodies that were moved while they were hidden, once anything was added to the scene."""
    fresh()
    built = scene.build(read_result(FOLDER / "clip" / "clip.json"), BuildOptions())
    body, scene_now = built.meshes[1], bpy.context.scene
    scene_now.frame_set(9)
    size = np.ptp(posed(body), axis=0)
    scene_now.frame_set(1)
    assert len(posed(body)) == 0  # not seen in the first frames
    for move in (lambda: None, lambda: setattr(built.root, "location", (5.0, 1.0, 2.0))):
        move()
        bpy.context.view_layer.update()
        scene_now.collection.objects.link(bpy.data.objects.new("light", None))
        bpy.context.view_layer.update()
        scene_now.frame_set(9)
        assert np.abs(np.ptp(posed(body), axis=0) - size).max() < 1e-4
        scene_now.frame_set(1)


@check
def who_comes_later_is_in_the_files_and_copies_keep_their_names():
    _, built = clip_in_scene()
    bpy.context.scene.frame_set(1)
    bpy.context.view_layer.objects.active = built.armatures[0]
    settings = bpy.context.window_manager.dsr_fit_body
    settings.export_people = "ALL"
    before = census()
    path = FOLDER / f"later_{bpy.app.version[0]}.glb"
    assert bpy.ops.fitbody.export(filepath=str(path), format="GLB") == {"FINISHED"}
    assert census() == before
    document = glb_document(path)
    meshes = {node["name"] for node in document["nodes"] if "mesh" in node}
    assert meshes == {mesh.name for mesh in built.meshes}, meshes
    assert {skin["name"] for skin in document["skins"]} == {armature.name for armature in built.armatures}
    moved = {animation["name"] for animation in document["animations"]}  # newer ones put all into one
    assert {a.animation_data.action.name for a in built.armatures} <= moved or moved == {"Animation"}, moved
