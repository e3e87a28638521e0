"""dsr-eval views: a made-up person before a camera, found with errors, fitted for real, and the ladder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from shared_data import real_views

from dsr.body import load_body
from dsr.cli.eval import main
from dsr.errors import DatasetError
from dsr.evaluation.known_joints import limb_index, match_views, with_true_landmarks, with_true_pixels
from dsr.evaluation.view_truth import load_views
from dsr.evaluation.views import ViewScore, evaluate_views, score_people, summaries
from dsr.options import FitOptions
from dsr.people import Detection

K = np.array([[500.0, 0, 160], [0, 500, 240], [0, 0, 1]])
NAMES = ["R hip", "R knee", "R ankle", "L hip", "L knee", "L ankle"]
NAMES += ["L shoulder", "L elbow", "L wrist", "R shoulder", "R elbow", "R wrist"]
ORDER = [24, 26, 28, 23, 25, 27, 11, 13, 15, 12, 14, 16]


@pytest.fixture(scope="module")
def vertices():
    """Somebody with bent limbs, (V, 3) metres in the camera."""
    body = load_body("open")
    pose = 0.2 * torch.randn(1, 23, 3, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        out = body(torch.zeros(1, body.num_betas), pose, torch.tensor([[np.pi, 0, 0]]), torch.tensor([[0.1, 0, 4.0]]))
    return out.vertices[0].double().numpy()


@pytest.fixture(scope="module")
def points(vertices):
    """(33, 3) BlazePose's points of that person."""
    return np.asarray(load_body("open").asset.keypoint_regressor("blazepose33") @ vertices)


def project(points: np.ndarray) -> np.ndarray:
    return points[:, :2] / points[:, 2:] * 500 + K[:2, 2]


def detection(points: np.ndarray, shift: float = 0.0) -> Detection:
    """What a perfect detector would find; ``shift`` pixels to the right."""
    pixels = project(points) + np.array([shift, 0])
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    return Detection(box, 0.9, "blazepose33", pixels, np.ones(33), points - points[[23, 24]].mean(0))


def write_folder(folder: Path, points: np.ndarray, files: tuple[str, ...] = ("a.png",), **changes) -> Path:
    """A folder of grey pictures and their truth; ``changes`` to every view."""
    for name in files:
        Image.new("RGB", (320, 480), (128, 128, 128)).save(folder / name)
    view = {"person": "somebody", "K": K.tolist(), "joints_px": project(points)[ORDER].tolist()}
    view |= {"joints_cam_mm": (1000 * points[ORDER]).tolist()} | changes
    document = {"joint_order": NAMES, "views": [{"file": name, **view} for name in files]}
    (folder / "truth.json").write_text(json.dumps(document))
    return folder


def test_truth_comes_in_our_order_and_metres(tmp_path, points):
    (view,) = load_views(write_folder(tmp_path, points))
    np.testing.assert_allclose(view.joints_m, points[limb_index("blazepose33")], atol=1e-9)
    np.testing.assert_allclose(view.joints_px, project(points)[limb_index("blazepose33")])
    assert view.known.all() and (view.box_px[:2] < view.joints_px.min(0)).all()
    assert view.box_px[1] < project(points)[0, 1]  # the nose is inside, though no joint of the twelve


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"joints_cam_mm": [[0, 0, 1000.0]] * 3}, "joints_cam_mm"),
        ({"joints_px": "none"}, "joints_px"),
        ({"joints_cam_mm": [[0, 0, -1000.0]] * 12}, "behind the camera"),
        ({"joints_cam_mm": [[None, None, None]] * 12}, "fewer than 4 joints"),
        ({"K": [[0, 0, 1], [0, 1, 1], [0, 0, 1]]}, "K is no"),
        ({"file": "missing.png"}, "missing.png is missing"),
    ],
)
def test_broken_views_are_named(tmp_path, points, changes, says):
    with pytest.raises(DatasetError, match=says):
        load_views(write_folder(tmp_path, points, **changes))


