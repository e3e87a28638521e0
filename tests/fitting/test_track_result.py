"""A fitted track as a result: figures in pixels and in heights of the box, frames without a detection, warnings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dsr.body import load_body
from dsr.camera import PictureCamera
from dsr.fitting.track import TrackFit
from dsr.fitting.track_result import describe_track
from dsr.people.tracking import PersonTrack
from dsr.people.types import Detection

CAMERA = PictureCamera([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]], (640, 480))
FIRST, COUNT, UNSEEN = 10, 6, (2, 3)


@pytest.fixture(scope="module")
def body():
    return load_body("open-light")


def made_fit(body, contacts=False):
    return TrackFit(
        betas=np.zeros(body.num_betas),
        global_orient=np.tile([np.pi, 0.0, 0.0], (COUNT, 1)),
        body_pose=np.zeros((COUNT, body.num_joints - 1, 3)),
        transl=np.stack([[0.1 * t, 0.2, 4.0] for t in range(COUNT)]),
        observed=np.array([t not in UNSEEN for t in range(COUNT)]),
        contacts=np.full((COUNT, 4), contacts),
        warnings=["said before"],
    )


def described(body, fit):
    """Keypoints that lie 5 pixels off in boxes of 80 x 200 pixels; a doubted one lies anywhere."""
    posed = body(
        *(
            torch.as_tensor(a, dtype=torch.float32)
            for a in (np.tile(fit.betas, (COUNT, 1)), fit.body_pose, fit.global_orient, fit.transl)
        )
    )
    pixels = CAMERA.project(body.keypoints(posed.vertices, "blazepose33").numpy()) + np.array([3.0, 4.0])
    pixels[:, 7] += 500
    detections = [
        None
        if t in UNSEEN
        else Detection(
            np.array([100.0, 100, 180, 300]),
            0.5 + 0.1 * t,
            "blazepose33",
            pixels[t],
            np.where(np.arange(33) == 7, 0.2, 1.0),
        )
        for t in range(COUNT)
    ]
    seen = [t for t in range(COUNT) if t not in UNSEEN]
    track = PersonTrack("p3", np.array([FIRST + t for t in seen]), tuple(detections[t] for t in seen))
    return describe_track(track, detections, fit, CAMERA, body), pixels


def test_figures_and_frames_of_a_track(body):
    result, pixels = described(body, made_fit(body, contacts=True))
    assert (result.id, result.frames.tolist()) == ("p3", list(range(FIRST, FIRST + COUNT)))
    assert result.gaps == [(FIRST + UNSEEN[0], FIRST + UNSEEN[-1])]
    fit = result.residuals["fit"]
    assert fit["reprojection_px"] == pytest.approx(5, rel=1e-3)
    assert fit["reprojection_rel"] == pytest.approx(5 / 200, rel=1e-3)
    assert result.score == pytest.approx(np.mean([0.5, 0.6, 0.9, 1.0]))
    unseen = np.isin(np.arange(COUNT), UNSEEN)
    for array in (result.keypoints_px, result.boxes_px):
        np.testing.assert_array_equal(np.isnan(array).reshape(COUNT, -1).all(1), unseen)
    np.testing.assert_allclose(result.keypoints_px[~unseen, :, :2], pixels[~unseen], atol=1e-3)
    assert result.joints_cam_m.shape == (COUNT, body.num_joints, 3)
    assert result.warnings == ["said before", "Not seen in 2 of 6 frames; the pose there is filled in."]


def test_a_track_without_a_foot_on_the_ground_says_so(body):
    result, _ = described(body, made_fit(body))
    assert any("No foot was found resting on the ground" in sentence for sentence in result.warnings)
