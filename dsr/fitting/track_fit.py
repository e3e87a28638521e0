"""Bodies through a clip: each person's frames are fitted together, with one shape, smoothly and with feet that stand.

Every frame is fitted by itself first (:mod:`dsr.fitting.picture_fit`), all of them in one batch. Then the whole track is solved
at once: once to find out when the feet are on the ground, and again with that known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from scipy.spatial.transform import Rotation, Slerp
from torch import Tensor

from dsr.body import Body
from dsr.body.asset import BodyAsset
from dsr.body.joints import joint_names
from dsr.body.rotations import rotmat_to_axis_angle
from dsr.camera import rotate_body_to_original, translation_from_rays
from dsr.devices import one_thread
from dsr.errors import FittingError
from dsr.fitting import picture_fit as single
from dsr.fitting.contact import find_contacts, fit_ground, upright
from dsr.fitting.keypoint_model import POSED_JOINTS, KeypointModel
from dsr.fitting.lifted import Lifted, turned_to_landmarks, with_lifted
from dsr.fitting.solver import FitWeights
from dsr.fitting.track_solver import TrackPoints, TrackState, TrackTargets, TrackWeights, solve_track
from dsr.mocap.pose_prior import PosePrior
from dsr.options import FitOptions
from dsr.people.types import Detection

FOOT_POINTS = ("left_heel", "right_heel", "left_foot_index", "right_foot_index")
"""The points of a foot that can stand on the ground, by their BlazePose names."""
WINDOW = 300
"""Most frames solved at once; longer tracks are solved window by window, each going on where the last one ended."""
MIN_KEYPOINTS = 6
_CONFIDENT = 0.3
_SINGLE_STEPS = {"fast": 5, "standard": 8, "best": 20}
_STEPS = {"fast": (6, 5), "standard": (10, 7), "best": (20, 12)}
_ROUNDS = 2
# A detector puts a keypoint wrong by much the same in all frames: that must not become the clip's shape.
_START_PIXEL, _START_BETA = 0.015, 0.5
# usual accelerations in m/s^2, by what a keypoint's name says
_ACCELERATION = {"wrist": 12.0, "ankle": 12.0, "heel": 14.0, "foot_index": 14.0, "elbow": 8.0, "knee": 8.0}
_TRUNK_ACCELERATION = 4.0
_TOGETHER = 1.5
"""A lifter's joints err together, and as in the frames before: all of them tell less than so many independent ones."""
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
        joint_uncertainty_mm: (T, J) from the lifter, or None.
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
    K: np.ndarray,
    body: Body,
    options: FitOptions,
    image_size: tuple[int, int],
    fps: float,
    lifted: Lifted | None = None,
    weights: TrackWeights | None = None,
) -> TrackFit:
    """Fit one body to all frames of a track.

    Args:
        detections: T consecutive frames; None where the person was not seen. Keypoints that are not finite count as
            not seen.
        K: (3, 3) intrinsics of the full, upright picture, pixels.
        body: body layer; its asset needs the detections' keypoint set, ``h36m17`` and ``blazepose33``.
        options: ``height`` and ``quality`` are used.
        image_size: width and height of the full, upright picture, pixels.
        fps: frames per second.
        lifted: 3D joints of the same T frames, or None: then the detector's 3D landmarks have to do.
        weights: of the terms.

    Raises:
        BodyError: if the body has no regressor for a keypoint set.
        FittingError: if no frame has keypoints enough.
    """
    weights = weights or TrackWeights()
    seen = [None if d is None else cleaned(d) for d in detections]
    begin = seen
    if lifted is not None:
        lifted = turned_to_landmarks(lifted, seen)
        unsure = np.asarray(lifted.uncertainty_mm) / 1000
        begin = [None if d is None else with_lifted(d, lifted.joints_m[t], unsure[t]) for t, d in enumerate(seen)]
    found = [t for t, d in enumerate(seen) if d is not None]
    if not found:
        raise FittingError(f"a track of {len(seen)} frames has none with {MIN_KEYPOINTS} keypoints or more.")
    with one_thread(), torch.no_grad():
        points, prior = _points(body.asset, seen[found[0]].keypoint_set), single._prior("cpu")  # type: ignore[union-attr]
        targets = _targets(seen, K, fps, options, lifted)
        start = _start(begin, found, K, body, options, image_size, points, targets)
        if options.height is None:
            # smooth motion is smaller motion: only single frames may say how large the person is
            targets = replace(targets, height=float(points.model.height(start.betas[None])[0]))
        first, second = _STEPS[options.quality]
        state = _solve_windows(points, prior, targets, start, weights, first)
        for _ in range(_ROUNDS):  # feet that stand show better which others do
            contact, ground = _contacts(points, state, targets)
            if float(contact.sum()) == 0:
                break
            targets = replace(targets, contact=contact, ground=ground)
            state = _solve_windows(points, prior, targets, state, weights, second)
    return _track_fit(state, body, targets, contact, ground, lifted)


