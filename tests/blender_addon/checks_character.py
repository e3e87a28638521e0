"""A fitted pose and motion on other armatures: directions, feet, the hips' path, place, rigs with constraints."""

from types import SimpleNamespace

import addon_utils
import bpy
import numpy as np
from check_tools import FOLDER, RecordingLayout, check, fresh, mended_importers, posed, refused
from dsr_fit_body import panels
from dsr_fit_body.builders import armature as arm
from dsr_fit_body.builders import character, edits, scene
from dsr_fit_body.builders import metarig_armature as meta
from dsr_fit_body.builders.motion import MotionOptions
from dsr_fit_body.builders.scene import BuildOptions
from dsr_fit_body.carried.pose_transfer import PARENT
from dsr_fit_body.carried.skeleton_names import BODY_JOINTS, RIG_NAMES
from dsr_fit_body.core.result import read_result
from mathutils import Matrix

LIMBS = [
    *(
        (f"{side}_{a}", f"{side}_{b}")
        for side in ("left", "right")
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    ),
    ("spine1", "spine2"),
    ("spine2", "spine3"),
    ("neck", "head"),
]
DAZ = {"pelvis": "hip", "spine1": "abdomen", "spine3": "chest", "neck": "neck", "head": "head"}
for _side in ("left", "right"):
    for _joint, _bone in (
        ("collar", "Collar"), ("shoulder", "Shldr"), ("elbow", "ForeArm"), ("wrist", "Hand"),
        ("hip", "Thigh"), ("knee", "Shin"), ("ankle", "Foot"), ("foot", "Toe"),
    ):  # fmt: skip
        DAZ[f"{_side}_{_joint}"] = _side[0] + _bone
RIGS = {
    # names, arms down by, units per metre, object's scale, turn about z, thighs, hips
    "mixamo T": (RIG_NAMES["mixamo"], 0, 100.0, 0.01, 0, 1.0, 1.0),
    "mixamo A": (RIG_NAMES["mixamo"], 48, 1.0, 1.0, 30, 1.08, 1.2),
    "unreal": (RIG_NAMES["unreal"], 35, 100.0, 0.01, 90, 0.92, 0.85),
    "bvh": (DAZ, 80, 130.0, 1.0, -120, 1.15, 1.3),  # a file, which Blender's importer makes an armature of
}


def fitted(kind, twist=True):
    fresh()
    if kind == "clip":
        path = FOLDER / "walk" / "clip.json"
        options = BuildOptions(ground=True, twist=twist, motion=MotionOptions(smoothing=0.0))
    else:
        path, options = FOLDER / "landscape" / "landscape.json", BuildOptions(ground=True, twist=twist)
    built = scene.build(read_result(path), options)
    return built.armatures[0], built.meshes[0]


def parent_of(joint, at):
    parent = PARENT.get(joint, "")
    while parent and parent not in at:
        parent = PARENT.get(parent, "")
    return parent


