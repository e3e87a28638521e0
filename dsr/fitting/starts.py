"""Where a fit starts, and the best of several starts.

With 3D landmarks: closed-form inverse kinematics. From 2D keypoints alone: typical poses in four facings. Or bodies
that a network predicted.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from dsr.body.landmark_ik import pose_from_landmarks
from dsr.body.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle
from dsr.body.transfer import PosedBody
from dsr.camera import rotate_body, translation_from_rays
from dsr.fitting.keypoint_model import POSED_JOINTS
from dsr.fitting.network_start import network_state
from dsr.fitting.problem import FitProblem
from dsr.fitting.solver import FitWeights, State, solve
from dsr.options import FitOptions

TYPICAL_POSES = {"fast": 1, "standard": 4, "best": 12}
"""How many of the prior's poses a fit without 3D landmarks starts from, in four facings each."""
FINALISTS = 6
"""Of more starts than this, only so many per person are followed to the end."""


def starting_states(problem: FitProblem, options: FitOptions) -> list[State]:
    """Where to start from: the landmarks' pose, or typical poses in four facings.

    Args:
        problem: who is fitted to what.
        options: ``quality`` and ``refine`` are used; with ``joints``, ``all`` or ``best`` the landmarks' pose is also
            tried with all depths reversed.

    Returns:
        States of all B people, each with the likeliest betas and in front of the camera.
    """
    model, prior, targets = problem.model, problem.prior, problem.targets
    rest = model.rest
    batch = len(targets.rays)
    said = network_state(problem)
    if targets.landmarks is not None:
        # the network's, but for those whose landmarks are known better than it knows
        other = (problem.factor > 0.5)[:, None]
        if said is not None and bool(other.all()):
            poses = [(said.root, said.theta)]
        else:
            poses = [pose_from_landmarks(targets.landmarks, rest)]
            if said is not None:
                root, theta = poses[0]
                poses = [(torch.where(other[..., None], said.root, root), torch.where(other, said.theta, theta))]
        if options.refine in ("joints", "all") or options.quality == "best":
            mirrored = targets.landmarks * targets.landmarks.new_tensor([1.0, 1.0, -1.0])
            poses.append(pose_from_landmarks(mirrored, rest))
    else:
        upright = torch.tensor([math.pi, 0.0, 0.0], dtype=model.dtype, device=model.device)  # y up to y down
        flip = axis_angle_to_rotmat(upright)
        poses = []
        for component in prior.log_weights.argsort(descending=True)[: TYPICAL_POSES[options.quality]]:
            for quarter in range(4):
                yaw = torch.tensor([0.0, quarter * math.pi / 2, 0.0], dtype=model.dtype, device=model.device)
                root = (flip @ axis_angle_to_rotmat(yaw)).expand(batch, 3, 3)
                poses.append((root, prior.means[component].expand(batch, -1)))
    states = []
    for root, theta in poses:
        theta = theta.clamp(prior.lower, prior.upper)
        betas = torch.zeros(batch, model.num_betas).to(theta) if targets.betas is None else targets.betas
        nowhere = torch.zeros(batch, 3).to(theta)
        points, _ = model.carried(root, theta, betas, nowhere)
        transl = translation_from_rays(points, targets.rays, targets.weight + 1e-6)
        # in front of the camera whatever the keypoints say: at the distance where the body has the box's size
        size = (points.amax(1) - points.amin(1))[:, :2].amax(1)
        far = size / targets.scale.clamp(min=1e-3)
        wrong = (transl[:, 2] < 0.3 * far) | (transl[:, 2] > 3 * far)
        ahead = torch.cat([targets.rays.median(1).values * far[:, None], far[:, None]], 1)
        placed = torch.where(wrong[:, None], ahead, transl)
        states.append(State(root, theta, betas, placed, torch.zeros_like(transl[:, 0])))
    return states


def predicted_state(problem: FitProblem, bodies: PosedBody) -> State:
    """Bodies predicted in the picture's camera, one per person of the problem, in the turned cameras.

    Poses outside the joint limits are moved to them; betas the keypoints say nothing about are left out.
    """
    body, prior, R = problem.body, problem.prior, problem.rotation
    pose, betas, transl = (x.to(R) for x in (bodies.pose_rotmat, bodies.betas, bodies.transl))
    root_rest = body.rest_joints(betas.to(body.rest_joints()))[:, 0].to(R)
    root, transl = rotate_body(pose[:, 0], transl, root_rest, R)
    theta = rotmat_to_axis_angle(pose[:, 1 : 1 + POSED_JOINTS]).flatten(1)
    return State(root, theta.clamp(prior.lower, prior.upper), betas[:, : problem.model.num_betas], transl)


def best_of(problem: FitProblem, states: list[State], weights: FitWeights) -> State:
    """Solve from all starts in one batch and keep each person's cheapest; of many, follow the best after a few steps.

    Args:
        problem: who is fitted to what.
        states: the starts, each of all B people.
        weights: of the terms.
    """
    model, prior, targets = problem.model, problem.prior, problem.targets
    batch, device = len(targets.rays), targets.rays.device
    state = State.joined(states)
    person = torch.arange(batch, device=device).repeat(len(states))  # whom a row of the batch belongs to
    if len(states) > FINALISTS:
        state, cost = solve(
            model, prior, targets.select(person), state, replace(weights, steps=6, robust=4 * weights.robust)
        )
        finalists = cost.reshape(-1, batch).argsort(0)[:FINALISTS] * batch + torch.arange(batch, device=device)
        state, person = state.select(finalists.flatten()), person[finalists.flatten()]
    state, cost = solve(model, prior, targets.select(person), state, weights)
    best = cost.reshape(-1, batch).argmin(0)
    return state.select(best * batch + torch.arange(batch, device=device))
