"""The cost of a track and its closed-form derivatives: what frames say by themselves, and what joins them."""

from __future__ import annotations

import torch
from torch import Tensor

from dsr.fitting.band_solver import TrackEquations
from dsr.fitting.keypoint_model import KeypointModel
from dsr.fitting.track_problem import FRAME_SIZE, POSE_SIZE, TrackPoints, TrackState, TrackTargets, TrackWeights
from dsr.mocap.pose_prior import PosePrior


def linearise_track(
    points: TrackPoints, prior: PosePrior, targets: TrackTargets, state: TrackState, weights: TrackWeights
) -> TrackEquations:
    """Cost, gradient and Gauss-Newton matrix of a track at a state."""
    model, frames = points.model, len(state.theta)
    posed = model.pose(state.root, state.theta, state.betas.expand(frames, -1), state.transl)
    x, n = FRAME_SIZE, model.num_betas
    head = 3 + POSE_SIZE
    jacobian = torch.cat(
        [posed.jacobian[..., :head], posed.jacobian[..., head + n :], posed.jacobian[..., head : head + n]], -1
    )
    terms = _Terms(frames, x + n, model.dtype)
    seen = slice(0, points.seen)
    _reprojection(terms, posed.points[:, seen], jacobian[:, seen], targets, weights)
    if targets.landmarks is not None and targets.landmark_sigma is not None:
        factor = 1 / targets.landmark_sigma
        weight = targets.weight * targets.landmark_sigma.isfinite().all(-1)
        robust = weights.landmark_robust
        _shape_in_space(terms, posed.points[:, seen], jacobian[:, seen], targets.landmarks, weight, factor, robust)
    if targets.lifted is not None and targets.lifted_sigma is not None:
        factor = 1 / targets.lifted_sigma
        joints = points.joints
        _shape_in_space(
            terms,
            posed.points[:, joints],
            jacobian[:, joints],
            targets.lifted,
            factor.square(),
            factor[..., None],
            weights.lifter_robust,
        )
    _parameters(terms, prior, targets, state, weights, model)
    smooth = targets.fps**2 / (weights.acceleration * points.acceleration_m_s2.repeat_interleave(3))
    terms.add_acceleration(
        smooth * posed.points[:, points.smooth].flatten(1),
        smooth[:, None] * jacobian[:, points.smooth].flatten(1, 2),
    )
    turn = targets.fps**2 / weights.turn_rad_s2
    turning = torch.zeros(POSE_SIZE, x + n, dtype=model.dtype)
    turning[:, 3:head] = turn * torch.eye(POSE_SIZE, dtype=model.dtype)
    terms.add_acceleration(turn * state.theta, turning)
    if targets.contact is not None:
        feet, slopes = posed.points[:, points.feet], jacobian[:, points.feet]
        terms.add_contact(feet, slopes, targets.contact * (targets.fps / weights.slip_m_s) ** 2)
        if targets.ground is not None:
            down = torch.zeros_like(feet[..., 0])
            down[:-1] = targets.contact
            down[1:] = torch.maximum(down[1:], targets.contact)
            factor = down.sqrt() / weights.ground_m
            normal = targets.ground[:3]
            terms.add(
                factor * (feet @ normal - targets.ground[3]),
                factor[..., None] * torch.einsum("tkcp,c->tkp", slopes, normal),
            )
    return terms.system()


