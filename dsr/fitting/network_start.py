"""The default network in a fit: where it starts, its 3D keypoints with their uncertainty, its pose and its shape."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dsr.body.rotations import rotmat_to_axis_angle
from dsr.errors import CheckpointError
from dsr.fitting.keypoint_model import POSED_JOINTS
from dsr.fitting.lifted_people import lift_people, shipped_lifter
from dsr.fitting.problem import FitProblem, keypoint_trust
from dsr.fitting.sigmas import common_errors
from dsr.fitting.solver import FitWeights, State
from dsr.regressors.default.averaging import both_ways
from dsr.regressors.default.inputs import SHOWN_RAD, PersonInputs, rays_in, sample_masks, shown_cameras
from dsr.regressors.default.network import LIMBS, DefaultRegressor, PredictedBodies, moved_onto

ACROSS, ALONG, POSE, BETA = 0.8, 0.3, 0.8, 1.0
"""Factors on the network's standard deviations in a fit, chosen on held-out made-up people: keypoints of its body, its
pose, its shape."""
COMMON = 0.75
"""Errors that all of somebody's keypoints share, against those of the landmarks."""
LEAN = 0.8
"""How far the network's bodies lean wrongly, against the landmarks."""
AFTER_FIT = 0.77
"""How far joints are off after a fit, against before: measured on made-up people, the same on real ones."""
_KNOWN = (0.3, 0.7)
"""Factors on the landmarks' usual errors: below the first they are believed, above the second the network is."""


@lru_cache(maxsize=1)
def default_network() -> DefaultRegressor | None:
    """The shipped network, read once; None where this installation lacks it."""
    from dsr.regressors.default.shipped import load_default

    try:
        return load_default()
    except CheckpointError:
        return None


def person_inputs(problem: FitProblem) -> PersonInputs | None:
    """What the network sees of the people of a problem; None where they have no 3D landmarks of BlazePose's.

    Everybody is shown in a camera of their own (:func:`dsr.regressors.default.inputs.shown_cameras`); what perspective
    tells is left to the fit.
    """
    targets, detections = problem.targets, problem.detections
    if targets.landmarks is None or detections[0].keypoint_set != "blazepose33":
        return None
    K = shown_cameras(np.stack([d.box_px for d in detections]).astype(np.float64))
    rays = rays_in(np.stack([d.keypoints_px for d in detections]), K)
    confidence = np.stack([d.confidence for d in detections]) * (targets.weight.cpu().numpy() > 0)
    lifter = shipped_lifter()
    lifted = np.zeros((len(rays), 17, 3)) if lifter is None else lift_people(rays, confidence, lifter)
    scale, straight = np.full(len(K), SHOWN_RAD), np.broadcast_to(np.eye(3), K.shape)
    mask, masked = sample_masks([d.mask for d in detections], scale, straight, K)
    has = np.stack([np.full(len(rays), lifter is not None), masked], 1)

    def single(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32)

    return PersonInputs(
        single(rays),
        single(confidence),
        targets.landmarks.cpu().float(),
        single(lifted),
        single(mask),
        single(scale),
        single(has),
    )


@torch.no_grad()
def predicted(problem: FitProblem, network: DefaultRegressor) -> PredictedBodies | None:
    """What the network says about the people of a problem and their mirror images; None where it cannot be asked."""
    inputs, targets = person_inputs(problem), problem.targets
    if inputs is None:
        return None
    bodies = both_ways(network, inputs).to(problem.rotation)
    return moved_onto(bodies, targets.rays, inputs.confidence.to(targets.rays), targets.scale)


