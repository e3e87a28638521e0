"""Strata of the generated benchmark: lean, knees and feet against a known floor, and truth of another body."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dsr.body import load_asset
from dsr.camera import PictureCamera
from dsr.cli.eval import main
from dsr.cli.eval_synthetic import strata_lines
from dsr.errors import DatasetError
from dsr.evaluation.scores import PersonScore
from dsr.evaluation.strata import score_floor, score_posture, strata_figures
from dsr.evaluation.synthetic import with_keypoints_of
from dsr.evaluation.truth import TruePerson, TruePicture, load_truth
from dsr.results.floor import Floor

CAMERA = PictureCamera(np.array([[500.0, 0, 160], [0, 500, 240], [0, 0, 1]]), (320, 480))
FLOOR = np.array([0.0, -1, 0, -1.0])
"""One metre below the camera."""


@pytest.fixture(scope="module")
def asset():
    return load_asset("open-light")


def standing(asset, z: float = 4.0, lift: float = 0.0) -> np.ndarray:
    """The template with its feet on the floor, ``lift`` metres above it."""
    upright = asset.v_template * [1, -1, -1] + [0, 0, z]
    return upright + np.array([0, 1.0 - upright[:, 1].max() - lift, 0])


def truth_of(asset, vertices: np.ndarray) -> TruePerson:
    points = {name: np.asarray(asset.keypoint_regressor(name) @ vertices) for name in ("blazepose33", "h36m17")}
    pixels = {name: CAMERA.project(p) for name, p in points.items()}
    box = np.concatenate([pixels["blazepose33"].min(0), pixels["blazepose33"].max(0)])
    zeros = np.zeros(asset.num_betas), np.array([np.pi, 0, 0]), np.zeros((23, 3)), np.zeros(3)
    joints = np.asarray(asset.J_regressor @ vertices)
    return TruePerson(*zeros, box, 1.0, joints, points, pixels, 1.7, ("tight",), vertices)


def picture_of(asset, stratum: str, *vertices: np.ndarray) -> TruePicture:
    people = tuple(truth_of(asset, v) for v in vertices)
    return TruePicture(Path("a.jpg"), CAMERA, "open", "0" * 64, people, stratum, FLOOR)


def test_a_leaning_fit_of_somebody_upright(asset):
    vertices = standing(asset)
    picture = picture_of(asset, "frontal", vertices)
    hips = vertices.mean(0)
    leaning = (vertices - hips) @ Rotation.from_euler("x", 20, degrees=True).as_matrix().T + hips
    score = PersonScore("a", 0, 1.0, found=True, strata=["frontal"])
    score_posture(score, picture, picture.people[0], leaning, asset)
    assert score.trunk_error_deg == pytest.approx(20, abs=0.5)
    assert score.true_trunk_upright_deg < 8 and 12 < score.trunk_upright_deg < 28
    assert score.knees_bent_deg == pytest.approx(score.true_knees_bent_deg, abs=0.1)
    other = PersonScore("a", 0, 1.0)
    score_posture(other, replace(picture, stratum="any"), picture.people[0], leaning, asset)
    assert other.trunk_upright_deg is None and other.trunk_error_deg == pytest.approx(20, abs=0.5)


def test_feet_of_several_people_are_on_one_floor_or_not(asset):
    picture = picture_of(asset, "several", standing(asset, 4), standing(asset, 6))
    scores = [PersonScore("a", i, 1.0) for i in range(2)]
    score_floor(scores, picture, [standing(asset, 4), standing(asset, 6)])
    assert [s.feet_off_floor_m for s in scores] == pytest.approx([0, 0], abs=1e-9)
    score_floor(scores, picture, [standing(asset, 4, 0.3), standing(asset, 6, 0.3)])  # all alike: the size is free
    assert [s.feet_off_floor_m for s in scores] == pytest.approx([0, 0], abs=1e-9)
    score_floor(scores, picture, [standing(asset, 4), standing(asset, 6, 0.3)])
    assert [s.feet_off_floor_m for s in scores] == pytest.approx([0.15, 0.15])
    alone = PersonScore("a", 0, 1.0, fitted_id="p0")
    score_floor([alone], picture, [standing(asset)])
    assert alone.feet_off_floor_m is None and alone.floor_tilt_deg is None


def test_the_results_own_floor_is_judged_too(asset):
    picture = picture_of(asset, "any", standing(asset))
    tilted = np.array([0, -np.cos(0.1), np.sin(0.1)])
    body = standing(asset, lift=0.2)
    for people, off in ((["p0"], 0.2), ([], None)):
        score = PersonScore("a", 0, 1.0, fitted_id="p0")
        score_floor([score], picture, [body], Floor(FLOOR[:3], -1.0, people=people))
        assert score.floor_tilt_deg == pytest.approx(0, abs=1e-6)
        assert score.feet_off_own_floor_m == (None if off is None else pytest.approx(off))
    score_floor([score], picture, [body], Floor(tilted, None))
    assert score.floor_tilt_deg == pytest.approx(np.degrees(0.1))


def test_figures_by_stratum_count_who_is_missed():
    people = [
        PersonScore("a", 0, 1.0, found=True, pa_mpjpe_mm=40.0, strata=["cut", "loose"]),
        PersonScore("b", 0, 1.0, strata=["cut", "tight"]),
        PersonScore("c", 0, 1.0, found=True, pa_mpjpe_mm=60.0, feet_off_floor_m=0.04, strata=["several", "tight"]),
    ]
    figures = strata_figures(people)
    assert list(figures) == ["cut", "several", "loose", "tight"]
    assert (figures["cut"]["people"], figures["cut"]["found"], figures["cut"]["pa_mpjpe_mm"]) == (2, 1, 40)
    assert figures["several"]["feet_off_floor_m"] == 0.04 and figures["cut"]["feet_off_floor_m"] is None
    lines = strata_lines(figures)
    assert lines[1].split()[:4] == ["cut", "2", "1", "40.0"] and "4.0" in lines[2].split()
    assert strata_lines({}) == [] and strata_figures([PersonScore("a", 0, 1.0)]) == {}


def test_keypoints_are_read_off_the_vertices_where_the_mesh_is_the_same(asset):
    picture = picture_of(asset, "any", standing(asset))
    person = picture.people[0]
    wrong = replace(person, keypoints_cam_m={k: v + 0.1 for k, v in person.keypoints_cam_m.items()})
    put_right = with_keypoints_of(asset, replace(picture, people=(wrong,))).people[0]
    np.testing.assert_allclose(put_right.keypoints_cam_m["blazepose33"], person.keypoints_cam_m["blazepose33"])
    np.testing.assert_allclose(put_right.keypoints_px["h36m17"], person.keypoints_px["h36m17"])
    kept = with_keypoints_of(load_asset("open"), replace(picture, people=(wrong,))).people[0]
    assert kept is wrong


def test_truth_of_another_body_is_scored_by_its_vertices(asset, tmp_path, monkeypatch, capsys):
    """The same person as the fit's: no error in joints, sizes left out, and a line that says so."""
    from PIL import Image

    body = load_asset("open")
    vertices = standing(body)
    person = truth_of(body, vertices)
    rows = {
        "betas": [0.0] * 3,
        "global_orient": person.global_orient.tolist(),
        "body_pose": person.body_pose.tolist(),
        "transl": [0, 0, 0],
        "box_px": person.box_px.tolist(),
        "visible_share": 1.0,
        "joints_cam_m": person.joints_cam_m.tolist(),
        "keypoints": {
            k: {"cam_m": v.tolist(), "px": CAMERA.project(v).tolist()} for k, v in person.keypoints_cam_m.items()
        },
        "height_m": 1.7,
        "strata": ["tight"],
    }
    document = {
        "image": "a.jpg",
        "image_size": [320, 480],
        "K": CAMERA.K.tolist(),
        "body": {"name": "open", "sha256": "0" * 64},
        "stratum": "frontal",
        "floor_cam": FLOOR.tolist(),
        "people": [rows],
    }
    Image.new("RGB", (320, 480)).save(tmp_path / "a.jpg")
    (tmp_path / "a.truth.json").write_text(json.dumps(document))
    assert main(["synthetic", "--truth", str(tmp_path)]) == 2  # without vertices it is refused
    assert "another body" in capsys.readouterr().err
    np.savez(tmp_path / "a.truth.npz", vertices_cam_m=vertices[None])
    keypoints = np.c_[person.keypoints_px["blazepose33"], np.ones(33)]
    fit = SimpleNamespace(
        id="p0",
        keypoint_set="blazepose33",
        keypoints_px=keypoints,
        vertices_cam_m=vertices,
        joints_cam_m=person.joints_cam_m,
        global_orient=person.global_orient,
        betas=np.zeros(body.num_betas),
        height_m=1.7,
        residuals={},
    )
    result = SimpleNamespace(status="ok", people=[fit], detections=[], unrefined=None, message="", floor=None)
    monkeypatch.setattr("dsr.pipeline.picture_fitter.fit_images", lambda *args, **kwargs: [result])
    out = tmp_path / "o.json"
    assert main(["synthetic", "--truth", str(tmp_path), "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "1 pictures were made with another body" in printed and "frontal" in printed
    (score,) = json.loads(out.read_text())["people"]
    assert score["pa_mpjpe_mm"] < 0.1 and score["pve_mm"] < 0.1 and score["waist_error_m"] is None
    assert score["strata"] == ["frontal", "tight"] and score["behind_camera"] is False and "BEHIND" not in printed
    fit.joints_cam_m = person.joints_cam_m - [0, 0, 8]
    assert main(["synthetic", "--truth", str(tmp_path)]) == 0
    assert "BEHIND THE CAMERA: 1" in capsys.readouterr().out
    (tmp_path / "a.truth.npz").write_bytes(b"broken")
    with pytest.raises(DatasetError, match=r"a\.truth\.json"):
        load_truth(tmp_path)