def from_bvh(at, table):
    """An armature from a file, y up in its own unit, whose bones lie as the importer lays them; it has a motion.

    Thighs hang on a bone of their own, which no body has.
    """
    lines, channels = ["HIERARCHY"], []

    def write(name, head, above, children, depth):
        offset = (head - above)[[0, 2, 1]] * [1, 1, -1]
        kinds = "Zrotation Xrotation Yrotation"
        count, kinds = (3, kinds) if depth else (6, f"Xposition Yposition Zposition {kinds}")
        lines.extend([f"{'JOINT' if depth else 'ROOT'} {name}", "{"])
        lines.append("OFFSET {:.6f} {:.6f} {:.6f}".format(*(offset if depth else [0, 0, 0])))
        lines.append(f"CHANNELS {count} {kinds}")
        channels.extend([*((head[[0, 2, 1]] * [1, 1, -1]) if not depth else ()), 5.0 * depth, -7.0, 3.0])
        for child in children:
            follow(child, head, depth + 1)
        lines.extend([] if children else ["End Site", "{", "OFFSET 0 4 6", "}"])
        lines.append("}")

    def follow(joint, above, depth=0):
        children = [child for child in at if parent_of(child, at) == joint]
        if joint.endswith("_hip"):
            middle = at[joint] + [0, 0, 5]
            lines.extend([f"JOINT {joint[0]}Buttock", "{"])
            lines.append("OFFSET {:.6f} {:.6f} {:.6f}".format(*((middle - above)[[0, 2, 1]] * [1, 1, -1])))
            lines.append("CHANNELS 3 Zrotation Xrotation Yrotation")
            channels.extend([0.0, 4.0, 0.0])
            write(table[joint], at[joint], middle, children, depth + 1)
            lines.append("}")
        else:
            write(table[joint], at[joint], above, children, depth)

    follow("pelvis", np.zeros(3))
    motion = " ".join(f"{value:.5f}" for value in channels)
    path = FOLDER / f"rig_{bpy.app.version[0]}.bvh"
    path.write_text("\n".join([*lines, "MOTION", "Frames: 2", "Frame Time: 0.04", motion, motion]) + "\n")
    mended_importers()
    before = set(bpy.data.objects)
    assert bpy.ops.import_anim.bvh(filepath=str(path), global_scale=0.01) == {"FINISHED"}
    (target,) = set(bpy.data.objects) - before
    assert target.animation_data.action is not None
    return target


def rig(body, name):
    """An armature with the names, rest pose, unit, axes and proportions of RIGS."""
    table, down, units, scale, turn, thigh, wide = RIGS[name]
    armature, _ = body
    joints = {str(b[arm.TAG]): np.array(b.head_local) for b in armature.data.bones if arm.TAG in b}
    at = {joint: joints[joint] for joint in BODY_JOINTS if joint in table}
    own = dict(at)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        lower = np.array(Matrix.Rotation(np.radians(sign * down), 3, "Y"))
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist")):
            own[f"{side}_{b}"] = own[f"{side}_{a}"] + 1.1 * lower @ (at[f"{side}_{b}"] - at[f"{side}_{a}"])
        own[f"{side}_hip"] = at[f"{side}_hip"] * [wide, 1, 1]
        own[f"{side}_knee"] = own[f"{side}_hip"] + thigh * (at[f"{side}_knee"] - at[f"{side}_hip"])
        for a, b, longer in (("knee", "ankle", 1.0), ("ankle", "foot", 1.2)):
            own[f"{side}_{b}"] = own[f"{side}_{a}"] + longer * (at[f"{side}_{b}"] - at[f"{side}_{a}"])
    around = np.array(Matrix.Rotation(np.radians(turn), 3, "Z"))
    if name == "bvh":
        return from_bvh({joint: around @ own[joint] * units for joint in at}, table)
    target = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    bpy.context.scene.collection.objects.link(target)
    with arm.edit_mode(target):
        bones = target.data.edit_bones
        for k, joint in enumerate(at):
            bone = bones.new(table[joint])
            bone.head = (around @ own[joint] * units).tolist()
            bone.tail = (np.array(bone.head) + around @ [0.02 * units, 0.01 * units * (k % 3), 0.05 * units]).tolist()
            bone.roll = 0.7 * k
            parent = parent_of(joint, at)
            bone.parent = bones[table[parent]] if parent else None
    target.scale = [scale] * 3
    target.location = (2.0, -1.0, 0.0)
    bpy.context.view_layer.update()
    return target


def places(target, bones, frames):
    """joint -> (T, 3) in the world."""
    rows = []
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        rows.append({j: np.array(target.matrix_world @ target.pose.bones[b].head) for j, b in bones.items()})
    return {joint: np.array([row[joint] for row in rows]) for joint in bones}


def worst_direction(own, true, turn):
    worst = 0.0
    for a, b in LIMBS:
        if a in own and b in own:
            one, two = own[b] - own[a], (true[b] - true[a]) @ turn.T
            cosine = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
            worst = max(worst, float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).max()))
    return worst


