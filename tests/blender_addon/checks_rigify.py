"""Rigify's metarig on the joints of a body, with and without Rigify, and the rig that comes of it."""

import addon_utils
import bpy
import numpy as np
from check_tools import FOLDER, RecordingLayout, check, fresh, refused
from dsr_fit_body import panels, session
from dsr_fit_body.builders import armature as arm
from dsr_fit_body.builders import metarig_armature as meta
from dsr_fit_body.builders import scene, shape
from dsr_fit_body.builders.scene import BuildOptions
from dsr_fit_body.core.metarig_bones import BEND
from dsr_fit_body.core.names import BONE_NAMES
from dsr_fit_body.core.result import read_result
from mathutils import Vector

MOVED = 0.015
"""Metres by which a straight knee or elbow may be moved."""


def body_in_scene(ground=False):
    fresh()
    built = scene.build(read_result(FOLDER / "landscape" / "landscape.json"), BuildOptions(ground=ground, twist=True))
    bpy.context.view_layer.objects.active = built.armatures[1]
    return built.armatures[1]


def heads(armature):
    return {str(bone[arm.TAG]): np.array(bone.head_local) for bone in armature.data.bones if arm.TAG in bone}


def assert_on_joints(metarig, armature):
    """Every bone that stands for a joint begins there; the place of the object is the body's."""
    bones = metarig.data.bones
    for joint, head in heads(armature).items():
        name = BONE_NAMES[joint][1]
        if name not in bones:
            assert joint.endswith("_hand"), joint  # the end of Rigify's hand
            tail = np.array(bones[f"hand.{'L' if joint.startswith('left') else 'R'}"].tail_local)
            assert np.abs(tail - head).max() < 1e-5
            continue
        moved = np.array(bones[name].head_local) - head
        if joint.endswith(("_knee", "_elbow")):
            assert np.linalg.norm(moved) < MOVED and abs(moved[0]) < 0.003, (joint, moved)
        else:
            assert np.abs(moved).max() < 1e-5, (joint, moved)
    for upper, lower, way in (("thigh", "shin", -1), ("upper_arm", "forearm", 1)):
        for side in "LR":
            first, second = bones[f"{upper}.{side}"], bones[f"{lower}.{side}"]
            start, joint, end = (np.array(v) for v in (first.head_local, second.head_local, second.tail_local))
            along = (end - start) / np.linalg.norm(end - start)
            bend = joint - start - along * ((joint - start) @ along)
            assert way * bend[1] > 0.8 * BEND * np.linalg.norm(end - start), (upper, side, bend)
    low = shape.shaped_rest(shape.body_objects(armature)[1])[:, 2].min()
    assert abs(bones["heel.02.L"].head_local.z - low) < 0.03
    assert np.abs(np.array(metarig.matrix_world) - np.array(armature.matrix_world)).max() < 1e-6


def enable_rigify():
    addon_utils.enable("rigify", default_set=True)
    assert meta.has_rigify()


def disable_rigify():
    addon_utils.disable("rigify", default_set=True)
    assert not meta.has_rigify()


def assert_rig_works(rig, armature):
    """It deforms where the body's joints are, and its limbs fold the way a human's do."""
    joints = heads(armature)
    for bone, joint in (
        ("DEF-upper_arm.L", "left_shoulder"),
        ("DEF-thigh.R", "right_hip"),
        ("DEF-hand.L", "left_wrist"),
    ):
        assert np.abs(np.array(rig.data.bones[bone].head_local) - joints[joint]).max() < 1e-4, bone
    for side, word in (("L", "left"), ("R", "right")):
        knee, elbow = (rig.data.bones[f"{name}_ik_target.{side}"].head_local for name in ("thigh", "upper_arm"))
        assert knee.y < joints[f"{word}_knee"][1] - 0.2  # before the knee
        assert elbow.y > joints[f"{word}_elbow"][1] + 0.2  # behind the elbow
    foot = rig.pose.bones["foot_ik.L"]
    foot.location = foot.bone.matrix_local.to_3x3().inverted() @ Vector((0.0, 0.0, 0.3))
    bpy.context.view_layer.update()
    shin = rig.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones["ORG-shin.L"]
    assert shin.head.y < joints["left_knee"][1] - 0.1  # the knee went forwards