def cleaned(detection: Detection) -> Detection | None:
    """A detection whose keypoints are finite, or None where too few can be used."""
    finite = np.isfinite(detection.keypoints_px).all(1) & np.isfinite(detection.confidence)
    confidence = np.where(finite, np.nan_to_num(detection.confidence), 0.0)
    if (confidence >= _CONFIDENT).sum() < MIN_KEYPOINTS:
        return None
    world = detection.world_m if detection.world_m is not None and np.isfinite(detection.world_m).all() else None
    pixels = np.where(finite[:, None], np.nan_to_num(detection.keypoints_px), 0.0)
    if not finite.all():
        pixels[~finite] = pixels[finite].mean(0)
    box = detection.box_px
    if not np.isfinite(box).all():
        box = np.concatenate([pixels[finite].min(0), pixels[finite].max(0)])
    return replace(detection, keypoints_px=pixels, confidence=confidence, world_m=world, box_px=box)


def _points_of(asset: BodyAsset, keypoint_set: str) -> TrackPoints:
    sets = tuple(dict.fromkeys((keypoint_set, "h36m17", "blazepose33")))
    names = [(own, name) for own in sets for name in joint_names(own)]

    def where(own: str, name: str) -> int:
        return names.index((own, name))

    joints = [where("h36m17", name) for name in joint_names("h36m17")]
    feet = [where("blazepose33", name) for name in FOOT_POINTS]
    smooth = joints + feet
    usual = [next((a for part, a in _ACCELERATION.items() if part in names[i][1]), _TRUNK_ACCELERATION) for i in smooth]
    return TrackPoints(
        KeypointModel(asset, sets),
        len(joint_names(keypoint_set)),
        torch.tensor(joints),
        torch.tensor(feet),
        torch.tensor(smooth),
        torch.tensor(usual, dtype=torch.float64),
    )


_points = lru_cache(maxsize=4)(_points_of)


def _targets(
    seen: list[Detection | None], K: np.ndarray, fps: float, options: FitOptions, lifted: Lifted | None
) -> TrackTargets:
    """What a track is fitted to; frames without the person have weight 0."""
    some = next(d for d in seen if d is not None)
    count, frames = len(some.confidence), len(seen)
    rays, weight = np.zeros((frames, count, 2)), np.zeros((frames, count))
    scale, world = np.zeros(frames), np.zeros((frames, count, 3))
    trust = single._trust(some.keypoint_set).numpy()
    inverse = np.linalg.inv(K)
    for t, d in enumerate(seen):
        if d is None:
            continue
        ray = np.c_[d.keypoints_px, np.ones(count)] @ inverse.T
        rays[t] = ray[:, :2] / ray[:, 2:]
        weight[t] = d.confidence**2 * trust
        scale[t] = max(float((d.box_px[2:] - d.box_px[:2]).max()), 1.0) / K[0, 0]
        world[t] = 0.0 if d.world_m is None else d.world_m
    known = np.flatnonzero(scale)
    scale = np.interp(np.arange(frames), known, scale[known])
    has_world = all(d is None or d.world_m is not None for d in seen)
    sigma = None
    if lifted is not None:
        sigma = _TOGETHER * np.maximum(np.asarray(lifted.uncertainty_mm, np.float64), 15.0) / 1000
        sigma = np.where(np.isfinite(sigma) & np.isfinite(lifted.joints_m).all(-1), sigma, np.inf)

    def tensor(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float64)

    return TrackTargets(
        rays=tensor(rays),
        weight=tensor(weight),
        scale=tensor(scale),
        fps=fps,
        landmarks=tensor(world) if has_world else None,
        lifted=None if lifted is None else tensor(np.nan_to_num(lifted.joints_m)),
        lifted_sigma=None if sigma is None else tensor(sigma),
        height=options.height,
    )


