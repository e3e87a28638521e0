"""Every option does what its label says: of import, export, shape, camera, fit and clean-up; Cancel stops a fit."""

import json
import os
import struct
import time
from dataclasses import asdict
from types import SimpleNamespace

import bpy
import numpy as np
from check_tools import FOLDER, census, check, fresh, posed
from dsr_fit_body import runs, session
from dsr_fit_body.builders import mesh as msh
from dsr_fit_body.builders import shape
from dsr_fit_body.core import face_parts
from dsr_fit_body.core.directions import KEY_NAMES
from dsr_fit_body.core.job import Job
from dsr_fit_body.core.messages import message
from dsr_fit_body.core.worker import worker_command
from dsr_fit_body.operators import troubleshooting

PICTURE = FOLDER / "landscape" / "landscape.json"
CORRECTIVES = FOLDER / "correctives" / "landscape.json"


def imported(path=PICTURE, **options):
    """A fresh file with an imported result; armature and mesh of the first person."""
    fresh()
    assert bpy.ops.fitbody.import_result(filepath=str(path), **options) == {"FINISHED"}
    return shape.body_objects(bpy.context.view_layer.objects.active)


@check
def import_options_are_followed():
    _, mesh_object = imported(CORRECTIVES)
    assert bpy.data.cameras and msh.CORRECTIVE in mesh_object.data.shape_keys.key_blocks
    assert mesh_object.data.materials[0].name == face_parts.SKIN.name
    assert abs(posed(mesh_object)[:, 2].min()) < 1e-4
    _, mesh_object = imported(CORRECTIVES, camera=False, correctives=False, parts=True, ground=False)
    assert not bpy.data.cameras and msh.CORRECTIVE not in mesh_object.data.shape_keys.key_blocks
    names = [material.name for material in mesh_object.data.materials]
    assert face_parts.SKIN.name not in names and len(names) > 2
    assert abs(posed(mesh_object)[:, 2].min()) > 0.01


@check
def reset_shape_goes_to_the_fit_or_to_the_average():
    armature, mesh_object = imported()
    fitted = np.array(armature["fitbody_betas"])[: msh.MAX_SHAPES]  # those beyond stay in the rest shape
    for target, expected in (("AVERAGE", np.zeros(len(fitted))), ("FIT", fitted)):
        armature.dsr_fit_body.shape[0] = 4.0
        assert bpy.ops.fitbody.reset_shape(to=target) == {"FINISHED"}
        assert np.abs(msh.get_shapes(mesh_object) - expected).max() < 1e-5, target


@check
def reset_pose_keeps_place_and_direction():
    armature, mesh_object = imported(CORRECTIVES)
    root = armature.pose.bones["pelvis"].matrix.copy()
    assert bpy.ops.fitbody.reset_pose() == {"FINISHED"}
    bpy.context.view_layer.update()
    bones = armature.pose.bones
    assert all(bone.matrix_basis.to_quaternion().angle < 1e-5 for bone in bones if bone.name != "pelvis")
    assert np.abs(np.array(bones["pelvis"].matrix) - np.array(root)).max() < 1e-5
    assert mesh_object.data.shape_keys.key_blocks[msh.CORRECTIVE].value == 0.0


@check
def correctives_are_those_of_the_pose_now():
    """Worked out again for the pose of the fit they are what the fit brought; for the T-pose they are nothing."""
    _, mesh_object = imported(CORRECTIVES)
    fitted = posed(mesh_object)
    assert bpy.ops.fitbody.bake_correctives() == {"FINISHED"}
    assert np.abs(posed(mesh_object) - fitted).max() < 1e-4
    bpy.ops.fitbody.reset_pose()
    assert bpy.ops.fitbody.bake_correctives() == {"FINISHED"}
    assert np.abs(corrective_offset(mesh_object)).max() < 1e-5
    _, mesh_object = imported()  # this body model has none
    assert bpy.ops.fitbody.bake_correctives() == {"CANCELLED"}


