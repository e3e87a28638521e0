"""dsr-eval synthetic: scores of bodies made from the truth, matching, and the command on the example pictures."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dsr.body import load_asset, pose_vertices, standing_height_m
from dsr.camera import PictureCamera
from dsr.cli.eval import main
from dsr.cli.eval_synthetic import table
from dsr.errors import DatasetError
from dsr.evaluation.protocols import PROTOCOLS
from dsr.evaluation.scores import limb12_index, sides_right, silhouettes_iou, yaw_error_deg
from dsr.evaluation.summary import SyntheticReport, summarise
from dsr.evaluation.synthetic import match_people, score_picture
from dsr.evaluation.truth import load_truth
from dsr.people.types import Detection
from dsr.results.picture import FitResult, PersonResult

EXAMPLES = Path("examples/images")


@pytest.fixture(scope="module")
def asset():
    return load_asset("open")


@pytest.fixture(scope="module")
def picture():
    return next(p for p in load_truth(EXAMPLES) if len(p.people) == 2 and all(q.visible_share == 1 for q in p.people))


def fitted(asset, truth, name: str = "p0", orient: np.ndarray | None = None, shift: float = 0.0) -> PersonResult:
    """The true person as a fit would return it, perhaps turned or moved."""
    orient = truth.global_orient if orient is None else orient
    vertices = pose_vertices(asset, truth.betas, truth.body_pose, orient, truth.transl + np.array([0, 0, shift]))
    root = np.asarray(asset.J_regressor @ (asset.v_template + asset.shapedirs @ truth.betas))
    from dsr.body import skeleton

    joints = skeleton(asset, truth.betas, truth.body_pose, orient, truth.transl + np.array([0, 0, shift]))[1][:, :3, 3]
    assert root.shape == joints.shape
    keypoints = np.concatenate([truth.keypoints_px["blazepose33"], np.ones((33, 1))], axis=1)
    return PersonResult(
        name,
        truth.box_px,
        0.9,
        "blazepose33",
        keypoints,
        truth.betas,
        orient,
        truth.body_pose,
        truth.transl,
        vertices,
        joints,
        truth.height_m,
    )


def result_of(picture, people) -> FitResult:
    return FitResult("ok", str(picture.path), K=picture.camera.K, people=people)


def test_truth_is_the_body_it_says(asset, picture) -> None:
    for person in picture.people:
        vertices = pose_vertices(asset, person.betas, person.body_pose, person.global_orient, person.transl)
        for name in ("coco17", "blazepose33", "h36m17"):
            points = np.asarray(asset.keypoint_regressor(name) @ vertices)
            np.testing.assert_allclose(points, person.keypoints_cam_m[name], atol=2e-4)
            pixels = points[:, :2] / points[:, 2:] * picture.camera.K[0, 0] + picture.camera.K[:2, 2]
            np.testing.assert_allclose(pixels, person.keypoints_px[name], atol=0.2)


def test_perfect_fit_scores_zero_and_order_does_not_matter(asset, picture) -> None:
    report = SyntheticReport()
    people = [fitted(asset, truth, f"p{i}") for i, truth in enumerate(picture.people)]
    score_picture(picture, result_of(picture, people[::-1]), asset, asset, report)
    assert [score.found for score in report.people] == [True, True] and not report.extra
    for score in report.people:
        assert score.mpjpe_mm < 0.5 and score.pa_mpjpe_mm < 0.5 and score.pve_mm < 0.5
        assert score.mpjpe_smpl24_mm < 0.5 and score.mpjpe_h36m14_mm < 0.5
        assert score.facing_right and score.sides_right and score.yaw_error_deg < 0.1
        assert abs(score.height_error_m) < 1e-9 and score.reprojection_percent < 0.05


def test_depth_shift_is_not_a_joint_error_but_shows_in_depth(asset, picture) -> None:
    report = SyntheticReport()
    people = [fitted(asset, truth, f"p{i}", shift=0.5) for i, truth in enumerate(picture.people)]
    score_picture(picture, result_of(picture, people), asset, asset, report)
    for score in report.people:
        assert score.mpjpe_mm < 0.5 and score.pve_mm < 0.5
        assert score.depth_error_m == pytest.approx(0.5, abs=1e-3)
        assert score.reprojection_percent > 1.0


def test_turned_round_is_a_facing_error(asset, picture) -> None:
    truth = picture.people[0]
    back = (Rotation.from_rotvec(truth.global_orient) * Rotation.from_euler("y", 180, degrees=True)).as_rotvec()
    report = SyntheticReport()
    score_picture(picture, result_of(picture, [fitted(asset, truth, orient=back)]), asset, asset, report)
    assert report.people[0].facing_right is False
    assert report.people[0].yaw_error_deg == pytest.approx(180, abs=0.1)
    assert report.people[0].sides_right is False
    assert not report.people[1].found


def test_yaw_is_about_the_bodys_own_axis() -> None:
    lying = Rotation.from_euler("x", 90, degrees=True)
    for angle in (-120, -30, 0, 60):
        turned = (lying * Rotation.from_euler("y", angle, degrees=True)).as_rotvec()
        assert yaw_error_deg(turned, lying.as_rotvec()) == pytest.approx(abs(angle), abs=1e-6)


def test_swapped_limbs_are_noticed(picture) -> None:
    limbs = picture.people[0].keypoints_cam_m["blazepose33"][limb12_index()]
    assert sides_right(limbs, limbs)
    assert not sides_right(limbs[[i ^ 1 for i in range(12)]], limbs)


def test_nobody_is_dropped(asset, picture) -> None:
    report = SyntheticReport()
    stranger = fitted(asset, picture.people[0], "p9")
    stranger.keypoints_px = stranger.keypoints_px + np.array([5000.0, 0, 0])
    score_picture(picture, result_of(picture, [stranger]), asset, asset, report)
    report.summary = summarise(report)
    assert len(report.people) == 2 and report.summary["found"] == 0 and report.summary["detection_rate"] == 0
    assert report.extra == [f"{picture.path.name}: p9"]
    failed = FitResult("failed", str(picture.path), message="broken")
    score_picture(picture, failed, asset, asset, report)
    assert report.failed == [f"{picture.path.name}: broken"] and len(report.people) == 4


def test_blazepose_is_scored_on_the_same_people(asset, picture) -> None:
    truth = picture.people[0]
    world = truth.keypoints_cam_m["blazepose33"]
    noise = np.random.default_rng(0).normal(0, 0.03, world.shape)
    person = Detection(truth.box_px, 0.9, "blazepose33", truth.keypoints_px["blazepose33"], np.ones(33), world + noise)
    report = SyntheticReport()
    kept = result_of(picture, [fitted(asset, truth)])
    kept.detections = [person]
    score_picture(picture, kept, asset, asset, report)
    versus = summarise(report)["versus_blazepose"]
    assert versus["people"] == 1
    assert 20 < versus["blazepose_mpjpe_mm"] < 90 and versus["blazepose_pa_mpjpe_mm"] < versus["blazepose_mpjpe_mm"]
    assert versus["mpjpe_gain_percent"] > 95
    assert versus["blazepose_mpjpe_mm"] < 0.9 * versus["blazepose_turned_mpjpe_mm"]  # the better reading is the rival
    rival = versus["fit_mpjpe_mm"] / versus["blazepose_mpjpe_mm"]
    assert versus["mpjpe_gain_percent"] == pytest.approx(100 * (1 - rival), rel=1e-9)


def test_the_table_says_on_which_side_of_blazepose_the_fit_is(asset, picture) -> None:
    report = SyntheticReport()
    kept = result_of(picture, [fitted(asset, picture.people[0])])
    score_picture(picture, kept, asset, asset, report)
    report.summary = summarise(report)
    report.summary["versus_blazepose"] |= {"mpjpe_gain_percent": 12.34, "pa_mpjpe_gain_percent": -6.4}
    lines = table(report).splitlines()
    assert "fit 12.3 % below BlazePose (MPJPE, against its better reading), 6.4 % above it (PA-MPJPE)" in lines


def test_silhouettes_overlap_as_far_as_they_do(asset, picture) -> None:
    truth = picture.people[0]
    faces = asset.faces[~asset.interior]

    def body(shift: float):
        where = truth.transl + np.array([shift, 0, 0])
        return pose_vertices(asset, truth.betas, truth.body_pose, truth.global_orient, where), faces

    assert silhouettes_iou(body(0), body(0), picture.camera) == 1.0
    near, far = (silhouettes_iou(body(0), body(shift), picture.camera) for shift in (0.02, 0.1))
    assert 0.3 < far < near < 0.97
    assert silhouettes_iou(body(1e3), body(1e3), picture.camera) is None
    width, height = picture.camera.size
    half = PictureCamera(picture.camera.K, (width // 2, height))  # only what the picture shows counts
    assert silhouettes_iou(body(0), body(-50.0), half) in (0.0, None)


def test_refinement_is_compared_on_the_same_people(asset, picture) -> None:
    """Without: everybody 5 % too large a first coefficient and turned a little; with: the truth."""
    people = [fitted(asset, truth, f"p{i}") for i, truth in enumerate(picture.people)]
    unrefined = []
    for i, truth in enumerate(picture.people):
        wrong = replace(truth, betas=truth.betas + np.r_[1.0, np.zeros(len(truth.betas) - 1)])
        orient = (Rotation.from_euler("y", 9, degrees=True) * Rotation.from_rotvec(truth.global_orient)).as_rotvec()
        unrefined.append(fitted(asset, wrong, f"p{i}", orient=orient))
        unrefined[-1].height_m = float(standing_height_m(asset, wrong.betas))
        unrefined[-1].residuals = {"fit": {"silhouette_iou": 0.8}}
        people[i].residuals = {"fit": {"silhouette_iou": 0.8}, "semantic": {"silhouette_iou": 0.9}}
    result = result_of(picture, people[::-1])
    result.unrefined = unrefined[::-1]
    report = SyntheticReport()
    score_picture(picture, result, asset, asset, report)
    report.summary = summarise(report)
    gain = report.summary["refinement"]
    assert gain["people"] == gain["refined"] == 2
    assert gain["before"]["mask_iou"] == pytest.approx(0.8) and gain["after"]["mask_iou"] == pytest.approx(0.9)
    assert gain["change_percent"]["mask_iou"] == pytest.approx(12.5)
    assert gain["after"]["body_iou"] > 0.99 > gain["before"]["body_iou"]
    for key in ("height_error_m_mean_abs", "waist_error_m_mean_abs", "hip_error_m_mean_abs", "pve_mm", "pa_mpjpe_mm"):
        assert gain["after"][key] < 0.001 < gain["before"][key] or gain["after"][key] < 0.5 < gain["before"][key]
        assert gain["change_percent"][key] < -80
    text = table(report)
    assert "without" in text and "waist girth error" in text and "+12.5 %" in text
    json.dumps(report.to_json())


def test_without_refinement_there_is_no_comparison(asset, picture) -> None:
    report = SyntheticReport()
    score_picture(picture, result_of(picture, [fitted(asset, picture.people[0])]), asset, asset, report)
    report.summary = summarise(report)
    assert report.summary["refinement"] is None and "refinement" not in table(report)


def test_matching_uses_everybody_once(picture) -> None:
    found = [("blazepose33", person.keypoints_px["blazepose33"] + 3) for person in picture.people]
    assert match_people(picture.people, found[::-1]) == {0: 1, 1: 0}
    assert match_people(picture.people, [found[1], found[1] + ()]) in ({1: 0}, {1: 1})
    assert match_people(picture.people, []) == {}


def test_broken_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"truth\.json"):
        load_truth(tmp_path)
    (tmp_path / "a.truth.json").write_text("{")
    with pytest.raises(DatasetError, match=r"a\.truth\.json"):
        load_truth(tmp_path)
    source = sorted(EXAMPLES.glob("*.truth.json"))[0]
    shutil.copy(source, tmp_path / "a.truth.json")
    with pytest.raises(DatasetError, match="missing"):
        load_truth(tmp_path)


def test_command_fits_an_example_and_writes_json(tmp_path: Path, capsys) -> None:
    source = EXAMPLES / "studio_lunge.jpg"
    shutil.copy(source, tmp_path)
    shutil.copy(source.with_name("studio_lunge.truth.json"), tmp_path)
    arguments = ["--refine", "semantic", "--clothing", "tight", "--json", str(tmp_path / "o.json"), "--verbose"]
    assert main(["synthetic", "--truth", str(tmp_path), *arguments]) == 0
    out = capsys.readouterr().out
    assert "PA-MPJPE" in out and "BlazePose world landmarks" in out and "studio_lunge.jpg 0" in out
    data = json.loads((tmp_path / "o.json").read_text())
    assert data["summary"]["found"] == 1 and data["summary"]["facing_and_sides_right_rate"] == 1
    gain = data["summary"]["refinement"]
    assert gain["refined"] == 1 and gain["after"]["mask_iou"] > gain["before"]["mask_iou"] > 0.5
    assert data["people"][0]["unrefined"]["waist_error_m"] != data["people"][0]["waist_error_m"]
    assert data["people"][0]["mpjpe_mm"] < 150 and data["summary"]["versus_blazepose"]["people"] == 1


def test_command_refuses_nonsense(tmp_path: Path, capsys) -> None:
    assert main(["synthetic", "--truth", str(tmp_path)]) == 2
    assert "truth.json" in capsys.readouterr().err
    assert main(["synthetic", "--truth", str(tmp_path / "none")]) == 2
    assert "none: there is no such folder; " in (message := capsys.readouterr().err) and "--truth FOLDER" in message
    assert main(["synthetic", "--no-such-flag"]) == 2
    assert main(["synthetic", "--limit", "0"]) == 2
    assert main(["synthetic", "--json", str(tmp_path / "no" / "o.json")]) == 2


def test_overview_has_a_line_per_subcommand_and_synthetic_by_default(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "(default: synthetic)" in text and "required" not in text
    subcommands = text.partition("(default: synthetic)")[2].strip("─╰╯│ \n").splitlines()
    assert all("•" in line for line in subcommands) and len(subcommands) == 6 + len(PROTOCOLS)
    assert main(["3dpw", "--help"]) == 0
    assert "Exit codes" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)  # where there are no examples
    assert main([]) == 2
    assert "--truth FOLDER" in capsys.readouterr().err


def test_truth_of_another_body_is_refused(tmp_path: Path, capsys) -> None:
    source = sorted(EXAMPLES.glob("*.truth.json"))[0]
    data = json.loads(source.read_text())
    data["body"]["sha256"] = "0" * 64
    (tmp_path / source.name).write_text(json.dumps(data))
    shutil.copy(EXAMPLES / data["image"], tmp_path)
    assert main(["synthetic", "--truth", str(tmp_path)]) == 2
    assert "another body" in capsys.readouterr().err