def worst_slide(own, true):
    """Of ankles while those of the body do not move."""
    worst, count = 0.0, 0
    for side in ("left", "right"):
        still = np.linalg.norm(np.diff(true[f"{side}_ankle"], axis=0), axis=1) < 5e-4
        edges = np.flatnonzero(np.diff(np.r_[0, still.astype(int), 0]))
        for a, b in zip(edges[::2], edges[1::2], strict=True):
            if b - a > 3:
                at = own[f"{side}_ankle"][a : b + 1]
                worst, count = max(worst, float(np.linalg.norm(at - at.mean(0), axis=1).max())), count + 1
    assert count >= 3
    return worst


def leg(own):
    total = 0.0
    for side in ("left", "right"):
        for a, b in (("hip", "knee"), ("knee", "ankle")):
            total += float(np.linalg.norm(own[f"{side}_{a}"][0] - own[f"{side}_{b}"][0])) / 2
    return total


def measured(target, bones, armature, turn, frames):
    """Checks one rig; figures: degrees, metres, metres of path that is missing."""
    own = places(target, bones, frames)
    true = places(armature, {str(b[arm.TAG]): b.name for b in armature.data.bones if arm.TAG in b}, frames)
    angle = worst_direction(own, true, turn)
    assert angle < 2.0, angle
    slide = way = 0.0
    if len(frames) > 1:
        slide = worst_slide(own, true)
        assert slide < 0.01, slide
        middle = [(p["left_hip"] + p["right_hip"]) / 2 for p in (own, true)]
        scale = leg(own) / leg(true)
        gone = [m - m[0] for m in middle]
        way = float(np.linalg.norm(gone[0] - scale * gone[1] @ turn.T, axis=1).max())
        assert way < 0.04 and np.linalg.norm(gone[0][-1]) > 0.5, way
    return [round(float(v), 4) for v in (angle, slide, way)]


@check
def a_pose_and_a_clip_on_armatures_of_other_makers():
    figures = {}
    for kind in ("photo", "clip"):
        body = fitted(kind)
        frames = character.frames_of(body[0])
        for name in RIGS:
            target = rig(body, name)
            bone_map = character.guess_map(target)
            assert bone_map == {j: b for j, b in RIGS[name][0].items() if j in BODY_JOINTS}, name
            before = np.array(target.matrix_world)
            action = character.apply_to(body, target, bone_map, character.CharacterOptions(), "clip Person 1")
            assert target.animation_data.action == action and action.name.startswith("clip Person 1")
            assert (action.frame_start, action.frame_end) == (frames[0], frames[-1])
            assert np.abs(np.array(target.matrix_world) - before).max() < 1e-6
            turn = np.array(Matrix.Rotation(np.radians(RIGS[name][4]), 3, "Z"))
            figures[f"{kind} {name}"] = measured(target, bone_map, body[0], turn, frames)
            ankles = [places(target, bone_map, frames)[f"{s}_ankle"][:, 2].min() for s in ("left", "right")]
            rest = [
                (target.matrix_world @ target.data.bones[bone_map[f"{s}_ankle"]].head_local).z
                for s in ("left", "right")
            ]
            if kind == "clip":
                assert abs(min(ankles) - min(rest)) < 0.02, (name, ankles, rest)
    return figures


def rigify_rig():
    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_basic_human_metarig_add()
    metarig = bpy.context.view_layer.objects.active
    if metarig.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    before = set(bpy.data.objects)
    bpy.ops.pose.rigify_generate()
    return next(o for o in set(bpy.data.objects) - before if o.type == "ARMATURE")


DEFORMS = {joint: f"DEF-{bone}" for joint, bone in RIG_NAMES["rigify"].items() if joint in BODY_JOINTS}