def test_broken_files_are_named(tmp_path, points, capsys):
    assert main(["views", str(tmp_path / "none")]) == 2
    assert "truth.json: cannot be read" in capsys.readouterr().err
    (tmp_path / "truth.json").write_text("{")
    with pytest.raises(DatasetError, match="not valid JSON"):
        load_views(tmp_path)
    (tmp_path / "truth.json").write_text('{"images": []}')
    with pytest.raises(DatasetError, match="no list 'views'"):
        load_views(tmp_path)
    write_folder(tmp_path, points)
    text = (tmp_path / "truth.json").read_text()
    (tmp_path / "truth.json").write_text(text.replace('"R knee"', '"R toe"'))
    with pytest.raises(DatasetError, match="lacks right_knee"):
        load_views(tmp_path)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--limit", "0"], "--limit 0"),
        (["--focal-factor", "0"], "--focal-factor 0"),
        (["--focal-factor", "2", "--focal", "500"], "leave out --focal"),
        (["--true-boxes", "--boxes", "truth.json"], "--true-boxes"),
        (["--json", "nowhere/x.json"], "--json"),
    ],
)
def test_flags_that_cannot_work(tmp_path, points, flags, says, capsys):
    assert main(["views", str(write_folder(tmp_path, points)), *flags]) == 2
    assert says in capsys.readouterr().err


def test_true_joints_take_their_places_and_drag_hands_and_feet(tmp_path, points):
    (view,) = load_views(write_folder(tmp_path, points))
    limbs = limb_index("blazepose33")
    found = detection(points, shift=30)
    found = replace(found, world_m=found.world_m * 1.2 + np.random.default_rng(0).normal(0, 0.05, (33, 3)))
    flat = with_true_pixels(found, view)
    np.testing.assert_allclose(flat.keypoints_px[limbs], view.joints_px)
    np.testing.assert_allclose(flat.keypoints_px[[31, 19]], project(points)[[31, 19]], atol=1e-6)  # foot and finger
    np.testing.assert_allclose(flat.keypoints_px[0], found.keypoints_px[0])  # the nose is still the detector's
    assert flat.world_m is found.world_m and found.keypoints_px[11, 0] != flat.keypoints_px[11, 0]
    deep = with_true_landmarks(found, view)
    hips = points[[23, 24]].mean(0)
    np.testing.assert_allclose(deep.world_m[limbs], points[limbs] - hips, atol=1e-9)
    assert deep.world_sigma_m[limbs].max() < deep.world_sigma_m[0]  # and the fit is told which are certain
    assert np.linalg.norm(deep.world_m[0] - (points[0] - hips)) < 0.15  # the rest is laid on at the true size
    np.testing.assert_allclose(deep.keypoints_px, found.keypoints_px)


def test_joints_that_are_not_known_stay_the_detectors(tmp_path, points):
    millimetres = (1000 * points[ORDER]).tolist()
    millimetres[1] = [None, None, None]  # the right knee
    (view,) = load_views(write_folder(tmp_path, points, joints_cam_mm=millimetres))
    found = detection(points, shift=30)
    changed = with_true_pixels(found, view)
    np.testing.assert_allclose(changed.keypoints_px[26], found.keypoints_px[26])
    np.testing.assert_allclose(changed.keypoints_px[25], found.keypoints_px[25] - [30, 0])
    deep = with_true_landmarks(found, view)
    assert np.isfinite(deep.world_m).all()