@check
def metarig_with_rigify_and_its_rig():
    armature = body_in_scene(ground=True)
    enable_rigify()
    bpy.ops.ed.undo_push(message="before")
    count = len(bpy.data.objects)
    assert bpy.ops.fitbody.add_metarig() == {"FINISHED"}
    metarig = bpy.context.view_layer.objects.active
    assert meta.is_metarig(metarig) and metarig.parent == armature.parent and len(bpy.data.objects) == count + 1
    assert metarig.name == f"{armature.name} Metarig" and metarig.users_collection == armature.users_collection
    assert_on_joints(metarig, armature)
    assert metarig.pose.bones["thigh.L"].rigify_type == "limbs.leg"
    assert bpy.ops.fitbody.generate_rig.poll()
    assert bpy.ops.fitbody.generate_rig() == {"FINISHED"}
    rig = bpy.context.view_layer.objects.active
    assert rig.type == "ARMATURE" and rig not in (metarig, armature)
    assert_rig_works(rig, armature)
    disable_rigify()


@check
def metarig_without_rigify_is_generated_later():
    armature = body_in_scene()
    bpy.context.view_layer.objects.active = shape.body_objects(armature)[1]
    assert bpy.ops.fitbody.add_metarig() == {"FINISHED"}
    metarig = bpy.context.view_layer.objects.active
    assert_on_joints(metarig, armature)
    assert not bpy.ops.fitbody.generate_rig.poll()
    layout = RecordingLayout()
    panels._metarig_buttons(layout)
    assert "Enable Rigify" in " ".join(layout.texts) and not layout.drawn
    bones_before = {
        bone.name: (bone.parent.name if bone.parent else "", bone.use_connect) for bone in metarig.data.bones
    }
    with arm.edit_mode(metarig):
        metarig.data.edit_bones["hand.L"].tail.z -= 0.02  # the artist's
    tail = metarig.data.bones["hand.L"].tail_local.copy()
    name, count = metarig.name, len(bpy.data.objects)
    enable_rigify()
    layout = RecordingLayout()
    panels._metarig_buttons(layout)
    assert layout.drawn == ["fitbody.generate_rig"]
    assert bpy.ops.fitbody.generate_rig() == {"FINISHED"}
    rig = bpy.context.view_layer.objects.active
    metarig = bpy.data.objects[name]
    bones_after = {
        bone.name: (bone.parent.name if bone.parent else "", bone.use_connect) for bone in metarig.data.bones
    }
    assert bones_before == bones_after  # the same bones as Rigify's basic human, hanging together the same way
    assert (metarig.data.bones["hand.L"].tail_local - tail).length < 1e-5
    assert meta.is_metarig(metarig) and metarig.pose.bones["upper_arm.R"].rigify_type == "limbs.arm"
    assert [item for item in bpy.data.objects if meta.is_metarig(item)] == [metarig]
    assert len(bpy.data.objects) > count
    assert_rig_works(rig, armature)
    disable_rigify()


@check
def metarig_needs_a_human():
    armature = body_in_scene()
    armature.data[arm.BONES] = ["x" + str(name) for name in armature.data[arm.BONES]]
    for bone in [b for b in armature.data.bones if arm.TAG in b]:
        bone[arm.TAG] = "x" + bone[arm.TAG]
    before = len(bpy.data.objects)
    refused(bpy.ops.fitbody.add_metarig, "the body has no joint")
    assert len(bpy.data.objects) == before and session.STATE.message.code == "build_failed"
