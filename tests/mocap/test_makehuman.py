"""MakeHuman's poses on SMPL's joints: who stands stands, who hangs upside down does, and limbs point where they did."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest
import torch
from bvh_toys import toy_motion
from shared_data import makehuman

from dsr.body import load_body, rotmat_to_axis_angle
from dsr.errors import DatasetError
from dsr.mocap.bvh import read_bvh
from dsr.mocap.makehuman import load_makehuman_poses, makehuman_pose

LIMBS = {(16, 18): ("upperarm01.L", "lowerarm01.L"), (17, 19): ("upperarm01.R", "lowerarm01.R")}
LIMBS |= {(18, 20): ("lowerarm01.L", "wrist.L"), (1, 4): ("upperleg01.L", "lowerleg01.L")}
LIMBS |= {(2, 5): ("upperleg01.R", "lowerleg01.R"), (5, 8): ("lowerleg01.R", "foot.R")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("poses")
    with tarfile.open(makehuman() / "makehuman_assets_cc0.tar.xz") as archive:
        wanted = [member for member in archive.getmembers() if "poses/" in member.name]
        archive.extractall(target, wanted, filter="data")
    return target


def joints(pose):
    turns = torch.from_numpy(np.concatenate([pose.orient[None], pose.body]).astype(np.float32))
    aa = rotmat_to_axis_angle(turns)[None]
    return load_body("open")(torch.zeros(1, 41), aa[:, 1:], aa[:, 0]).joints[0].numpy()


def test_limbs_point_where_they_did(folder):
    for pose, path in zip(load_makehuman_poses(folder), sorted(folder.rglob("*.bvh")), strict=True):
        assert pose.name == path.stem
        np.testing.assert_allclose(np.linalg.det(pose.body), 1, atol=1e-6)
        motion, ours = read_bvh(path, unit_m=0.1), joints(pose)
        _, there = motion.world()
        for (a, b), (start, end) in LIMBS.items():
            source = there[0, motion.index(end)] - there[0, motion.index(start)]
            source = source[[0, 2, 1]] * [1, 1, -1]  # z up to y up
            bone = ours[b] - ours[a]
            cosine = source @ bone / np.linalg.norm(source) / np.linalg.norm(bone)
            assert cosine > 0.96, (pose.name, start)


def test_postures_are_what_their_names_say(folder):
    poses = {pose.name: joints(pose) for pose in load_makehuman_poses(folder)}
    assert len(poses) == 15
    for name, points in poses.items():
        if name.startswith("standing"):
            assert points[15, 1] - max(points[7, 1], points[8, 1]) > 1.0, name
            assert points[16, 0] > points[17, 0], name  # left is left
    assert poses["gym01"][15, 1] < poses["gym01"][0, 1] - 0.3
    assert np.ptp(poses["fly02"][:, 1]) < 0.8


def test_other_skeletons_are_refused():
    with pytest.raises(DatasetError, match="no joint named"):
        makehuman_pose(toy_motion(frames=2))