def test_somebody_upside_down_is_found_but_astray_and_a_neighbour_is_not_the_one(tmp_path, points, vertices):
    (view,) = load_views(write_folder(tmp_path, points))
    right, away = detection(points), np.array([250, 0])
    down = replace(right, keypoints_px=right.keypoints_px[:, :2] * [1, -1] + [0, right.box_px[[1, 3]].sum()])
    beside = replace(right, keypoints_px=right.keypoints_px + away, box_px=right.box_px + np.tile(away, 2))
    assert match_views([view], [beside, right]) == {0: 1}
    assert match_views([view], [beside, down]) == {0: 1}
    assert match_views([view], [beside]) == {}
    person = SimpleNamespace(**down.__dict__, vertices_cam_m=vertices, height_m=1.7)
    asset = load_body("open").asset
    (score,) = score_people([view], [person], [], asset)
    assert score.found and score.astray and score.pa_mpjpe_mm < 0.1
    (missed,) = score_people([view], [], [], asset)
    assert not missed.found and missed.pa_mpjpe_mm is None


def test_scores_of_a_body_that_leans_and_straightens(tmp_path, points, vertices):
    """Turned by 10 degrees about the x axis through the hips: the head goes one way, nothing else is wrong."""
    (view,) = load_views(write_folder(tmp_path, points))
    asset = load_body("open").asset
    angle = np.radians(10)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    hips = points[[23, 24]].mean(0)
    person = SimpleNamespace(**detection(points).__dict__, height_m=1.7)
    person.vertices_cam_m = (vertices - hips) @ turn.T + hips
    (score,) = score_people([view], [person], [detection(points)], asset)
    assert score.pa_mpjpe_mm < 0.1 and score.landmarks_pa_mpjpe_mm < 0.1 and score.mpjpe_mm > 40
    assert score.trunk_lean_deg == pytest.approx(10, abs=1.5)
    moved_to_camera = ((points[[11, 12]].mean(0) - hips) @ turn.T)[2] < (points[[11, 12]].mean(0) - hips)[2]
    assert (score.trunk_towards_deg > 5) == moved_to_camera
    np.testing.assert_allclose([*score.knees_deg, *score.elbows_deg], 0, atol=0.05)


def test_summaries_are_by_person_and_count_who_is_missed():
    scores = [
        ViewScore("a", "x", found=True, pa_mpjpe_mm=10.0, knees_deg=[5.0, -5.0]),
        ViewScore("b", "x", found=True, astray=True, pa_mpjpe_mm=90.0, knees_deg=[None, 10.0]),
        ViewScore("c", "y"),
    ]
    figures = summaries(scores)
    assert list(figures) == ["x", "y", "all"]
    assert figures["x"]["pa_mpjpe_mm"] == 50 and figures["x"]["pa_mpjpe_not_astray_mm"] == 10
    assert figures["x"]["knees_bias_deg"] == pytest.approx(10 / 3) and figures["x"]["knees_abs_deg"] == pytest.approx(
        20 / 3
    )
    assert figures["y"]["missed"] == 1 and figures["y"]["pa_mpjpe_mm"] is None
    assert figures["all"]["views"] == 3 and figures["all"]["astray"] == 1


@pytest.fixture
def noisy(monkeypatch, points):
    """A detector that is off by 12 pixels and 8 centimetres, and counts how often it is asked."""
    rng = np.random.default_rng(1)
    found = detection(points)
    noise = rng.normal(0, 12, (33, 2)), rng.normal(0, 0.08, (33, 3))
    wrong = replace(found, keypoints_px=found.keypoints_px + noise[0], world_m=found.world_m + noise[1])
    calls = []

    def find(self, photo):
        calls.append(Path(photo.path).name)
        beside = replace(wrong, keypoints_px=wrong.keypoints_px + 250, box_px=wrong.box_px + 250)
        return [] if "empty" in calls[-1] else [wrong, beside] if "two" in calls[-1] else [wrong]

    monkeypatch.setattr("dsr.pipeline.people_finder.PeopleFinder.__call__", find)
    monkeypatch.setattr("dsr.pipeline.people_finder.PeopleFinder.prepare", lambda self: None)
    return calls


