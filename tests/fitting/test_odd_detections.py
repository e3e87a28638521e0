"""What no detector should give, and what users give as focal lengths: bodies that are finite, or a sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dsr.body import joint_names, load_body
from dsr.camera import PictureCamera, project
from dsr.errors import FittingError
from dsr.evaluation import pa_mpjpe
from dsr.fitting import fit_people
from dsr.fitting.sigmas import limb_weight
from dsr.options import FitOptions
from dsr.people.types import Detection

SIZE, FOCAL = (800, 1000), 1100.0
NAMES = joint_names("blazepose33")
LIMBS = np.flatnonzero(limb_weight("blazepose33").numpy())


def camera(focal=FOCAL):
    return PictureCamera(np.array([[focal, 0, SIZE[0] / 2], [0, focal, SIZE[1] / 2], [0, 0, 1]]), SIZE)


@pytest.fixture(scope="module")
def body():
    return load_body("open")


def walker(body, seed):
    """Limb joints (12, 3) of somebody who walks, and a detection as a good detector gives it."""
    pose = torch.zeros(1, body.num_joints - 1, 3)
    pose[0, 15, 2], pose[0, 16, 2] = -1.0, 1.0
    pose[0, 0, 0], pose[0, 1, 0], pose[0, 3, 0], pose[0, 17, 1] = -0.5, 0.3, 0.3, -0.6
    output = body(None, pose, torch.tensor([[np.pi - 0.1, 0.5, 0.0]]), torch.tensor([[0.1, 0.1, 3.2]]))
    points = body.keypoints(output.vertices, "blazepose33")
    pixels = project(points, torch.tensor(camera().K, dtype=torch.float32))[0].numpy().astype(np.float64)
    points = points[0].numpy().astype(np.float64)
    rng = np.random.default_rng(seed)
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    pixels = pixels + 6 * rng.normal(size=pixels.shape)
    world = points - points[[23, 24]].mean(0) + 0.03 * rng.normal(size=points.shape)
    return points[LIMBS], Detection(box, 0.9, "blazepose33", pixels, np.full(33, 0.9), world)


@pytest.fixture(scope="module")
def truth(body):
    return walker(body, 1)


def limbs(body, person):
    regressor = body.asset.keypoint_regressor("blazepose33")
    return np.asarray(regressor @ person.vertices_cam_m)[LIMBS]


def error_mm(mine, theirs):
    return 1000 * float(np.mean(pa_mpjpe(mine, theirs)))


def spoilt(detection, what):
    pixels, confidence, world = (a.copy() for a in (detection.keypoints_px, detection.confidence, detection.world_m))
    box = detection.box_px.copy()
    if what == "keypoint":
        pixels[NAMES.index("left_pinky")] = np.nan
    elif what == "infinite":
        pixels[NAMES.index("nose")] = np.inf
    elif what == "confidence":
        confidence[3] = np.nan
    elif what == "landmark":
        world[5] = np.nan
    elif what == "box":
        box[:] = np.nan
    elif what == "no box":
        box[2:] = box[:2]
    return replace(detection, keypoints_px=pixels, confidence=confidence, world_m=world, box_px=box)


@pytest.mark.parametrize("what", ["keypoint", "infinite", "confidence", "landmark", "box", "no box"])
def test_a_spoilt_number_does_not_spoil_the_body(body, truth, what):
    joints, detection = truth
    (person,) = fit_people([spoilt(detection, what)], camera(), body, FitOptions())
    assert np.isfinite(person.vertices_cam_m).all()
    assert np.isfinite(person.keypoints_px).all()
    assert error_mm(limbs(body, person), joints) < (100 if what == "landmark" else 60)  # then keypoints alone are left
    assert np.linalg.norm(limbs(body, person).mean(0) - joints.mean(0)) < 0.6


def test_all_spoilt_is_a_sentence(body, truth):
    with pytest.raises(FittingError, match="no keypoint"):
        fit_people([replace(truth[1], keypoints_px=np.full((33, 2), np.nan))], camera(), body, FitOptions())


@pytest.mark.parametrize("landmarks", [True, False])
def test_one_keypoint_gives_a_finite_body_with_a_warning(body, truth, landmarks):
    confidence = np.zeros(33)
    confidence[NAMES.index("left_wrist")] = 0.9
    alone = replace(truth[1], confidence=confidence, world_m=truth[1].world_m if landmarks else None)
    (person,) = fit_people([alone], camera(), body, FitOptions())
    assert np.isfinite(person.vertices_cam_m).all()
    assert person.transl[2] > 0.2
    assert any("guess" in warning for warning in person.warnings)


@pytest.mark.parametrize("focal", [30.0, 1e5, 1e7])
def test_absurd_focal_lengths_give_finite_bodies_before_the_camera(body, truth, focal):
    (person,) = fit_people([truth[1]], camera(focal), body, FitOptions())
    assert np.isfinite(person.vertices_cam_m).all()
    assert person.transl[2] > 0
    assert 1.2 < person.height_m < 2.2


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_half_and_double_the_focal_length_leave_the_pose(body, factor):
    errors, distances = [], []
    for seed in range(4):
        _, detection = walker(body, seed)
        right, wrong = (fit_people([detection], camera(f * FOCAL), body, FitOptions())[0] for f in (1.0, factor))
        errors.append(error_mm(limbs(body, wrong), limbs(body, right)))
        distances.append(wrong.transl[2] / right.transl[2])
    assert np.median(errors) < 10, errors  # one of four falls into another valley
    assert np.allclose(distances, factor, rtol=0.15), distances


def test_a_child_of_known_height_is_as_far_away_as_its_size_says(body, truth):
    _, detection = truth
    adult, child = (fit_people([detection], camera(), body, FitOptions(height=h))[0] for h in (1.75, 1.2))
    assert child.height_m == pytest.approx(1.2, abs=0.01)
    assert child.transl[2] / adult.transl[2] == pytest.approx(1.2 / 1.75, rel=0.06)
    assert error_mm(limbs(body, child) * 1.75 / 1.2, limbs(body, adult)) < 25
