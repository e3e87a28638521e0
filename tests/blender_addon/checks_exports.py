"""Every export read back by the same Blender: extents, pose, frames, rate, one root, upright, in its place."""

import bpy
import numpy as np
from check_tools import FOLDER, census, check, fresh, mended_importers, posed
from dsr_fit_body import compat
from dsr_fit_body.builders import scene
from dsr_fit_body.builders.motion import MotionOptions
from dsr_fit_body.builders.scene import BuildOptions
from dsr_fit_body.core.result import read_result
from dsr_fit_body.operators.export import FORMATS, available_formats

STARTS = 5
IMPORTERS = {
    "GLB": "import_scene.gltf",
    "FBX": "import_scene.fbx",
    "OBJ": "wm.obj_import",
    "BVH": "import_anim.bvh",
    "USD": "wm.usd_import",
    "ABC": "wm.alembic_import",
}


def still(ground=True):
    fresh()
    built = scene.build(read_result(FOLDER / "landscape" / "landscape.json"), BuildOptions(ground=ground, twist=True))
    bpy.context.view_layer.objects.active = built.armatures[1]
    return built


def clip():
    fresh()
    options = BuildOptions(ground=True, twist=True, motion=MotionOptions(start=STARTS, smoothing=0.0))
    built = scene.build(read_result(FOLDER / "short" / "clip.json"), options)
    bpy.context.view_layer.objects.active = built.armatures[0]
    bpy.context.scene.frame_set(STARTS)
    return built


def seen(armature, mesh_object):
    """Vertices, and heads of bones by name, in the world."""
    bpy.context.view_layer.update()
    world = armature.matrix_world if armature is not None else None
    heads = {} if world is None else {b.name: np.array(world @ b.head) for b in armature.pose.bones}
    return (None if mesh_object is None else posed(mesh_object)), heads


