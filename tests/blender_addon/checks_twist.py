"""Twist bones: no ring at a turned elbow, nothing changed where nothing turns, gone again without a trace."""

import math

import addon_utils
import bpy
import numpy as np
from check_tools import FOLDER, check, fresh, posed
from checks_exports import read_back
from dsr_fit_body.builders import armature as arm
from dsr_fit_body.builders import clothes, scene, twist
from dsr_fit_body.builders.scene import BuildOptions
from dsr_fit_body.core.result import read_result
from mathutils import Quaternion

VEST = str(FOLDER / "clothes" / "vest" / "vest.mhclo")


def at_rest():
    fresh()
    bpy.context.preferences.addons["dsr_fit_body"].preferences.python = str(FOLDER / "worker_good")
    built = scene.build(read_result(FOLDER / "one" / "landscape.json"), BuildOptions())
    bpy.context.view_layer.objects.active = built.armatures[0]
    bpy.ops.fitbody.reset_pose()
    return built.armatures[0], built.meshes[0]


def turn(armature, bone, degrees, axis):
    armature.pose.bones[bone].rotation_quaternion = Quaternion(axis, math.radians(degrees))


def thinnest(armature, mesh_object, rest, bone, end):
    """Least size of a limb's sections beside its joint, to that at rest."""
    start = np.array(armature.matrix_world @ armature.pose.bones[bone].head)
    along = np.array(armature.matrix_world @ armature.pose.bones[end].head) - start
    place = (rest - start) @ along / (along @ along)
    now = posed(mesh_object)
    ratios = []
    for low in np.arange(-0.1, 0.9, 0.04):
        ring = (place > low) & (place < low + 0.04) & (np.linalg.norm(np.cross(rest - start, along), axis=1) < 0.1)
        if ring.sum() > 8:
            sizes = [np.linalg.norm(v[ring] - v[ring].mean(0), axis=1).mean() for v in (now, rest)]
            ratios.append(sizes[0] / sizes[1])
    return min(ratios)


@check
def a_turned_elbow_has_no_ring():
    armature, mesh_object = at_rest()
    rest = posed(mesh_object)
    turn(armature, "left_elbow", 80, (0, 1, 0))
    plain = thinnest(armature, mesh_object, rest, "left_elbow", "left_wrist")
    assert bpy.ops.fitbody.twist_bones() == {"FINISHED"}
    twisted = thinnest(armature, mesh_object, rest, "left_elbow", "left_wrist")
    assert plain < 0.85 < 0.93 < twisted, (plain, twisted)
    return {"plain": float(plain), "twist": float(twisted)}


@check
def bends_and_shapes_are_as_without_twist_bones():
    armature, mesh_object = at_rest()
    bends = (("left_elbow", 80, (0, 0, 1)), ("right_shoulder", 50, (1, 0, 0)), ("left_hip", -60, (1, 0, 0)))
    plain = [posed(mesh_object)]
    for bone, degrees, axis in bends:
        turn(armature, bone, degrees, axis)
    plain.append(posed(mesh_object))
    armature.dsr_fit_body.height = 15.0
    plain.append(posed(mesh_object))
    armature.dsr_fit_body.height = 0.0
    for bone, _, _ in bends:
        turn(armature, bone, 0, (0, 1, 0))
    assert bpy.ops.fitbody.twist_bones() == {"FINISHED"}
    errors = [np.abs(posed(mesh_object) - plain[0]).max()]
    for bone, degrees, axis in bends:
        turn(armature, bone, degrees, axis)
    errors.append(np.abs(posed(mesh_object) - plain[1]).max())
    armature.dsr_fit_body.height = 15.0
    errors.append(np.abs(posed(mesh_object) - plain[2]).max())
    # the bones lie a few degrees off the line between the joints, so a bend has a little turn about that line
    assert errors[0] < 1e-4 and max(errors) < 0.004, errors
    return {"error_m": [float(e) for e in errors]}


@check
def twist_bones_go_without_a_trace():
    armature, mesh_object = at_rest()
    bones = [b.name for b in armature.data.bones]
    before = twist._weights(mesh_object, bones)
    for _ in range(2):
        assert bpy.ops.fitbody.twist_bones() == {"FINISHED"} and twist.has_twist(armature)
        assert set(arm.bone_names(armature)) == set(bones)
        now = twist._weights(mesh_object, [b.name for b in armature.data.bones])
        assert np.abs(sum(now.values()) - sum(before.values())).max() < 1e-4
        assert bpy.ops.fitbody.twist_bones() == {"FINISHED"} and not twist.has_twist(armature)
        assert sorted(b.name for b in armature.data.bones) == sorted(bones)
        after = twist._weights(mesh_object, bones)
        assert max(np.abs(after[name] - before[name]).max() for name in bones) < 1e-5
        assert len(mesh_object.vertex_groups) == len(bones)


@check
def twist_bones_go_with_clothes_exports_and_rigify():
    armature, mesh_object = at_rest()
    assert bpy.ops.fitbody.twist_bones() == {"FINISHED"}
    assert bpy.ops.fitbody.wear(filepath=VEST) == {"FINISHED"}
    (vest,) = clothes.worn_by(armature)
    turn(armature, "left_shoulder", 60, (0, 1, 0))
    turn(armature, "left_elbow", 70, (0, 1, 0))
    bpy.context.view_layer.update()
    both = np.concatenate([posed(mesh_object), posed(vest)])
    extents = both.min(0), both.max(0)
    target = FOLDER / f"twist_{bpy.app.version[0]}"
    target.mkdir(exist_ok=True)
    for kind in ("GLB", "FBX", "BVH"):
        path = target / f"body.{kind.lower()}"
        assert bpy.ops.fitbody.export(filepath=str(path), format=kind) == {"FINISHED"}
    assert "twist" not in (target / "body.bvh").read_text()
    addon_utils.enable("rigify", default_set=True)
    try:
        assert bpy.ops.fitbody.add_metarig() == {"FINISHED"}
        assert bpy.ops.fitbody.generate_rig() == {"FINISHED"}
        assert not twist.has_twist(armature)
        assert np.abs(np.concatenate([posed(mesh_object), posed(vest)]).max(0) - extents[1]).max() < 0.02
    finally:
        addon_utils.disable("rigify", default_set=True)
    for kind in ("GLB", "FBX"):
        read_back(target / f"body.{kind.lower()}", kind)
        meshes = [o for o in bpy.data.objects if o.type == "MESH" and "Icosphere" not in o.name]
        again = np.concatenate([posed(o) for o in meshes])
        assert np.abs(again.min(0) - extents[0]).max() < 1e-3, (kind, again.min(0), extents)
        assert np.abs(again.max(0) - extents[1]).max() < 1e-3, (kind, again.max(0), extents)
