"""Bodies through a clip: each person's frames are fitted together, with one shape, smoothly and with feet that stand.

Every frame is fitted by itself first (:mod:`dsr.fitting.track_starts`), all of them in one batch. Then the whole track
is solved at once: once to find out when the feet are on the ground, and again with that known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from dsr.body import Body
from dsr.body.joints import joint_names
from dsr.body.rotations import rotmat_to_axis_angle
from dsr.camera import PictureCamera
from dsr.camera.tilt import Gravity
from dsr.devices import one_thread
from dsr.errors import FittingError
from dsr.fitting.contact import find_contacts, fit_ground, upright, upward
from dsr.fitting.keypoint_model import POSED_JOINTS
from dsr.fitting.lifted_joints import LiftedJoints, turned_to_landmarks
from dsr.fitting.problem import finite_detection, load_pose_prior, size_targets
from dsr.fitting.track_frames import FrameFits, fit_frames
from dsr.fitting.track_problem import (
    FOOT_POINTS,
    TrackPoints,
    TrackState,
    TrackTargets,
    TrackWeights,
    track_points,
    track_targets,
)
from dsr.fitting.track_solver import solve_windows
from dsr.fitting.track_starts import track_start
from dsr.options import FitOptions
from dsr.people.types import Detection

MIN_KEYPOINTS = 6
"""A frame with fewer confident keypoints counts as not seen."""
_CONFIDENT = 0.3
_STEPS = {"fast": (6, 5), "standard": (10, 7), "best": (20, 12)}
_ROUNDS = 2
_LIFTED_TO_SMPL = (0, 4, 1, 7, 5, 2, 7, 6, 3, 8, 6, 3, 8, 11, 14, 10, 11, 14, 12, 15, 13, 16, 13, 16)
"""Human3.6M joint whose uncertainty a SMPL joint takes."""


@dataclass(frozen=True)
class TrackFit:
    """A body through T consecutive frames, in the camera of the clip.

    Attributes:
        betas: (B,) shape, one for the clip.
        global_orient: (T, 3) axis-angle, body frame to camera, radians.
        body_pose: (T, J-1, 3) axis-angle, radians.
        transl: (T, 3) metres.
        observed: (T,) False in frames that were filled in.
        contacts: (T, 4) True where a foot point (:data:`FOOT_POINTS`) stands on the ground.
        ground: (4,) plane of the ground, unit normal n (up) and offset d with n . x = d; None where it is not known.
        joint_uncertainty_mm: (T, J) from the default network, NaN where the person was not seen; without it from the
            lifter, or None.
        warnings: sentences for the user.
    """

    betas: np.ndarray
    global_orient: np.ndarray
    body_pose: np.ndarray
    transl: np.ndarray
    observed: np.ndarray
    contacts: np.ndarray
    ground: np.ndarray | None = None
    joint_uncertainty_mm: np.ndarray | None = None
    warnings: list[str] = field(default_factory=list)


def fit_track(
    detections: Sequence[Detection | None],
    camera: PictureCamera,
    body: Body,
    options: FitOptions,
    fps: float,
    lifted: LiftedJoints | None = None,
    weights: TrackWeights | None = None,
) -> TrackFit:
    """Fit one body to all frames of a track.

    Args:
        detections: T consecutive frames; None where the person was not seen. Keypoints that are not finite count as
            not seen.
        camera: of the clip's upright frames.
        body: body layer; its asset needs the detections' keypoint set, ``h36m17`` and ``blazepose33``.
        options: ``height``, ``mass``, ``quality`` and ``refine`` are used.
        fps: frames per second.
        lifted: 3D joints of the same T frames, or None: then the detector's 3D landmarks have to do.
        weights: of the terms.

    Raises:
        BodyError: if the body has no regressor for a keypoint set.
        FittingError: if no frame has keypoints enough.
    """
    weights = weights or TrackWeights()
    usable = [None if d is None else usable_detection(d) for d in detections]
    first_seen = next((d for d in usable if d is not None), None)
    if first_seen is None:
        raise FittingError(f"a track of {len(usable)} frames has none with {MIN_KEYPOINTS} keypoints or more.")
    with one_thread(), torch.no_grad():
        points, prior = track_points(body.asset, first_seen.keypoint_set), load_pose_prior("cpu")
        fits = fit_frames(usable, camera, body, options, points, weights)
        if lifted is not None:
            lifted = turned_to_landmarks(lifted, fits.frames, fits.points[:, points.joints].numpy())
        betas, mass = size_targets(body.asset, points.model, options)
        targets = replace(track_targets(usable, camera, fps, options.height, lifted), betas=betas, mass=mass)
        start, targets = track_start(fits, points, prior, targets)
        if options.height is None:
            # smooth motion is smaller motion: only single frames may say how large the person is
            targets = replace(targets, height=float(points.model.height(start.betas[None])[0]))
        first, second = _STEPS[options.quality]
        state = solve_windows(points, prior, targets, start, weights, first)
        for _ in range(_ROUNDS):  # feet that stand show better which others do
            contact, ground = _contacts(points, state, targets, camera.gravity)
            if float(contact.sum()) == 0:
                break
            targets = replace(targets, contact=contact, ground=ground)
            state = solve_windows(points, prior, targets, state, weights, second)
    return _track_fit(state, body, targets, contact, ground, fits, lifted)


def usable_detection(detection: Detection) -> Detection | None:
    """A detection whose numbers are finite, or None where too few keypoints can be used."""
    finite = finite_detection(detection)
    return finite if (finite.confidence >= _CONFIDENT).sum() >= MIN_KEYPOINTS else None


def _contacts(
    points: TrackPoints, state: TrackState, targets: TrackTargets, gravity: Gravity | None
) -> tuple[Tensor, Tensor | None]:
    """When the feet rest, and where the ground is."""
    placed = points.place(state)
    feet = placed[:, points.feet]
    names = joint_names("h36m17")
    head, shoulders = (placed[:, points.joints[names.index(name)]] for name in ("head", "thorax"))
    up, tilt = upward(upright((head + shoulders) / 2, feet.mean(1)), gravity)
    contact = find_contacts(feet, up, targets.fps)
    return contact, fit_ground(feet, contact, up, tilt)


def _track_fit(
    state: TrackState,
    body: Body,
    targets: TrackTargets,
    contact: Tensor,
    ground: Tensor | None,
    fits: FrameFits,
    lifted: LiftedJoints | None,
) -> TrackFit:
    frames = len(state.theta)
    pose = np.zeros((frames, body.num_joints - 1, 3))
    pose[:, :POSED_JOINTS] = state.theta.reshape(frames, POSED_JOINTS, 3).numpy()
    standing = np.zeros((frames, len(FOOT_POINTS)), bool)
    if frames > 1:
        resting = contact.numpy() > 0.5
        standing[:-1] |= resting
        standing[1:] |= resting
    uncertainty = None
    if np.isfinite(fits.uncertainty_mm).any():
        uncertainty = np.full((frames, body.num_joints), np.nan)
        uncertainty[fits.frames] = fits.uncertainty_mm
    elif lifted is not None:
        uncertainty = np.full((frames, body.num_joints), np.nan)
        known = min(body.num_joints, len(_LIFTED_TO_SMPL))
        uncertainty[:, :known] = np.asarray(lifted.uncertainty_mm)[:, _LIFTED_TO_SMPL[:known]]
    return TrackFit(
        betas=state.betas.numpy(),
        global_orient=rotmat_to_axis_angle(state.root).numpy(),
        body_pose=pose,
        transl=state.transl.numpy(),
        observed=(targets.weight.sum(1) > 0).numpy(),
        contacts=standing,
        ground=None if ground is None else ground.numpy(),
        joint_uncertainty_mm=uncertainty,
    )
