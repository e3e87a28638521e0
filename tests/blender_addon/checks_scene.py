"""A result in the scene: vertices, projection, shape, names, undo."""

import json
import shutil
import time

import bpy
import dsr_fit_body
import numpy as np
from bpy_extras.object_utils import world_to_camera_view
from check_tools import FOLDER, check, expected, fresh, posed
from dsr_fit_body import compat
from dsr_fit_body.builders import camera as cam
from dsr_fit_body.builders import mesh as msh
from dsr_fit_body.builders import photos, scene
from dsr_fit_body.builders.measurements import measured
from dsr_fit_body.builders.scene import BuildOptions
from dsr_fit_body.core import face_parts, geometry
from dsr_fit_body.core.body_model import read_body_model
from dsr_fit_body.core.names import SMPL24
from dsr_fit_body.core.result import read_result
from mathutils import Vector


@check
def vertices_are_those_of_the_fit():
    worst = 0.0
    for name in ("landscape", "portrait", "off-centre", "correctives"):
        fresh()
        result = read_result(FOLDER / name / f"{name.replace('correctives', 'landscape')}.json")
        built = scene.build(result, BuildOptions())
        assert len(built.meshes) == len(result.people)
        for mesh_object, person in zip(built.meshes, result.people, strict=True):
            error = np.abs(posed(mesh_object) - person.vertices_cam_m @ geometry.CAMERA_TO_BLENDER.T).max()
            worst = max(worst, float(error))
    assert worst < 1e-4, worst
    return {"vertex_error_m": worst}


@check
def faces_and_hands_are_those_of_the_fit():
    """55 bones, and the facial expressions as shape keys that move nothing else."""
    fresh()
    result = read_result(FOLDER / "face" / "landscape.json")
    built = scene.build(result, BuildOptions())
    body = read_body_model(result.body_file)
    names = body.expression_names
    assert len(names) >= 20 and "eyeBlinkLeft" in names and len(body.names) == 55
    worst = 0.0
    for armature, mesh_object, person in zip(built.armatures, built.meshes, result.people, strict=True):
        error = np.abs(posed(mesh_object) - person.vertices_cam_m @ geometry.CAMERA_TO_BLENDER.T).max()
        worst = max(worst, float(error))
        assert {"left_index3", "right_thumb1", "jaw", "left_eye_smplhf"} <= {bone.name for bone in armature.data.bones}
        keys = mesh_object.data.shape_keys.key_blocks
        strengths = np.array([keys[name].value for name in names])
        assert np.abs(strengths - person.betas[body.num_shapes :]).max() < 1e-5
        for name in names:
            keys[name].value = 0.0
        neutral = np.r_[person.betas[: body.num_shapes], np.zeros(len(names))]
        assert np.abs(posed(mesh_object) - expected(result, person, neutral)).max() < 1e-4
        keys["eyeBlinkLeft"].value = 1.0
        blink = neutral.copy()
        blink[body.num_shapes + names.index("eyeBlinkLeft")] = 1.0
        assert np.abs(posed(mesh_object) - expected(result, person, blink)).max() < 1e-4
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
        expected_values = points @ result.K.T
        expected_values = expected_values[:, :2] / expected_values[:, 2:]
        for point, pixel in zip(points @ geometry.CAMERA_TO_BLENDER.T, expected_values, strict=True):
            seen = world_to_camera_view(bpy.context.scene, built.camera, Vector(point))
            got = (seen.x * result.size[0], (1 - seen.y) * result.size[1])
            worst = max(worst, abs(got[0] - pixel[0]), abs(got[1] - pixel[1]))
        background = built.camera.data.background_images[0]
        assert background.image.packed_file and tuple(background.image.size) == result.size
        assert background.alpha == 0.5 and built.camera.data.show_background_images
    assert worst < 0.1, worst
    return {"projection_error_px": worst}


def pelvis_of(armature):
    """Where the pelvis is in the world."""
    bpy.context.view_layer.update()
    return np.array(armature.matrix_world @ armature.pose.bones["pelvis"].matrix.translation)


