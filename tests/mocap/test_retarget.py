"""Retargeting: limb directions, hinges, facing and mirror symmetry; on real clips where ../shared has them."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bvh_toys import toy_motion, write_bvh
from scipy.spatial.transform import Rotation
from shared_data import mocap

from dsr.body import load_asset
from dsr.errors import DatasetError
from dsr.mocap import Motion, load_mocap, read_bvh, retarget_to_smpl
from dsr.mocap.retarget import SMPL_FLIP, default_rest_joints, mirror_rotmat

LIMBS = [  # SMPL joints of the bone, source joints of the bone
    ((16, 18), ("lShldr", "lForeArm")),
    ((17, 19), ("rShldr", "rForeArm")),
    ((18, 20), ("lForeArm", "lHand")),
    ((19, 21), ("rForeArm", "rHand")),
    ((20, 22), ("lHand", "lMid1")),
    ((21, 23), ("rHand", "rMid1")),
    ((1, 4), ("lThigh", "lShin")),
    ((2, 5), ("rThigh", "rShin")),
    ((4, 7), ("lShin", "lFoot")),
    ((5, 8), ("rShin", "rFoot")),
]


def angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def trunk_angle(motion: Motion, joints: np.ndarray) -> np.ndarray:
    source = motion.world()[1]
    hips = (source[:, motion.index("lThigh")] + source[:, motion.index("rThigh")]) / 2
    return angle(joints[:, 12] - joints[:, [1, 2]].mean(1), source[:, motion.index("neck")] - hips)


def bent(joint: str, rotvec: list[float]) -> Motion:
    motion = toy_motion(1, spread=0)
    motion.rotations[:, motion.index(joint)] = Rotation.from_rotvec(rotvec).as_matrix()
    return motion


def mirrored(motion: Motion) -> Motion:
    def twin(name: str) -> int:
        return motion.index({"l": "r", "r": "l"}[name[0]] + name[1:] if name[1].isupper() else name)

    order = [twin(name) for name in motion.joint_names]
    root = motion.root_position_m * [-1, 1, 1]
    return replace(motion, rotations=mirror_rotmat(motion.rotations[:, order]), root_position_m=root)


def test_limb_directions_are_the_source_s():
    motion = toy_motion(50)
    smpl = retarget_to_smpl(motion)
    joints, source = smpl.joints(), motion.world()[1]
    for (start, end), (first, last) in LIMBS:
        ours = joints[:, end] - joints[:, start]
        theirs = source[:, motion.index(last)] - source[:, motion.index(first)]
        assert angle(ours, theirs).max() < 1e-4
    assert np.linalg.det(smpl.body_pose_rotmat) == pytest.approx(np.ones((50, 23)))
    assert trunk_angle(motion, joints).max() < 0.1


def test_another_skeleton_keeps_the_directions():
    rest = default_rest_joints() * 0.6
    rest[[18, 20, 22], 2] -= [0.02, 0.05, 0.06]
    motion = toy_motion(10)
    joints, source = retarget_to_smpl(motion, rest).joints(rest), motion.world()[1]
    for (start, end), (first, last) in LIMBS:
        ours = joints[:, end] - joints[:, start]
        assert angle(ours, source[:, motion.index(last)] - source[:, motion.index(first)]).max() < 1e-4


def test_t_pose_stays_near_a_t_pose():
    smpl = retarget_to_smpl(toy_motion(1, spread=0))
    assert smpl.global_orient[0] == pytest.approx(np.eye(3))
    joints = smpl.joints()[0] - smpl.root_position_m[0]
    assert joints[16, 0] > 0.1 and joints[18, 0] > joints[16, 0] and joints[20, 0] > joints[18, 0]  # left at +x
    assert joints[10, 2] > joints[7, 2] + 0.1  # toes in front
    assert joints[7, 1] < joints[4, 1] < joints[1, 1] < joints[12, 1] < joints[15, 1]


def test_elbows_fold_forwards_and_knees_backwards():
    for prefix, elbow, wrist, sign in (("l", 18, 20, -1), ("r", 19, 21, 1)):
        axis = np.array([-0.061, -0.873, 0.484]) * [1, 1, 1] if prefix == "l" else np.array([-0.061, 0.873, -0.484])
        smpl = retarget_to_smpl(bent(prefix + "ForeArm", list(axis / np.linalg.norm(axis) * 1.2)))
        joints = smpl.joints()[0]
        assert joints[wrist, 2] > joints[elbow, 2] + 0.1
        x, y, z = smpl.body_pose_aa()[0, elbow - 1]
        assert sign * y > 1.2 and abs(x) < 0.06 and abs(z) < 0.06  # one axis: a hinge
    for prefix, knee, ankle in (("l", 4, 7), ("r", 5, 8)):
        smpl = retarget_to_smpl(bent(prefix + "Shin", [1.2, 0, 0]))
        joints = smpl.joints()[0]
        assert joints[ankle, 2] < joints[knee, 2] - 0.2
        x, y, z = smpl.body_pose_aa()[0, knee - 1]
        assert x > 1.2 and abs(y) < 0.06 and abs(z) < 0.06


def test_facing_follows_the_hip():
    smpl = retarget_to_smpl(bent("hip", [0, np.pi / 2, 0]))  # turned to its left: from +z to +x
    assert smpl.global_orient[0, :, 2] == pytest.approx([1, 0, 0], abs=1e-9)
    joints = smpl.joints()[0]
    assert joints[1, 2] < joints[2, 2]  # the left hip now lies behind
    assert joints[10, 0] > joints[7, 0]


def test_mirrored_clip_gives_the_mirrored_pose():
    motion = toy_motion(10)
    expected, found = retarget_to_smpl(motion).mirrored(), retarget_to_smpl(mirrored(motion))
    assert found.body_pose_rotmat == pytest.approx(expected.body_pose_rotmat, abs=1e-6)
    assert found.global_orient == pytest.approx(expected.global_orient, abs=1e-9)
    assert found.joints() == pytest.approx(expected.joints(), abs=1e-6)
    assert found.joints()[:, list(SMPL_FLIP)] * [-1, 1, 1] == pytest.approx(retarget_to_smpl(motion).joints(), abs=1e-6)


def test_hips_keep_their_place_at_the_skeleton_s_scale():
    motion = toy_motion(5)
    source, joints = motion.world()[1], retarget_to_smpl(motion).joints()
    hips = (source[:, motion.index("lThigh")] + source[:, motion.index("rThigh")]) / 2
    ratio = joints[:, [1, 2]].mean(1) / hips
    assert ratio == pytest.approx(np.full((5, 3), ratio[0, 0]))
    legs = np.linalg.norm(np.diff(default_rest_joints()[[1, 4, 7]], axis=0), axis=-1).sum()
    assert ratio[0, 0] == pytest.approx(legs / 0.822, rel=0.01)


def test_default_rest_is_the_open_body_s():
    asset = load_asset("open")
    joints = asset.J_regressor @ asset.v_template
    assert np.abs(joints - joints[0] - default_rest_joints()).max() < 0.01


def test_wrong_skeletons_are_refused():
    motion = toy_motion(1)
    with pytest.raises(DatasetError, match="lThigh"):
        retarget_to_smpl(replace(motion, joint_names=tuple(n.replace("lThigh", "leg") for n in motion.joint_names)))
    with pytest.raises(DatasetError, match=r"\(24, 3\)"):
        retarget_to_smpl(motion, np.zeros((22, 3)))


def test_split_is_by_subject_and_clip(tmp_path: Path):
    motion = toy_motion(8)
    text = write_bvh(motion)
    for name in ("01/01_01", "08/08_02", "13/13_05", "14/14_01", *(f"salsa/{i:02d}" for i in range(1, 12))):
        path = tmp_path / f"{name}.bvh"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    names = {s: [Path(m.name).stem for m in load_mocap(tmp_path, s, fps=20)] for s in ("train", "val", "all")}
    assert names["val"] == ["08_02", "13_05", "10"]
    assert sorted(names["train"] + names["val"]) == sorted(names["all"])
    assert "08" in names["train"]  # the salsa clip 08 is no clip of subject 08
    clip = next(iter(load_mocap(tmp_path, "all", fps=20)))
    assert clip.fps == 20
    expected = retarget_to_smpl(motion).global_orient[[3, 6]]  # the three frames around the T-pose are left out
    assert clip.global_orient == pytest.approx(expected, abs=1e-6)
    with pytest.raises(DatasetError, match="split"):
        next(iter(load_mocap(tmp_path, "test")))
    with pytest.raises(DatasetError, match=r"no \.bvh"):
        next(iter(load_mocap(tmp_path / "08" / "nothing")))


@pytest.fixture(scope="module")
def real_clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A walk and a run of the CMU database."""
    folder, wanted = tmp_path_factory.mktemp("mocap"), {"02_01.bvh", "09_01.bvh"}
    found = []
    with tarfile.open(mocap() / "cmu_01_09.tar.xz") as archive:
        for member in archive:
            name = Path(member.name).name
            file = archive.extractfile(member) if name in wanted else None
            if file is not None:
                (folder / name).write_bytes(file.read())
                found.append(folder / name)
    assert len(found) == len(wanted)
    return sorted(found)