def with_network(problem: FitProblem) -> FitProblem:
    """The problem with the default network's keypoints in the place of the 3D landmarks, its pose and its shape.

    Where somebody's landmarks agree with the keypoints better than any detector's do, somebody knows better than the
    network, and they stay. Without 3D landmarks of ``blazepose33``, or without the network's file, nothing changes.
    """
    network, targets, weights = default_network(), problem.targets, FitWeights()
    bodies = None if network is None else _grown_up(predicted(problem, network), problem)
    if bodies is None or targets.landmarks is None or targets.landmark_sigma is None:
        return problem
    share = ((problem.factor - _KNOWN[0]) / (_KNOWN[1] - _KNOWN[0])).clamp(0.0, 1.0)
    pick = share[:, None, None] > 0.5
    landmarks, said = targets.landmarks, bodies.points
    landmarks = torch.where(pick, said - said[:, LIMBS].mean(1, keepdim=True), landmarks)
    sigma = bodies.point_sigma[..., [0, 0, 1]] * said.new_tensor([ACROSS, ACROSS, ALONG])
    sigma = torch.where(pick, sigma, targets.landmark_sigma)
    factor = torch.where(share > 0.5, LEAN * torch.ones_like(share), problem.factor)
    common = targets.landmark_common
    if common is not None:
        shared = COMMON * common_errors(said, problem.detections[0].keypoint_set)
        common = torch.where(pick[..., None], shared, common)
    trust = keypoint_trust("blazepose33").to(targets.weight) * (targets.weight > 0)
    believed = torch.where(pick[..., 0], trust, targets.weight)  # it has heeded the confidence itself
    targets = replace(
        targets, landmarks=landmarks, landmark_sigma=sigma, landmark_weight=believed, landmark_common=common
    )
    if _is_open(problem):
        doubt = torch.where(share > 0.5, 1.0, torch.inf)[:, None]
        pose = rotmat_to_axis_angle(bodies.turns[:, 1 : 1 + POSED_JOINTS]).flatten(1)
        targets = replace(targets, pose=pose, pose_sigma=POSE * bodies.pose_sigma.flatten(1) * doubt)
        if targets.betas is None and problem.model.num_betas == bodies.betas.shape[1]:
            usual, axis = problem.model.beta_sigma(weights.beta, weights.child), problem.model.child_axis
            sure = torch.where(share[:, None] > 0.5, BETA * bodies.beta_sigma, usual)
            if axis is not None:
                sure[:, axis] = usual[axis]
            targets = replace(targets, betas=torch.where(share[:, None] > 0.5, bodies.betas, 0.0), beta_sigma=sure)
    return replace(problem, targets=targets, factor=factor, network=bodies)


def _grown_up(bodies: PredictedBodies | None, problem: FitProblem) -> PredictedBodies | None:
    """The bodies as adults'.

    What a detector says does not tell children from adults (of held-out people the best classifier ranks 69 of 100
    pairs right), so the network hedges and makes everybody smaller. Most people in photographs are adults.
    """
    axis = problem.model.child_axis
    if bodies is None or axis is None or axis >= bodies.betas.shape[1]:
        return bodies
    betas = bodies.betas.clone()
    betas[:, axis] = 0.0
    return replace(bodies, betas=betas)


def joint_uncertainty(bodies: PredictedBodies) -> np.ndarray:
    """How far joints are off after the fit, (B, 24) millimetres: one standard deviation of the distance.

    Of 297 made-up people 51 in a hundred errors are below 0.75 of it, 90 below 1.63; of 32 views of real ones 49
    and 91.
    """
    across, along = bodies.joint_sigma.unbind(-1)
    return np.asarray(AFTER_FIT * 1000 * (2 * across.square() + along.square()).sqrt().cpu())


def network_state(problem: FitProblem) -> State | None:
    """The network's bodies as the start of a fit; None without them, or where the fit has another body."""
    bodies, prior = problem.network, problem.prior
    if bodies is None or not _is_open(problem):
        return None
    theta = rotmat_to_axis_angle(bodies.turns[:, 1 : 1 + POSED_JOINTS]).flatten(1).clamp(prior.lower, prior.upper)
    count = problem.model.num_betas
    betas = torch.zeros(len(theta), count).to(theta)
    betas[:, : bodies.betas.shape[1]] = bodies.betas[:, :count]
    return State(bodies.turns[:, 0], theta, betas, bodies.transl, torch.zeros_like(theta[:, 0]))


def _is_open(problem: FitProblem) -> bool:
    """Whether the fit has the body that the network speaks of."""
    return problem.body.asset.name.startswith("open")
