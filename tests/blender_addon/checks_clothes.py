"""Clothes on a body: where they are in every pose and shape, the skin below, exports, Rigify, taking them off."""

import addon_utils
import bpy
import numpy as np
from check_tools import FOLDER, RecordingLayout, census, check, expected, fresh, posed, refused
from checks_exports import read_back
from dsr_fit_body import panels, session
from dsr_fit_body.builders import clothes, scene
from dsr_fit_body.builders import mesh as msh
from dsr_fit_body.builders.scene import BuildOptions
from dsr_fit_body.core.body_model import read_body_model
from dsr_fit_body.core.garment import read_garment
from dsr_fit_body.core.geometry import CAMERA_TO_BLENDER
from dsr_fit_body.core.result import read_result
from skinning import linear_blend_skinning

VEST = str(FOLDER / "clothes" / "vest" / "vest.mhclo")


def person(folder="one", **options):
    """A body that can be dressed, active."""
    fresh()
    preferences = bpy.context.preferences.addons["dsr_fit_body"].preferences
    preferences.python, preferences.clothes = str(FOLDER / "worker_good"), str(FOLDER)
    result = read_result(FOLDER / folder / "landscape.json")
    built = scene.build(result, BuildOptions(**options))
    bpy.context.view_layer.objects.active = built.armatures[0]
    return result, built


def worn(built):
    assert bpy.ops.fitbody.wear(filepath=VEST) == {"FINISHED"}
    (item,) = clothes.worn_by(built.armatures[0])
    return item


def where_it_should_be(result, garment, betas, bent):
    """Skinned with the body's transforms: the garment's own rest shape, the body's joints."""
    one, body = result.people[0], read_body_model(result.body_file)
    weights = np.zeros((len(garment.places), len(body.names)))
    for joint, name in enumerate(garment.joint_names):
        weights[:, body.names.index(name)] = garment.weights[:, joint]
    rest = garment.places + garment.shapedirs[..., : len(betas)] @ betas
    joints = body.shaped_joints(betas)
    placed = linear_blend_skinning(rest, joints, weights, body.parents, one.rotations[0], one.transl[0])
    return placed @ CAMERA_TO_BLENDER.T + bent


@check
def clothes_follow_pose_and_shape():
    figures = {}
    for folder, model in (("one", "open"), ("landscape", "open-light"), ("face", "open-x")):
        result, built = person(folder)
        item = worn(built)
        assert item.name in [o.name for o in built.collection.objects] and item.parent == built.armatures[0]
        garment = read_garment(FOLDER / f"garment_{model}.npz")
        betas = result.people[0].betas
        error = np.abs(posed(item) - where_it_should_be(result, garment, betas, 0.0)).max()
        assert error < 2e-4, (model, error)
        armature = built.armatures[0]
        change = np.zeros(msh.MAX_SHAPES)
        change[: min(len(betas), msh.MAX_SHAPES)] = betas[: msh.MAX_SHAPES]
        change[1] += 2.0
        armature.dsr_fit_body.shape = change.tolist()
        bpy.context.view_layer.update()
        changed = np.array(betas, float)
        changed[1] += 2.0
        visible = np.setdiff1d(np.arange(len(built.meshes[0].data.vertices)), garment.hidden)
        move = posed(built.meshes[0])[0] - expected(result, result.people[0], betas=changed)[visible][0]
        error = np.abs(posed(item) - where_it_should_be(result, garment, changed, move)).max()
        assert error < 5e-4, (model, error)
        figures[model] = float(error)
        before = posed(item)
        armature.dsr_fit_body.mass = 25.0
        bpy.context.view_layer.update()
        assert np.linalg.norm(posed(item) - before, axis=1).max() > 0.01  # the named slider moves it too
    return figures


@check
def skin_below_clothes_is_hidden_and_comes_back():
    _, built = person()
    before, body = census(), built.meshes[0]
    count = len(posed(body))
    worn(built)
    garment = read_garment(FOLDER / "garment_open.npz")
    assert len(posed(body)) == count - len(garment.hidden) < count
    again = worn(built)  # a second time: still one
    assert len([m for m in body.modifiers if m.type == "MASK"]) == 1
    bpy.context.view_layer.objects.active = again  # a garment selected is its body selected
    assert bpy.ops.fitbody.take_off() == {"FINISHED"}
    assert len(posed(body)) == count and [m.type for m in body.modifiers] == ["ARMATURE"]
    after = census()
    after["materials"] = before["materials"]  # the garment's own may stay
    assert after == before
    assert bpy.ops.fitbody.take_off() == {"CANCELLED"}