@check
def a_pose_and_a_clip_on_a_rigify_rig():
    figures = {}
    for kind in ("photo", "clip"):
        body = fitted(kind)
        frames = character.frames_of(body[0])
        target = rigify_rig()
        bone_map = character.guess_map(target)
        assert bone_map["left_elbow"] == "forearm_fk.L" and bone_map["root"] == "torso"
        character.apply_to(body, target, bone_map, character.CharacterOptions(), "rigify")
        assert target.pose.bones["upper_arm_parent.L"]["IK_FK"] == 1.0
        bones = {j: b for j, b in DEFORMS.items() if j != "spine1"}  # its hips bend there
        figures[kind] = measured(target, bones, body[0], np.eye(3), frames)
    addon_utils.disable("rigify", default_set=True)
    return figures


@check
def the_rig_of_a_body_stands_on_it_and_moves_it():
    """Add Rigify Metarig, Generate Rig: nothing moves, the mesh follows the controls, the old bones are hidden."""
    figures = {}
    for kind in ("photo", "clip"):
        armature, mesh_object = fitted(kind, twist=False)  # the rig turns limbs in its own way
        addon_utils.enable("rigify", default_set=True)
        armature.hide_set(False)
        frames = character.frames_of(armature)[:: 20 if kind == "clip" else 1]
        true = places(armature, {str(b[arm.TAG]): b.name for b in armature.data.bones if arm.TAG in b}, frames)
        surface = []
        for frame in frames:
            bpy.context.scene.frame_set(frame)
            surface.append(posed(mesh_object))
        bpy.context.view_layer.objects.active = armature
        assert bpy.ops.fitbody.add_metarig() == {"FINISHED"}
        assert bpy.ops.fitbody.generate_rig() == {"FINISHED"}
        made = bpy.context.view_layer.objects.active
        assert mesh_object.modifiers["Armature"].object == made and mesh_object.parent == made
        assert armature.hide_get() and made.animation_data.action is not None
        own = places(made, DEFORMS, frames)
        joints = max(float(np.linalg.norm(own[j] - true[j], axis=1).max()) for j in own)
        assert joints < 0.02, joints
        moved = []
        for frame, before in zip(frames, surface, strict=True):
            bpy.context.scene.frame_set(frame)
            moved.append(np.linalg.norm(posed(mesh_object) - before, axis=1))
        figures[kind] = [round(1000 * v, 1) for v in (joints, np.median(moved), np.mean(moved))]
        # the made-up photo turns hands about a joint of their own, which Rigify has not
        assert np.median(moved) < 0.002 and np.mean(moved) < (0.01 if kind == "photo" else 0.004), figures
        before = posed(mesh_object)
        action = made.animation_data.action
        made.animation_data.action = None
        made.pose.bones["hand_fk.L"].rotation_quaternion = (0.7, 0.7, 0.0, 0.0)
        assert np.abs(posed(mesh_object) - before).max() > 0.03  # the control moves the hand
        made.animation_data.action = action
        assert edits.is_edited(made.users_collection[0])  # a further fit does not throw the rig away
        assert meta.is_metarig(bpy.data.objects[f"{armature.name} Metarig"])
        addon_utils.disable("rigify", default_set=True)
    return figures


@check
def the_character_can_be_moved_to_the_body_and_kept_on_the_spot():
    body = fitted("clip")
    frames = character.frames_of(body[0])
    target = rig(body, "mixamo A")
    bone_map = character.guess_map(target)
    character.apply_to(body, target, bone_map, character.CharacterOptions(at_body=True), "there")
    own, true = (
        places(target, bone_map, frames),
        places(body[0], {j: body[0].data.bones[j].name for j in bone_map}, frames),
    )
    assert np.abs(own["pelvis"][0] - true["pelvis"][0])[:2].max() < 0.02
    assert worst_direction(own, true, np.eye(3)) < 2.0
    character.apply_to(body, target, bone_map, character.CharacterOptions(path="none"), "spot")
    own = places(target, bone_map, frames)
    assert np.ptp(own["pelvis"][:, :2], axis=0).max() < 0.06