class _Terms:
    """Sums up squares of residuals, their gradient and their Gauss-Newton matrix."""

    def __init__(self, frames: int, size: int, dtype: torch.dtype) -> None:
        self.cost = 0.0
        self.gradient = torch.zeros(frames, size, dtype=dtype)
        self.blocks = tuple(torch.zeros(max(frames - reach, 0), size, size, dtype=dtype) for reach in range(3))
        self.rows: list[Tensor] = []
        self.residuals: list[Tensor] = []

    def add(self, residual: Tensor, jacobian: Tensor, cost: Tensor | None = None) -> None:
        """Residuals (T, ...) of single frames and their Jacobian (T, ..., P); ``cost`` where it is not their square."""
        self.rows.append(jacobian.reshape(len(residual), -1, jacobian.shape[-1]))
        self.residuals.append(residual.flatten(1))
        self.cost += float((residual.square() if cost is None else cost).sum())

    def add_acceleration(self, value: Tensor, jacobian: Tensor) -> None:
        """Second differences of (T, R) with Jacobian (T, R, P), or (R, P) the same in all frames."""
        frames = len(value)
        if frames < 3:
            return
        bend = value[:-2] - 2 * value[1:-1] + value[2:]
        self.cost += float(bend.square().sum())
        steady = jacobian.ndim == 2
        pattern = (1.0, -2.0, 1.0)
        push = torch.zeros_like(value)
        for i, c in enumerate(pattern):
            push[i : frames - 2 + i] += c * bend
        self.gradient += push @ jacobian if steady else torch.einsum("tr,trp->tp", push, jacobian)
        for reach in range(3):
            fraction = value.new_zeros(frames - reach)
            for i in range(3 - reach):
                fraction[i : frames - 2 + i] += pattern[i] * pattern[i + reach]
            square = (
                jacobian.T @ jacobian if steady else (jacobian[: frames - reach].transpose(1, 2) @ jacobian[reach:])
            )
            self.blocks[reach].add_(fraction[:, None, None] * square)

    def add_contact(self, feet: Tensor, jacobian: Tensor, weight: Tensor) -> None:
        """Steps of points (T, C, 3) with Jacobian (T, C, 3, P), weights (T-1, C)."""
        step = feet[1:] - feet[:-1]
        self.cost += float((weight[..., None] * step.square()).sum())
        push = weight[..., None] * step
        before, after = (jacobian[part].flatten(1, 2) for part in (slice(None, -1), slice(1, None)))
        self.gradient[1:] += torch.einsum("tr,trp->tp", push.flatten(1), after)
        self.gradient[:-1] -= torch.einsum("tr,trp->tp", push.flatten(1), before)
        wide = weight.repeat_interleave(3, 1)[..., None]
        self.blocks[0][1:] += after.transpose(1, 2) @ (wide * after)
        self.blocks[0][:-1] += before.transpose(1, 2) @ (wide * before)
        self.blocks[1].sub_(before.transpose(1, 2) @ (wide * after))

    def system(self) -> TrackEquations:
        rows, residual = torch.cat(self.rows, 1), torch.cat(self.residuals, 1)
        transposed = rows.transpose(1, 2)
        self.blocks[0].add_(transposed @ rows)
        return TrackEquations(self.cost, self.gradient + (transposed @ residual[..., None])[..., 0], self.blocks)  # type: ignore[arg-type]


def _reprojection(
    terms: _Terms, points: Tensor, jacobian: Tensor, targets: TrackTargets, weights: TrackWeights
) -> None:
    """Geman-McClure on the distance in the picture."""
    x, y, z = points.unbind(-1)
    z = z.clamp(min=0.1)  # a point behind the camera pushes, but never divides by zero
    unit = (weights.pixel * targets.scale)[:, None]
    projected = torch.stack([x / z, y / z], -1)
    residual = (projected - targets.rays) / unit[..., None]
    slope = (jacobian[..., :2, :] - projected[..., None] * jacobian[..., 2:, :]) / (z * unit)[..., None, None]
    bend, c2 = residual.square().sum(-1), weights.robust**2
    factor = (targets.weight.sqrt() * c2 / (c2 + bend))[..., None]
    terms.add(factor * residual, factor[..., None] * slope, targets.weight * c2 * bend / (c2 + bend))


