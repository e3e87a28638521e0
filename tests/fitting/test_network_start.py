"""The default network in a fit: where its word counts, where landmarks know better, and what stays without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dsr.body import load_body
from dsr.camera import PictureCamera
from dsr.fitting import fit_people, network_start
from dsr.fitting.network_start import network_state, with_network
from dsr.fitting.problem import fit_problem
from dsr.options import FitOptions
from dsr.people.types import Detection
from dsr.regressors.default.network import DefaultRegressor

K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
CAMERA = PictureCamera(K, (640, 480))


@pytest.fixture(scope="module")
def body():
    return load_body("open-light")


@pytest.fixture(scope="module")
def true_points(body) -> np.ndarray:
    """A man three and a half metres away, turned a little, one knee bent."""
    pose = torch.zeros(1, 23, 3)
    pose[0, 3] = torch.tensor([0.8, 0.0, 0.0])
    pose[0, 15:17, 2] = torch.tensor([-1.0, 1.0])
    orient = torch.tensor([[3.0, 0.4, 0.0]])
    vertices = body(torch.zeros(1, 11), pose, orient, torch.tensor([[0.1, 0.2, 3.5]])).vertices
    return body.keypoints(vertices, "blazepose33")[0].numpy().astype(np.float64)


def detection(points: np.ndarray, noise: float, seed: int = 0) -> Detection:
    """The man as a detector sees him; landmarks off by ``noise`` metres."""
    rng = np.random.default_rng(seed)
    pixels = CAMERA.project(points) + noise * rng.normal(0, 40, (33, 2))
    world = points - points[[23, 24]].mean(0) + noise * rng.normal(0, 1, (33, 3))
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    return Detection(box, 0.9, "blazepose33", pixels, np.full(33, 0.9), world)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> DefaultRegressor:
    """One that has a fixed opinion: both arms are lower than the landmarks say, and so certain of it as we like."""
    torch.manual_seed(0)
    model = DefaultRegressor(width=16, blocks=1).eval().requires_grad_(False)
    torch.nn.init.zeros_(model.trunks[0].said.weight)
    monkeypatch.setattr(network_start, "default_network", lambda: model)
    return model


def test_keypoints_pose_and_shape_of_the_network_take_the_landmarks_place(body, true_points, network):
    problem = fit_problem([detection(true_points, 0.04)], CAMERA, body, FitOptions())
    told = with_network(problem)
    assert told.network is not None and told.targets.pose is not None and told.targets.beta_sigma is not None
    limbs = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
    said = told.network.points[:, limbs] - told.network.points[:, limbs].mean(1, keepdim=True)
    assert torch.allclose(told.targets.landmarks[:, limbs], said)
    state = network_state(told)
    assert state is not None and torch.allclose(state.root, told.network.turns[:, 0])
    wide = replace(told.network, point_sigma=10 * told.network.point_sigma)
    assert wide.point_sigma.min() > told.network.point_sigma.max()


def test_landmarks_that_know_better_stay(body, true_points, network):
    problem = fit_problem([detection(true_points, 0.0)], CAMERA, body, FitOptions())
    told = with_network(problem)
    assert torch.equal(told.targets.landmarks, problem.targets.landmarks)
    assert torch.equal(told.targets.landmark_sigma, problem.targets.landmark_sigma)
    assert torch.isinf(told.targets.pose_sigma).all()
    person = fit_people([detection(true_points, 0.0)], CAMERA, body, FitOptions())[0]
    fitted = body.keypoints(torch.as_tensor(person.vertices_cam_m)[None], "blazepose33")[0].numpy()
    apart = (fitted - fitted.mean(0)) - (true_points - true_points.mean(0))
    assert np.linalg.norm(apart, axis=1).mean() < 0.02


def test_a_certain_network_is_followed_and_an_uncertain_one_is_not(body, true_points, network):
    seen = detection(true_points, 0.04)
    network.trunks[0].said.bias[16 * 6 : 18 * 6] = torch.tensor([0.0, 2.0, -2.0, 0.0, 0.0, 0.0]).repeat(2)
    apart = []
    for factor in (0.02, 50.0):
        network.calibration.fill_(factor)
        problem = with_network(fit_problem([seen], CAMERA, body, FitOptions()))
        said = problem.network.points[0] @ problem.rotation[0]
        person = fit_people([seen], CAMERA, body, FitOptions())[0]
        fitted = body.keypoints(torch.as_tensor(person.vertices_cam_m)[None].double(), "blazepose33")[0]
        arms = [13, 14, 15, 16]
        ends = [points[arms] - points[[11, 12]].mean(0) for points in (said, fitted)]
        apart.append(float((ends[0] - ends[1]).norm(dim=1).mean()))
    assert apart[0] < 0.5 * apart[1]


def test_the_network_is_believed_about_what_is_hardly_seen(body, true_points, network):
    """The network's word is not discounted by a confidence that it has heeded already; that of the landmarks is."""
    hidden = detection(true_points, 0.04)
    hidden.confidence[[15, 17, 19, 21]] = 0.05
    targets = with_network(fit_problem([hidden], CAMERA, body, FitOptions())).targets
    assert float(targets.weight[0, 15]) == pytest.approx(0.05)
    assert float(targets.landmark_weight[0, 15]) == 1.0 and float(targets.landmark_weight[0, 21]) == pytest.approx(0.2)
    hidden.confidence[15] = 0.0
    targets = with_network(fit_problem([hidden], CAMERA, body, FitOptions())).targets
    assert float(targets.landmark_weight[0, 15]) == 0.0
    true = replace(hidden, keypoints_px=CAMERA.project(true_points), world_m=true_points)
    targets = with_network(fit_problem([true], CAMERA, body, FitOptions())).targets
    assert torch.equal(targets.landmark_weight, targets.weight)  # landmarks that know better keep theirs