def test_real_clips(real_clips: list[Path]):
    for path in real_clips:
        motion = read_bvh(path).every(1, start=3)
        assert motion.fps == 60 and len(motion.joint_names) == 43
        smpl = retarget_to_smpl(motion)
        joints, source = smpl.joints(), motion.world()[1]
        for (start, end), (first, last) in LIMBS:
            ours = joints[:, end] - joints[:, start]
            assert angle(ours, source[:, motion.index(last)] - source[:, motion.index(first)]).max() < 1e-3
        assert trunk_angle(motion, joints).max() < 0.1
        aa = smpl.body_pose_aa()
        assert (aa[:, [3, 4], 0] > 0).all()  # knees bend backwards only
        assert (aa[:, 17, 1] < 0).all() and (aa[:, 18, 1] > 0).all()  # elbows forwards only
        assert np.abs(aa[:, [17, 18]][..., [0, 2]]).max() < 0.25  # and about one axis
        velocity = np.diff(smpl.root_position_m, axis=0)[:, [0, 2]].sum(0)
        facing = smpl.global_orient[:, [0, 2], 2].mean(0)
        assert angle(velocity, facing) < 20  # people walk and run the way they face
        feet = joints[:, [7, 8, 10, 11], 1].min(1)
        assert np.abs(np.percentile(feet, [5, 50])).max() < 0.12  # on the floor at SMPL's scale