def corrective_offset(mesh_object):
    keys = mesh_object.data.shape_keys.key_blocks
    values = np.empty((2, len(mesh_object.data.vertices) * 3), np.float32)
    keys[0].data.foreach_get("co", values[0])
    keys[msh.CORRECTIVE].data.foreach_get("co", values[1])
    return values[1] - values[0]


@check
def photo_view_and_opacity_follow_the_panel():
    imported()
    scene, settings = bpy.context.scene, bpy.context.window_manager.dsr_fit_body
    camera, render = scene.camera, bpy.context.scene.render
    size = render.resolution_x, render.resolution_y
    for set_size, expected in ((False, (64, 48)), (True, size)):
        scene.camera, settings.set_size = None, set_size
        render.resolution_x, render.resolution_y = 64, 48
        assert bpy.ops.fitbody.view_photo() == {"FINISHED"}
        assert scene.camera == camera and (render.resolution_x, render.resolution_y) == expected
    settings.opacity = 0.2
    assert bpy.ops.fitbody.photo_opacity() == {"FINISHED"}
    assert abs(camera.data.background_images[0].alpha - 0.2) < 1e-6
    fresh()
    assert not bpy.ops.fitbody.view_photo.poll() and not bpy.ops.fitbody.photo_opacity.poll()


@check
def panel_settings_reach_the_builder_one_by_one():
    fresh()
    settings = bpy.context.window_manager.dsr_fit_body
    bpy.context.scene.frame_set(7)

    def flat():
        options = asdict(settings.build_options())
        return {**options.pop("motion"), **options}

    default = flat()
    for name, value, field, expected in (
        ("camera", False, "camera", False),
        ("opacity", 0.25, "opacity", 0.25),
        ("pack", False, "pack", False),
        ("set_size", False, "set_size", False),
        ("scene_camera", False, "scene_camera", False),
        ("ground", False, "ground", False),
        ("correctives", False, "correctives", False),
        ("parts", True, "parts", True),
        ("again", "ADD", "replace", False),
        ("fps", False, "fps", False),
        ("start_current", True, "start", 7),
        ("smoothing", 0.75, "smoothing", 0.75),
        ("root_motion", False, "root_motion", False),
        ("fill", 9, "fill", 9),
    ):
        before = getattr(settings, name)
        setattr(settings, name, value)
        assert flat() == {**default, field: expected}, name
        assert default[field] != expected
        setattr(settings, name, before)


@check
def panel_settings_reach_the_worker():
    fresh()
    settings = bpy.context.window_manager.dsr_fit_body
    default = settings.fit_options("auto")
    assert not {"focal35", "fov"} & set(default) and default["body"] == "open"
    settings.focal_mm, settings.fov = 85.0, 40.0
    for focal, expected in (("AUTO", {}), ("MM", {"focal35": 85.0}), ("FOV", {"fov": 40.0})):
        settings.focal = focal
        assert settings.fit_options("auto") == {**default, **expected}, focal
    settings.focal = "AUTO"
    settings.quality, settings.refine = "best", "joints"
    assert settings.fit_options("cpu") == {**default, "quality": "best", "refine": "joints", "device": "cpu"}
    settings.quality, settings.refine, settings.body, settings.body_file = "standard", "none", "FILE", "/smpl.npz"
    assert settings.fit_options("auto") == {**default, "body": "/smpl.npz"}


@check
def cancel_stops_the_fit_and_keeps_worker_and_scene():
    fresh()
    before = census()
    command = worker_command(str(FOLDER / "worker_slow"))
    fields = {"inputs": ["a.jpg"], "out": "", "options": {"refine": "none"}}
    outcomes = []
    session.STATE.on_done = outcomes.append
    session.STATE.job = Job(lambda: session._warm_worker(command), "fit", fields, 60)
    job, worker = session.STATE.job, session.STATE.worker
    until = time.monotonic() + 30
    while str(job.activity) != "loading models":
        job.poll()
        assert time.monotonic() < until
        time.sleep(0.01)
    assert bpy.ops.fitbody.cancel.poll() and not bpy.ops.fitbody.fit.poll()
    assert bpy.ops.fitbody.cancel() == {"FINISHED"}
    assert not session.running() and session.STATE.message.code == "cancelled"
    assert [outcome.results for outcome in outcomes] == [[]]
    assert worker.alive and session.STATE.worker is worker and census() == before
    assert not bpy.ops.fitbody.cancel.poll()
    session.shut_down()