@check
def clothes_go_along_into_files():
    _, built = person()
    worn(built)
    before = census()
    target = FOLDER / f"dressed_{bpy.app.version[0]}"
    target.mkdir(exist_ok=True)
    garment = read_garment(FOLDER / "garment_open.npz")
    body, vest = len(built.meshes[0].data.vertices) - len(garment.hidden), len(garment.places)
    for kind, ending in (("GLB", ".glb"), ("FBX", ".fbx")):
        for bake in (True, False):
            bpy.context.window_manager.dsr_fit_body.export_bake = bake
            path = target / f"body{ending}"
            assert bpy.ops.fitbody.export(filepath=str(path), format=kind) == {"FINISHED"}
            assert census() == before, (kind, bake)
    height = np.ptp(np.concatenate([posed(o) for o in bpy.data.objects if o.type == "MESH"])[:, 2])
    for kind, ending in (("GLB", ".glb"), ("FBX", ".fbx")):
        read_back(target / f"body{ending}", kind)
        meshes = [o for o in bpy.data.objects if o.type == "MESH" and "Icosphere" not in o.name]
        sizes = sorted(len(o.data.vertices) for o in meshes)
        if ending == ".fbx":
            assert sizes == sorted((body, vest)), (sizes, body, vest)
        assert len(sizes) == 2 and len([o for o in bpy.data.objects if o.type == "ARMATURE"]) == 1
        again = np.ptp(np.concatenate([posed(o) for o in meshes])[:, 2])
        assert abs(again - height) < 1e-3, (ending, again, height)


@check
def clothes_stay_on_a_rigify_rig():
    _, built = person()
    item = worn(built)
    before = posed(item)
    addon_utils.enable("rigify", default_set=True)
    try:
        assert bpy.ops.fitbody.add_metarig() == {"FINISHED"}
        assert bpy.ops.fitbody.generate_rig() == {"FINISHED"}
        error = np.abs(posed(item) - before).max()
        assert error < 2e-3, error
        rig = item.parent
        assert rig != built.armatures[0] and item.modifiers["Armature"].object == rig
    finally:
        addon_utils.disable("rigify", default_set=True)
    return {"error_m": float(error)}


@check
def clothes_need_the_open_body_and_a_folder():
    person("correctives")
    before = census()
    try:
        bpy.ops.fitbody.wear(filepath=VEST)
    except RuntimeError:
        raise AssertionError("a refusal is no error") from None
    assert census() == before and not session.running()
    person()
    bpy.context.preferences.addons["dsr_fit_body"].preferences.python = str(FOLDER / "worker_dies")
    refused(lambda: bpy.ops.fitbody.wear(filepath=VEST), "Could not start the worker")
    settings = bpy.context.window_manager.dsr_fit_body
    layout = RecordingLayout()
    panels.FITBODY_PT_clothes.draw_content(None, bpy.context, layout, layout, settings)
    assert "fitbody.wear" in layout.drawn and settings.garment == VEST
    bpy.context.preferences.addons["dsr_fit_body"].preferences.clothes = str(FOLDER / "nobody")
    layout = RecordingLayout()
    panels.FITBODY_PT_clothes.draw_content(None, bpy.context, layout, layout, settings)
    assert "fitbody.wear" not in layout.drawn and any("folder" in text for text in layout.texts)


@check
def a_skin_is_a_material_and_shoes_stand_on_the_ground():
    _, built = person(ground=True)
    skin = str(FOLDER / "skins" / "tan" / "tan.mhmat")
    mesh = built.meshes[0].data
    assert bpy.ops.fitbody.use_skin(filepath=skin) == {"FINISHED"}
    material = mesh.materials[0]
    assert material.name.startswith("FitBody Skin Tan")
    assert np.allclose(material.diffuse_color[:3], (0.5, 0.4, 0.3))
    slots = len(mesh.materials)
    assert bpy.ops.fitbody.use_skin(filepath=skin) == {"FINISHED"} and len(mesh.materials) == slots
    item = worn(built)
    key = item.data.shape_keys.key_blocks[1]  # a sole below the feet: the whole photo rises
    low = posed(built.meshes[0])[:, 2].min()
    assert abs(low) < 1e-4 and key is not None
    item.data.vertices[0].co.z -= 3.0
    item.data.shape_keys.key_blocks[0].data[0].co.z -= 3.0
    for other in item.data.shape_keys.key_blocks[1:]:
        other.data[0].co.z -= 3.0
    bpy.context.view_layer.update()
    assert bpy.ops.fitbody.place_on_ground() == {"FINISHED"}
    assert abs(posed(item)[:, 2].min()) < 1e-4
