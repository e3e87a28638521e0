"""The lifter as a second opinion on depth: it moves limbs as far as landmarks are unsure, and what hangs on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dsr.body import joint_names, load_body
from dsr.camera import PictureCamera, project
from dsr.fitting import lifted_people
from dsr.fitting.lifted_people import with_lifted_limbs
from dsr.fitting.problem import fit_problem
from dsr.fitting.sigmas import limb_weight
from dsr.options import FitOptions
from dsr.people.types import Detection

K = np.array([[1000.0, 0, 500], [0, 1000, 500], [0, 0, 1]])
CAMERA = PictureCamera(K, (1000, 1000))
NAMES = joint_names("blazepose33")


@pytest.fixture(scope="module")
def body():
    return load_body("open")


def detection(body, noise=0.0):
    """Somebody standing, arms down; landmarks and keypoints exact, or apart by noise (metres)."""
    pose = torch.zeros(1, body.num_joints - 1, 3)
    pose[0, 15, 2], pose[0, 16, 2] = -1.1, 1.1
    output = body(None, pose, torch.tensor([[np.pi, 0.3, 0.0]]), torch.tensor([[0.0, 0.0, 4.0]]))
    points = body.keypoints(output.vertices, "blazepose33")
    pixels = project(points, torch.tensor(K, dtype=torch.float32))[0].numpy()
    world = points[0].numpy() - points[0].numpy()[[23, 24]].mean(0)
    world = world + noise * np.random.default_rng(0).normal(size=world.shape)
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    return Detection(box, 0.9, "blazepose33", pixels, np.ones(33), world)


def moved(problem):
    return (with_lifted_limbs(problem).targets.landmarks - problem.targets.landmarks)[0].norm(dim=-1).numpy()


def test_limbs_move_and_take_hands_and_feet_along(body):
    problem = fit_problem([detection(body, 0.08)], CAMERA, body, FitOptions())
    after = with_lifted_limbs(problem).targets.landmarks
    limbs = limb_weight("blazepose33").numpy() > 0
    far = moved(problem)
    assert 0.01 < far[limbs].mean() < 0.15
    before = problem.targets.landmarks
    for wrist, finger in (("left_wrist", "left_index"), ("right_ankle", "right_heel")):
        a, b = NAMES.index(wrist), NAMES.index(finger)
        torch.testing.assert_close(after[0, b] - after[0, a], before[0, b] - before[0, a])


def test_it_brings_noisy_limbs_nearer_to_the_truth(body):
    limbs = limb_weight("blazepose33").numpy() > 0
    exact = fit_problem([detection(body)], CAMERA, body, FitOptions()).targets.landmarks[0, limbs]
    problem = fit_problem([detection(body, 0.15)], CAMERA, body, FitOptions())

    def error(landmarks):
        points = landmarks[0, limbs] - landmarks[0, limbs].mean(0)
        return float((points - (exact - exact.mean(0))).norm(dim=-1).mean())

    assert error(with_lifted_limbs(problem).targets.landmarks) < 0.85 * error(problem.targets.landmarks)


def test_who_is_known_exactly_is_left_alone(body):
    assert moved(fit_problem([detection(body)], CAMERA, body, FitOptions())).max() < 0.002


def test_without_a_lifter_or_a_limb_nothing_moves(body, monkeypatch):
    unseen = detection(body, 0.08)
    unseen.confidence[NAMES.index("left_wrist")] = 0.0
    assert moved(fit_problem([unseen], CAMERA, body, FitOptions())).max() == 0
    monkeypatch.setattr(lifted_people, "shipped_lifter", lambda: None)
    problem = fit_problem([detection(body, 0.08)], CAMERA, body, FitOptions())
    assert with_lifted_limbs(problem) is problem
    monkeypatch.undo()
    flat = fit_problem([replace(detection(body), world_m=None)], CAMERA, body, FitOptions())
    assert with_lifted_limbs(flat) is flat