@check
def a_map_that_lacks_a_bone_is_refused():
    body = fitted("photo")
    target = rig(body, "unreal")
    bone_map = character.guess_map(target) | {"left_knee": ""}
    try:
        character.apply_to(body, target, bone_map, character.CharacterOptions(), "x")
    except Exception as error:
        assert "no bone for left_knee" in str(error), error
    else:
        raise AssertionError("not refused")
    assert target.animation_data is None


@check
def the_panel_and_the_operators_for_a_character():
    """Guess, edit, save, load, apply, twice; the map stays with the armature in the file."""
    body = fitted("photo")
    target = rig(body, "mixamo A")
    bpy.context.view_layer.objects.active = body[0]
    assert not bpy.ops.fitbody.apply_to_armature.poll()
    bpy.context.view_layer.objects.active = target
    for _ in range(2):
        assert bpy.ops.fitbody.apply_to_armature() == {"FINISHED"}
    assert target.animation_data.action.name.startswith(body[0].name)
    table = target.dsr_bone_map.table()
    assert table["left_knee"] == "mixamorig:LeftLeg" and len(target.dsr_bone_map.rows) == len(BODY_JOINTS)
    layout = RecordingLayout()
    panel = SimpleNamespace(layout=layout)
    target.dsr_bone_map.show = True
    panels.FITBODY_PT_character.draw_content(panel, bpy.context, layout, layout, None)
    assert "fitbody.apply_to_armature" in layout.drawn and len(layout.searched) == len(BODY_JOINTS)
    path = FOLDER / f"map_{bpy.app.version[0]}.json"
    target.dsr_bone_map.rows["left_knee"].bone = "mixamorig:LeftUpLeg"
    assert bpy.ops.fitbody.save_bone_map(filepath=str(path)) == {"FINISHED"}
    assert bpy.ops.fitbody.guess_bone_map() == {"FINISHED"} and target.dsr_bone_map.table() == table
    assert bpy.ops.fitbody.load_bone_map(filepath=str(path)) == {"FINISHED"}
    assert target.dsr_bone_map.table() == table | {"left_knee": "mixamorig:LeftUpLeg"}
    (FOLDER / "nomap.json").write_text("[1, 2]")
    refused(lambda: bpy.ops.fitbody.load_bone_map(filepath=str(FOLDER / "nomap.json")), "is no bone map")
    bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / f"map_{bpy.app.version[0]}.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(FOLDER / f"map_{bpy.app.version[0]}.blend"))
    assert bpy.data.objects["mixamo A"].dsr_bone_map.table()["left_knee"] == "mixamorig:LeftUpLeg"


@check
def a_pose_becomes_an_asset_and_leaves_the_body_alone():
    """The clip goes on as before; applied to a body at rest, the asset gives the pose."""
    armature, mesh_object = fitted("clip")
    bpy.context.view_layer.objects.active = armature
    bpy.context.scene.frame_set(20)
    before, action = posed(mesh_object), armature.animation_data.action
    for _ in range(2):
        assert bpy.ops.fitbody.save_pose_asset() == {"FINISHED"}
    assets = [a for a in bpy.data.actions if a.asset_data is not None]
    assert len(assets) == 2 and armature.animation_data.action == action
    bpy.context.scene.frame_set(40)
    bpy.context.scene.frame_set(20)
    assert np.abs(posed(mesh_object) - before).max() < 1e-6
    turns = {b.name: b.rotation_quaternion.copy() for b in armature.pose.bones}
    assert bpy.ops.fitbody.reset_pose.poll()
    armature.animation_data.action = None
    for bone in armature.pose.bones:
        bone.rotation_quaternion = (1, 0, 0, 0)
    armature.pose.apply_pose_from_action(assets[0])
    worst = max(turns[b.name].rotation_difference(b.rotation_quaternion).angle for b in armature.pose.bones)
    assert worst < 1e-3, worst