@check
def replacing_a_clip_leaves_nothing_of_the_earlier_one():
    path = str(FOLDER / "clip" / "clip.json")
    imported(path)
    first = census()
    assert first["actions"] and bpy.ops.fitbody.import_result(filepath=path, replace=True) == {"FINISHED"}
    assert {kind: len(names) for kind, names in census().items()} == {kind: len(names) for kind, names in first.items()}


@check
def oldest_runs_are_removed():
    fresh()
    preferences = bpy.context.preferences.addons["dsr_fit_body"].preferences
    folder = runs.addon_folder("runs")
    for year in (2001, 2002, 2003):
        (folder / f"{year}0101-000000-old").mkdir(exist_ok=True)
    preferences.keep_runs = 2
    made = runs.new_run_folder(FOLDER / "a photo.jpg")
    names = sorted(path.name for path in folder.iterdir())
    preferences.keep_runs = 20
    assert made.is_dir() and made.name in names and made.name.endswith("a photo")
    assert "20010101-000000-old" not in names and len(names) == 3


@check
def export_scale_and_shape_keys_are_as_chosen():
    _, mesh_object = imported()
    settings = bpy.context.window_manager.dsr_fit_body
    heights = []
    for scale in (1.0, 100.0):
        settings.export_scale = scale
        path = FOLDER / f"scale_{bpy.app.version[0]}_{scale:g}.obj"
        assert bpy.ops.fitbody.export(filepath=str(path), format="OBJ") == {"FINISHED"}
        ys = [float(line.split()[2]) for line in path.read_text().splitlines() if line.startswith("v ")]
        heights.append(max(ys) - min(ys))
    settings.export_scale = 1.0
    assert abs(heights[1] / heights[0] - 100) < 0.1 and 0.5 < heights[0] < 2.5, heights
    for bake in (True, False):
        settings.export_bake = bake
        path = FOLDER / f"bake_{bpy.app.version[0]}_{bake}.glb"
        assert bpy.ops.fitbody.export(filepath=str(path), format="GLB") == {"FINISHED"}
        targets = gltf_document(path)["meshes"][0]["primitives"][0].get("targets", [])
        keys = len(msh.get_shapes(mesh_object)) + len(KEY_NAMES)
        assert len(targets) == (0 if bake else keys), (bake, len(targets))
    settings.export_bake = True


def gltf_document(path):
    """The JSON chunk of a GLB file."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<I", content, 12)
    return json.loads(content[20 : 20 + length])


@check
def troubleshooting_buttons_do_their_work():
    fresh()
    preferences = bpy.context.preferences.addons["dsr_fit_body"].preferences
    settings = bpy.context.window_manager.dsr_fit_body
    os.environ["FITBODY_PYTHON"] = "/my/python3"
    try:
        preferences.python = ""
        assert bpy.ops.fitbody.find_python() == {"FINISHED"} and preferences.python == "/my/python3"
    finally:
        del os.environ["FITBODY_PYTHON"]
        preferences.python = ""
    session.STATE.message = message("model_missing", detail="x")
    assert bpy.ops.fitbody.locate_model(filepath="/models/SMPL.npz") == {"FINISHED"}
    assert (settings.body, settings.body_file, session.STATE.message) == ("FILE", "/models/SMPL.npz", None)
    session.STATE.message = message("died", detail="no memory")
    session.STATE.worker = SimpleNamespace(log_tail=["last line"])
    manager = SimpleNamespace(clipboard="")
    troubleshooting.FITBODY_OT_copy_error.run(None, SimpleNamespace(window_manager=manager))
    assert manager.clipboard == "The worker stopped: no memory\nlast line"
    session.STATE.worker = None
    session.STATE.note, session.STATE.warnings = "a note", ["a warning"]
    assert bpy.ops.fitbody.dismiss() == {"FINISHED"}
    assert (session.STATE.message, session.STATE.note, session.STATE.warnings) == (None, "", [])
