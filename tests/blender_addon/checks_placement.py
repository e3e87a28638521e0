"""Where bodies stand, and what of the artist's is left alone: origins, ground, units, camera, edited bodies."""

from dataclasses import replace
from types import SimpleNamespace

import bpy
import numpy as np
from bpy_extras.object_utils import world_to_camera_view
from check_tools import FOLDER, check, fresh, glb_document, posed
from dsr_fit_body import registration
from dsr_fit_body.builders import edits, photos, scene
from dsr_fit_body.builders.measurements import measured
from dsr_fit_body.builders.scene import BuildOptions
from dsr_fit_body.core import geometry
from dsr_fit_body.core.result import read_result
from dsr_fit_body.operators import fit as fit_operators
from mathutils import Matrix, Vector

PICTURE = FOLDER / "landscape" / "landscape.json"


def root_head(armature):
    bpy.context.view_layer.update()
    return np.array(armature.matrix_world @ armature.pose.bones["pelvis"].head)


def seen(result, index=0):
    """Vertices of a person where the photo's camera saw them, Blender's axes."""
    return result.people[index].vertices_cam_m @ geometry.CAMERA_TO_BLENDER.T


@check
def file_paths_are_not_remembered():
    """A path left over from the last call would be used again instead of asking for a file."""
    fresh()
    for cls in registration.CLASSES:
        if issubclass(cls, bpy.types.Operator) and cls.bl_idname.startswith("fitbody.fit"):
            rna = getattr(bpy.ops.fitbody, cls.bl_idname.split(".")[1]).get_rna_type()
            for name in {"filepath", "directory", "edited"} & {p.identifier for p in rna.properties}:
                assert rna.properties[name].is_skip_save, (cls.bl_idname, name)
    asked = []
    one = SimpleNamespace(paths=lambda: [], execute=lambda context: asked.append("fitted"))
    manager = SimpleNamespace(fileselect_add=lambda operator: asked.append("file"))
    fit_operators.FITBODY_OT_fit_file.invoke(one, SimpleNamespace(window_manager=manager, blend_data=bpy.data), None)
    assert asked == ["file"]


@check
def edited_bodies_are_not_replaced_unasked():
    changes = {
        "pose": lambda armature, mesh: setattr(
            armature.pose.bones["left_knee"], "rotation_quaternion", (0.9, 0.4, 0, 0)
        ),
        "place": lambda armature, mesh: setattr(armature, "location", (1.0, 2.0, 0.0)),
        "slider": lambda armature, mesh: armature.dsr_fit_body.shape.__setitem__(0, 2.5),
        "surface": lambda armature, mesh: setattr(mesh.data.shape_keys.key_blocks[0].data[7], "co", (0, 0, 3)),
        "modifier": lambda armature, mesh: mesh.modifiers.new("Subdivision", "SUBSURF"),
    }
    result = read_result(PICTURE)
    for name, change in changes.items():
        fresh()
        built = scene.build(result, BuildOptions(ground=True))
        assert not edits.is_edited(built.collection), name
        change(built.armatures[1], built.meshes[1])
        assert edits.is_edited(built.collection), name
        again = scene.build(result, BuildOptions(replace=True))
        assert len(photos.of_file(result.source)) == 2 and "still there" in str(again.warnings[-1]), name
        last = scene.build(result, BuildOptions(replace=True, replace_edited=True))
        assert photos.of_file(result.source) == [last.collection] and last.warnings == ["a warning"], name


@check
def bodies_nobody_edited_are_replaced():
    fresh()
    result = read_result(PICTURE)
    built = scene.build(result, BuildOptions())
    bpy.context.view_layer.objects.active = built.meshes[0]
    assert bpy.ops.fitbody.place_on_ground() == {"FINISHED"}
    assert bpy.ops.fitbody.part_materials(kind="PARTS") == {"FINISHED"}
    bpy.context.scene.frame_set(20)
    path = FOLDER / f"unedited_{bpy.app.version[0]}.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.open_mainfile(filepath=str(path))
    assert [edits.is_edited(c) for c in photos.of_file(result.source)] == [False]
    clip = read_result(FOLDER / "clip" / "clip.json")
    moving = scene.build(clip, BuildOptions())
    bpy.context.scene.frame_set(11)
    assert not edits.is_edited(moving.collection)
    scene.build(clip, BuildOptions(replace=True))
    assert len(photos.of_file(clip.source)) == 1


