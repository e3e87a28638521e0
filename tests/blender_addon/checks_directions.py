"""Named sliders of a body move surface, joints and place together; bodies of earlier versions keep their sliders."""

import time
from types import SimpleNamespace

import bpy
import numpy as np
from check_tools import FOLDER, RecordingLayout, built, check, fresh, posed
from dsr_fit_body import panels
from dsr_fit_body.body_settings import SIZES
from dsr_fit_body.builders import mesh as msh
from dsr_fit_body.builders import scene, shape, sizes
from dsr_fit_body.builders.measurements import measured
from dsr_fit_body.builders.scene import BuildOptions
from dsr_fit_body.core import geometry
from dsr_fit_body.core.body_model import read_body_model
from dsr_fit_body.core.directions import KEY_NAMES
from dsr_fit_body.core.result import read_result


@check
def named_sliders_move_surface_and_joints_together():
    made, result, body = built()
    armature, mesh_object, person = made.armatures[0], made.meshes[0], result.people[0]
    by_name = {direction.name: direction for direction in body.directions}
    assert set(by_name) == set(KEY_NAMES)
    settings, offset, took = armature.dsr_fit_body, np.zeros(body.shapedirs.shape[2]), []
    for name, units in (("height", 12.0), ("leg_length", -3.0), ("mass", 20.0), ("sex", 1.0), ("height", -8.0)):
        offset += (units - getattr(settings, name)) * by_name[name].betas
        before = np.array(armature.pose.bones["pelvis"].matrix.translation)
        began = time.perf_counter()
        setattr(settings, name, units)
        took.append(time.perf_counter() - began)
        bpy.context.view_layer.update()
        betas = offset.copy()
        betas[: len(person.betas)] += person.betas
        joints = body.shaped_joints(betas)
        heads = np.array([armature.data.bones[bone].head_local for bone in body.names])
        assert np.abs(heads - joints @ geometry.BODY_TO_BLENDER.T).max() < 1e-4, name
        rest = body.shaped_vertices(betas) @ geometry.BODY_TO_BLENDER.T
        assert np.abs(shape.shaped_rest(mesh_object) - rest).max() < 1e-4, name
        assert np.abs(np.array(armature.pose.bones["pelvis"].matrix.translation) - before).max() < 1e-5, name
    assert np.abs(msh.get_shapes(mesh_object) - person.betas[: msh.MAX_SHAPES]).max() < 1e-5, "the fit's own stay"
    for units in (0.0, 5.0):
        settings.height = units
    tall = measured(mesh_object)["Height"]
    settings.height = 0.0
    assert abs(tall - measured(mesh_object)["Height"] - 5.0) < 0.1, "centimetres are centimetres"
    return {"slider_s": max(took)}


@check
def named_sliders_go_back_and_follow_the_keys():
    made, _, body = built()
    armature, mesh_object = made.armatures[0], made.meshes[0]
    fitted = posed(mesh_object)
    settings = armature.dsr_fit_body
    settings.mass, settings.age, settings.shape[0] = -10.0, 20.0, 2.0
    assert np.abs(posed(mesh_object) - fitted).max() > 0.01
    assert bpy.ops.fitbody.reset_shape(to="FIT") == {"FINISHED"}
    assert np.abs(posed(mesh_object) - fitted).max() < 1e-4
    assert (settings.mass, settings.age) == (0.0, 0.0)
    spread = next(direction.spread for direction in body.directions if direction.name == "mass")
    mesh_object.data.shape_keys.key_blocks["Mass"].value = 1.0  # by hand, in the mesh's own panel
    assert bpy.ops.fitbody.update_joints() == {"FINISHED"}
    assert abs(settings.mass - spread) < 1e-4 and settings.age == 0.0


@check
def named_sliders_come_first_and_the_rest_is_behind_a_fold():
    texts = {}
    for name in ("landscape", "earlier"):
        made, _, body = built(name)
        assert bool(body.directions) == (name == "landscape")
        for unfolded in (False, True):
            bpy.context.window_manager.dsr_fit_body.all_shapes = unfolded
            layout = RecordingLayout()
            context = SimpleNamespace(window_manager=bpy.context.window_manager, active_object=made.armatures[0])
            panel = SimpleNamespace(
                layout=layout, draw_content=lambda *a: panels.FITBODY_PT_body.draw_content(None, *a)
            )
            panels.FITBODY_PT_body.draw(panel, context)
            texts[name, unfolded] = [item for item in layout.drawn if not item.startswith("fitbody.")]
        bpy.context.window_manager.dsr_fit_body.all_shapes = False
    shapes = min(len(made.armatures[0]["fitbody_betas"]), msh.MAX_SHAPES)
    fields = list(SIZES.values())
    assert texts["landscape", False] == [*fields, *KEY_NAMES, "all_shapes"]
    assert texts["landscape", True][: len(fields) + len(KEY_NAMES) + 2] == [*fields, *KEY_NAMES, "all_shapes", "shape"]
    assert texts["earlier", False] == texts["earlier", True] == [*fields, *["shape"] * shapes], (
        "they keep what they had"
    )


@check
def a_height_and_a_mass_can_be_typed():
    figures = {}
    for name in ("landscape", "one", "earlier"):
        fresh()
        result = read_result(FOLDER / name / "landscape.json")
        made = scene.build(result, BuildOptions(ground=True))
        armature, mesh_object, body = made.armatures[0], made.meshes[0], read_body_model(result.body_file)
        settings = armature.dsr_fit_body
        ground_before = posed(mesh_object)[:, 2].min()
        child = [index for index in range(11) if index not in sizes.free_shapes(armature, mesh_object)]
        before = msh.get_shapes(mesh_object)
        began = time.perf_counter()
        settings.mass_kg = 75.0
        settings.height_cm = 180.0  # in either order
        took = time.perf_counter() - began
        got = measured(mesh_object)
        assert abs(got["Height"] - 180) < 0.5 and abs(got["Mass"] - 75) < 1, (name, got)
        assert abs(settings.height_cm - 180) < 0.5 and abs(settings.mass_kg - 75) < 1
        skin = body.polygons[~body.interior]
        tall = np.ptp(body.shaped_vertices(_betas(armature, mesh_object, body))[np.unique(skin), 1])
        assert abs(100 * tall - 180) < 0.5, (name, tall)  # what the body model says
        assert abs(posed(mesh_object)[:, 2].min() - ground_before) < 1e-3, name
        now = msh.get_shapes(mesh_object)
        assert np.abs(now).max() < 6 and (now[child] == before[child]).all(), (name, now)
        if "Waist" in got:
            settings.waist_cm = got["Waist"] + 4.0
            again = measured(mesh_object)
            assert abs(again["Waist"] - got["Waist"] - 4) < 0.5, (name, got, again)
            assert abs(again["Height"] - 180) < 0.5 and abs(again["Mass"] - 75) < 1, (name, again)
        heads = np.array([armature.data.bones[bone].head_local for bone in body.names])
        joints = body.shaped_joints(_betas(armature, mesh_object, body))
        assert np.abs(heads - joints @ geometry.BODY_TO_BLENDER.T).max() < 1e-4, name
        figures[name] = {"height": got["Height"], "mass": got["Mass"], "s": took}
    return figures


def _betas(armature, mesh_object, body):
    """All coefficients of a body as it is in the scene."""
    betas = np.zeros(body.shapedirs.shape[2])
    fitted = np.array(armature["fitbody_betas"])
    betas[: len(fitted)] = fitted
    shapes = msh.get_shapes(mesh_object)
    betas[: len(shapes)] = shapes
    return betas