@check
def shape_sliders_keep_joints_and_surface_together():
    fresh()
    result = read_result(FOLDER / "landscape" / "landscape.json")
    built = scene.build(result, BuildOptions())
    body, person, armature = read_body_model(result.body_file), result.people[0], built.armatures[0]
    betas = person.betas.copy()
    worst = 0.0
    for index, value in ((0, 4.0), (3, -2.5), (10, 1.0), (0, -3.0)):
        before = pelvis_of(armature)
        armature.dsr_fit_body.shape[index] = value
        betas[index] = value
        joints = body.shaped_joints(betas)
        heads = np.array([armature.data.bones[name].head_local for name in body.names])
        worst = max(worst, float(np.abs(heads - joints @ geometry.BODY_TO_BLENDER.T).max()))
        moved = before - geometry.CAMERA_TO_BLENDER @ joints[0]  # the pelvis stays where it was
        transl = geometry.CAMERA_TO_BLENDER.T @ moved
        error = np.abs(posed(built.meshes[0]) - expected(result, person, betas, transl)).max()
        worst = max(worst, float(error))
        assert np.abs(pelvis_of(armature) - before).max() < 1e-5
    assert worst < 1e-4, worst
    assert bpy.ops.fitbody.set_shape.poll() is False  # nothing selected
    bpy.context.view_layer.objects.active = built.meshes[0]
    began = time.perf_counter()
    assert bpy.ops.fitbody.reset_shape() == {"FINISHED"}
    took = time.perf_counter() - began
    assert np.abs(posed(built.meshes[0]) - person.vertices_cam_m @ geometry.CAMERA_TO_BLENDER.T).max() < 1e-4
    keys = built.meshes[0].data.shape_keys.key_blocks
    keys["Shape 00"].value = 2.0  # by hand, in the mesh's own panel
    assert bpy.ops.fitbody.update_joints() == {"FINISHED"}
    assert abs(armature.dsr_fit_body.shape[0] - 2.0) < 1e-6
    heads = np.array([armature.data.bones[name].head_local for name in body.names])
    betas = person.betas.copy()
    betas[0] = 2.0
    assert np.abs(heads - body.shaped_joints(betas) @ geometry.BODY_TO_BLENDER.T).max() < 1e-4
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
    body = read_body_model(result.body_file)
    betas = result.people[0].betas.copy()
    betas[0] = -3.0
    heads = np.array([armature.data.bones[name].head_local for name in body.names])
    assert np.abs(heads - body.shaped_joints(betas) @ geometry.BODY_TO_BLENDER.T).max() < 1e-4


@check
def measurements_agree_with_dsr():
    fresh()
    expected_values = json.loads((FOLDER / "measured.json").read_text())
    result = read_result(FOLDER / "landscape" / "landscape.json")
    built = scene.build(result, BuildOptions())
    got = measured(built.meshes[0])
    assert abs(got["Height"] - expected_values["height_cm"]) < 0.05, (got, expected_values)
    assert abs(got["Mass"] - expected_values["mass_kg"]) < 0.2, (got, expected_values)
    assert abs(got["Waist"] - expected_values["waist_cm"]) < 1.5, (got, expected_values)
    assert abs(got["Hips"] - expected_values["hip_cm"]) < 1.5, (got, expected_values)


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
    body = read_body_model(result.body_file)
    built = scene.build(result, BuildOptions())
    mesh = built.meshes[0].data
    uv = np.empty(len(mesh.loops) * 2, np.float32)
    mesh.uv_layers[0].data.foreach_get("uv", uv)
    assert np.array_equal(uv.reshape(body.uv.shape), body.uv)
    spread = np.empty(len(mesh.vertices), np.float32)
    mesh.attributes["uncertainty_mm"].data.foreach_get("value", spread)
    assert np.allclose(spread, body.weights @ result.people[0].uncertainty_mm, atol=1e-3)
    assert abs(built.armatures[0].data.bones["head"]["uncertainty_mm"] - result.people[0].uncertainty_mm[15]) < 1e-6
    slots = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("material_index", slots)
    looks, expected_slots = face_parts.looks(body.part_names, body.part_ids, body.interior)
    assert np.array_equal(slots, expected_slots) and [m.name for m in mesh.materials] == [look.name for look in looks]
    assert all(m.materials[0] == mesh.materials[0] for m in (o.data for o in built.meshes))
    bpy.context.view_layer.objects.active = built.meshes[0]
    assert bpy.ops.fitbody.part_materials(kind="PARTS") == {"FINISHED"}
    mesh.polygons.foreach_get("material_index", slots)
    assert np.array_equal(slots, body.part_ids)
    assert [m.name for m in mesh.materials] == [f"FitBody {name}" for name in body.part_names]
    assert bpy.ops.fitbody.part_materials(kind="SKIN") == {"FINISHED"}
    mesh.polygons.foreach_get("material_index", slots)
    assert np.array_equal(slots, expected_slots)


