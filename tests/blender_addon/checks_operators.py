"""Every operator of the add-on, called twice, in a scene with other units, another frame rate and its own camera."""

import addon_utils
import bpy
import numpy as np
from check_tools import FOLDER, check, fresh, posed
from dsr_fit_body import compat, registration, session
from dsr_fit_body.builders import metarig_armature as meta
from dsr_fit_body.builders import scene
from dsr_fit_body.builders.scene import BuildOptions
from dsr_fit_body.core.messages import message
from dsr_fit_body.core.result import read_result

PICTURE = FOLDER / "landscape" / "landscape.json"


def strange_scene(camera=False):
    """Centimetres, 60 frames a second, a camera and a render size of the artist's; a photo's two bodies."""
    fresh()
    now = bpy.context.scene
    now.unit_settings.system, now.unit_settings.scale_length = "METRIC", 0.01
    compat.set_fps(now, 60.0)
    own = bpy.data.objects.new("Mine", bpy.data.cameras.new("Mine"))
    now.collection.objects.link(own)
    now.camera = own
    now.render.resolution_x = 321
    settings = bpy.context.window_manager.dsr_fit_body
    settings.scene_camera = settings.set_size = settings.look = camera
    bpy.context.preferences.addons["dsr_fit_body"].preferences.python = str(FOLDER / "worker_good")
    built = scene.build(read_result(PICTURE), BuildOptions(ground=True, scene_camera=camera))
    bpy.context.view_layer.objects.active = built.armatures[0]
    return built


def character(built):
    target = bpy.data.objects.new("Hero", bpy.data.armatures.new("Hero"))
    bpy.context.scene.collection.objects.link(target)
    target.data = built.armatures[0].data.copy()
    for key in [k for k in target.data.keys() if k.startswith("dsr_")]:  # noqa: SIM118
        del target.data[key]
    target.scale = [100.0] * 3
    bpy.context.view_layer.objects.active = target
    return target


def message_in_panel(code):
    session.STATE.message = message(code, detail="x")


OUT = FOLDER / f"operators_{bpy.app.version[0]}"
OUT.mkdir(exist_ok=True)
CALLS = {
    "fitbody.fit": (None, {"filepath": str(FOLDER / "landscape" / "landscape.png")}),
    "fitbody.fit_file": (None, {"filepath": str(FOLDER / "landscape" / "landscape.png")}),
    "fitbody.clear_photos": (None, {}),
    "fitbody.import_result": (None, {"filepath": str(PICTURE)}),
    "fitbody.use_active_image": (lambda built: bpy.data.images.load(str(PICTURE.with_suffix(".png"))), {}),
    "fitbody.check_runtime": (None, {}),
    "fitbody.find_python": (None, {}),
    "fitbody.locate_model": (None, {"filepath": "body.pkl"}),
    "fitbody.fix": (lambda built: message_in_panel("failed"), {}),
    "fitbody.dismiss": (lambda built: message_in_panel("failed"), {}),
    "fitbody.copy_error": (lambda built: message_in_panel("failed"), {}),
    "fitbody.set_shape": (None, {"index": 1, "value": 2.0}),
    "fitbody.reset_shape": (None, {"to": "AVERAGE"}),
    "fitbody.update_joints": (None, {}),
    "fitbody.reset_pose": (None, {}),
    "fitbody.bake_correctives": (None, {}),
    "fitbody.twist_bones": (None, {}),
    "fitbody.save_pose_asset": (None, {}),
    "fitbody.make_pose_library": (None, {"directory": str(FOLDER / "landscape")}),
    "fitbody.place_on_ground": (None, {}),
    "fitbody.view_photo": (None, {}),
    "fitbody.show_photo": (None, {"collection": "FitBody landscape"}),
    "fitbody.photo_opacity": (None, {}),
    "fitbody.rename_bones": (None, {"scheme": "MIXAMO"}),
    "fitbody.wear": (None, {"filepath": str(FOLDER / "clothes" / "vest" / "vest.mhclo")}),
    "fitbody.take_off": (None, {}),
    "fitbody.use_skin": (None, {"filepath": str(FOLDER / "skins" / "tan" / "tan.mhmat")}),
    "fitbody.part_materials": (None, {"kind": "PARTS"}),
    "fitbody.add_metarig": (None, {}),
    "fitbody.generate_rig": (lambda built: bpy.ops.fitbody.add_metarig(), {}),
    "fitbody.export": (None, {"filepath": str(OUT / "body.glb"), "format": "GLB"}),
    "fitbody.apply_to_armature": (character, {}),
    "fitbody.guess_bone_map": (character, {}),
    "fitbody.save_bone_map": (character, {"filepath": str(OUT / "map.json")}),
    "fitbody.load_bone_map": (character, {"filepath": str(OUT / "map.json")}),
}
ELSEWHERE = {
    "fitbody.cancel",  # nothing runs in the background
    "fitbody.install", "fitbody.cancel_installation", "fitbody.remove_installation",
    "fitbody.install_video", "fitbody.copy_commands",
}  # fmt: skip
"""Operators with checks of their own."""


