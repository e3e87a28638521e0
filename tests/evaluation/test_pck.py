"""PCK, AUC, per-joint tables, 2D PCK and mask overlap: small cases worked out by hand, and the golden vectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shared_data import script, vectors

from dsr.body import Body
from dsr.body.licensed import convert
from dsr.errors import UsageError
from dsr.evaluation import auc, find_protocol, mask_iou, mpjpe, pa_mpjpe, pck, pck_2d, per_joint, procrustes_align, pve
from dsr.evaluation.datasets import _joints, _true_meshes
from dsr.evaluation.protocols import J14_NAMES, J17_NAMES, LEGS_LEFT_FIRST, SPIN24_TO_J17, joint_rows
from dsr.synthetic import PersonRecord

GENDERS = {"neutral": 2021, "female": 2023}


def test_pck_counts_joints_strictly_below_the_threshold() -> None:
    errors = np.array([[0.0, 149.9], [150.0, 300.0]])
    assert float(pck(errors)) == 0.5
    np.testing.assert_allclose(pck(errors, reduction="joint"), [0.5, 0.5])
    np.testing.assert_allclose(pck(errors, reduction="sample"), [1.0, 0.0])
    assert float(pck(errors, 300.1)) == 1.0
    assert float(pck(errors, mask=[[True, True], [False, False]])) == 1.0
    assert float(pck([10.0, np.nan])) == 1.0
    assert np.isnan(pck([np.nan]))


def test_auc_is_the_mean_over_31_thresholds() -> None:
    assert float(auc([0.0])) == pytest.approx(30 / 31)  # nothing is below 0
    assert float(auc([75.0])) == pytest.approx(15 / 31)  # 80, 85, ..., 150
    assert float(auc([150.0])) == 0.0
    np.testing.assert_allclose(auc([[0.0, 200.0]], reduction="joint"), [30 / 31, 0.0])


def test_per_joint_names_every_column() -> None:
    table = per_joint(["hip", "head"], mpjpe_mm=[[10.0, 200.0], [30.0, np.nan]], pa_mpjpe_mm=[[1.0, 2.0], [3.0, 4.0]])
    assert table["hip"] == {"mpjpe_mm": 20.0, "pa_mpjpe_mm": 2.0, "pck": 1.0, "auc": pytest.approx((28 + 24) / 62)}
    assert table["head"]["mpjpe_mm"] == 200.0 and table["head"]["pck"] == 0.0 and table["head"]["pa_mpjpe_mm"] == 3.0
    assert per_joint(["hip"], mpjpe_mm=[[np.nan]])["hip"]["mpjpe_mm"] is None


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(UsageError, match="2 joints"):
        per_joint(["hip"], mpjpe_mm=[[1.0, 2.0]])
    with pytest.raises(UsageError, match="mask"):
        pck([1.0, 2.0], mask=[True, False, True])
    with pytest.raises(UsageError, match="reduction"):
        pck([1.0], reduction="person")
    with pytest.raises(UsageError, match="shape"):
        mask_iou(np.ones((3, 4), bool), np.ones((4, 3), bool))
    with pytest.raises(UsageError, match="positive"):
        pck_2d(np.zeros((2, 1, 2)), np.zeros((2, 1, 2)), np.array([1.0, 0.0]))


def test_pck_2d_is_relative_to_the_size() -> None:
    target = np.zeros((2, 2, 2))
    predicted = np.array([[[3.0, 4.0], [0.0, 10.0]], [[3.0, 4.0], [0.0, 10.0]]])
    size = np.array([10.0, 20.0])
    assert float(pck_2d(predicted, target, size)) == 0.75  # 5, 10 against 5; 5, 10 against 10
    np.testing.assert_allclose(pck_2d(predicted, target, size, joints=True), [1.0, 0.5])
    assert float(pck_2d(predicted, target, size, [[True, False], [True, False]])) == 1.0


def test_mask_overlap() -> None:
    a, b = np.zeros((2, 4, 4), bool)
    a[:, :2], b[:, 1:3] = True, True
    assert float(mask_iou(a, b)) == pytest.approx(1 / 3)
    assert float(mask_iou(a.astype(np.float32) * 0.6, b)) == pytest.approx(1 / 3)
    valid = np.ones((4, 4), bool)
    valid[:, 0] = False
    assert float(mask_iou(a, b, valid)) == pytest.approx(1 / 2)
    assert np.isnan(mask_iou(np.zeros((4, 4), bool), np.zeros((4, 4), bool)))


def test_published_vectors() -> None:
    g = vectors("dsr", "eval")
    np.testing.assert_allclose(procrustes_align(g["S1"], g["S2"]), g["aligned"], atol=1e-9)
    np.testing.assert_allclose(pa_mpjpe(g["S1"], g["S2"], reduction="none"), g["pa_per_joint"], atol=1e-9)
    np.testing.assert_allclose(pa_mpjpe(g["S1"], g["S2"], reduction="sample"), g["pa_mean"], atol=1e-9)
    np.testing.assert_allclose(mpjpe(g["S1"], g["S2"], root=None, reduction="sample"), g["mpjpe"], atol=1e-9)
    p = vectors("perspose", "misc")
    np.testing.assert_allclose(pa_mpjpe(p["pa_pred"], p["pa_gt"], reduction="none"), p["pa_mpjpe"], atol=1e-9)


def test_true_mesh_is_the_published_one_of_its_gender(tmp_path: Path) -> None:
    g = vectors("dsr", "dataset_items")
    made = script("dsr", "synth_assets")
    bodies = {gender: Body(convert(made.assets(seed)[0], tmp_path / gender)) for gender, seed in GENDERS.items()}
    record = PersonRecord("3dpw", "0", tmp_path, np.array([0.0, 0, 9, 9]), gender="female")
    record.pose_aa, record.betas = g["in_pose"][0].reshape(24, 3), g["in_shape"][0]
    for gendered, same in ((True, True), (False, False)):
        protocol = replace(find_protocol("3dpw"), gendered=gendered)
        regressors = dict.fromkeys(bodies, made.assets(2021)[2][list(LEGS_LEFT_FIRST)])
        vertices, joints = _true_meshes([(0, record)], bodies, regressors, protocol, set())
        apart = np.abs(vertices[0, ::20] - g["e_3dpw_vertices_every20"]).max()
        assert (apart < 1e-5) == same
    assert joints.shape == (1, 17, 3)


def test_regressed_joints_and_vertex_errors_are_the_published_ones() -> None:
    g = vectors("dsr", "eval")
    regressor = script("dsr", "synth_assets").assets(2021)[2][list(LEGS_LEFT_FIRST)]
    vertices = np.random.RandomState(72).standard_normal((2, 6890, 3)).astype(np.float32)
    joints = _joints(regressor, vertices.astype(np.float64))
    joints = joints - joints[:, :1]
    for names, key in ((J14_NAMES, "h36m_j14_pelvis0"), (J17_NAMES, "h36m_j17_pelvis0")):
        np.testing.assert_allclose(joints[:, joint_rows(names)], g[key], atol=1e-5)
    np.testing.assert_allclose(pve(g["verts_pred"], g["verts_gt"], reduction="sample"), g["v2v"], rtol=1e-9)


def test_joint_selection_is_the_published_one() -> None:
    """Rows of SPIN's regressor, whose legs come left first, end up at the published places."""
    g = vectors("dsr", "eval")
    published = np.arange(17)  # the row numbers of the file, moved as the loader moves them, then selected by name
    np.testing.assert_array_equal(published[list(LEGS_LEFT_FIRST)][joint_rows(J17_NAMES)], g["H36M_TO_J17"])
    np.testing.assert_array_equal(SPIN24_TO_J17, g["J24_TO_J17"])