@check
def body_is_quads_and_its_eyes_are_white():
    fresh()
    result = read_result(FOLDER / "one" / "landscape.json")
    built = scene.build(result, BuildOptions())
    mesh = built.meshes[0].data
    assert {len(polygon.vertices) for polygon in mesh.polygons} == {4}
    assert not mesh.validate()
    with np.load(result.body_file) as data:
        faces, names, parts = data["f"], [str(n) for n in data["part_names"]], data["part_ids"]
        assert len(mesh.polygons) == len(data["quads"]) == len(faces) // 2
    mesh.calc_loop_triangles()
    triangles = np.sort([list(t.vertices) for t in mesh.loop_triangles], axis=1)
    assert len(triangles) == len(faces) and (np.unique(triangles) == np.unique(faces)).all()
    materials = [mesh.materials[polygon.material_index] for polygon in mesh.polygons]
    of_part = {"left_eye": "Eye", "right_iris": "Iris", "upper_teeth": "Teeth", "tongue": "Tongue", "head": "Skin"}
    for part, name in {**of_part, "left_lashes": "Lashes", "mouth": "Mouth", "left_pupil": "Pupil"}.items():
        where = np.flatnonzero(parts[::2] == names.index(part))
        assert len(where) and {materials[k].name for k in where} == {f"FitBody {name}"}, part
    white = bpy.data.materials["FitBody Eye"]
    colour = compat.principled(white).inputs["Base Color"].default_value
    assert min(colour[:3]) > 0.8 and max(colour[:3]) - min(colour[:3]) < 0.1
    pupil = compat.principled(bpy.data.materials["FitBody Pupil"]).inputs["Base Color"].default_value
    assert max(pupil[:3]) < 0.05
    sizes = measured(built.meshes[0])
    betas = result.people[0].betas
    assert abs(sizes["Height"] - 100 * result.people[0].height_m) < 40 and sizes["Waist"] > 30, (sizes, betas)


@check
def bodies_of_earlier_versions_are_triangles():
    fresh()
    result = read_result(FOLDER / "earlier" / "landscape.json")
    built = scene.build(result, BuildOptions())
    mesh = built.meshes[0].data
    assert {len(polygon.vertices) for polygon in mesh.polygons} == {3} and len(mesh.uv_layers) == 1
    assert [m.name for m in mesh.materials] == ["FitBody Skin", "FitBody Interior"]
    error = np.abs(posed(built.meshes[0]) - result.people[0].vertices_cam_m @ geometry.CAMERA_TO_BLENDER.T).max()
    assert error < 1e-4


@check
def names_and_facts_are_in_the_scene():
    fresh()
    result = read_result(FOLDER / "landscape" / "landscape.json")
    built = scene.build(result, BuildOptions(), version="9.9.9")
    assert built.collection.name == "FitBody landscape"
    assert built.collection[photos.IMAGE] == str(result.source) and built.collection[scene.VERSION] == "9.9.9"
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
    expected_values = result.people[0].vertices_cam_m @ geometry.CAMERA_TO_BLENDER.T + [0, 0, height]
    assert np.abs(posed(built.meshes[0]) - expected_values).max() < 1e-4
    assert abs(built.camera.matrix_world.translation.z - height) < 1e-5


@check
def file_with_a_cube_at_the_camera():
    result = read_result(FOLDER / "landscape" / "landscape.json")
    for on_ground in (False, True):
        bpy.ops.wm.read_factory_settings(use_empty=False)
        dsr_fit_body.register()
        built = scene.build(result, BuildOptions(ground=on_ground))
        assert 0.9 < built.camera.data.clip_start < result.people[0].vertices_cam_m[:, 2].min(), on_ground
        assert "Cube" in str(built.warnings[-1]) and bpy.data.objects["Cube"].visible_get()
    fresh()
    built = scene.build(result, BuildOptions())
    assert abs(built.camera.data.clip_start - cam.CLIP_START) < 1e-6


@check
def photo_missing_is_a_warning():
    fresh()
    built = scene.build(read_result(FOLDER / "no_photo" / "landscape.json"), BuildOptions())
    assert "cannot be shown" in str(built.warnings[-1])
    assert len(built.meshes) == 1 and len(built.camera.data.background_images) == 0


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


@check
def a_person_has_the_own_look_that_lies_beside_the_result():
    folder = FOLDER / f"textured_{bpy.app.version[0]}"
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(FOLDER / "one", folder)
    shutil.copy(folder / "landscape.png", folder / "landscape.p0.texture.png")
    for _ in range(2):
        fresh()
        for _again in range(2):  # a second fit does not take the first one's picture
            built = scene.build(read_result(folder / "landscape.json"), BuildOptions())
        mesh = built.meshes[0].data
        skin = mesh[msh.TEXTURE]
        colour = compat.principled(skin).inputs["Base Color"]
        image = colour.links[0].from_node.image
        images = [i for i in bpy.data.images if "Photo" in i.name]
        assert image.packed_file is not None and len(images) == 2 and len(mesh.uv_layers) == 1
        used = np.empty(len(mesh.polygons), np.int32)
        mesh.polygons.foreach_get("material_index", used)
        assert (used == list(mesh.materials).index(skin)).mean() > 0.5
        bpy.context.view_layer.objects.active = built.armatures[0]
        for kind in ("PARTS", "SKIN"):
            assert bpy.ops.fitbody.part_materials(kind=kind) == {"FINISHED"}
        assert skin in list(mesh.materials)
        (folder / "landscape.p0.texture.png").write_bytes((folder / "landscape.png").read_bytes())
    (folder / "landscape.p0.texture.png").write_text("no picture")
    fresh()
    built = scene.build(read_result(folder / "landscape.json"), BuildOptions())
    assert built.meshes[0].data.materials[0] is not None