@check
def every_operator_twice_in_a_strange_scene():
    names = {cls.bl_idname for cls in registration.CLASSES if issubclass(cls, bpy.types.Operator)}
    assert names == set(CALLS) | ELSEWHERE, names ^ (set(CALLS) | ELSEWHERE)
    for name, (prepare, arguments) in CALLS.items():
        built = strange_scene()
        if name == "fitbody.generate_rig":
            addon_utils.enable("rigify", default_set=True)
        if prepare is not None:
            prepare(built)
        call = getattr(bpy.ops.fitbody, name.partition(".")[2])
        height = np.ptp(posed(built.meshes[1])[:, 2])
        for turn in range(2):
            if name == "fitbody.generate_rig" and turn:  # the metarig is the active object again
                metarig = next(o for o in bpy.data.objects if meta.is_metarig(o))
                metarig.hide_set(False)
                bpy.context.view_layer.objects.active = metarig
            if name == "fitbody.add_metarig":
                bpy.context.view_layer.objects.active = built.armatures[0]
            try:
                answer = call(**arguments)
            except RuntimeError as error:  # a refusal with a sentence; a traceback is a defect
                assert "Traceback" not in str(error), (name, turn, error)
                answer = {"CANCELLED"}
            assert answer in ({"FINISHED"}, {"CANCELLED"}), (name, answer)
            if name in ("fitbody.apply_to_armature", "fitbody.add_metarig", "fitbody.generate_rig", "fitbody.export"):
                assert answer == {"FINISHED"}, (name, turn)
        now = bpy.context.scene
        assert abs(now.unit_settings.scale_length - 0.01) < 1e-6 and abs(compat.scene_fps(now) - 60) < 1e-4, name
        if name not in ("fitbody.view_photo",):
            assert now.camera is not None and now.camera.name == "Mine" and now.render.resolution_x == 321, name
        tall = [np.ptp(posed(o)[:, 2]) for o in bpy.data.objects if o.type == "MESH" and "Body" in o.name]
        assert tall and all(60 < value < 300 for value in tall), (name, tall, height)
        if name == "fitbody.generate_rig":
            addon_utils.disable("rigify", default_set=True)


@check
def bodies_whose_bones_were_removed_are_refused():
    """An artist deletes bones: no button may end in a traceback, and what needs no bones still works."""
    fresh()
    bpy.context.preferences.addons["dsr_fit_body"].preferences.python = str(FOLDER / "worker_good")
    built = scene.build(read_result(PICTURE), BuildOptions(ground=True))
    armature = built.armatures[0]
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    for name in ("left_elbow", "spine3"):
        armature.data.edit_bones.remove(armature.data.edit_bones[name])
    bpy.ops.object.mode_set(mode="OBJECT")
    before = posed(built.meshes[0])
    needing = (
        "set_shape",
        "reset_shape",
        "update_joints",
        "reset_pose",
        "twist_bones",
        "save_pose_asset",
        "add_metarig",
    )
    for name in needing:
        assert getattr(bpy.ops.fitbody, name)() == {"CANCELLED"}, name
    armature.dsr_fit_body.height = 10.0  # a slider is no operator: nothing happens
    armature.dsr_fit_body.mass_kg = 90.0
    assert np.array_equal(posed(built.meshes[0]), before)
    assert bpy.ops.fitbody.export(filepath=str(OUT / "boneless.glb"), format="GLB") == {"FINISHED"}
    assert bpy.ops.fitbody.place_on_ground() == {"FINISHED"}