def _start(
    seen: list[Detection | None],
    found: list[int],
    K: np.ndarray,
    body: Body,
    options: FitOptions,
    image_size: tuple[int, int],
    points: TrackPoints,
    targets: TrackTargets,
) -> TrackState:
    """Every frame by itself, then one shape for all of them, frames that stand out left out, and gaps filled."""
    model, prior = single._model(body.asset, seen[found[0]].keypoint_set, "cpu"), single._prior("cpu")  # type: ignore[union-attr]
    roots, thetas, shapes, places = [], [], [], []
    weights = FitWeights(_START_PIXEL, beta=_START_BETA, steps=_SINGLE_STEPS[options.quality])
    for first in range(0, len(found), 128):
        group = [seen[t] for t in found[first : first + 128]]
        for part in _by_landmarks(group):  # type: ignore[arg-type]
            own, turn, _ = single._targets(part, K, model, options)
            state = single._best_of(model, prior, own, single._starts(model, prior, own, options), weights)
            rest = body.rest_joints(state.betas.to(body.rest_joints()))[:, 0].to(turn)
            root, transl = rotate_body_to_original(state.root, state.transl, rest, turn)
            roots.append(root)
            thetas.append(state.theta)
            shapes.append(state.betas)
            places.append(transl)
    root, theta, shape = torch.cat(roots), torch.cat(thetas), torch.cat(shapes)
    betas = shape.median(0).values
    posed = points.model.pose(root, theta, betas.expand(len(root), -1), torch.zeros_like(root[:, 0]))
    index = torch.tensor(found)
    transl = translation_from_rays(posed.points[:, : points.seen], targets.rays[index], targets.weight[index] + 1e-6)
    behind = transl[:, 2] < 0.2
    transl[behind] = torch.cat(places)[behind]
    good = _steady(posed.points[:, points.joints].numpy(), index.numpy(), targets.fps)
    return _filled(root[good], theta[good], transl[good], betas, index[good].numpy(), len(seen), prior)


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
    wanted = np.arange(frames)
    if len(known) == 1:
        return TrackState(
            root.expand(frames, 3, 3).clone(), theta.expand(frames, -1).clone(), transl.expand(frames, 3).clone(), betas
        )
    inside = wanted.clip(known[0], known[-1])
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


def _solve_windows(
    points: TrackPoints,
    prior: PosePrior,
    targets: TrackTargets,
    start: TrackState,
    weights: TrackWeights,
    steps: int,
) -> TrackState:
    """The whole track, in windows of :data:`WINDOW` frames; the first one's shape is kept by the others."""
    frames = len(start.theta)
    targets = replace(targets, betas=start.betas if frames > WINDOW else targets.betas)
    done, _ = solve_track(points, prior, targets.window(0, WINDOW), start.window(0, WINDOW), weights, steps)
    end = WINDOW
    lap = 2  # frames a window shares with the one before; second differences reach that far
    while end < frames:
        stop = min(end + WINDOW - lap, frames)
        new = start.window(end, stop)
        shift = done.transl[-1] - start.transl[end - 1]  # goes on where the last window ended
        state = TrackState(
            torch.cat([done.root[-lap:], new.root]),
            torch.cat([done.theta[-lap:], new.theta]),
            torch.cat([done.transl[-lap:], new.transl + shift]),
            done.betas,
        )
        own = replace(targets.window(end - lap, stop), held=lap, shape_held=True)
        state, _ = solve_track(points, prior, own, state, weights, steps)
        done = TrackState(
            torch.cat([done.root, state.root[lap:]]),
            torch.cat([done.theta, state.theta[lap:]]),
            torch.cat([done.transl, state.transl[lap:]]),
            done.betas,
        )
        end = stop
    return done


def _contacts(points: TrackPoints, state: TrackState, targets: TrackTargets) -> tuple[Tensor, Tensor | None]:
    """When the feet rest, and where the ground is."""
    placed = torch.cat([points.place(state.window(i, i + WINDOW)) for i in range(0, len(state.theta), WINDOW)])
    feet = placed[:, points.feet]
    names = joint_names("h36m17")
    head, shoulders = (placed[:, points.joints[names.index(name)]] for name in ("head", "thorax"))
    up = upright((head + shoulders) / 2, feet.mean(1))
    contact = find_contacts(feet, up, targets.fps)
    return contact, fit_ground(feet, contact, up)


def _track_fit(
    state: TrackState,
    body: Body,
    targets: TrackTargets,
    contact: Tensor,
    ground: Tensor | None,
    lifted: Lifted | None,
) -> TrackFit:
    frames = len(state.theta)
    pose = np.zeros((frames, body.num_joints - 1, 3))
    pose[:, :POSED_JOINTS] = state.theta.reshape(frames, POSED_JOINTS, 3).numpy()
    standing = np.zeros((frames, len(FOOT_POINTS)), bool)
    if frames > 1:
        sure = contact.numpy() > 0.5
        standing[:-1] |= sure
        standing[1:] |= sure
    uncertainty = None
    if lifted is not None:
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
