"""Robust Levenberg-Marquardt for many bodies at once, each in the rotated camera that looks straight at it.

The cost of one body is the sum of squares of: reprojection of its keypoints and agreement with 3D landmarks up to scale
and place, where there are any (each over its own standard deviation, Geman-McClure as in SMPLify, ECCV 2016); a learned
pose prior; joint limits; a Gaussian on the betas; what gravity lets expect; and a height and mass where the user knows
them. All Jacobians are closed-form, so a few steps do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from dsr.body.rotations import axis_angle_to_rotmat
from dsr.camera.directions import cross_matrix
from dsr.fitting.balance import ROBUST, Upright, upright_terms
from dsr.fitting.keypoint_model import POSED_JOINTS, KeypointModel
from dsr.fitting.keypoint_terms import landmark_terms, reprojection_terms, shared_errors
from dsr.fitting.sigmas import PIXEL_SIGMA
from dsr.limits import check_time
from dsr.mocap.pose_prior import PosePrior

NEAREST_M = 0.1
"""No body is nearer to the camera than this."""
FOCAL_LIMIT = 0.8
"""Logarithm by which a person's own perspective may at most contradict the camera's focal length."""
_WORTH_A_STEP = 2e-3  # of the cost: what a step promises to gain


@dataclass(frozen=True)
class FitWeights:
    """How far each term may be off before it hurts: one standard deviation each."""

    pixel: float = PIXEL_SIGMA
    """Reprojection, as a share of the person's box side, where the keypoints do not say it themselves."""
    landmark_across_m: float = 0.10
    """3D landmarks across the viewing direction, metres, where they do not say it themselves."""
    landmark_along_m: float = 0.20
    """The same along the viewing direction."""
    prior: float = 0.8
    """Factor on the pose prior's residual."""
    focal: float = 1.2
    """Logarithm of the focal length: what a person's own perspective may say against the camera."""
    place_rad: float = 0.05
    """Turn of the whole body that brings it onto the keypoints as the camera sees them, radians."""
    limit_rad: float = 0.05
    """Overshoot of a joint limit, radians."""
    beta: float = 1.6
    """Shape coefficients."""
    child: float = 0.25
    """The coefficient that leads to a child, where the body has one."""
    height_m: float = 0.004
    """Standing height where the user gave one, metres."""
    mass_kg: float = 0.5
    """Mass where the user gave one, kilograms."""
    robust: float = 6.0
    """Where the reprojection term stops growing, in standard deviations."""
    landmark_robust: float = 5.0
    """Where the landmarks' term stops growing."""
    steps: int = 12
    """Most steps of the solver."""


@dataclass(frozen=True)
class LinearMass:
    """A body's mass around its likeliest shape: ``slope @ betas`` (n,) is ``goal_kg`` where the mass is met."""

    slope: Tensor
    goal_kg: float


