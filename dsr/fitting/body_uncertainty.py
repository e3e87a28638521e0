"""Uncertainty-aware optimisation of whole bodies: UAO's scheme over pose, shape and place (``--refine joints``).

UAO (arXiv 2402.02339; specification, section 9) moves a lifter's latent until the prediction falls onto the detected
keypoints, while every joint stays near the first prediction as far as the network is sure of it. Here the latent is the
body's own: turn of the root, pose, shape and place, each in units of what the regressor says it may be off by, so that
a step of Adam moves most what is known least. The keypoints' own uncertainty weighs the projection. Both terms are
lengths, not squares, as published: what disagrees wholly pulls no harder than what disagrees a little. Ours alone: the
pose and the shape that the regressor says are held like its joints, what gravity lets expect stays, joint limits hold,
and everybody stops on their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dsr.fitting.balance import upright_terms
from dsr.fitting.keypoint_model import POSED_JOINTS
from dsr.fitting.keypoint_terms import landmark_terms, reprojection_terms
from dsr.fitting.problem import FitProblem
from dsr.fitting.solver import NEAREST_M, FitWeights, State
from dsr.limits import check_time

TURN_RAD, PLACE_M, USUAL_POSE_RAD = 0.1, (0.02, 0.02, 0.1), 0.4
"""What the root's turn and place may be off by, radians and metres, and joints' turns where no regressor says it."""
_ROUND = 1e-6
"""Lengths below this count as zero, as at the first step, where the prediction is its own target."""


@dataclass(frozen=True)
class BodyUncertaintySettings:
    """How bodies are corrected.

    Attributes:
        steps: most steps of Adam.
        learning_rate: of Adam, in standard deviations.
        uncertainty: weight of the terms that hold joints near the regressor's; the projection's is 1.
        pose: weight of the regressor's pose and shape.
        patience: a person stops after so many steps without a gain.
        gain: what counts as one, as a share of the cost.
    """

    steps: int = 40
    learning_rate: float = 0.03
    uncertainty: float = 1.0
    pose: float = 0.5
    patience: int = 4
    gain: float = 1e-3


@dataclass(frozen=True)
class RefinedBodies:
    """What the optimisation gives.

    Attributes:
        state: the bodies, each the best of its steps.
        before: (B,) cost of where they began.
        after: (B,) cost of where they are.
        steps: (B,) after how many steps each stopped.
    """

    state: State
    before: Tensor
    after: Tensor
    steps: Tensor


def refine_joints(problem: FitProblem, start: State, settings: BodyUncertaintySettings | None = None) -> RefinedBodies:
    """Correct bodies by their pictures, as far as the regressor's uncertainties allow.

    Args:
        problem: who is fitted to what, with the default network's word of joints, pose and shape and how far each may
            be off; without that word nobody moves.
        start: where to begin: the fit, or the network's bodies. The camera is believed.
        settings: weights and steps.
    """
    settings = settings or BodyUncertaintySettings()
    if problem.network is None:
        nothing = torch.zeros(len(start.theta)).to(start.theta)
        return RefinedBodies(start, nothing, nothing, torch.zeros(len(nothing), dtype=torch.int64))
    unit = _units(problem)
    begin = replace(start, focal=None)
    moved = torch.zeros_like(unit)
    first, second = torch.zeros_like(unit), torch.zeros_like(unit)
    state = begin
    best = lowest = before = torch.zeros(0)
    since = torch.zeros(len(unit), dtype=torch.int64, device=unit.device)
    stopped, taken = torch.zeros_like(since, dtype=torch.bool), torch.zeros_like(since)
    for step in range(settings.steps + 1):
        check_time()
        cost, gradient = body_cost(problem, state, settings)
        cost = torch.where(state.transl[:, 2] > NEAREST_M, cost, torch.inf)
        if not step:
            best, lowest, before = moved, cost, cost
        else:
            better = (cost < lowest) & ~stopped  # NaN is not
            since = torch.where(cost < lowest * (1 - settings.gain), 0, since + 1)
            best, lowest = torch.where(better[:, None], moved, best), torch.where(better, cost, lowest)
            stopped = stopped | (since >= settings.patience)
        if bool(stopped.all()) or step == settings.steps:
            break
        taken = taken + (~stopped).long()
        slope = (gradient * unit).nan_to_num(0.0, 0.0, 0.0)
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope.square()
        ahead = first / (1 - 0.9 ** (step + 1)) / ((second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
        rate = settings.learning_rate * (1 - step / settings.steps)
        moved = torch.where(stopped[:, None], best, moved - rate * ahead)
        state = _at(begin, moved * unit, problem)
    return RefinedBodies(_at(begin, best * unit, problem), before, lowest, taken)


def body_cost(problem: FitProblem, state: State, settings: BodyUncertaintySettings) -> tuple[Tensor, Tensor]:
    """UAO's loss of bodies and its gradient in the parameters of :class:`~dsr.fitting.keypoint_model.PosedKeypoints`.

    Args:
        problem: who is fitted to what.
        state: the bodies.
        settings: the weights.

    Returns:
        (B,) and (B, P).
    """
    targets, model, weights = problem.targets, problem.model, FitWeights()
    posed = model.pose(state.root, state.theta, state.betas, state.transl)
    sigma = weights.pixel * targets.scale[:, None].expand_as(targets.weight)
    if targets.pixel_factor is not None:
        sigma = sigma * targets.pixel_factor
    residual, slope, _ = reprojection_terms(posed.points, posed.jacobian, targets.rays, sigma, targets.weight)
    cost, gradient = _lengths(residual, slope, targets.weight)
    if targets.landmarks is not None and targets.landmark_sigma is not None:
        residual, slope = landmark_terms(
            posed.points, posed.jacobian, targets.landmarks, targets.landmark_sigma, targets.weight, model.hanging,
            targets.metric, targets.shared_errors,
        )  # fmt: skip
        more, by = _lengths(residual, slope, targets.weight)
        cost, gradient = cost + settings.uncertainty * more, gradient + settings.uncertainty * by
    stop, shape = 3 + 3 * POSED_JOINTS, slice(3 + 3 * POSED_JOINTS, model.num_parameters - 3)
    said, doubt = _pose_said(problem)
    away = ((state.theta - said) / doubt).unflatten(1, (POSED_JOINTS, 3))
    size = away.norm(dim=-1, keepdim=True)
    cost = cost + settings.pose * size.mean((1, 2))
    direction = (away / size.clamp_min(1e-9) / POSED_JOINTS).flatten(1)
    gradient[:, 3:stop] += settings.pose * direction / doubt
    betas, doubt = _betas_said(problem)
    away = (state.betas - betas) / doubt
    size = away.norm(dim=-1, keepdim=True)
    cost = cost + settings.pose * size[:, 0] / away.shape[1] ** 0.5
    gradient[:, shape] += settings.pose * away / size.clamp_min(1e-9) / doubt / away.shape[1] ** 0.5
    if targets.upright is not None:
        stance = upright_terms(posed.anchors, posed.anchor_jacobian, targets.upright)
        count = targets.weight.sum(1).clamp_min(1.0)
        cost = cost + stance.cost / count
        gradient = gradient + 2 * (stance.residual[:, :, None] * stance.jacobian).sum(1) / count[:, None]
    return cost, gradient


def _lengths(residual: Tensor, slope: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean of the lengths of residuals (B, K, D), and its gradient (B, P); a length of zero has none."""
    share = weight / weight.sum(1, keepdim=True).clamp_min(1e-9)
    finite = residual.isfinite().all(-1)
    share = torch.where(finite, share, 0.0)
    residual = torch.where(finite[..., None], residual, 0.0)
    size = residual.norm(dim=-1)
    direction = (share / size.clamp_min(_ROUND))[..., None] * residual
    return (share * size).sum(1), torch.einsum("bkd,bkdp->bp", direction, slope)