@check
def fit_asks_about_edited_bodies():
    fresh()
    result = read_result(PICTURE)
    settings = bpy.context.window_manager.dsr_fit_body
    called = []
    manager = SimpleNamespace(invoke_props_dialog=lambda operator, **_: called.append("asked"))
    operator = SimpleNamespace(filepath=str(result.source), execute=lambda context: called.append("fitted"))
    context = SimpleNamespace(window_manager=manager)

    def invoke():
        called.clear()
        fit_operators.FITBODY_OT_fit.invoke(operator, context, None)
        return called[0]

    assert invoke() == "fitted"
    built = scene.build(result, BuildOptions())
    assert invoke() == "fitted"
    built.armatures[0].pose.bones["neck"].rotation_quaternion = (0.9, 0.1, 0.1, 0.1)
    assert invoke() == "asked"
    settings.again = "ADD"
    assert invoke() == "fitted"
    settings.again, settings.source = "REPLACE", "RESULT"
    settings.result_folder = str(PICTURE.parent)
    settings.result, operator.filepath = str(PICTURE), ""
    assert invoke() == "asked"


@check
def origins_are_at_the_person():
    fresh()
    result = read_result(PICTURE)
    built = scene.build(result, BuildOptions())
    for index, (armature, mesh_object) in enumerate(zip(built.armatures, built.meshes, strict=True)):
        for item in (armature, mesh_object):
            assert np.abs(np.array(item.matrix_world.translation) - root_head(armature)).max() < 0.03
        assert np.abs(armature.pose.bones["pelvis"].location).max() < 1e-6
        assert np.abs(posed(mesh_object) - seen(result, index)).max() < 1e-4
    armature, before = built.armatures[0], root_head(built.armatures[0])
    armature.rotation_euler = (0.0, 0.0, 1.5)
    assert np.abs(root_head(armature) - before).max() < 0.03  # turns about itself, not about the camera
    clip = scene.build(read_result(FOLDER / "clip" / "clip.json"), BuildOptions())
    for armature in clip.armatures:
        first = int(armature.animation_data.action.frame_range[0])
        bpy.context.scene.frame_set(first)
        assert np.abs(np.array(armature.matrix_world.translation) - root_head(armature)).max() < 0.03


@check
def sliders_keep_feet_on_the_ground():
    fresh()
    result = read_result(PICTURE)
    built = scene.build(result, BuildOptions(ground=True))
    armature, mesh_object = built.armatures[0], built.meshes[0]
    camera_before = built.camera.matrix_world.copy()
    low = posed(mesh_object)[:, 2].min()
    pelvis = root_head(armature) - np.array(built.root.matrix_world.translation)
    for value in (4.0, -4.0):
        armature.dsr_fit_body.shape[0] = value
        assert abs(posed(mesh_object)[:, 2].min() - low) < 1e-4
        assert np.abs(root_head(armature) - np.array(built.root.matrix_world.translation) - pelvis).max() < 1e-4
    assert np.abs(np.array(built.camera.matrix_world) - np.array(camera_before)).max() > 0.01  # it went along
    bpy.context.view_layer.objects.active = armature
    assert bpy.ops.fitbody.reset_shape(to="FIT") == {"FINISHED"}
    assert abs(posed(mesh_object)[:, 2].min() - low) < 1e-4
    fresh()
    built = scene.build(result, BuildOptions(ground=False))
    height = built.root.location.z
    built.armatures[0].dsr_fit_body.shape[0] = 4.0
    assert built.root.location.z == height  # off the ground the photo's place is kept


@check
def a_tilted_photo_stands_upright():
    """The photo's up is Blender's, the lowest of who stands is at 0, and the camera still sees the photo."""
    fresh()
    pitch, roll = np.radians(25), np.radians(-8)
    up = np.array([np.sin(roll) * np.cos(pitch), -np.cos(roll) * np.cos(pitch), -np.sin(pitch)])
    result = replace(read_result(PICTURE), up=up, standing=("p1",))
    built = scene.build(result, BuildOptions(ground=True))
    turned = np.array(built.root.matrix_world)[:3, :3]
    assert np.abs(turned @ [up[0], up[2], -up[1]] - [0, 0, 1]).max() < 1e-5
    lows = [posed(mesh_object)[:, 2].min() for mesh_object in built.meshes]
    assert abs(lows[1]) < 1e-4 and abs(lows[0]) > 1e-3
    true = seen(result)
    in_camera = np.c_[posed(built.meshes[0]), np.ones(len(true))] @ np.array(built.camera.matrix_world.inverted()).T
    assert np.abs(in_camera[:, :3] - true @ Matrix.Rotation(-np.pi / 2, 3, "X").transposed()).max() < 1e-3
    before = np.array(built.root.matrix_world)
    bpy.context.view_layer.objects.active = built.meshes[0]
    assert bpy.ops.fitbody.place_on_ground() == {"FINISHED"}
    assert np.abs(np.array(built.root.matrix_world) - before).max() < 1e-5  # once is enough


