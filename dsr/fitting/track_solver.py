"""One body through all frames of a clip at once: Levenberg-Marquardt with shared shape and terms between frames.

Every frame has a pose and a place, all frames share the betas. Terms that join neighbouring frames reach two frames
far, so that the normal matrix is a band with a border for the betas: a block Cholesky factor and a Schur complement
solve it in time that grows with the number of frames only. Jacobians are closed-form, as in :mod:`dsr.fitting.solver`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dsr.body.rotations import axis_angle_to_rotmat
from dsr.fitting.keypoint_model import POSED_JOINTS, KeypointModel
from dsr.mocap.pose_prior import PosePrior

_TURNS = 3 * POSED_JOINTS
FRAME_SIZE = 3 + _TURNS + 3
"""Parameters of a frame: turn of the root (3), axis-angle of joints 1 to 21 (63), translation (3)."""


@dataclass(frozen=True)
class TrackWeights:
    """How far each term may be off before it hurts: one standard deviation each."""

    pixel: float = 0.008
    """Reprojection, as a share of the person's box side; a detector's errors are much the same in frames that follow
    each other, so they do not average out."""
    robust: float = 4.0
    """Where the reprojection term stops growing, in standard deviations."""
    landmark_across_m: float = 0.09
    """The detector's 3D landmarks across the viewing direction, metres."""
    landmark_along_m: float = 0.18
    """The detector's 3D landmarks along the viewing direction, metres."""
    prior: float = 0.9
    """Factor on the pose prior's residual."""
    guess: float = 0.3
    """Factor on the prior's residual in frames where the person was not seen: neighbours know more."""
    limit_rad: float = 0.05
    """Overshoot of a joint limit, radians."""
    beta: float = 1.0
    """Shape coefficients."""
    child: float = 0.25
    """The last coefficient of the open body, which leads to a child."""
    height_m: float = 0.004
    """Standing height where the user gave one, metres."""
    acceleration: float = 2.5
    """Accelerations of points, as a multiple of what is usual (:class:`TrackPoints`)."""
    turn_rad_s2: float = 60.0
    """Angular acceleration of the joints."""
    slip_m_s: float = 0.05
    """Speed of a foot on the ground, metres per second."""
    ground_m: float = 0.02
    """Distance of a foot on the ground from the plane of the ground, metres."""


@dataclass(frozen=True)
class TrackTargets:
    """What a track of T frames is fitted to, in the camera of the clip.

    Attributes:
        rays: (T, K, 2) x/z, y/z of the detector's keypoints.
        weight: (T, K) 0 to 1; 0 in frames where the person was not seen.
        scale: (T,) the person's size in normalised units (box side over focal length).
        fps: frames per second.
        landmarks: (T, K, 3) the detector's 3D landmarks in camera axes, metres, or None.
        lifted: (T, 17, 3) a lifter's joints in camera axes, metres, relative to any point, or None.
        lifted_sigma: (T, 17) its standard deviations, metres; infinite where it says nothing.
        contact: (T - 1, C) how surely each foot point stays where it is from a frame to the next, 0 to 1; or None.
        ground: (4,) plane of the ground: unit normal n and offset d with n . x = d; or None.
        height: standing height in metres, or None.
        betas: (n,) shape to stay near, or None for the average one.
        held: frames at the beginning that stay as they are.
        shape_held: whether the betas stay as they are.
    """

    rays: Tensor
    weight: Tensor
    scale: Tensor
    fps: float
    landmarks: Tensor | None = None
    lifted: Tensor | None = None
    lifted_sigma: Tensor | None = None
    contact: Tensor | None = None
    ground: Tensor | None = None
    height: float | None = None
    betas: Tensor | None = None
    held: int = 0
    shape_held: bool = False

    def window(self, start: int, stop: int) -> TrackTargets:
        """The frames ``start`` to ``stop - 1``."""
        cut = {
            name: value[start:stop]
            for name in ("rays", "weight", "scale", "landmarks", "lifted", "lifted_sigma")
            if (value := getattr(self, name)) is not None
        }
        if self.contact is not None:
            cut["contact"] = self.contact[start : stop - 1]
        return replace(self, **cut)