def test_every_joint_says_how_sure_it_is(body, true_points, network):
    seen = detection(true_points, 0.04)
    first = fit_people([seen], CAMERA, body, FitOptions())[0].joint_uncertainty_mm
    network.calibration[0] = 2.0
    second = fit_people([seen], CAMERA, body, FitOptions())[0].joint_uncertainty_mm
    assert first.shape == (24,) and np.isfinite(first).all()
    assert np.allclose(second, 2 * first, rtol=1e-4)


def test_people_without_landmarks_are_fitted_as_before(body, true_points, network, monkeypatch):
    plain = replace(detection(true_points, 0.01), world_m=None)
    with_it = fit_people([plain], CAMERA, body, FitOptions())[0]
    monkeypatch.setattr(network_start, "default_network", lambda: None)
    without = fit_people([plain], CAMERA, body, FitOptions())[0]
    assert np.allclose(with_it.body_pose, without.body_pose) and with_it.joint_uncertainty_mm is None


def test_a_network_of_the_user_keeps_its_own_word(body, true_points, network, monkeypatch):
    from dsr.body.transfer import PosedBody

    start = PosedBody(torch.eye(3).expand(1, 24, 3, 3).clone(), torch.zeros(1, 11), torch.tensor([[0.0, 0, 3.5]]))
    monkeypatch.setattr(network_start, "predicted", lambda *_: pytest.fail("the default network was asked"))
    fit_people([detection(true_points, 0.04)], CAMERA, body, FitOptions(refine="joints"), start)


def test_without_the_file_there_is_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path):
    from dsr.regressors.default import shipped

    monkeypatch.setattr(shipped, "shipped_file", lambda name: tmp_path / name)
    network_start.default_network.cache_clear()
    try:
        assert network_start.default_network() is None
    finally:
        network_start.default_network.cache_clear()


def test_the_network_sees_nothing_of_the_focal_length(body, true_points):
    """Which is often a guess; everybody's box fills the same angle."""
    seen = detection(true_points, 0.04)
    shown = []
    for factor in (0.5, 1.0, 2.0):
        camera = PictureCamera(K * np.array([[factor, 1, 1], [1, factor, 1], [1, 1, 1]]), (640, 480))
        inputs = network_start.person_inputs(fit_problem([seen], camera, body, FitOptions()))
        shown.append((inputs.rays, inputs.scale, inputs.lifted))
    for parts in shown[1:]:
        for part, first in zip(parts, shown[0], strict=True):
            torch.testing.assert_close(part, first)
    assert float(np.ptp(shown[0][0][0].numpy(), axis=0).max()) == pytest.approx(network_start.SHOWN_RAD, rel=1e-4)