def read_back(path, kind, fps=0.0):
    """Armature and mesh of an exported file in an empty scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if fps:
        compat.set_fps(bpy.context.scene, fps)
    mended_importers()
    group, name = IMPORTERS[kind].split(".")
    options = {"update_scene_fps": True, "update_scene_duration": True} if kind == "BVH" else {}
    options |= {"disable_bone_shape": True} if kind == "GLB" and bpy.app.version >= (4, 0, 0) else {}
    getattr(getattr(bpy.ops, group), name)(filepath=str(path), **options)
    bpy.context.view_layer.update()
    shapes = {s for o in bpy.data.objects if o.type == "ARMATURE" for b in o.pose.bones if (s := b.custom_shape)}
    items = [o for o in bpy.context.scene.objects if o not in shapes and o.name != "_materials"]  # USD's scope
    armatures = [o for o in items if o.type == "ARMATURE"]
    meshes = [o for o in items if o.type == "MESH"]
    return items, armatures, meshes


def worst_turn(heads, other):
    """Largest angle between lines from bone to bone that both have, degrees."""
    pairs = (
        ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"), ("right_hip", "right_knee"),
        ("right_knee", "right_ankle"), ("left_ankle", "left_foot"), ("spine3", "neck"), ("neck", "head"),
    )  # fmt: skip
    worst = 0.0
    for a, b in pairs:
        one, two = heads[b] - heads[a], other[b] - other[a]
        cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
        worst = max(worst, float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))))
    return worst


def compared(got, true, kind):
    """Differences of two states, checked: metres and degrees."""
    error, turn = 0.0, 0.0
    if true[0] is not None and got[0] is not None:
        for corner in (np.min, np.max):
            error = max(error, float(np.abs(corner(got[0], axis=0) - corner(true[0], axis=0)).max()))
    if got[1]:
        turn = worst_turn(got[1], true[1])
        error = max(error, max(float(np.abs(got[1][n] - true[1][n]).max()) for n in ("pelvis", "head", "left_foot")))
    assert error < 1e-3, (kind, error)
    assert turn < 0.1, (kind, turn)
    return error, turn


@check
def every_format_of_a_photo_comes_back():
    figures = {}
    for kind in available_formats():
        built = still()
        true = seen(built.armatures[1], built.meshes[1])
        path = FOLDER / f"back_{bpy.app.version[0]}" / f"photo{FORMATS[kind][1]}"
        before = census()
        assert bpy.ops.fitbody.export(filepath=str(path), format=kind) == {"FINISHED"}
        assert census() == before
        items, armatures, meshes = read_back(path, kind)
        assert len([o for o in items if o.parent is None]) == 1, (kind, [o.name for o in items])
        assert len(armatures) == (kind not in ("OBJ", "ABC")) or kind == "ABC", kind
        assert len(meshes) == (kind != "BVH"), kind
        got = seen(armatures[0] if armatures else None, meshes[0] if meshes else None)
        figures[kind] = compared(got, (true[0], true[1]), kind)
    assert {"GLB", "FBX", "OBJ", "BVH"} <= set(figures)
    return figures


@check
def every_format_of_a_clip_comes_back():
    figures = {}
    result = read_result(FOLDER / "short" / "clip.json")
    last = STARTS + result.num_frames - 1
    for kind in available_formats():
        if kind == "OBJ":
            continue
        built = clip()
        bpy.context.scene.frame_end = 250
        compat.set_fps(bpy.context.scene, 24.0)  # the clip's own counts
        bpy.context.scene.frame_set(STARTS + 2)
        path = FOLDER / f"back_{bpy.app.version[0]}" / f"clip{FORMATS[kind][1]}"
        states = {}
        for frame in (STARTS, last):
            bpy.context.scene.frame_set(frame)
            states[frame] = seen(built.armatures[0], built.meshes[0])
        bpy.context.scene.frame_set(STARTS + 2)
        assert bpy.ops.fitbody.export(filepath=str(path), format=kind) == {"FINISHED"}
        now = bpy.context.scene
        assert (now.frame_start, now.frame_end, now.frame_current) == (STARTS, 250, STARTS + 2), kind
        assert abs(compat.scene_fps(now) - 24) < 1e-6
        items, armatures, meshes = read_back(path, kind, result.fps if kind in ("GLB", "ABC", "USD") else 0.0)
        assert len([o for o in items if o.parent is None]) == 1, kind
        now = bpy.context.scene
        first = STARTS
        if armatures and armatures[0].animation_data:
            first, end = armatures[0].animation_data.action.frame_range
            assert abs(end - first - (last - STARTS)) < 0.01, (kind, first, end)
            if kind in ("GLB", "FBX", "USD"):
                assert abs(first - STARTS) < 0.01, (kind, first)
        if kind in ("FBX", "BVH"):  # the others have seconds, or Blender takes no rate from them
            assert abs(compat.scene_fps(now) - result.fps) < 0.005, (kind, compat.scene_fps(now))
        for frame, true in states.items():
            now.frame_set(round(first) + frame - STARTS)
            got = seen(armatures[0] if armatures else None, meshes[0] if meshes else None)
            figures[f"{kind} {frame}"] = compared(got, true, f"{kind} {frame}")
    return figures


@check
def everybody_is_exported_under_one_root_at_the_origin():
    for kind in ("GLB", "FBX"):
        built = still()
        settings = bpy.context.window_manager.dsr_fit_body
        settings.export_people, settings.export_origin = "ALL", True
        true = [seen(a, m) for a, m in zip(built.armatures, built.meshes, strict=True)]
        path = FOLDER / f"back_{bpy.app.version[0]}" / f"all{FORMATS[kind][1]}"
        before = census()
        assert bpy.ops.fitbody.export(filepath=str(path), format=kind) == {"FINISHED"}
        assert census() == before
        settings.export_people, settings.export_origin = "ACTIVE", False
        items, armatures, meshes = read_back(path, kind)
        assert len(armatures) == len(meshes) == 2
        assert len([o for o in items if o.parent is None]) == 1, [o.name for o in items]
        pelvis = true[1][1]["pelvis"] * [1, 1, 0]
        for number, (_, heads) in enumerate(true, 1):
            armature = next(a for a in armatures if f"Person {number}" in a.name)
            got = seen(armature, None)[1]
            expected = {name: head - pelvis for name, head in heads.items()}
            assert max(np.abs(got[n] - expected[n]).max() for n in ("pelvis", "head", "left_wrist")) < 1e-3
        assert abs(min(posed(m)[:, 2].min() for m in meshes)) < 1e-3


@check
def a_gltf_of_a_photo_is_no_t_pose():
    """What is in the file itself, without an importer's idea of it."""
    from check_tools import glb_bones

    built = still()
    path = FOLDER / f"back_{bpy.app.version[0]}" / "pose.glb"
    assert bpy.ops.fitbody.export(filepath=str(path), format="GLB") == {"FINISHED"}
    _, heads = seen(built.armatures[1], None)
    places = glb_bones(path)
    for name in ("left_wrist", "right_wrist", "left_foot", "head"):
        assert np.abs(places[name] - heads[name][[0, 2, 1]] * [1, 1, -1]).max() < 1e-3, name


@check
def the_context_belongs_to_no_scene_that_is_gone():
    """Else Blender 3's glTF exporter writes into freed memory (compat.renew_context)."""
    still()
    assert bpy.context.layer_collection is not None  # as Rigify asks; in Blender 3 the context is the scene's now
    gone = bpy.context.scene.as_pointer()
    path = FOLDER / f"back_{bpy.app.version[0]}" / "context.glb"
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)  # the add-on stays enabled
    assert bpy.context.id_data in (None, bpy.context.scene), gone
    built = scene.build(read_result(FOLDER / "landscape" / "landscape.json"), BuildOptions(ground=True, twist=True))
    bpy.context.view_layer.objects.active = built.armatures[1]
    first = bpy.context.scene
    second = bpy.data.scenes.new("Second")
    bpy.context.window.scene = second
    assert bpy.context.layer_collection is not None
    bpy.context.window.scene = first
    bpy.data.scenes.remove(second)
    assert bpy.ops.fitbody.export(filepath=str(path), format="GLB") == {"FINISHED"}
    assert bpy.context.id_data in (None, bpy.context.scene)