@dataclass(frozen=True)
class TrackState:
    """A body through T frames: root (T, 3, 3), theta (T, 63), transl (T, 3), betas (n,)."""

    root: Tensor
    theta: Tensor
    transl: Tensor
    betas: Tensor

    def step(self, frames: Tensor, betas: Tensor) -> TrackState:
        """Move by (T, 69) and (n,)."""
        return TrackState(
            axis_angle_to_rotmat(frames[:, :3]) @ self.root,
            self.theta + frames[:, 3 : 3 + _TURNS],
            self.transl + frames[:, 3 + _TURNS :],
            self.betas + betas,
        )

    def window(self, start: int, stop: int) -> TrackState:
        """The frames ``start`` to ``stop - 1``."""
        return TrackState(self.root[start:stop], self.theta[start:stop], self.transl[start:stop], self.betas)


@dataclass(frozen=True)
class TrackPoints:
    """A keypoint model of several sets, and where in its points things are.

    Attributes:
        model: points of the detector's set first.
        seen: how many points the detector's set has.
        joints: (17,) the lifter's joints.
        feet: (4,) left heel, right heel, left toes, right toes.
        smooth: (S,) points whose acceleration is held down.
        acceleration_m_s2: (S,) by how much each of them usually accelerates.
    """

    model: KeypointModel
    seen: int
    joints: Tensor
    feet: Tensor
    smooth: Tensor
    acceleration_m_s2: Tensor

    def place(self, state: TrackState) -> Tensor:
        """All points (T, P, 3), metres."""
        return self.model.pose(state.root, state.theta, state.betas.expand(len(state.root), -1), state.transl).points


def solve_track(
    points: TrackPoints,
    prior: PosePrior,
    targets: TrackTargets,
    start: TrackState,
    weights: TrackWeights,
    steps: int,
    tolerance: float = 3e-4,
) -> tuple[TrackState, float]:
    """Minimise the cost of a track.

    Args:
        points: keypoints of the body.
        prior: pose prior.
        targets: what to fit to.
        start: where to start.
        weights: of the terms.
        steps: most steps of the solver.
        tolerance: a step that lowers the cost by less than this share is the last.

    Returns:
        The best state and its cost.
    """
    state, damping = start, 1e-3
    system = _linearise(points, prior, targets, state, weights)
    for _ in range(steps):
        delta = system.solve(damping, targets.held, targets.shape_held)
        if delta is None:
            damping *= 10
            continue
        trial = state.step(*delta)
        following = _linearise(points, prior, targets, trial, weights)
        gain = system.cost - following.cost
        if gain > 0:  # NaN compares false: a wild step is simply refused
            done = gain < tolerance * system.cost
            state, system, damping = trial, following, max(damping * 0.2, 1e-7)
            if done:
                break
        else:
            damping = min(damping * 10, 1e6)
    return state, system.cost


@dataclass(frozen=True)
class _System:
    """Cost, gradient and Gauss-Newton matrix.

    Attributes:
        cost: sum of squares.
        gradient: (T, 69 + n), the last n columns only in their sum over the frames.
        blocks: couplings of frame t with t, t + 1 and t + 2: (T, P, P), (T-1, P, P), (T-2, P, P) with P = 69 + n.
    """

    cost: float
    gradient: Tensor
    blocks: tuple[Tensor, Tensor, Tensor]

    def solve(self, damping: float, held: int, shape_held: bool) -> tuple[Tensor, Tensor] | None:
        """The damped step (T, 69) and (n,); None where the matrix is not positive definite."""
        x, size = FRAME_SIZE, self.gradient.shape[1]
        border = size - FRAME_SIZE
        near, next_, after = self.blocks
        edge = near[:, :x, x:].clone()
        corner = near[:, x:, x:].sum(0)
        for reach, block in ((1, next_), (2, after)):
            if len(block):
                edge[:-reach] += block[:, :x, x:]
                edge[reach:] += block[:, x:, :x].transpose(1, 2)
                both = block[:, x:, x:].sum(0)
                corner += both + both.T
        own = near[:, :x, :x].clone()
        diagonal = own.diagonal(dim1=1, dim2=2)
        diagonal += damping * diagonal + 1e-9
        corner += torch.diag(damping * corner.diagonal() + 1e-9)
        if held:
            diagonal[:held] += 1e12
        if shape_held:
            corner += 1e15 * torch.eye(border, dtype=corner.dtype)
        right = torch.cat([edge, -self.gradient[:, :x, None]], 2)
        try:
            solved = _solve_band(own, next_[:, :x, :x], after[:, :x, :x], right)
            both = torch.einsum("tpb,tpc->bc", edge, solved)
            schur = corner - both[:, :border]
            betas = torch.linalg.solve(schur, -self.gradient[:, x:].sum(0) - both[:, border])
        except RuntimeError:  # torch's LinAlgError is one
            return None
        step = solved[..., border] - solved[..., :border] @ betas
        return (step, betas) if bool(torch.isfinite(step).all()) else None