def _shape_in_space(
    terms: _Terms,
    points: Tensor,
    jacobian: Tensor,
    target: Tensor,
    weight: Tensor,
    factor: Tensor,
    robust: float,
) -> None:
    """Points (T, K, 3) in space up to place and size, in the size of the target: a smaller body is no closer.

    Geman-McClure from ``robust`` standard deviations on.
    """
    fraction = weight / weight.sum(1, keepdim=True).clamp(min=1e-9)
    mine, theirs, slope = (_centred(values, fraction) for values in (points, target, jacobian))
    size2 = torch.einsum("tk,tkx->t", fraction, mine.square()).clamp(min=1e-9)[:, None, None]
    ratio = (torch.einsum("tk,tkx->t", fraction, theirs.square())[:, None, None] / size2).sqrt()
    growth = torch.einsum("tk,tkx,tkxp->tp", fraction, mine, slope)[:, None] / size2  # of the body's own size
    slope = slope - mine[..., None] * growth[:, :, None]
    residual, slope = factor * (ratio * mine - theirs), (factor * ratio)[..., None] * slope
    far, c2 = residual.square().sum(-1, keepdim=True), robust**2
    bend = c2 / (c2 + far)
    terms.add(bend * residual, bend[..., None] * slope, bend * far)


def _parameters(
    terms: _Terms,
    prior: PosePrior,
    targets: TrackTargets,
    state: TrackState,
    weights: TrackWeights,
    model: KeypointModel,
) -> None:
    """Pose prior, joint limits, shape and height."""
    frames, x, n = len(state.theta), FRAME_SIZE, model.num_betas
    seen = targets.weight.sum(1) > 0
    trust = torch.where(seen, weights.prior, weights.prior * weights.guess)
    pull, component, whiten = prior.residual(state.theta)
    block = torch.zeros(frames, POSE_SIZE, x + n, dtype=model.dtype)
    block[:, :, 3 : 3 + POSE_SIZE] = trust[:, None, None] * whiten
    square = trust.square() * (pull.square().sum(1) + 2 * prior.offset[component])
    terms.add(trust[:, None] * pull, block, square)
    over = ((state.theta - prior.upper).clamp(min=0) + (state.theta - prior.lower).clamp(max=0)) / weights.limit_rad
    terms.cost += float(over.square().sum())
    terms.gradient[:, 3 : 3 + POSE_SIZE] += over / weights.limit_rad
    terms.blocks[0].diagonal(dim1=1, dim2=2)[:, 3 : 3 + POSE_SIZE] += (over != 0).to(over) / weights.limit_rad**2
    sigma = model.beta_sigma(weights.beta, weights.child)
    unusual = (state.betas if targets.betas is None else state.betas - targets.betas) / sigma
    trusted = max(int(seen.sum()), 1) ** 0.5  # frames agree with each other: errors of one are those of the next
    terms.cost += trusted * float(unusual.square().sum())
    terms.gradient[0, x:] += trusted * unusual / sigma
    terms.blocks[0][0, x:, x:] += trusted * torch.diag(1 / sigma**2)
    if targets.height is not None:
        height, slope = model.height(state.betas[None])
        off = (height[0] - targets.height) / weights.height_m
        slope = slope / weights.height_m
        terms.cost += frames * float(off**2)
        terms.gradient[0, x:] += frames * off * slope
        terms.blocks[0][0, x:, x:] += frames * torch.outer(slope, slope)
    if targets.mass is not None:
        slope = targets.mass.slope / weights.mass_kg
        off = state.betas @ slope - targets.mass.goal_kg / weights.mass_kg
        terms.cost += frames * float(off**2)
        terms.gradient[0, x:] += frames * off * slope
        terms.blocks[0][0, x:, x:] += frames * torch.outer(slope, slope)


def _centred(values: Tensor, fraction: Tensor) -> Tensor:
    """(T, K, ...) minus their mean by fractions (T, K)."""
    return values - torch.einsum("bk,bk...->b...", fraction, values)[:, None]
