"""Where the fit of a track starts: its frames' own fits, then one shape, odd frames left out, gaps filled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation, Slerp
from torch import Tensor

from dsr.camera import translation_from_rays
from dsr.fitting.keypoint_model import POSED_JOINTS
from dsr.fitting.track_frames import FrameFits
from dsr.fitting.track_problem import TrackPoints, TrackState, TrackTargets
from dsr.mocap.pose_prior import PosePrior

_FAR_M, _NEAR_S = 0.2, 0.2
"""A frame is odd where its joints are so far from the median of those so many seconds around it."""


def track_start(
    fits: FrameFits, points: TrackPoints, prior: PosePrior, targets: TrackTargets
) -> tuple[TrackState, TrackTargets]:
    """A state for every frame of a track, and the targets with what the single frames say of depth.

    Args:
        fits: of the frames in which the person was seen.
        points: the track's points.
        prior: pose prior.
        targets: the track's targets.
    """
    betas = fits.betas.median(0).values
    root, theta, index = fits.root, fits.theta, torch.from_numpy(fits.frames)
    posed, _ = points.model.carried(root, theta, betas.expand(len(root), -1), torch.zeros_like(root[:, 0]))
    transl = translation_from_rays(posed[:, : points.seen], targets.rays[index], targets.weight[index] + 1e-6)
    behind = transl[:, 2] < 0.2
    transl[behind] = fits.transl[behind]
    steady = _steady(posed[:, points.joints].numpy(), fits.frames, targets.fps)
    start = _filled(root[steady], theta[steady], transl[steady], betas, fits.frames[steady], len(targets.scale), prior)
    frames, sigma = len(targets.scale), fits.sigma.clone()
    sigma[~torch.from_numpy(steady)] = torch.inf
    if not bool(sigma.isfinite().any()):
        return start, targets
    places = torch.zeros(frames, points.seen, 3).to(fits.points)
    places[index] = fits.points[:, : points.seen]
    every = torch.full_like(places, torch.inf)
    every[index] = sigma
    return start, replace(targets, landmarks=places, landmark_sigma=every)


def _steady(joints: np.ndarray, frames: np.ndarray, fps: float) -> np.ndarray:
    """(n,) False where a pose (n, 17, 3) is far from those around it: mirrored or otherwise wrong for some frames."""
    joints = joints - joints[:, :1]
    reach = max(2, round(_NEAR_S * fps))
    good = np.ones(len(joints), bool)
    if len(joints) < 5:
        return good
    for i, frame in enumerate(frames):
        near = np.flatnonzero(np.abs(frames - frame) <= reach)
        if len(near) >= 5:
            good[i] = np.linalg.norm(joints[i] - np.median(joints[near], 0), axis=-1).mean() < _FAR_M
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
