"""UAO over the body's own latent: its gradient, that nobody gets worse, who stops when, what uncertainty lets go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dsr.body import load_body
from dsr.body.joints import joint_names
from dsr.camera import PictureCamera
from dsr.fitting import fit_people
from dsr.fitting.body_uncertainty import BodyUncertaintySettings, body_cost, refine_joints
from dsr.fitting.expectation import expect_upright
from dsr.fitting.gravity import find_gravity, find_stances
from dsr.fitting.network_start import network_state, with_network
from dsr.fitting.problem import FitProblem, fit_problem
from dsr.fitting.solver import State
from dsr.options import FitOptions
from dsr.people.types import Detection

CAMERA = PictureCamera(np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]), (640, 480))
WRIST = joint_names("blazepose33").index("left_wrist")


@pytest.fixture(scope="module")
def body():
    return load_body("open-light")


def seen(body, seed: int, noise_px: float = 3.0, noise_m: float = 0.05) -> Detection:
    """Somebody with bent arms as a detector sees them."""
    rng = np.random.default_rng(seed)
    pose = torch.zeros(1, 23, 3)
    pose[0, :21] = torch.as_tensor(rng.normal(0, 0.15, (21, 3)), dtype=torch.float32)
    pose[0, 15:17, 2] += torch.tensor([-1.0, 1.0])
    vertices = body(torch.zeros(1, 11), pose, torch.tensor([[3.0, 0.5, 0.0]]), torch.tensor([[0.2, 0.1, 3.5]])).vertices
    points = body.keypoints(vertices, "blazepose33")[0].numpy().astype(np.float64)
    pixels = CAMERA.project(points) + rng.normal(0, noise_px, (33, 2))
    world = points - points[[23, 24]].mean(0) + rng.normal(0, noise_m, (33, 3))
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    return Detection(box, 0.9, "blazepose33", pixels, np.full(33, 0.9), world)


@pytest.fixture(scope="module")
def problem(body) -> FitProblem:
    people = [seen(body, seed) for seed in range(3)]
    told = with_network(fit_problem(people, CAMERA, body, FitOptions()))
    gravity = find_gravity(people, CAMERA)
    return expect_upright(told, gravity, find_stances(people, CAMERA, gravity))


@pytest.fixture(scope="module")
def start(problem) -> State:
    state = network_state(problem)
    assert state is not None
    return replace(state, focal=None)


def test_the_gradient_is_that_of_the_cost(problem, start) -> None:
    settings, step = BodyUncertaintySettings(), 1e-6
    # off the start: a pose that is the network's own has a length of zero, which has no direction
    generator = torch.Generator().manual_seed(0)
    away = 0.02 * torch.randn(3, problem.model.num_parameters, generator=generator, dtype=torch.float64)
    state = start.step(away)
    gradient = body_cost(problem, state, settings)[1]
    for column in (0, 2, 5, 20, 50, 66, 70, -3, -1):
        move = torch.zeros_like(away)
        move[:, column] = step
        ends = [body_cost(problem, state.step(sign * move), settings)[0] for sign in (1, -1)]
        assert torch.allclose(gradient[:, column], (ends[0] - ends[1]) / (2 * step), rtol=2e-3, atol=2e-4), column


def test_everybody_fits_better_and_nobody_worse(problem, start) -> None:
    refined = refine_joints(problem, start)
    assert (refined.after <= refined.before).all() and (refined.after < 0.95 * refined.before).any()
    cost = body_cost(problem, refined.state, BodyUncertaintySettings())[0]
    assert torch.allclose(cost, refined.after)
    again = refine_joints(problem, refined.state)
    assert (again.before - again.after < 0.2 * (refined.before - refined.after)).all()


def test_everybody_stops_on_their_own(problem, start) -> None:
    """Whoever is there already stops after the patience and stays; alone or among others makes no difference."""
    settings = BodyUncertaintySettings(steps=30)
    done = refine_joints(problem, start, replace(settings, steps=200)).state
    mixed = State.joined([done.select(torch.tensor([0])), start.select(torch.tensor([1, 2]))])
    refined = refine_joints(problem, mixed, settings)
    assert refined.steps[0] < refined.steps[1:].max()
    alone = refine_joints(problem.select([1]), mixed.select(torch.tensor([1])), settings)
    assert torch.allclose(alone.state.theta[0], refined.state.theta[1], atol=1e-9)
    none = refine_joints(problem, start, replace(settings, steps=0))
    assert torch.equal(none.state.theta, start.theta) and not none.steps.any()


def test_a_joint_that_is_unsure_gives_way_and_a_sure_one_stays(problem, start) -> None:
    """One keypoint of the wrist far off: the more the network doubts the arm, the more the body follows it."""
    rays = problem.targets.rays.clone()
    rays[:, WRIST] += 0.08
    moved = []
    for factor in (0.3, 3.0):
        sigma = problem.targets.landmark_sigma * factor
        targets = replace(problem.targets, rays=rays, landmark_sigma=sigma)
        other = replace(problem, targets=targets)
        state = refine_joints(other, start, BodyUncertaintySettings(steps=60)).state
        ends = [problem.model.carried(s.root, s.theta, s.betas, s.transl)[0][:, WRIST] for s in (start, state)]
        off = (ends[1] - ends[0])[:, :2]
        moved.append(off.norm(dim=-1).mean())
    assert moved[1] > 1.2 * moved[0]


def test_joint_limits_hold_and_odd_numbers_move_nobody_away(problem, start) -> None:
    broken = problem.targets.rays.clone()
    broken[0, :5] = torch.nan
    other = replace(problem, targets=replace(problem.targets, rays=broken))
    refined = refine_joints(other, start, BodyUncertaintySettings(learning_rate=1.0)).state
    assert refined.theta.isfinite().all() and refined.transl.isfinite().all() and (refined.transl[:, 2] > 0).all()
    assert (refined.theta <= problem.prior.upper).all() and (refined.theta >= problem.prior.lower).all()


def test_without_a_network_nobody_moves(problem, start) -> None:
    refined = refine_joints(replace(problem, network=None), start)
    assert refined.state is start


def test_refine_joints_is_asked_for_and_nothing_else_changes(body) -> None:
    people = [seen(body, 5)]
    plain, again, refined = (
        fit_people(people, CAMERA, body, FitOptions(refine=refine))[0] for refine in ("none", "semantic", "joints")
    )
    assert np.array_equal(plain.body_pose, again.body_pose)  # the silhouette's refinement comes later
    assert np.abs(plain.body_pose - refined.body_pose).max() > 1e-4