def _solve_band(own: Tensor, next_: Tensor, after: Tensor, right: Tensor) -> Tensor:
    """Solve a symmetric system of T blocks (T, X, X) coupled with the next (T-1) and the one after (T-2).

    Two frames make one block of a block-tridiagonal matrix, whose Cholesky factor is built block by block.

    Args:
        own: (T, X, X) on the diagonal.
        next_: (T-1, X, X) right of it.
        after: (T-2, X, X) right of that.
        right: (T, X, R).
    """
    frames, x, _ = own.shape
    pairs = (frames + 1) // 2
    wide = own.new_zeros(pairs, 2 * x, 2 * x)  # on the diagonal
    link = own.new_zeros(max(pairs - 1, 0), 2 * x, 2 * x)  # below it: row of pair i + 1, column of pair i
    wide[:, :x, :x] = own[0::2]
    wide[: frames // 2, x:, x:] = own[1::2]
    if frames % 2:
        wide[-1, x:, x:] = torch.eye(x, dtype=own.dtype)
    wide[: frames // 2, x:, :x] = next_[0::2].transpose(1, 2)
    wide[: frames // 2, :x, x:] = next_[0::2]
    inner = next_[1::2].transpose(1, 2)
    link[: len(inner), :x, x:] = inner
    even, odd = after[0::2].transpose(1, 2), after[1::2].transpose(1, 2)
    link[: len(even), :x, :x] = even
    link[: len(odd), x:, x:] = odd
    values = own.new_zeros(pairs, 2 * x, right.shape[-1])
    values[:, :x], values[: frames // 2, x:] = right[0::2], right[1::2]
    factors: list[Tensor] = []
    links: list[Tensor] = []
    for i in range(pairs):
        block = wide[i]
        if i:
            reach = torch.linalg.solve_triangular(factors[-1], link[i - 1].T, upper=False)  # transposed
            links.append(reach)
            block = block - reach.T @ reach
            values[i] -= reach.T @ values[i - 1]
        factors.append(torch.linalg.cholesky(block))
        values[i] = torch.linalg.solve_triangular(factors[i], values[i], upper=False)
    for i in reversed(range(pairs)):
        if i + 1 < pairs:
            values[i] -= links[i] @ values[i + 1]
        values[i] = torch.linalg.solve_triangular(factors[i].T, values[i], upper=True)
    return values.reshape(pairs * 2, x, -1)[:frames]


def _linearise(
    points: TrackPoints, prior: PosePrior, targets: TrackTargets, state: TrackState, weights: TrackWeights
) -> _System:
    model, frames = points.model, len(state.theta)
    posed = model.pose(state.root, state.theta, state.betas.expand(frames, -1), state.transl)
    x, n = FRAME_SIZE, model.num_betas
    head = 3 + _TURNS
    jacobian = torch.cat(
        [posed.jacobian[..., :head], posed.jacobian[..., head + n :], posed.jacobian[..., head : head + n]], -1
    )
    terms = _Terms(frames, x + n, model.dtype)
    seen = slice(0, points.seen)
    _reprojection(terms, posed.points[:, seen], jacobian[:, seen], targets, weights)
    if targets.landmarks is not None:
        across, along = weights.landmark_across_m, weights.landmark_along_m
        sigma = targets.weight.new_tensor([across, across, along])
        weight = targets.weight
        _shape_in_space(
            terms, posed.points[:, seen], jacobian[:, seen], targets.landmarks, weight, weight.sqrt()[..., None] / sigma
        )
    if targets.lifted is not None and targets.lifted_sigma is not None:
        factor = 1 / targets.lifted_sigma
        own = points.joints
        _shape_in_space(
            terms, posed.points[:, own], jacobian[:, own], targets.lifted, factor.square(), factor[..., None]
        )
    _parameters(terms, prior, targets, state, weights, model)
    smooth = targets.fps**2 / (weights.acceleration * points.acceleration_m_s2.repeat_interleave(3))
    terms.add_acceleration(
        smooth * posed.points[:, points.smooth].flatten(1),
        smooth[:, None] * jacobian[:, points.smooth].flatten(1, 2),
    )
    turn = targets.fps**2 / weights.turn_rad_s2
    turning = torch.zeros(_TURNS, x + n, dtype=model.dtype)
    turning[:, 3:head] = turn * torch.eye(_TURNS, dtype=model.dtype)
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
            share = value.new_zeros(frames - reach)
            for i in range(3 - reach):
                share[i : frames - 2 + i] += pattern[i] * pattern[i + reach]
            square = (
                jacobian.T @ jacobian if steady else (jacobian[: frames - reach].transpose(1, 2) @ jacobian[reach:])
            )
            self.blocks[reach].add_(share[:, None, None] * square)

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

    def system(self) -> _System:
        rows, residual = torch.cat(self.rows, 1), torch.cat(self.residuals, 1)
        transposed = rows.transpose(1, 2)
        self.blocks[0].add_(transposed @ rows)
        return _System(self.cost, self.gradient + (transposed @ residual[..., None])[..., 0], self.blocks)  # type: ignore[arg-type]


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
    terms: _Terms, points: Tensor, jacobian: Tensor, wanted: Tensor, weight: Tensor, factor: Tensor
) -> None:
    """Points (T, K, 3) in space up to place and size, in the size of the wanted ones: a smaller body is no closer."""
    share = weight / weight.sum(1, keepdim=True).clamp(min=1e-9)
    mine, theirs, slope = (_centred(values, share) for values in (points, wanted, jacobian))
    own2 = torch.einsum("tk,tkx->t", share, mine.square()).clamp(min=1e-9)[:, None, None]
    ratio = (torch.einsum("tk,tkx->t", share, theirs.square())[:, None, None] / own2).sqrt()
    growth = torch.einsum("tk,tkx,tkxp->tp", share, mine, slope)[:, None] / own2  # of the body's own size
    slope = slope - mine[..., None] * growth[:, :, None]
    terms.add(factor * (ratio * mine - theirs), (factor * ratio)[..., None] * slope)


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
    block = torch.zeros(frames, _TURNS, x + n, dtype=model.dtype)
    block[:, :, 3 : 3 + _TURNS] = trust[:, None, None] * whiten
    square = trust.square() * (pull.square().sum(1) + 2 * prior.offset[component])
    terms.add(trust[:, None] * pull, block, square)
    over = ((state.theta - prior.upper).clamp(min=0) + (state.theta - prior.lower).clamp(max=0)) / weights.limit_rad
    terms.cost += float(over.square().sum())
    terms.gradient[:, 3 : 3 + _TURNS] += over / weights.limit_rad
    terms.blocks[0].diagonal(dim1=1, dim2=2)[:, 3 : 3 + _TURNS] += (over != 0).to(over) / weights.limit_rad**2
    sigma = torch.full((n,), weights.beta, dtype=model.dtype)
    if model.child_axis is not None:
        sigma[model.child_axis] = weights.child
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


def _centred(values: Tensor, share: Tensor) -> Tensor:
    """(T, K, ...) minus their mean by shares (T, K)."""
    return values - torch.einsum("bk,bk...->b...", share, values)[:, None]