@dataclass(frozen=True)
class Targets:
    """What a batch of bodies is fitted to.

    Attributes:
        rays: (B, K, 2) x/z, y/z in the rotated camera.
        weight: (B, K) confidence, 0 to 1.
        scale: (B,) the person's size in normalised units (box side over focal length).
        sight: (B, 2) x/z, y/z of the line of sight in the picture's camera, or None where the camera is not turned.
        landmarks: (B, K, 3) 3D landmarks in the rotated camera's axes, metres, or None.
        landmark_sigma: (B, K, 3) their standard deviations, metres, infinite where nothing is known; None: all alike.
        landmark_weight: (B, K) 0 to 1, how far these are believed; None: as ``weight`` says.
        landmark_common: (B, M, K, 3) standard deviations of the errors that they share, metres, or None.
        pixel_factor: (B, K) on the weights' standard deviation of keypoints; None: 1.
        height: (B,) standing height in metres, or None.
        betas: (B, n) shape to stay near, or None for the average one.
        metric: whether the landmarks' size counts too; otherwise only their places relative to each other do.
        mass: everybody's mass, or None.
        upright: what gravity lets expect, or None.
        beta_sigma: (B, n) standard deviations of ``betas``, or None: the weights'.
        pose: (B, 63) the pose that a network says, axis-angle of joints 1 to 21, radians; or None.
        pose_sigma: (B, 63) its standard deviations, radians.
    """

    rays: Tensor
    weight: Tensor
    scale: Tensor
    sight: Tensor | None = None
    landmarks: Tensor | None = None
    landmark_sigma: Tensor | None = None
    landmark_weight: Tensor | None = None
    landmark_common: Tensor | None = None
    pixel_factor: Tensor | None = None
    height: Tensor | None = None
    betas: Tensor | None = None
    metric: bool = False
    mass: LinearMass | None = None
    upright: Upright | None = None
    beta_sigma: Tensor | None = None
    pose: Tensor | None = None
    pose_sigma: Tensor | None = None

    @cached_property
    def shared_errors(self) -> tuple[Tensor, Tensor] | None:
        """As :func:`dsr.fitting.keypoint_terms.shared_errors`, worked out once for all steps."""
        common, sigma = self.landmark_common, self.landmark_sigma
        return None if common is None or sigma is None else shared_errors(common, sigma)

    def select(self, index: Tensor) -> Targets:
        """Rows ``index`` of the batch, each as often as it is named."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        rows: dict[str, Any] = {name: value[index] for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **rows, upright=None if self.upright is None else self.upright.select(index))


@dataclass(frozen=True)
class State:
    """Bodies being fitted: root (B,3,3), theta (B,63), betas (B,n), transl (B,3).

    ``focal`` (B,) is the logarithm of how much longer the focal length seems, by the people's own perspective, than the
    camera says; None where the camera is believed.
    """

    root: Tensor
    theta: Tensor
    betas: Tensor
    transl: Tensor
    focal: Tensor | None = None

    def step(self, delta: Tensor) -> State:
        """Move by (B, P) in the parameter order of :class:`PosedKeypoints`; a free focal length is the last."""
        n, stop = self.betas.shape[1], 3 + 3 * POSED_JOINTS
        return State(
            axis_angle_to_rotmat(delta[:, :3]) @ self.root,
            self.theta + delta[:, 3:stop],
            self.betas + delta[:, stop : stop + n],
            self.transl + delta[:, stop + n : stop + n + 3],
            None if self.focal is None else (self.focal + delta[:, stop + n + 3]).clamp(-FOCAL_LIMIT, FOCAL_LIMIT),
        )

    def where(self, mask: Tensor, other: State) -> State:
        """This state where ``mask`` (B,) holds, ``other`` elsewhere."""
        return State._of([self, other], lambda a, b: torch.where(mask.reshape(-1, *[1] * (a.ndim - 1)), a, b))

    def select(self, index: Tensor) -> State:
        """Rows ``index`` of the batch."""
        return State._of([self], lambda part: part[index])

    @classmethod
    def joined(cls, states: Sequence[State]) -> State:
        """The rows of all of them."""
        return cls._of(states, lambda *parts: torch.cat(parts))

    @classmethod
    def _of(cls, states: Sequence[State], make: Callable[..., Tensor]) -> State:
        """Every part made of the same part of all states."""
        first, *others = ([getattr(state, f.name) for f in fields(cls)] for state in states)
        parts: list[Any] = [None if p[0] is None else make(*p) for p in zip(first, *others, strict=True)]
        return cls(*parts)


def solve(
    model: KeypointModel, prior: PosePrior, targets: Targets, start: State, weights: FitWeights
) -> tuple[State, Tensor]:
    """Minimise every body's cost.

    Returns:
        The best states and their costs (B,).
    """
    state = start
    _ = targets.shared_errors, prior.precision  # once for all steps
    system = linearise(model, prior, targets, state, weights)
    damping = torch.full_like(system.cost, 1e-2)
    eye = torch.eye(system.gradient.shape[1], dtype=model.dtype, device=model.device)
    for _ in range(weights.steps):
        check_time()
        diagonal = system.normal.diagonal(dim1=1, dim2=2)
        damped = system.normal + torch.diag_embed(damping[:, None] * diagonal) + 1e-9 * eye
        delta = -torch.cholesky_solve(system.gradient[..., None], torch.linalg.cholesky_ex(damped)[0])[..., 0]
        gain = -(system.gradient * delta).sum(1)
        if bool((gain < _WORTH_A_STEP * system.cost).all()):
            break
        trial = state.step(delta)
        next_system = linearise(model, prior, targets, trial, weights)
        # NaN compares false: a wild step is simply refused, and so is one that takes the body behind the camera
        better = (next_system.cost < system.cost) & (trial.transl[:, 2] > NEAREST_M)
        state, system = trial.where(better, state), next_system.where(better, system)
        damping = torch.where(better, damping * 0.3, damping * 6.0).clamp(1e-6, 1e6)
    return state, system.cost


def placed(model: KeypointModel, targets: Targets, state: State, weights: FitWeights) -> State:
    """Bodies moved and slightly turned, each as one piece, until the camera as it is sees them on their keypoints.

    The fit allowed another focal length: what comes back has the camera's (``focal`` is None), and nothing but ``root``
    and ``transl`` changes.
    """
    state = replace(state, focal=None)
    free = [0, 1, 2, *range(model.num_parameters - 3, model.num_parameters)]
    sigma = weights.pixel * targets.scale[:, None] * (1.0 if targets.pixel_factor is None else targets.pixel_factor)
    stiff = targets.rays.new_tensor([weights.place_rad**-2] * 3 + [1e-6] * 3).diag()
    turned = targets.rays.new_zeros(len(targets.rays), 6)
    for _ in range(3):
        points, lever = model.carried(state.root, state.theta, state.betas, state.transl)
        by_place = torch.eye(3).to(lever).expand(*lever.shape, 3)
        jacobian = torch.cat([-cross_matrix(lever), by_place], -1)
        residual, jacobian, _ = reprojection_terms(points, jacobian, targets.rays, sigma, targets.weight)
        _, factor = _robust(residual, targets.weight, weights.robust)
        rows = (factor[..., None] * jacobian).flatten(1, 2)
        down = rows.transpose(1, 2) @ (factor * residual).flatten(1)[..., None] + stiff @ turned[..., None]
        move = -torch.linalg.solve(rows.transpose(1, 2) @ rows + stiff, down)[..., 0]
        step = move.new_zeros(len(move), model.num_parameters)
        step[:, free] = move
        trial = state.step(step)
        fine = trial.transl.isfinite().all(1) & (trial.transl[:, 2] > NEAREST_M)
        turned = turned + torch.where(fine[:, None] & (torch.arange(6, device=move.device) < 3), move, 0.0)
        state = trial.where(fine, state)
    return state


@dataclass(frozen=True)
class NormalEquations:
    """The cost of B bodies around a state, in the P parameters of :class:`PosedKeypoints`.

    Attributes:
        cost: (B,) sum of squares; the robust and prior terms as their own.
        gradient: (B, P) half the cost's.
        normal: (B, P, P) Gauss-Newton matrix.
    """

    cost: Tensor
    gradient: Tensor
    normal: Tensor

    def where(self, mask: Tensor, other: NormalEquations) -> NormalEquations:
        """These where ``mask`` (B,) holds, ``other`` elsewhere."""
        return NormalEquations(
            torch.where(mask, self.cost, other.cost),
            torch.where(mask[:, None], self.gradient, other.gradient),
            torch.where(mask[:, None, None], self.normal, other.normal),
        )


def linearise(
    model: KeypointModel, prior: PosePrior, targets: Targets, state: State, weights: FitWeights
) -> NormalEquations:
    """Cost, gradient and Gauss-Newton matrix at a state."""
    posed = model.pose(state.root, state.theta, state.betas, state.transl)
    batch, size = len(state.theta), model.num_parameters
    rows, residuals = [], []
    sigma = (weights.pixel * targets.scale[:, None]).expand_as(targets.weight)
    if targets.pixel_factor is not None:
        sigma = sigma * targets.pixel_factor
    residual, jacobian, by_focal = reprojection_terms(
        posed.points, posed.jacobian, targets.rays, sigma, targets.weight, state.focal, targets.sight
    )
    cost, factor = _robust(residual, targets.weight, weights.robust)
    rows.append((factor[..., None] * jacobian).flatten(1, 2))
    residuals.append((factor * residual).flatten(1))
    by_focal = (factor * by_focal).flatten(1)
    if targets.landmarks is not None:
        spread = targets.landmark_sigma
        if spread is None:
            across, along = weights.landmark_across_m, weights.landmark_along_m
            spread = targets.rays.new_tensor([across, across, along]).expand_as(targets.landmarks)
        residual, jacobian = landmark_terms(
            posed.points,
            posed.jacobian,
            targets.landmarks,
            spread,
            targets.weight,
            model.hanging,
            targets.metric,
            targets.shared_errors,
        )
        believed = targets.weight if targets.landmark_weight is None else targets.landmark_weight
        more, factor = _robust(residual, believed, weights.landmark_robust)
        cost = cost + more
        rows.append((factor[..., None] * jacobian).flatten(1, 2))
        residuals.append((factor * residual).flatten(1))

    # terms on the parameters themselves
    stop, n = 3 + 3 * POSED_JOINTS, model.num_betas
    pull, component, whiten = prior.residual(state.theta)
    cost = cost + weights.prior**2 * (pull.square().sum(1) + 2 * prior.offset[component])
    if targets.upright is not None:
        stance = upright_terms(posed.anchors, posed.anchor_jacobian, targets.upright)
        cost = cost + stance.cost
        rows.append(stance.jacobian)
        residuals.append(stance.residual)
    over = (state.theta - prior.upper).clamp(min=0) + (state.theta - prior.lower).clamp(max=0)
    diagonal = torch.zeros(batch, size, dtype=model.dtype, device=model.device)
    linear = torch.zeros_like(diagonal)
    diagonal[:, 3:stop] = (over != 0).to(model.dtype) / weights.limit_rad**2
    linear[:, 3:stop] = over / weights.limit_rad**2 + weights.prior**2 * (pull[:, None] @ whiten)[:, 0]
    cost = cost + (over / weights.limit_rad).square().sum(1)
    if targets.upright is not None:
        unexpected = targets.upright.pose_factor * (state.theta - targets.upright.pose)
        bend = ROBUST**2 / (ROBUST**2 + unexpected.square())
        cost = cost + (bend * unexpected.square()).sum(1)
        diagonal[:, 3:stop] += (bend * targets.upright.pose_factor).square()
        linear[:, 3:stop] += bend.square() * targets.upright.pose_factor * unexpected
    if targets.pose is not None and targets.pose_sigma is not None:
        apart = (state.theta - targets.pose) / targets.pose_sigma
        bend = ROBUST**2 / (ROBUST**2 + apart.square())
        cost = cost + (bend * apart.square()).sum(1)
        diagonal[:, 3:stop] += (bend / targets.pose_sigma).square()
        linear[:, 3:stop] += bend.square() * apart / targets.pose_sigma
    sigma = model.beta_sigma(weights.beta, weights.child) if targets.beta_sigma is None else targets.beta_sigma
    diagonal[:, stop : stop + n] = 1 / sigma**2
    unusual = state.betas if targets.betas is None else state.betas - targets.betas
    linear[:, stop : stop + n] = unusual / sigma**2
    cost = cost + (unusual / sigma).square().sum(1)
    if targets.height is not None:
        height, slope = model.height(state.betas)
        residual = (height - targets.height) / weights.height_m
        cost = cost + residual.square()
        row = torch.zeros(batch, 1, size, dtype=model.dtype, device=model.device)
        row[:, 0, stop : stop + n] = slope / weights.height_m
        rows.append(row)
        residuals.append(residual[:, None])
    if targets.mass is not None:
        residual = (state.betas @ targets.mass.slope - targets.mass.goal_kg) / weights.mass_kg
        cost = cost + residual.square()
        row = torch.zeros(batch, 1, size, dtype=model.dtype, device=model.device)
        row[:, 0, stop : stop + n] = targets.mass.slope / weights.mass_kg
        rows.append(row)
        residuals.append(residual[:, None])
    jacobian, residual = torch.cat(rows, 1), torch.cat(residuals, 1)
    if state.focal is not None:
        column = torch.zeros_like(residual)
        column[:, : by_focal.shape[1]] = by_focal
        jacobian = torch.cat([jacobian, column[..., None]], 2)
        diagonal = torch.cat([diagonal, torch.full_like(diagonal[:, :1], weights.focal**-2)], 1)
        linear = torch.cat([linear, state.focal[:, None] / weights.focal**2], 1)
        cost = cost + (state.focal / weights.focal).square()
    transposed = jacobian.transpose(1, 2)
    normal = transposed @ jacobian + torch.diag_embed(diagonal)
    normal[:, 3:stop, 3:stop] += weights.prior**2 * prior.precision[component]
    gradient = (transposed @ residual[..., None])[..., 0] + linear
    return NormalEquations(cost, gradient, normal)


def _robust(residual: Tensor, weight: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Geman-McClure of residuals (B, K, D): the cost (B,), and factors (B, K, 1) on residuals and Jacobians."""
    square, c2 = residual.square().sum(-1), limit**2
    bend = c2 / (c2 + square)
    return (weight * bend * square).sum(1), (weight.sqrt() * bend)[..., None]