@check
def scenes_in_other_units():
    """A body is as tall as it is in metres, in every scene, and the camera still sees the photo."""
    for system, scale_length in (("METRIC", 0.01), ("METRIC", 1000.0), ("IMPERIAL", 0.3048), ("NONE", 0.01)):
        fresh()
        units = bpy.context.scene.unit_settings
        units.system, units.scale_length = system, scale_length
        result = read_result(PICTURE)
        built = scene.build(result, BuildOptions(ground=True))
        per_metre = 1.0 if system == "NONE" else 1.0 / scale_length
        vertices, true = posed(built.meshes[0]) / per_metre, seen(result)
        assert np.abs(np.ptp(vertices, axis=0) - np.ptp(true, axis=0)).max() < 1e-3, (system, scale_length)
        lows = [posed(mesh_object)[:, 2].min() / per_metre for mesh_object in built.meshes]
        assert abs(min(lows)) < 1e-4
        in_camera = np.c_[posed(built.meshes[0]), np.ones(len(true))] @ np.array(built.camera.matrix_world.inverted()).T
        assert np.abs(in_camera[:, :3] - true @ Matrix.Rotation(-np.pi / 2, 3, "X").transposed()).max() < 1e-3
        depth = -in_camera[:, 2] * per_metre
        assert built.camera.data.clip_start < depth.min() < depth.max() < built.camera.data.clip_end
        assert abs(measured(built.meshes[0])["Height"]) > 100


@check
def exports_are_metres_in_every_unit():
    extents, places = [], []
    for scale_length in (1.0, 0.01):
        fresh()
        units = bpy.context.scene.unit_settings
        units.system, units.scale_length = "METRIC", scale_length
        built = scene.build(read_result(FOLDER / "one" / "landscape.json"), BuildOptions(ground=True))
        for kind in ("GLB", "FBX"):
            bpy.context.view_layer.objects.active = built.meshes[0]
            path = FOLDER / f"units_{bpy.app.version[0]}.{kind.lower()}"
            assert bpy.ops.fitbody.export(filepath=str(path), format=kind) == {"FINISHED"}
            assert abs(units.scale_length - scale_length) < 1e-6
        document = glb_document(FOLDER / f"units_{bpy.app.version[0]}.glb")  # 3.4's importer fails with newer numpy
        position = document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]
        extents.append(np.subtract(document["accessors"][position]["max"], document["accessors"][position]["min"]))
        node = next(node for node in document["nodes"] if "Person 1" in node["name"] and "mesh" not in node)
        assert np.allclose(node.get("scale", 1.0), 1.0, atol=1e-5)
        places.append(node["translation"])
        fresh()
        bpy.ops.import_scene.fbx(filepath=str(path))
        body = next(o for o in bpy.data.objects if o.type == "MESH")
        extents.append(np.ptp(posed(body), axis=0))
    for one, other in (extents[::2], extents[1::2]):
        assert 0.8 < one.max() < 2.5 and np.abs(one - other).max() < 1e-3, (one, other)
    assert np.abs(np.subtract(*places)).max() < 1e-3


@check
def the_artists_camera_and_render_size_stay():
    fresh()
    own = bpy.data.objects.new("Mine", bpy.data.cameras.new("Mine"))
    bpy.context.scene.collection.objects.link(own)
    bpy.context.scene.camera = own
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = 321, 123, 50
    result = read_result(PICTURE)
    built = scene.build(result, BuildOptions(scene_camera=False))
    assert bpy.context.scene.camera == own and built.camera is not None
    assert (render.resolution_x, render.resolution_y, render.resolution_percentage) == (321, 123, 50)
    scene.build(result, BuildOptions())
    assert bpy.context.scene.camera != own and (render.resolution_x, render.resolution_y) == result.size
    fresh()
    built = scene.build(result, BuildOptions(scene_camera=False))
    assert bpy.context.scene.camera == built.camera  # there was none


@check
def the_photo_lies_behind_the_body_for_renders_of_any_shape():
    """What the camera sees is as wide as its frame; so must the photo be, whatever is cut off above and below."""
    for name in ("landscape", "portrait"):
        result, places = read_result(FOLDER / name / f"{name}.json"), []
        for size, method in ((result.size, "STRETCH"), ((1600, 400), "CROP"), ((400, 1600), "FIT")):
            fresh()
            render = bpy.context.scene.render
            render.resolution_x, render.resolution_y = size
            built = scene.build(result, BuildOptions(set_size=False))
            (photo,) = built.camera.data.background_images
            assert photo.frame_method == method, (name, size, photo.frame_method)
            place = world_to_camera_view(bpy.context.scene, built.camera, Vector(root_head(built.armatures[0])))
            frame = [render.resolution_x, render.resolution_y]
            places.append([place.x, (place.y - 0.5) * frame[1] / frame[0]])  # both in widths of the frame
        assert np.abs(np.subtract(places, places[0])).max() < 1e-4, places
        assert render.resolution_x == 400
