"""Where the fit of a track starts: every frame by itself, then one shape, odd frames left out, gaps filled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial.transform import Rotation, Slerp
from torch import Tensor

from dsr.body import Body
from dsr.camera import PictureCamera, rotate_body_to_original, translation_from_rays
from dsr.fitting.keypoint_model import POSED_JOINTS
from dsr.fitting.problem import fit_problem
from dsr.fitting.solver import FitWeights
from dsr.fitting.starts import best_of, starting_states
from dsr.fitting.track_problem import TrackPoints, TrackState, TrackTargets
from dsr.mocap.pose_prior import PosePrior
from dsr.options import FitOptions
from dsr.people.types import Detection

_STEPS = {"fast": 5, "standard": 8, "best": 20}
# A detector puts a keypoint wrong by much the same in all frames: that must not become the clip's shape.
_PIXEL, _BETA = 0.015, 0.5
_BATCH = 128  # frames fitted at once


def track_start(
    detections: Sequence[Detection | None],
    camera: PictureCamera,
    body: Body,
    options: FitOptions,
    points: TrackPoints,
    prior: PosePrior,
    targets: TrackTargets,
) -> TrackState:
    """A state for every frame of a track.

    Args:
        detections: T consecutive frames, finite; None where the person was not seen, at least one is not None.
        camera: of the clip.
        body: body layer.
        options: ``quality``, ``refine`` and ``height`` are used.
        points: the track's points.
        prior: pose prior.
        targets: the track's targets.
    """
    known = [t for t, d in enumerate(detections) if d is not None]
    roots: list[Tensor] = []
    thetas: list[Tensor] = []
    shapes: list[Tensor] = []
    places: list[Tensor] = []
    weights = FitWeights(_PIXEL, beta=_BETA, steps=_STEPS[options.quality])
    for first in range(0, len(known), _BATCH):
        batch = [d for t in known[first : first + _BATCH] if (d := detections[t]) is not None]
        for run in _by_landmarks(batch):
            problem = fit_problem(run, camera, body, options)
            state = best_of(problem, starting_states(problem, options), weights)
            rest = body.rest_joints(state.betas.to(body.rest_joints()))[:, 0].to(problem.rotation)
            root, transl = rotate_body_to_original(state.root, state.transl, rest, problem.rotation)
            for parts, part in ((roots, root), (thetas, state.theta), (shapes, state.betas), (places, transl)):
                parts.append(part.cpu())
    root, theta, shape = torch.cat(roots), torch.cat(thetas), torch.cat(shapes)
    betas = shape.median(0).values
    posed, _ = points.model.carried(root, theta, betas.expand(len(root), -1), torch.zeros_like(root[:, 0]))
    index = torch.tensor(known)
    transl = translation_from_rays(posed[:, : points.seen], targets.rays[index], targets.weight[index] + 1e-6)
    behind = transl[:, 2] < 0.2
    transl[behind] = torch.cat(places)[behind]
    steady = _steady(posed[:, points.joints].numpy(), index.numpy(), targets.fps)
    return _filled(root[steady], theta[steady], transl[steady], betas, index[steady].numpy(), len(detections), prior)


def _by_landmarks(detections: list[Detection]) -> list[list[Detection]]:
    """Runs of detections that all have 3D landmarks or all have none, in order."""
    runs: list[list[Detection]] = []
    for d in detections:
        if runs and (runs[-1][0].world_m is None) == (d.world_m is None):
            runs[-1].append(d)
        else:
            runs.append([d])
    return runs


def _steady(joints: np.ndarray, frames: np.ndarray, fps: float) -> np.ndarray:
    """(n,) False where a pose (n, 17, 3) is far from those around it: mirrored or otherwise wrong for some frames."""
    joints = joints - joints[:, :1]
    reach = max(2, round(0.2 * fps))
    good = np.ones(len(joints), bool)
    if len(joints) < 5:
        return good
    for i, frame in enumerate(frames):
        near = np.flatnonzero(np.abs(frames - frame) <= reach)
        if len(near) >= 5:
            good[i] = np.linalg.norm(joints[i] - np.median(joints[near], 0), axis=-1).mean() < 0.2
    return good if good.any() else np.ones(len(joints), bool)


def _filled(
    root: Tensor, theta: Tensor, transl: Tensor, betas: Tensor, known: np.ndarray, frames: int, prior: PosePrior
) -> TrackState:
    """A state for every frame: turns by the shortest way, places along straight lines, the ends held."""
    if len(known) == 1:
        return TrackState(
            root.expand(frames, 3, 3).clone(), theta.expand(frames, -1).clone(), transl.expand(frames, 3).clone(), betas
        )
    inside = np.arange(frames).clip(known[0], known[-1])
    turned = Slerp(known, Rotation.from_matrix(root.numpy()))(inside).as_matrix()
    joints = theta.reshape(len(known), POSED_JOINTS, 3).numpy()
    angles = np.stack(
        [Slerp(known, Rotation.from_rotvec(joints[:, j]))(inside).as_rotvec() for j in range(POSED_JOINTS)], 1
    ).reshape(frames, -1)
    angles[known] = theta.numpy()  # the form that the solver left, beyond half a turn too
    place = np.stack([np.interp(inside, known, transl[:, k].numpy()) for k in range(3)], 1)
    return TrackState(
        torch.from_numpy(turned),
        torch.from_numpy(angles).clamp(prior.lower, prior.upper),
        torch.from_numpy(place),
        betas,
    )