def test_the_ladder_goes_down_and_the_detector_runs_once(tmp_path, points, noisy, capsys):
    folder = write_folder(tmp_path, points, ("a.png", "empty.png"))
    out = tmp_path / "out.json"
    assert main(["views", str(folder), "--ladder", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "missed: empty.png somebody" in printed and "true 2D" in printed
    assert sorted(noisy) == ["a.png", "empty.png"]
    rungs = json.loads(out.read_text())["rungs"]
    errors = [rungs[rung]["summary"]["somebody"]["pa_mpjpe_mm"] for rung in ("as is", "true 2D", "true 3D", "both")]
    assert errors[0] > max(errors[1:3]) and errors[3] < min(errors[1:3]) and errors[3] < 0.6 * errors[0]
    assert rungs["as is"]["summary"]["all"]["missed"] == 1
    given = [rungs[rung]["views"][0] for rung in ("as is", "both")]
    assert given[0]["keypoints_percent"] > 2 and given[1]["keypoints_percent"] < 1e-3
    assert given[0]["landmarks_pa_mpjpe_mm"] > 50 and given[1]["landmarks_pa_mpjpe_mm"] < 1e-3


def test_every_picture_has_the_focal_length_of_its_truth(tmp_path, points, monkeypatch):
    views = load_views(write_folder(tmp_path, points, ("a.png", "b.png")))
    views[1] = replace(views[1], K=K * [[2], [2], [1]])
    asked = []

    def fit(paths, options, **_):
        asked.extend((p.name, options.focal, options.fov) for p in paths)
        return [SimpleNamespace(status="ok", people=[], detections=[], message="") for _ in paths]

    monkeypatch.setattr("dsr.pipeline.picture_fitter.fit_images", fit)
    evaluate_views(views, focal_factor=0.5)
    evaluate_views(views, FitOptions(fov=50))
    assert asked == [
        ("a.png", 500, None), ("b.png", 1000, None), ("a.png", 250, None), ("b.png", 500, None),
        ("a.png", None, 50), ("b.png", None, 50),
    ]  # fmt: skip


def test_people_beside_the_true_ones_are_counted(tmp_path, points, noisy, capsys):
    out = tmp_path / "out.json"
    assert main(["views", str(write_folder(tmp_path, points, ("a.png", "two.png"))), "--json", str(out)]) == 0
    assert "people beside those of the truth: 1 (two.png 1)" in capsys.readouterr().out
    assert json.loads(out.read_text())["beside"] == {"two.png": 1}


def test_another_focal_length_changes_the_pose_a_little(tmp_path, points, noisy, capsys):
    out = tmp_path / "out.json"
    assert main(["views", str(write_folder(tmp_path, points)), "--focal-factor", "0.5", "--json", str(out)]) == 0
    assert "focal x 0.5: poses differ by" in capsys.readouterr().out
    rungs = json.loads(out.read_text())["rungs"]
    assert rungs["as is"]["views"][0]["pose_change_mm"] is None
    assert 0.1 < rungs["focal x 0.5"]["views"][0]["pose_change_mm"] < 60


def test_true_boxes_go_through_the_option(tmp_path, points, monkeypatch):
    boxes = []

    def fit(paths, options, people_finder, **_):
        assert options.boxes is not None
        from dsr.people import load_boxes

        boxes.extend(load_boxes(options.boxes, path)[0] for path in paths)
        return [SimpleNamespace(status="ok", people=[], detections=[], message="") for _ in paths]

    monkeypatch.setattr("dsr.pipeline.picture_fitter.fit_images", fit)
    views = load_views(write_folder(tmp_path, points))
    evaluate_views(views, true_boxes=True)
    np.testing.assert_allclose(boxes, [views[0].box_px])


def test_the_real_photographs_can_be_read():
    views = load_views(real_views())
    assert len(views) == 32 and {len(v.joints_m) for v in views} == {12}
    assert all(2 < v.joints_m[:, 2].mean() < 8 for v in views)  # metres