def _units(problem: FitProblem) -> Tensor:
    """(B, P) what the parameters may be off by: the regressor's word where it gives one."""
    model, scale = problem.model, problem.targets.scale
    batch = len(scale)
    unit = torch.full((batch, model.num_parameters), TURN_RAD).to(problem.rotation)
    unit[:, 3 : 3 + 3 * POSED_JOINTS] = _pose_said(problem)[1].clamp(max=1.0)
    unit[:, 3 + 3 * POSED_JOINTS : -3] = _betas_said(problem)[1]
    unit[:, -3:] = unit.new_tensor(PLACE_M)
    return unit


def _pose_said(problem: FitProblem) -> tuple[Tensor, Tensor]:
    """The pose that is expected (B, 63) and how far it may be off, radians."""
    targets, mean = problem.targets, problem.prior.means[problem.prior.log_weights.argmax()]
    if targets.pose is None or targets.pose_sigma is None:
        pose = mean.expand(len(targets.scale), -1)
        return pose, torch.full_like(pose, USUAL_POSE_RAD)
    known = targets.pose_sigma.isfinite()
    return torch.where(known, targets.pose, mean), torch.where(known, targets.pose_sigma, USUAL_POSE_RAD)


def _betas_said(problem: FitProblem) -> tuple[Tensor, Tensor]:
    """The shape that is expected (B, n) and how far it may be off."""
    targets, model, weights = problem.targets, problem.model, FitWeights()
    usual = model.beta_sigma(weights.beta, weights.child).expand(len(targets.scale), -1)
    betas = torch.zeros_like(usual) if targets.betas is None else targets.betas
    return betas, usual if targets.beta_sigma is None else targets.beta_sigma


def _at(begin: State, delta: Tensor, problem: FitProblem) -> State:
    """A state moved by (B, P), joint angles within their limits."""
    state, prior = begin.step(delta), problem.prior
    return replace(state, theta=state.theta.clamp(prior.lower, prior.upper))
