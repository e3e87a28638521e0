"""The baked open body: what DESIGN section 5 promises of the files, and that left, front and size are right."""

import json
from pathlib import Path

import numpy as np
import pytest

from dsr.body import load_asset, pose_vertices, skeleton
from dsr.body.joints import SMPL24_NAMES, SMPL24_PARENTS, flip_permutation, joint_names

REPORT = json.loads((Path(__file__).parents[2] / "body_models" / "open" / "REPORT.json").read_text())


@pytest.fixture(scope="module", params=["open", "open-light"])
def asset(request):
    return load_asset(request.param)


def test_sizes(asset):
    assert asset.shapedirs.shape == (len(asset.v_template), 3, 41)
    assert len(asset.v_template) == {"open": REPORT["vertices"], "open-light": REPORT["light_vertices"]}[asset.name]
    assert tuple(asset.parents) == SMPL24_PARENTS
    assert tuple(asset.joint_names) == SMPL24_NAMES


def test_skinning_is_a_partition_of_unity_on_four_joints(asset):
    np.testing.assert_allclose(asset.weights.sum(1), 1, atol=1e-6)
    assert np.count_nonzero(asset.weights, axis=1).max() <= 4
    assert asset.weights.min() >= 0


def test_rest_pose_is_a_t_pose_facing_forward_with_left_at_plus_x(asset):
    joints = asset.J_regressor @ asset.v_template
    place = dict(zip(SMPL24_NAMES, joints, strict=True))
    np.testing.assert_allclose(place["pelvis"], 0, atol=5e-3)
    assert place["left_wrist"][0] > 0.5 > -0.5 > place["right_wrist"][0]
    for side in ("left", "right"):  # arms level, legs upright
        assert abs(place[f"{side}_wrist"][1] - place[f"{side}_shoulder"][1]) < 0.02
        assert abs(place[f"{side}_ankle"][0] - place[f"{side}_hip"][0]) < 0.02
        assert place[f"{side}_foot"][2] > place[f"{side}_ankle"][2] + 0.08
    nose = (asset.keypoint_regressors["coco17"] @ asset.v_template)[0]
    assert nose[2] > place["head"][2] + 0.05


@pytest.mark.parametrize("name", ["coco17", "h36m17", "blazepose33", "openpose25"])
def test_keypoints_are_convex_and_symmetric(asset, name):
    rows = asset.keypoint_regressors[name]
    assert rows.shape[0] == len(joint_names(name))
    np.testing.assert_allclose(np.asarray(rows.sum(1)).ravel(), 1, atol=1e-5)
    points = rows @ asset.v_template
    mirrored = points[list(flip_permutation(name))] * [-1, 1, 1]
    np.testing.assert_allclose(points, mirrored, atol=1.5e-3)


def test_light_body_is_the_same_person():
    full, light = load_asset("open"), load_asset("open-light")
    rng = np.random.default_rng(0)
    for betas in [np.zeros(41), *rng.normal(size=(5, 41))]:
        a, b = (x.J_regressor @ (x.v_template + x.shapedirs @ betas) for x in (full, light))
        np.testing.assert_allclose(a, b, atol=4e-3)


def test_first_beta_is_size_and_one_leads_to_a_child_and_on_to_a_toddler(asset):
    def height(betas):
        y = (asset.v_template + asset.shapedirs @ betas)[:, 1]
        return np.ptp(y)

    one = np.eye(asset.num_betas)
    assert height(2 * one[0]) - height(-2 * one[0]) > 0.25
    assert height(one[asset.child_beta]) == pytest.approx(REPORT["height_child_m"], abs=0.02)
    assert 0.8 < height(1.5 * one[asset.child_beta]) < 0.95
    assert 1.6 < height(0 * one[0]) < 1.8


def test_no_surveyed_adult_is_part_child(asset):
    spread = asset.sex_cov[:, asset.child_beta]
    assert not asset.sex_mean[:, asset.child_beta].any() and not spread.any()
    others = np.delete(np.arange(asset.num_betas), asset.child_beta)
    assert (np.linalg.eigvalsh(asset.sex_cov[:, others][:, :, others]) > 0).all()
    both = asset.sex_cov.mean(0) + np.einsum("sa,sb->ab", asset.sex_mean, asset.sex_mean) / 2
    assert abs(both[others, others] - 1).max() < 0.4  # unit variance, but for the people beyond the survey


def test_report_is_of_these_files():
    asset = load_asset("open")
    assert REPORT["interior_faces"] == int(asset.interior.sum())
    assert REPORT["faces"] == len(asset.faces) == 2 * len(asset.quads) == 27980
    assert REPORT["variance_explained_total"] > 0.99
    assert REPORT["skinning_max_influences"] == 4
    assert REPORT["joint_error_mm_max"] < 20


def test_interior_is_inside(asset):
    """Interior faces (eyes, teeth, tongue, mouth) all lie in the head; the outside of every limb is not flagged."""
    centre = asset.v_template[asset.faces].mean(1)
    assert asset.interior.any()
    assert centre[asset.interior, 1].min() > 0.5
    assert np.abs(centre[asset.interior, 0]).max() < 0.12


def test_lifters_joints_stay_on_the_skeleton_when_limbs_bend(asset):
    bends = {"left_elbow": (0, -100, 0), "right_knee": (110, 0, 0), "left_hip": (-90, 0, 20)}
    pose = np.zeros((23, 3))
    for name, degrees in bends.items():
        pose[SMPL24_NAMES.index(name) - 1] = np.radians(degrees)
    betas, still = np.zeros(asset.shapedirs.shape[2]), np.zeros(3)
    vertices = pose_vertices(asset, betas, pose, still, still)
    joints = skeleton(asset, betas, pose, still, still)[1][:, :3, 3]
    names = joint_names("h36m17")
    points = asset.keypoint_regressors["h36m17"] @ vertices
    expected = dict(zip(SMPL24_NAMES, joints, strict=True))
    for pair, wider in (("hip", 1.53), ("shoulder", 0.86)):  # Human3.6M's lie further apart or nearer to each other
        left, right = (expected[f"{side}_{pair}"] for side in ("left", "right"))
        out = (wider - 1) / 2 * (left - right)
        expected |= {f"left_{pair}": left + out, f"right_{pair}": right - out}
    for name in names:
        if name in SMPL24_NAMES and name not in ("pelvis", "head"):
            assert np.linalg.norm(points[names.index(name)] - expected[name]) < 0.02, name


def test_lifters_joints_are_as_far_apart_as_human36m_has_them():
    """On people of 1.7 to 1.8 m: hips 0.265 m apart, shoulders 0.26 to 0.30 m, thigh as long as shank."""
    asset = load_asset("open")
    at = dict(zip(joint_names("h36m17"), asset.keypoint_regressors["h36m17"] @ asset.v_template, strict=True))
    size = 1.75 / np.ptp(asset.v_template[:, 1])

    def length(a, b):
        return size * np.linalg.norm(at[a] - at[b])

    assert length("left_hip", "right_hip") == pytest.approx(0.265, abs=0.01)
    assert 0.26 < length("left_shoulder", "right_shoulder") < 0.30
    assert 0.98 < length("left_hip", "left_knee") / length("left_knee", "left_ankle") < 1.03
