"""A fitted pose or motion on characters in files: limb directions, feet that stand, the root's path, names of bones."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from retarget_toys import RIGS, Character, walk, write_bvh, write_glb

from dsr.errors import UsageError
from dsr.export.carried.bvh_text import euler_degrees
from dsr.export.carried.pose_transfer import Skeleton, body_frame, transfer
from dsr.export.carried.rig_pose import quaternions
from dsr.export.carried.skeleton_names import RIG_NAMES, guess_bone_map, missing_joints
from dsr.export.carried.standing_feet import unit
from dsr.export.retarget_files import check_bone_map, read_rig, write_retargeted

LIMBS = [
    *(
        (f"{side}_{a}", f"{side}_{b}")
        for side in ("left", "right")
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))
    ),
    *((f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in (("hip", "knee"), ("knee", "ankle"))),
    *((f"{side}_collar", f"{side}_shoulder") for side in ("left", "right")),
    ("spine1", "spine2"),
    ("spine2", "spine3"),
    ("spine3", "neck"),
    ("neck", "head"),
]


def worst_direction(positions, movement, turn):
    """Largest angle between a limb of the character and of the body, degrees."""
    index = {name: k for k, name in enumerate(movement.names)}
    worst = 0.0
    for a, b in LIMBS:
        if a in positions and b in positions:
            own = unit(positions[b] - positions[a])
            true = unit(movement.positions[:, index[b]] - movement.positions[:, index[a]]) @ turn.T
            worst = max(worst, float(np.degrees(np.arccos(np.clip((own * true).sum(1), -1, 1))).max()))
    return worst


def worst_slide(positions, scale, stands):
    """How far a foot moves while it stands, metres of the body, ankle joints that do not move in the walk."""
    worst = 0.0
    for side, spans in stands.items():
        for a, b in spans:
            at = positions[f"{side}_ankle"][a:b] / scale
            worst = max(worst, float(np.linalg.norm(at - at.mean(0), axis=1).max()))
    return worst


def true_stands(movement):
    """Frames in which an ankle of the made-up walk does not move at all."""
    spans = {}
    for side in ("left", "right"):
        at = movement.positions[:, movement.names.index(f"{side}_ankle")]
        still = np.linalg.norm(np.diff(at, axis=0), axis=1) < 2e-4
        edges = np.flatnonzero(np.diff(np.r_[0, still.astype(int), 0]))
        spans[side] = [(a, b + 1) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 3]
    assert sum(len(s) for s in spans.values()) >= 3
    return spans


@pytest.mark.parametrize("name", RIGS)
@pytest.mark.parametrize("frames", [1, 60])
def test_limbs_feet_and_path_on_other_skeletons(name, frames):
    movement = walk(frames)
    character = Character(name)
    skeleton = Skeleton(character.heads(), character.axes())
    moved = transfer(movement, skeleton)
    turn = body_frame(skeleton)
    assert np.abs(turn - character.turn).max() < 1e-9
    assert worst_direction(moved.positions, movement, turn) < 2.0
    own = moved.positions["pelvis"]
    if frames > 1:
        assert worst_slide(moved.positions, moved.scale, true_stands(movement)) < 0.005
        hips = movement.positions[:, 0] @ turn.T
        way, true = own - own[0], (hips - hips[0]) * moved.scale
        assert np.linalg.norm(way - true, axis=1).max() < 0.03 * moved.scale
    low = min((moved.positions[f"{s}_ankle"] @ turn)[:, 1].min() for s in ("left", "right"))
    rest = min((skeleton.heads[f"{s}_ankle"] @ turn)[1] for s in ("left", "right"))
    assert abs(low - rest) < 0.01 * moved.scale  # it stands where it stood at rest


def test_feet_are_kept_by_hips_and_legs():
    """A skeleton with other legs would slide a little; with twice as long shins, a lot."""
    movement, character = walk(60), Character("bvh")
    heads = character.heads()
    for side in ("left", "right"):
        shin = heads[f"{side}_ankle"] - heads[f"{side}_knee"]
        heads[f"{side}_ankle"], heads[f"{side}_foot"] = heads[f"{side}_ankle"] + shin, heads[f"{side}_foot"] + shin
    slides = []
    for keep in (False, True):
        moved = transfer(movement, Skeleton(heads, character.axes()), keep_feet=keep)
        slides.append(worst_slide(moved.positions, moved.scale, true_stands(movement)))
        assert worst_direction(moved.positions, movement, character.turn) < 2.0
    assert slides[0] > 0.004 and slides[1] < 0.8 * slides[0], slides


def test_on_the_spot_and_in_the_world():
    character = Character("mixamo T")
    movement = replace(walk(60), positions=walk(60).positions + np.array([2.0, 0.0, 1.0]))
    skeleton = Skeleton(character.heads(), character.axes())
    still = transfer(movement, skeleton, path="none").positions["pelvis"] @ character.turn
    there = transfer(movement, skeleton, path="world", keep_feet=False).positions["pelvis"] @ character.turn
    own = transfer(movement, skeleton, keep_feet=False).positions["pelvis"] @ character.turn
    assert np.ptp(still[:, [0, 2]], axis=0).max() < 0.05 * character.scale < np.ptp(own[:, 2])
    shift = there - own
    assert np.abs(shift - shift[0]).max() < 1e-6 and np.abs(shift[0] - [200, 0, 100]).max() < 5  # centimetres


def test_a_skeleton_without_legs_is_refused():
    heads = {k: v for k, v in Character("mixamo T").heads().items() if "knee" not in k}
    with pytest.raises(ValueError, match="no left knee"):
        transfer(walk(1), Skeleton(heads, {k: np.eye(3) for k in heads}))


@pytest.mark.parametrize("frames", [1, 60])
@pytest.mark.parametrize("name", ["mixamo A", "unreal"])
def test_binary_gltf_moves_as_the_person(tmp_path, name, frames):
    movement, character = walk(frames), Character(name)
    rig = read_rig(write_glb(character, tmp_path / "rig.glb"))
    bone_map = rig.bone_map()
    assert bone_map == {joint: character.names[joint] for joint in character.names}
    out = tmp_path / "out.glb"
    write_retargeted(rig, movement, bone_map, out, "clip p0")
    positions, times = gltf_motion(out, character.names)
    assert np.allclose(times, np.arange(frames) / movement.fps, atol=1e-5)
    assert worst_direction(positions, movement, character.turn) < 2.0
    again = read_rig(out)  # its bones stand in the first frame's pose
    assert (
        np.abs(again.rig.rest[again.rig.names.index(character.names["head"]), :3, 3] - positions["head"][0]).max()
        < 1e-3
    )
    assert (
        again.content.meshes and again.content.skins[0].inverseBindMatrices == rig.content.skins[0].inverseBindMatrices
    )


def gltf_motion(path, names):
    """Where the bones are in every frame of the last animation, by forward kinematics of its own."""
    from pygltflib import GLTF2

    gltf = GLTF2.load_binary(str(path))
    blob = gltf.binary_blob()

    def read(number):
        accessor = gltf.accessors[number]
        view = gltf.bufferViews[accessor.bufferView]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor.type]
        flat = np.frombuffer(blob, np.float32, accessor.count * width, view.byteOffset)
        return flat.reshape(accessor.count, width).astype(float)

    animation = gltf.animations[-1]
    values, times = {}, None
    for channel in animation.channels:
        sampler = animation.samplers[channel.sampler]
        times = read(sampler.input)[:, 0]
        values[channel.target.node, channel.target.path] = read(sampler.output)
    from scipy.spatial.transform import Rotation

    parents = {child: k for k, node in enumerate(gltf.nodes) for child in node.children or ()}
    world = {}

    def place(k):
        if k not in world:
            node = gltf.nodes[k]
            turn = values.get((k, "rotation"), np.tile(node.rotation or [0, 0, 0, 1], (len(times), 1)))
            at = values.get((k, "translation"), np.tile(node.translation or [0, 0, 0], (len(times), 1)))
            local = np.tile(np.eye(4), (len(times), 1, 1))
            local[:, :3, :3] = Rotation.from_quat(turn).as_matrix() * (node.scale or [1, 1, 1])
            local[:, :3, 3] = at
            world[k] = place(parents[k]) @ local if k in parents else local
        return world[k]

    by_name = {node.name: k for k, node in enumerate(gltf.nodes)}
    return {joint: place(by_name[name])[:, :3, 3] for joint, name in names.items()}, times


def test_vrm_says_itself_which_bone_is_which(tmp_path):
    character = Character("unreal")
    strange = {joint: f"bone{k}" for k, joint in enumerate(character.names)}
    path = write_glb(character, tmp_path / "hero.vrm", names=strange, vrm=True)
    rig = read_rig(path)
    assert missing_joints(rig.rig.guess()) and not missing_joints(rig.bone_map())
    assert {joint: strange[joint] for joint in strange} == rig.bone_map()
    write_retargeted(rig, walk(1), rig.bone_map(), tmp_path / "out.vrm", "photo p0")
    positions, _ = gltf_motion(tmp_path / "out.vrm", strange)
    assert worst_direction(positions, walk(1), character.turn) < 2.0
    assert "VRMC_vrm" in read_rig(tmp_path / "out.vrm").content.extensions


def test_bvh_of_other_proportions_and_axes(tmp_path):
    movement, character = walk(60), Character("bvh")
    rig = read_rig(write_bvh(character, tmp_path / "rig.bvh"))
    bone_map = rig.bone_map()
    assert not missing_joints(bone_map) and bone_map["left_shoulder"] == "lShldr"
    write_retargeted(rig, movement, bone_map, tmp_path / "out.bvh", "clip p0")
    from dsr.mocap.bvh import read_bvh

    motion = read_bvh(tmp_path / "out.bvh", unit_m=1.0)
    assert motion.joint_names == rig.rig.names and abs(motion.fps - movement.fps) < 1e-3 and len(motion) == 60
    assert motion.channels == rig.content.channels
    _, places = motion.world()
    positions = {joint: places[:, motion.index(bone)] for joint, bone in bone_map.items()}
    assert worst_direction(positions, movement, character.turn) < 2.0
    scale = character.scale * character.leg
    assert worst_slide(positions, scale, true_stands(movement)) < 0.01


@pytest.mark.blender
@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="needs bpy: python3 -m pip install bpy==5.0.1")
def test_fbx_through_blender(tmp_path):
    """A character as FBX, made by Blender from the GLB; read back it moves as the person."""
    import subprocess
    import sys

    movement, character = walk(60), Character("mixamo A")
    glb = write_glb(character, tmp_path / "rig.glb")
    code = (
        "import bpy,sys; bpy.ops.wm.read_factory_settings(use_empty=True); "
        "bpy.ops.import_scene.gltf(filepath=sys.argv[1], disable_bone_shape=True); "
        "bpy.ops.export_scene.fbx(filepath=sys.argv[2], add_leaf_bones=False)"
    )
    subprocess.run([sys.executable, "-c", code, str(glb), str(tmp_path / "rig.fbx")], check=True, capture_output=True)
    rig = read_rig(tmp_path / "rig.fbx")
    out = tmp_path / "out.fbx"
    write_retargeted(rig, movement, rig.bone_map(), out, "clip p0")
    script = Path(__file__).with_name("fbx_motion.py")
    run = subprocess.run([sys.executable, str(script), str(out)], check=True, capture_output=True, text=True)
    seen = json.loads(run.stdout.splitlines()[-1])
    assert seen["armatures"] == 1 and seen["meshes"] == 1
    assert abs(seen["fps"] - movement.fps) < 1e-3 and seen["range"] == [1, 60]
    places = np.array(seen["positions"])
    positions = {joint: places[:, seen["names"].index(bone)] for joint, bone in rig.bone_map().items()}
    y_up_to_z_up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    assert worst_direction(positions, movement, y_up_to_z_up) < 2.0
    assert worst_slide(positions, 1.0 * character.leg, true_stands(movement)) < 0.01


@pytest.mark.parametrize("rig", RIG_NAMES)
def test_known_rigs_are_recognised(rig):
    table = RIG_NAMES[rig]
    found = guess_bone_map(list(table.values()))
    assert found and all(table[joint] == bone for joint, bone in found.items()) and not missing_joints(found)
    assert len(found) >= 50


SIDES = ("Left", "Right")
BIPED = ["Clavicle", "UpperArm", "ForeTwist", "Forearm", "Hand", "Thigh", "Calf", "Foot", "Toe0"]
VROID = ["Shoulder", "UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot", "ToeBase"]
ACCLAIM = ["clavicle", "humerus", "radius", "wrist", "femur", "tibia", "foot", "toes"]
OTHER_NAMES = {
    "3ds Max biped": [
        *(f"Bip01 {w}" for w in ("Pelvis", "Spine", "Spine1", "Spine2", "Neck", "Head")),
        *(f"Bip01 {s} {w}" for s in "LR" for w in BIPED),
    ],
    "Daz, CMU": [
        *("hip", "abdomen", "chest", "neck", "head"),
        *(f"{s}{w}" for s in "lr" for w in ("Collar", "Shldr", "ForeArm", "Hand", "Thigh", "Shin", "Foot")),
    ],
    "VRoid": [
        *(f"J_Bip_C_{w}" for w in ("Hips", "Spine", "Chest", "UpperChest", "Neck", "Head")),
        *(f"J_Bip_{s}_{w}" for s in "LR" for w in VROID),
    ],
    "Acclaim": [
        *("root", "lowerback", "upperback", "thorax", "lowerneck", "head"),
        *(f"{s}{w}" for s in "lr" for w in ACCLAIM),
    ],
    "plain words": [
        *("Hips", "Chest", "Neck", "Head"),
        *(f"{s}{w}" for s in SIDES for w in ("Collar", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")),
    ],
}  # fmt: skip
EXPECTED = {
    "3ds Max biped": {"left_elbow": "Bip01 L Forearm", "right_knee": "Bip01 R Calf", "spine2": "Bip01 Spine1"},
    "Daz, CMU": {"left_hip": "lThigh", "right_elbow": "rForeArm", "spine3": "chest", "pelvis": "hip"},
    "VRoid": {"left_collar": "J_Bip_L_Shoulder", "right_foot": "J_Bip_R_ToeBase", "spine3": "J_Bip_C_UpperChest"},
    "Acclaim": {"left_hip": "lfemur", "neck": "lowerneck", "pelvis": "root", "right_shoulder": "rhumerus"},
    "plain words": {"left_collar": "LeftCollar", "left_shoulder": "LeftShoulder", "right_hip": "RightHip"},
}


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_other_names_are_read(name):
    names = OTHER_NAMES[name]
    parents = [-1] + [0] * (len(names) - 1)
    found = guess_bone_map(names, parents)
    assert not missing_joints(found)
    assert EXPECTED[name].items() <= found.items()
    assert not any("Twist" in bone for bone in found.values())


def test_rigify_gives_its_controls():
    names = ["root", "torso", "spine_fk", "upper_arm_fk.L", "upper_arm_ik.L", "DEF-upper_arm.L", "ORG-spine"]
    assert guess_bone_map(names) == {"root": "torso", "pelvis": "spine_fk", "left_shoulder": "upper_arm_fk.L"}


def test_maps_that_cannot_be_used_are_refused(tmp_path):
    rig = read_rig(write_glb(Character("mixamo T"), tmp_path / "rig.glb"))
    good = rig.bone_map()
    for change, words in (
        ({"tail": "x"}, "joints that a body has not: tail"),
        ({"left_knee": "nothing"}, "no bones named nothing"),
        ({"left_knee": ""}, "No bone of rig.glb was found for left_knee"),
    ):
        with pytest.raises(UsageError, match=words):
            check_bone_map(rig, good | change)


def test_angles_and_quaternions_do_not_jump():
    from scipy.spatial.transform import Rotation

    turning = Rotation.from_euler(
        "ZXY", np.c_[np.linspace(0, 720, 90), np.full(90, 20.0), np.full(90, -30.0)], degrees=True
    )
    angles = euler_degrees(turning.as_matrix(), "ZXY")
    assert np.abs(np.diff(angles, axis=0)).max() < 10 and abs(angles[-1, 0] - angles[0, 0] - 720) < 1e-6
    assert np.abs(Rotation.from_euler("ZXY", angles, degrees=True).as_matrix() - turning.as_matrix()).max() < 1e-9
    q = quaternions(turning.as_matrix())
    assert (np.sum(q[1:] * q[:-1], 1) > 0.9).all()
