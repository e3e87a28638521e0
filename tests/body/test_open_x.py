"""open-x: the open body with SMPL-X's joints and named facial actions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dsr.body import Body, load_asset, load_body
from dsr.body.asset_file import find_open, read_asset, save_asset
from dsr.body.joints import SMPLX55_NAMES, SMPLX55_PARENTS, flip_permutation
from dsr.body.smpl24 import pose_from_smpl24, pose_to_smpl24, smpl24_joints
from dsr.errors import BodyError


@pytest.fixture(scope="module")
def opened():
    return load_body("open")


@pytest.fixture(scope="module")
def body():
    return load_body("open-x")


@pytest.fixture(scope="module")
def mirror(body):
    """Vertex on the other side of the template."""
    from scipy.spatial import cKDTree

    template = body.asset.v_template
    return cKDTree(template).query(template * [-1, 1, 1])[1]


def random_pose(count, hands, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pose = 0.6 * torch.randn(count, 23, 3, generator=generator)
    pose[:, 21:] *= hands
    orient, transl = torch.randn(count, 3, generator=generator), torch.randn(count, 3, generator=generator)
    return pose, orient, transl, torch.randn(count, 41, generator=generator)


def turned(body, **joints):
    """Vertices (V, 3) with some joints turned by axis-angle."""
    pose = torch.zeros(1, body.num_joints - 1, 3)
    for name, axis_angle in joints.items():
        pose[0, body.asset.joint_names.index(name) - 1] = torch.tensor(axis_angle)
    return body(body_pose=pose).vertices[0].numpy()


def moved_by(body, before, **joints):
    return np.linalg.norm(turned(body, **joints) - before, axis=1)


def test_mesh_betas_parts_and_keypoints_are_those_of_the_open_body(opened, body):
    a, b = opened.asset, body.asset
    for key in ("v_template", "faces", "part_ids", "interior", "uv", "faces_uv", "base_index"):
        np.testing.assert_array_equal(getattr(a, key), getattr(b, key), key)
    np.testing.assert_array_equal(a.shapedirs, b.shapedirs[..., : b.num_shapes])
    assert b.num_shapes == a.num_betas and b.child_beta == a.child_beta
    for name, rows in a.keypoint_regressors.items():
        assert (rows != b.keypoint_regressors[name]).nnz == 0
    assert (b.name, b.licence) == ("open-x", a.licence) and b.sha256 != a.sha256


def test_joints_are_smplx_in_its_order(body):
    assert body.asset.joint_names == SMPLX55_NAMES and tuple(body.asset.parents) == SMPLX55_PARENTS
    assert SMPLX55_NAMES[22:28] == (
        "jaw",
        "left_eye_smplhf",
        "right_eye_smplhf",
        "left_index1",
        "left_index2",
        "left_index3",
    )
    rest = dict(zip(SMPLX55_NAMES, body.rest_joints()[0].numpy(), strict=True))
    for finger in ("index", "middle", "pinky", "ring", "thumb"):
        chain = [rest["left_wrist"], *(rest[f"left_{finger}{k}"] for k in (1, 2, 3))]
        lengths = np.linalg.norm(np.diff(chain, axis=0), axis=1)
        assert (lengths > 0.012).all() and (lengths[1:] < 0.06).all()
    across = [rest[f"left_{f}"][2] for f in ("thumb3", "index1", "middle1", "ring1", "pinky1")]
    assert across == sorted(across, reverse=True)  # palms down: the thumb points forward
    assert rest["left_eye_smplhf"][0] > 0.02 and abs(rest["jaw"][0]) < 1e-4
    assert rest["jaw"][1] < rest["left_eye_smplhf"][1] and rest["head"][2] < rest["jaw"][2] < rest["left_eye_smplhf"][2]


def test_joints_follow_the_shape_symmetrically(body):
    betas = torch.randn(20, 41, generator=torch.Generator().manual_seed(1))
    rest = body.rest_joints(betas).numpy()
    np.testing.assert_allclose(rest, rest[:, list(flip_permutation("smplx55"))] * [-1, 1, 1], atol=1e-3)
    length = np.linalg.norm(rest[:, 26] - rest[:, 25], axis=1)
    assert length.std() > 5e-4 and length.min() > 0.015


def test_skinning_sums_to_one_on_four_joints_alike_on_both_sides(body, mirror):
    weights = body.asset.weights
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert weights.min() >= 0 and np.count_nonzero(weights, axis=1).max() <= 4
    np.testing.assert_allclose(weights[mirror][:, list(flip_permutation("smplx55"))], weights, atol=1e-6)
    assert (weights.max(0)[22:] > 0.7).all()  # every finger's bone, jaw and eyeball has flesh of its own


def test_a_pose_of_24_joints_gives_the_same_body(opened, body):
    pose, orient, transl, betas = random_pose(6, hands=0)
    before = opened(betas, pose, orient, transl)
    after = body(betas, pose_from_smpl24(pose, 55), orient, transl)
    torch.testing.assert_close(before.vertices, after.vertices, atol=5e-6, rtol=0)
    torch.testing.assert_close(before.joints, after.joints[:, list(smpl24_joints(55))], atol=5e-6, rtol=0)


def test_a_turned_hand_points_every_finger_its_way_and_leaves_the_palm(opened, body):
    pose, orient, transl, betas = random_pose(3, hands=0.5)
    before = opened(betas, pose, orient, transl).transforms
    after = body(betas, pose_from_smpl24(pose, 55), orient, transl)
    for side, hand in (("left", 22), ("right", 23)):
        for finger in ("index3", "middle3", "pinky3", "ring3", "thumb3"):
            joint = SMPLX55_NAMES.index(f"{side}_{finger}")
            torch.testing.assert_close(after.transforms[:, joint, :3, :3], before[:, hand, :3, :3])
    palm = body.asset.weights[:, [20, 21]].sum(1) > 0.999
    exact = opened(betas, pose, orient, transl).vertices
    torch.testing.assert_close(after.vertices[:, palm], exact[:, palm], atol=5e-6, rtol=0)


@pytest.mark.parametrize("count", [24, 52, 55])
def test_poses_of_24_joints_come_back(count):
    pose = torch.randn(2, 3, 23, 3)
    assert torch.equal(pose_to_smpl24(pose_from_smpl24(pose, count), count), pose)
    matrices = np.random.default_rng(0).normal(size=(4, 23, 3, 3))
    assert pose_from_smpl24(matrices, count).shape == (4, count - 1, 3, 3)
    np.testing.assert_array_equal(pose_to_smpl24(pose_from_smpl24(matrices, count), count), matrices)


def test_poses_that_do_not_fit_are_refused():
    with pytest.raises(BodyError, match=r"\(2, 21, 3\)"):
        pose_from_smpl24(torch.zeros(2, 21, 3), 55)
    with pytest.raises(BodyError, match=r"55 joints is \(\.\.\., 54, 3\)"):
        pose_to_smpl24(torch.zeros(2, 23, 3), 55)
    with pytest.raises(BodyError, match="30 joints"):
        smpl24_joints(30)


def test_a_bent_finger_moves_itself_alone(body):
    before = body.asset.v_template
    rest = body.rest_joints()[0].numpy()
    moved = moved_by(body, before, left_index1=[0.0, 0.0, -1.0])
    where = before[moved > 1e-3]
    index = SMPLX55_NAMES.index("left_index1")
    assert moved.max() > 0.06 and (np.linalg.norm(where - rest[index], axis=1) < 0.11).all()
    tip = np.argmax(moved)
    assert (
        turned(body, left_index1=[0.0, 0.0, -1.0])[tip, 1] < before[tip, 1] - 0.03
    )  # towards the palm, which is below


def test_the_jaw_opens_the_mouth_and_eyes_turn_in_place(body):
    before = body.asset.v_template
    rest = dict(zip(SMPLX55_NAMES, body.rest_joints()[0].numpy(), strict=True))
    opened = turned(body, jaw=[0.34, 0.0, 0.0])
    moved = np.linalg.norm(opened - before, axis=1)
    chin = np.argmax(moved)
    assert moved.max() > 0.03 and opened[chin, 1] < before[chin, 1] - 0.02
    assert moved[before[:, 1] > rest["left_eye_smplhf"][1]].max() < 0.012  # temples at most
    looking = turned(body, left_eye_smplhf=[0.0, 0.4, 0.0])
    moved = np.linalg.norm(looking - before, axis=1)
    ball = moved > 1e-5
    centre = rest["left_eye_smplhf"]
    np.testing.assert_allclose(looking[ball].mean(0), before[ball].mean(0), atol=2e-3)
    front = np.flatnonzero(ball)[np.argmax(before[ball, 2])]
    assert looking[front, 0] > before[front, 0] + 2e-3  # to the person's left
    assert (np.linalg.norm(before[ball] - centre, axis=1) < 0.025).all()


def test_facial_actions_are_named_and_move_their_part_of_the_face(body):
    asset = body.asset
    names = asset.expression_names
    assert len(names) == asset.num_expressions >= 20 and len(set(names)) == len(names)
    wanted = {
        "eyeBlinkLeft",
        "browInnerUp",
        "mouthSmileRight",
        "mouthPucker",
        "cheekPuff",
        "jawForward",
        "noseSneerLeft",
    }
    assert wanted <= set(names)
    rest = dict(zip(SMPLX55_NAMES, body.rest_joints()[0].numpy(), strict=True))
    for k, name in enumerate(names):
        moved = np.linalg.norm(asset.shapedirs[..., asset.num_shapes + k], axis=1)
        assert 2e-3 < moved.max() < 0.05, name
        centre = np.average(asset.v_template, axis=0, weights=moved)
        if name.endswith(("Left", "Right")) and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            assert (centre[0] > 0) == name.endswith("Left"), name
        height = rest["left_eye_smplhf"][1]
        if name.startswith(("eye", "brow")):
            assert height - 0.03 < centre[1] < height + 0.06, name
        elif name.startswith(("mouth", "jaw", "tongue")):
            assert centre[1] < height - 0.03, name
    blink = asset.shapedirs[..., asset.num_shapes + names.index("eyeBlinkLeft")]
    assert blink[:, 1].min() < -5e-3  # the upper lid comes down


def test_facial_actions_come_in_mirrored_pairs(body, mirror):
    asset = body.asset
    names = asset.expression_names
    for k, name in enumerate(names):
        other = name.replace("Left", "@").replace("Right", "Left").replace("@", "Right")
        here, there = (asset.shapedirs[..., asset.num_shapes + names.index(n)] for n in (name, other))
        assert np.abs(here[mirror] * [-1, 1, 1] - there).max() < 5e-5, (name, k)


def test_facial_actions_move_no_joint_and_no_eyeball(body):
    still = body.rest_joints()
    face = torch.zeros(47, body.num_betas)
    face[:, body.asset.num_shapes :] = torch.eye(47)
    torch.testing.assert_close(body.rest_joints(face), still.expand(47, -1, -1), atol=1e-5, rtol=0)
    ball = body.asset.weights[:, 23] == 1
    assert ball.sum() > 50 and not body.asset.shapedirs[ball][..., body.asset.num_shapes :].any()


def test_lips_close_over_an_open_jaw(body):
    asset = body.asset
    face = torch.zeros(1, body.num_betas)
    pose = torch.zeros(1, 54, 3)
    pose[0, SMPLX55_NAMES.index("jaw") - 1, 0] = 0.34
    mouth = asset.keypoint_regressors["blazepose33"][[9, 10]]
    upper = np.argmin(np.linalg.norm(asset.v_template - (mouth @ asset.v_template).mean(0) - [0, 0.006, 0.02], axis=1))
    lower = np.argmin(np.linalg.norm(asset.v_template - (mouth @ asset.v_template).mean(0) - [0, -0.012, 0.02], axis=1))
    gap = [np.linalg.norm(v[upper] - v[lower]) for v in (asset.v_template, body(face, pose).vertices[0].numpy())]
    face[0, asset.num_shapes + asset.expression_names.index("mouthClose")] = 1
    closed = body(face, pose).vertices[0].numpy()
    assert gap[1] > gap[0] + 0.02 and np.linalg.norm(closed[upper] - closed[lower]) < gap[0] + 0.006


def test_measures_are_those_of_the_open_body(opened, body):
    betas = np.random.default_rng(0).normal(size=(2, 41))
    before = opened.measure(betas)
    after = body.measure(np.pad(betas, ((0, 0), (0, 47)), constant_values=0.7))
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, atol=1e-6, err_msg=name)


def test_a_copy_beside_results_is_the_whole_body(body, tmp_path):
    save_asset(body.asset, tmp_path / "copy.npz")
    again = read_asset(tmp_path / "copy.npz")
    for key in ("v_template", "shapedirs", "weights", "parents"):
        np.testing.assert_array_equal(getattr(again, key), getattr(body.asset, key), key)
    assert again.expression_names == body.asset.expression_names
    assert (tmp_path / "copy.npz").stat().st_size < 6e6


def test_files_that_were_not_made_for_each_other_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "open"
    folder.mkdir()
    (folder / "DSR_OPEN_X.npz").write_bytes(find_open("open-x").read_bytes())
    save_asset(replace(load_asset("open"), sha256="0" * 64), folder / "DSR_OPEN.npz")
    monkeypatch.setenv("DSR_BODY_MODELS", str(tmp_path))
    with pytest.raises(BodyError, match=r"DSR_OPEN_X\.npz was made for another DSR_OPEN\.npz"):
        load_asset("open-x")
    (folder / "DSR_OPEN.npz").unlink()
    with pytest.raises(BodyError, match=r"DSR_OPEN\.npz"):
        load_asset("open-x")


def test_names_of_expressions_have_to_be_as_many(body):
    with pytest.raises(BodyError, match="2 names for 47"):
        replace(body.asset, expression_names=("a", "b")).check()


def test_fewer_betas_keep_the_face(body):
    few = Body(load_asset("open-x", num_betas=10))
    assert (few.num_betas, few.asset.num_shapes, few.asset.num_expressions) == (57, 10, 47)
    np.testing.assert_array_equal(few.asset.shapedirs[..., 10:], body.asset.shapedirs[..., 41:])


def test_together_the_files_stay_small():
    folder = Path(find_open("open")).parent
    assert sum((folder / f).stat().st_size for f in ("DSR_OPEN.npz", "DSR_OPEN_X.npz")) < 6e6
