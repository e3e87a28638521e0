"""Every frame of a track fitted by itself, as a picture is: where the track starts, and what is known of its depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dsr.body import Body
from dsr.camera import PictureCamera, rotate_body_to_original
from dsr.fitting.expectation import expect_upright
from dsr.fitting.gravity import find_gravity, find_stances
from dsr.fitting.lifted_people import with_lifted_limbs
from dsr.fitting.network_start import joint_uncertainty, with_network
from dsr.fitting.problem import FitProblem, fit_problem, keypoint_trust
from dsr.fitting.solver import FitWeights, State, placed
from dsr.fitting.starts import best_of, starting_states
from dsr.fitting.track_problem import TrackPoints, TrackWeights
from dsr.options import FitOptions
from dsr.people.types import Detection

_STEPS = {"fast": 5, "standard": 8, "best": 20}
_BATCH = 128  # frames fitted at once
_ONE_SHAPE = 0.5
"""Factor on the standard deviations of the network's shapes where they are the median of many frames'."""


@dataclass(frozen=True)
class FrameFits:
    """The n frames of a track in which the person was seen, each fitted by itself.

    Attributes:
        frames: (n,) their numbers in the track.
        root: (n, 3, 3) turn of the root, body to the clip's camera.
        theta: (n, 63) axis-angle of joints 1 to 21, radians.
        betas: (n, B) shapes.
        transl: (n, 3) metres.
        points: (n, P, 3) points of :class:`~dsr.fitting.track_problem.TrackPoints`, metres, camera axes, at the origin.
        sigma: (n, K, 3) standard deviations of the first K of them in depth and across, metres; infinite where a frame
            had keypoints in the picture alone.
        uncertainty_mm: (n, J) how far each joint is off, by the default network; NaN without it.
    """

    frames: np.ndarray
    root: Tensor
    theta: Tensor
    betas: Tensor
    transl: Tensor
    points: Tensor
    sigma: Tensor
    uncertainty_mm: np.ndarray


def fit_frames(
    detections: Sequence[Detection | None],
    camera: PictureCamera,
    body: Body,
    options: FitOptions,
    points: TrackPoints,
    weights: TrackWeights,
) -> FrameFits:
    """Fit every frame of a track.

    Args:
        detections: T consecutive frames, finite; None where the person was not seen, at least one is not None.
        camera: of the clip.
        body: body layer.
        options: ``quality``, ``refine``, ``height`` and ``mass`` are used.
        points: the track's points.
        weights: how far frames without the network's own standard deviations are off.
    """
    known = [t for t, d in enumerate(detections) if d is not None]
    solved: list[State] = []
    sigmas: list[Tensor] = []
    unsure: list[np.ndarray] = []
    for first in range(0, len(known), _BATCH):
        batch = [d for t in known[first : first + _BATCH] if (d := detections[t]) is not None]
        for run in _by_landmarks(batch):
            problem, state = _fit(run, camera, body, options)
            solved.append(state)
            sigmas.append(_sigma(problem, weights))
            known_mm = None if problem.network is None else joint_uncertainty(problem.network)
            unsure.append(np.full((len(run), body.num_joints), np.nan))
            if known_mm is not None:
                unsure[-1][:, : known_mm.shape[1]] = known_mm[:, : body.num_joints]
    state = State.joined(solved)
    placed_points, _ = points.model.carried(
        state.root, state.theta, state.betas.to(state.theta), torch.zeros_like(state.transl)
    )
    return FrameFits(
        np.array(known),
        state.root,
        state.theta,
        state.betas,
        state.transl,
        placed_points,
        torch.cat(sigmas),
        np.concatenate(unsure),
    )


def _fit(run: list[Detection], camera: PictureCamera, body: Body, options: FitOptions) -> tuple[FitProblem, State]:
    """Frames that all have 3D landmarks or all have none; the state is in the clip's camera, on the processor."""
    gravity = camera.gravity or find_gravity(run, camera)
    problem = _one_shape(with_network(fit_problem(run, camera, body, options)))
    if problem.network is None and options.quality != "fast":
        problem = with_lifted_limbs(problem)
    problem = expect_upright(problem, gravity, find_stances(run, camera, gravity))
    weights = FitWeights(steps=_STEPS[options.quality])
    state = best_of(problem, starting_states(problem, options), weights)
    state = placed(problem.model, problem.targets, state, weights)
    rest = body.rest_joints(state.betas.to(body.rest_joints()))[:, 0].to(problem.rotation)
    root, transl = rotate_body_to_original(state.root, state.transl, rest, problem.rotation)
    return problem, State(root, state.theta, state.betas, transl, state.focal)


def _one_shape(problem: FitProblem) -> FitProblem:
    """The problem of a person's frames, where the default network says a shape of each, with the same one for all."""
    targets = problem.targets
    if targets.betas is None or targets.beta_sigma is None or len(targets.betas) < 2:
        return problem
    betas = targets.betas.median(0).values.expand_as(targets.betas)
    return replace(problem, targets=replace(targets, betas=betas, beta_sigma=_ONE_SHAPE * targets.beta_sigma))


def _sigma(problem: FitProblem, weights: TrackWeights) -> Tensor:
    """(n, K, 3) metres, along the axes of the clip's camera; infinite for keypoints that nobody has seen."""
    like, detections = problem.targets.weight, problem.detections
    trust = keypoint_trust(detections[0].keypoint_set).to(like)
    confidence = torch.as_tensor(np.stack([d.confidence for d in detections])).to(like)
    if problem.network is None:
        wide, deep = weights.landmark_across_m, weights.landmark_along_m
        usual = like.new_tensor([wide, wide, deep]).expand(*like.shape, 3)
        if problem.targets.landmarks is None:
            return torch.full_like(usual, torch.inf)
        return usual / (confidence * trust.sqrt())[..., None]
    across, along = (part[..., None].to(like) for part in problem.network.point_sigma.unbind(-1))
    variance = torch.cat([across, across, along], -1).square() @ problem.rotation.square()
    sure = trust * (confidence / weights.believed).clamp(0.0, 1.0)
    return weights.frames * (variance / sure[..., None]).sqrt()


def _by_landmarks(detections: list[Detection]) -> list[list[Detection]]:
    """Runs of detections that all have 3D landmarks or all have none, in order."""
    runs: list[list[Detection]] = []
    for d in detections:
        if runs and (runs[-1][0].world_m is None) == (d.world_m is None):
            runs[-1].append(d)
        else:
            runs.append([d])
    return runs
