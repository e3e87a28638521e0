"""Where the bones of Rigify's metarig go: pure geometry."""

from __future__ import annotations

import numpy as np
import pytest
from dsr_fit_body.core.geometry import BODY_TO_BLENDER
from dsr_fit_body.core.metarig_bones import BEND, bent_joint, metarig_bones
from dsr_fit_body.core.names import BONE_NAMES, SMPL24

from dsr.body import load_asset


def body(scale: float = 1.0):
    asset = load_asset("open-light")
    joints = np.asarray(asset.J_regressor @ asset.v_template.astype(float)) @ BODY_TO_BLENDER.T * scale
    return dict(zip(SMPL24, joints, strict=True)), asset.v_template.astype(float) @ BODY_TO_BLENDER.T * scale


def test_every_joint_has_its_bone_and_chains_hang_together():
    joints, vertices = body()
    bones = metarig_bones(joints, vertices)
    by_name = {bone.name: bone for bone in bones}
    assert len(by_name) == len(bones) == 29
    for joint, head in joints.items():
        if not joint.endswith(("_hand", "_knee", "_elbow")):
            assert np.allclose(by_name[BONE_NAMES[joint][1]].head, head), joint
    seen = {""}
    for bone in bones:
        assert bone.parent in seen, bone.name  # parents first
        seen.add(bone.name)
        assert np.linalg.norm(bone.tail - bone.head) > 0.02, bone.name
        if bone.connected:
            assert np.allclose(bone.head, by_name[bone.parent].tail), bone.name
    assert by_name["spine.006"].tail[2] == pytest.approx(vertices[:, 2].max())
    assert by_name["heel.02.L"].head[2] == pytest.approx(vertices[:, 2].min(), abs=0.02)
    for letter in "LR":  # toes forwards, the heel bone across and behind the ankle
        assert by_name[f"toe.{letter}"].tail[1] < by_name[f"foot.{letter}"].tail[1] < by_name[f"foot.{letter}"].head[1]
        assert by_name[f"heel.02.{letter}"].head[1] > by_name[f"foot.{letter}"].head[1]


def test_sides_mirror():
    joints, vertices = body()
    mirror = np.array([-1.0, 1, 1])
    swap = {"left": "right", "right": "left"}
    both = np.concatenate([vertices, vertices * mirror])
    even = {}
    for name, joint in joints.items():
        side, _, rest = name.partition("_")
        other = joints[f"{swap[side]}_{rest}"] if side in swap else joint
        even[name] = (joint + other * mirror) / 2
    bones = {bone.name: bone for bone in metarig_bones(even, both)}
    for name, bone in bones.items():
        if name.endswith(".L"):
            assert np.allclose(bone.head * mirror, bones[f"{name[:-1]}R"].head), name
            assert np.allclose(bone.tail * mirror, bones[f"{name[:-1]}R"].tail), name


def test_limbs_bend_as_they_fold_and_no_more_than_needed():
    start, end = np.array([0.0, 0, 1]), np.array([0.0, 0, 0])
    forwards = np.array([0.0, -1, 0])
    straight = bent_joint(start, np.array([0.0, 0, 0.5]), end, forwards)
    assert np.allclose(straight, [0, -BEND, 0.5])
    backwards = bent_joint(start, np.array([0.0, 0.01, 0.5]), end, forwards)
    assert np.allclose(backwards, [0, -BEND, 0.5])
    bent = np.array([0.01, -0.2, 0.4])
    assert np.allclose(bent_joint(start, bent, end, forwards), bent)  # stays on the joint


@pytest.mark.parametrize("scale", [0.5, 1.3])
def test_a_child_and_a_giant(scale):
    joints, vertices = body(scale)
    bones = metarig_bones(joints, vertices)
    assert all(np.isfinite([bone.head, bone.tail]).all() for bone in bones)


def test_missing_joints_are_an_error():
    joints, vertices = body()
    del joints["left_knee"]
    with pytest.raises(KeyError):
        metarig_bones(joints, vertices)
    joints, vertices = body()
    del joints["left_hand"], joints["right_hand"]  # SMPL-X has fingers instead
    hand = next(bone for bone in metarig_bones(joints, vertices) if bone.name == "hand.L")
    assert hand.tail[0] > hand.head[0] + 0.03
