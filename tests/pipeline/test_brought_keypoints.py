"""Pictures fitted with 3D keypoints of other projects, through the whole chain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsr.body.joints import BLAZEPOSE33_NAMES
from dsr.errors import UsageError
from dsr.options import FitOptions
from dsr.people.types import Detection
from dsr.pipeline.picture_fitter import Fitter

SIZE = (640, 480)
STANDING = {
    "nose": (0.0, -0.65), "left_eye": (0.03, -0.68), "right_eye": (-0.03, -0.68), "left_ear": (0.07, -0.66),
    "right_ear": (-0.07, -0.66), "left_shoulder": (0.17, -0.48), "right_shoulder": (-0.17, -0.48),
    "left_elbow": (0.22, -0.2), "right_elbow": (-0.22, -0.2), "left_wrist": (0.24, 0.05), "right_wrist": (-0.24, 0.05),
    "left_hip": (0.1, 0.0), "right_hip": (-0.1, 0.0), "left_knee": (0.1, 0.42), "right_knee": (-0.1, 0.42),
    "left_ankle": (0.1, 0.84), "right_ankle": (-0.1, 0.84), "left_heel": (0.1, 0.88), "right_heel": (-0.1, 0.88),
    "left_foot_index": (0.12, 0.9), "right_foot_index": (-0.12, 0.9),
}  # fmt: skip
"""Metres across and down, of somebody who faces the camera; the left arm is moved in depth below."""
MHR = {
    "nose": 0, "left_eye": 1, "right_eye": 2, "left_ear": 3, "right_ear": 4, "left_shoulder": 5, "right_shoulder": 6,
    "left_elbow": (7, 63, 65), "right_elbow": (8, 64, 66), "left_hip": 9, "right_hip": 10, "left_knee": 11,
    "right_knee": 12, "left_ankle": 13, "right_ankle": 14, "left_foot_index": 15, "left_heel": 17,
    "right_foot_index": 18, "right_heel": 20, "left_wrist": (62, 61, 49, 44), "right_wrist": (41, 40, 28, 23),
}  # fmt: skip


def people(photo: object = None, warnings: object = None) -> list[Detection]:
    """What a detector says: everything in one plane."""
    points = np.array([[*STANDING.get(name, STANDING["nose"]), 0.0] for name in BLAZEPOSE33_NAMES])
    for row, name in enumerate(BLAZEPOSE33_NAMES):
        side = name.split("_")[0]
        if name.endswith(("pinky", "index", "thumb")) and "foot" not in name:
            points[row, :2] = STANDING[f"{side}_wrist"]
    pixels = points[:, :2] / 4.0 * 700 + [320, 240]
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    return [Detection(box, 0.95, "blazepose33", pixels, np.full(33, 0.95), points)]


def result_file(folder: Path, forward: float) -> Path:
    """A result of SAM 3D Body whose left forearm comes towards the camera."""
    points = np.zeros((70, 3))
    for name, rows in MHR.items():
        points[np.atleast_1d(rows)] = [*STANDING[name], -forward if name == "left_wrist" else 0.0]
    path = folder / "a.npz"
    np.savez(path, bbox=people()[0].box_px, pred_keypoints_3d=points)
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", SIZE, (90, 100, 110)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_the_body_follows_them_and_the_result_says_so(tmp_path: Path, picture: Path) -> None:
    depths = []
    for forward in (0.0, 0.2):
        path = result_file(tmp_path, forward)
        options = FitOptions(body="open-light", focal=700.0, regressor=f"sam3dbody:{path}")
        fitter = Fitter(options, people_finder=people)
        fitter.prepare()
        result = fitter.fit(picture)
        assert result.status == "ok", result.message
        assert result.regressor["name"] == "sam3dbody" and len(result.regressor["sha256"]) == 64
        assert "regressor" in result.timing_s and result.people[0].joint_uncertainty_mm is not None
        joints = result.people[0].joints_cam_m
        depths.append(joints[20, 2] - joints[18, 2])  # the left wrist from the elbow
    assert depths[1] < depths[0] - 0.04


def test_pictures_they_do_not_know_are_fitted_without_and_told(tmp_path: Path, picture: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    result_file(folder, 0.1).rename(folder / "other.npz")
    options = FitOptions(body="open-light", focal=700.0, regressor=f"sam3dbody:{folder}")
    result = Fitter(options, people_finder=people).fit(picture)
    assert result.status == "ok" and "no result for a.png" in result.warnings[0]


def test_a_file_that_is_damaged_is_the_picture_s_problem(tmp_path: Path, picture: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"nothing")
    options = FitOptions(body="open-light", focal=700.0, regressor=f"sam3dbody:{tmp_path / 'a.npz'}")
    result = Fitter(options, people_finder=people).fit(picture)
    assert result.status == "failed" and "no result of SAM 3D Body" in result.message and not result.people


def test_a_name_without_a_file_is_refused_before_the_first_picture(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        Fitter(FitOptions(regressor=f"instanthmr:{tmp_path / 'none.onnx'}"))
