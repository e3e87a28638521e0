"""The cost of single pictures: its gradient is its slope, and every term pulls as hard as its sigma says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dsr.body import joint_names, load_body
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.camera import perspective_rotation
from dsr.fitting.keypoint_model import KeypointModel
from dsr.fitting.keypoint_terms import landmark_terms, reprojection_terms, shared_errors
from dsr.fitting.problem import load_pose_prior
from dsr.fitting.sigmas import common_errors
from dsr.fitting.solver import FitWeights, LinearMass, State, Targets, linearise, placed

BATCH, FREE = 3, 1e9


@pytest.fixture(scope="module")
def model():
    return KeypointModel(load_body("open").asset, "blazepose33")


@pytest.fixture(scope="module")
def problem(model):
    """A state some way from its targets, with joints beyond their limits."""
    generator = torch.Generator().manual_seed(2)

    def normal(*shape, scale=1.0):
        return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)

    root = axis_angle_to_rotmat(torch.tensor([3.0, 0.2, 0.1], dtype=torch.float64) + normal(BATCH, 3, scale=0.3))
    place = torch.tensor([0.1, 0.0, 4.0], dtype=torch.float64) + normal(BATCH, 3, scale=0.2)
    state = State(root, normal(BATCH, 63, scale=0.6), normal(BATCH, model.num_betas), place)
    points = model.pose(state.root, state.theta, state.betas, state.transl).points
    seen = points + normal(*points.shape, scale=0.05)
    return state, Targets(
        rays=seen[..., :2] / seen[..., 2:],
        weight=torch.rand(BATCH, 33, generator=generator, dtype=torch.float64),
        scale=torch.full((BATCH,), 0.4, dtype=torch.float64),
        landmarks=seen - seen.mean(1, keepdim=True),
        height=torch.full((BATCH,), 1.7, dtype=torch.float64),
        betas=normal(BATCH, model.num_betas),
        metric=True,
        mass=LinearMass(normal(model.num_betas), 1.5),
    )


@pytest.mark.parametrize("focal", [False, True])
def test_gradient_is_half_the_slope_of_the_cost(model, problem, focal):
    state, targets = problem
    if focal:
        sight = torch.tensor([[0.3, -0.1], [0.0, 0.2], [0.0, 0.0]], dtype=torch.float64)
        state = replace(state, focal=torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64))
        targets = replace(targets, sight=sight, landmark_common=common_errors(targets.landmarks, "blazepose33"))
    prior, weights = load_pose_prior("cpu"), FitWeights()
    gradient = linearise(model, prior, targets, state, weights).gradient
    generator, step = torch.Generator().manual_seed(0), 1e-7
    for _ in range(4):
        way = torch.randn(BATCH, model.num_parameters + focal, generator=generator, dtype=torch.float64)
        up, down = (linearise(model, prior, targets, state.step(s * way), weights).cost for s in (step, -step))
        torch.testing.assert_close((up - down) / (2 * step), 2 * (gradient * way).sum(1), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("metric", [False, True])
def test_only_the_size_of_the_landmarks_is_free(model, problem, metric):
    state, targets = problem
    weights = FitWeights(pixel=FREE, prior=0.0, limit_rad=FREE, beta=FREE, child=FREE, height_m=FREE, mass_kg=FREE)
    weights = replace(weights, landmark_robust=FREE)
    targets = replace(targets, metric=metric, landmark_sigma=torch.full_like(targets.landmarks, 0.1))
    larger = replace(targets, landmarks=2 * targets.landmarks + 0.3, landmark_sigma=2 * targets.landmark_sigma)
    costs = [linearise(model, load_pose_prior("cpu"), t, state, weights).cost for t in (targets, larger)]
    if metric:
        assert (costs[1] > 1.3 * costs[0]).all()
    else:
        torch.testing.assert_close(*costs)


@pytest.mark.parametrize("given", [False, True])
def test_landmarks_pull_by_their_sigmas(model, problem, given):
    """An error along the viewing direction counts by its own sigma, one across by the other, each point by its own."""
    state, targets = problem
    posed = model.pose(state.root, state.theta, state.betas, state.transl).points
    free = FitWeights(pixel=FREE, prior=0.0, limit_rad=FREE, beta=FREE, child=FREE, height_m=FREE, mass_kg=FREE)
    weights = replace(free, landmark_across_m=0.1, landmark_along_m=0.4, landmark_robust=FREE)
    spread = posed.new_tensor([0.1, 0.1, 0.4]).expand_as(posed).clone()
    if given:
        spread[:, 13] *= 3
        spread[:, 14] = torch.inf
    weight = torch.ones_like(targets.weight)
    for axis, sigma in enumerate((0.3, 0.3, 1.2) if given else (0.1, 0.1, 0.4)):
        landmarks = posed.clone()
        landmarks[:, 13, axis] += 0.33
        if given:
            landmarks[:, 14] += 0.5  # of which nothing is known
        moved = replace(targets, landmarks=landmarks, weight=weight, landmark_sigma=spread if given else None)
        limbs, usual = 11 if given else 12, float(spread[0, 11, axis])
        # the place is free: the middle of the limbs follows
        expected = (0.33 * (1 - 1 / limbs) / sigma) ** 2 + (limbs - 1) * (0.33 / limbs / usual) ** 2
        cost = linearise(model, load_pose_prior("cpu"), moved, state, weights).cost
        torch.testing.assert_close(cost, torch.full_like(cost, expected), rtol=1e-6, atol=1e-6)


def test_hands_feet_and_face_do_not_pull_at_the_limbs(model, problem):
    """Their landmarks count relative to what they hang on: a hand that is elsewhere with its wrist is no error."""
    state, targets = problem
    posed = model.pose(state.root, state.theta, state.betas, state.transl).points
    weights = FitWeights(pixel=FREE, prior=0.0, limit_rad=FREE, beta=FREE, child=FREE, height_m=FREE, mass_kg=FREE)
    names = joint_names("blazepose33")
    hand = [names.index(f"left_{part}") for part in ("wrist", "pinky", "index", "thumb")]

    def cost(points):
        landmarks = posed.clone()
        landmarks[:, points] += torch.tensor([0.0, 0.2, 0.0])
        moved = replace(targets, landmarks=landmarks, weight=torch.ones_like(targets.weight))
        return linearise(model, load_pose_prior("cpu"), moved, state, weights).cost

    wrist, fingers, both = cost(hand[:1]), cost(hand[1:]), cost(hand)
    assert (both < 0.6 * wrist).all()
    assert (fingers > 0.8 * (wrist - both)).all()


def test_limits_betas_and_height_have_their_curvature(model, problem):
    state, targets = problem
    prior = load_pose_prior("cpu")
    free = FitWeights(pixel=FREE, landmark_across_m=FREE, landmark_along_m=FREE, prior=0.0)
    free = replace(free, limit_rad=FREE, beta=FREE, child=FREE, height_m=FREE, mass_kg=FREE)
    n, stop = model.num_betas, 66

    def of(**changes):
        return linearise(model, prior, targets, state, replace(free, **changes))

    beyond = (state.theta > prior.upper) | (state.theta < prior.lower)
    assert 0.02 < beyond.double().mean() < 0.9
    limits = of(limit_rad=0.1)
    torch.testing.assert_close(limits.normal.diagonal(dim1=1, dim2=2)[:, 3:stop], beyond.double() / 0.01)
    shape = of(beta=0.5, child=0.2)
    curvature = shape.normal.diagonal(dim1=1, dim2=2)[0, stop : stop + n]
    expected = torch.full((n,), 4.0, dtype=torch.float64)
    expected[model.child_axis] = 25.0
    torch.testing.assert_close(curvature, expected)
    torch.testing.assert_close(shape.cost, ((state.betas - targets.betas).square() * expected).sum(1))
    height, _ = model.height(state.betas)
    torch.testing.assert_close(of(height_m=0.01).cost, ((height - 1.7) / 0.01).square())
    mass = state.betas @ targets.mass.slope
    torch.testing.assert_close(of(mass_kg=0.2).cost, ((mass - 1.5) / 0.2).square())


def test_keypoints_of_another_focal_length_leave_nothing_over(model, problem):
    """The same body, so many times as far away, with so many times the focal length, beside the middle."""
    state, _ = problem
    longer = torch.tensor([0.7, 0.4, 0.2], dtype=torch.float64)
    sight = torch.tensor([[0.3, -0.2], [-0.5, 0.1], [0.0, 0.0]], dtype=torch.float64)
    weight = torch.ones(BATCH, 33, dtype=torch.float64)
    posed = model.pose(state.root, state.theta, state.betas, state.transl)
    points = posed.points - posed.points.mean(1, keepdim=True) + torch.tensor([0, 0, 4.0], dtype=torch.float64)
    far = points + torch.stack([0 * longer, 0 * longer, 4 * (longer.exp() - 1)], -1)[:, None]

    def turned(scale):
        K = torch.eye(3, dtype=torch.float64).expand(BATCH, 3, 3)
        return perspective_rotation(K, sight / scale[:, None])

    one = torch.ones_like(longer)
    true = far @ turned(longer.exp())  # as the longer camera has it
    pixels = longer.exp()[:, None, None] * true[..., :2] / true[..., 2:]
    rays = torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1) @ turned(one).transpose(1, 2)
    rays = rays[..., :2] / rays[..., 2:]
    args = posed.jacobian, rays, torch.full_like(weight, 0.01), weight
    assert float(reprojection_terms(points, *args)[0].abs().max()) > 2
    residual, _, _ = reprojection_terms(points, *args, longer, sight)
    torch.testing.assert_close(residual, torch.zeros_like(residual), rtol=0, atol=1e-6)


def test_placing_a_body_keeps_its_pose_and_brings_it_onto_the_keypoints(model, problem):
    state, targets = problem
    points = model.pose(state.root, state.theta, state.betas, state.transl).points
    targets = replace(targets, rays=points[..., :2] / points[..., 2:], weight=torch.ones_like(targets.weight))
    aside = replace(state, transl=state.transl + torch.tensor([0.02, -0.03, 0.1], dtype=torch.float64))
    aside = replace(aside, focal=torch.full_like(aside.transl[:, 0], 0.1))
    back = placed(model, targets, aside, FitWeights())
    assert back.focal is None  # whatever moves it on sees it by the camera's own
    assert torch.equal(back.theta, aside.theta) and torch.equal(back.betas, aside.betas)
    torch.testing.assert_close(back.transl, state.transl, rtol=0, atol=5e-3)


def test_landmarks_that_all_lean_by_their_usual_error_cost_one_standard_deviation(model, problem):
    """Each by itself would be off by many."""
    state, targets = problem
    points = model.pose(state.root, state.theta, state.betas, state.transl).points
    common = common_errors(points, "blazepose33")
    sigma = torch.full_like(points, 0.02)
    zeros = points.new_zeros(*points.shape, 2)
    share = torch.ones_like(targets.weight)
    for mode in range(3):
        off = points + common[:, mode] + model.hanging @ common[:, mode]
        args = points, zeros, off, sigma, share, model.hanging, True
        alone, shared = (landmark_terms(*args, c)[0].square().sum((1, 2)) for c in (None, shared_errors(common, sigma)))
        assert (shared < 1).all() and (alone > 10 * shared).all()
