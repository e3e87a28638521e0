"""Protocols of the skeleton lifters: MPJPE, Procrustes, velocity, PCK and AUC per action, and what has to be beaten.

KTPFormer specification section 11, HoT 8, GLA-GCN 9. Poses are (T, 17, 3) relative to the root, whose place is set to
0 on both sides (as HoT does); figures are millimetres, velocities millimetres per frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from dsr.body.joints import H36M17_NAMES
from dsr.errors import UsageError
from dsr.evaluation.metrics import Points, mpjpe, pa_mpjpe
from dsr.evaluation.pck_auc import auc, pck
from dsr.tracks.track import PoseTrack

PCK_JOINTS = (1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16)
"""The 14 joints of MPI-INF-3DHP's PCK and AUC: head top, neck, arms and legs."""


class Predictor(Protocol):
    """Anything that lifts a track."""

    def __call__(self, track: PoseTrack) -> np.ndarray:
        """(T, 17, 3) metres relative to the root, or with a root of its own."""
        ...


def n_mpjpe(predicted: Points, target: Any) -> Points:
    """MPJPE after the best scale of every pose, <g, p> / <p, p>; nothing is moved or turned (protocol 3 of some).

    Args:
        predicted: (..., J, 3).
        target: (..., J, 3).
    """
    p = torch.as_tensor(predicted)
    g = torch.as_tensor(target).to(p)
    scale = (g * p).sum((-1, -2), keepdim=True) / p.square().sum((-1, -2), keepdim=True).clamp_min(1e-12)
    result: Any = mpjpe(scale * p, g, root=None)
    return result if isinstance(predicted, Tensor) else result.numpy()


def mpjve(predicted: Points, target: Any) -> Points:
    """Mean velocity error: distance of the changes from frame to frame.

    Args:
        predicted: (T, J, 3) frames in order.
        target: (T, J, 3).

    Returns:
        In units per frame; NaN for a single frame.
    """
    p = torch.as_tensor(predicted)
    difference = (p - torch.as_tensor(target).to(p)).diff(dim=0)
    result: Any = torch.linalg.vector_norm(difference, dim=-1).mean()
    return result if isinstance(predicted, Tensor) else result.numpy()


@dataclass
class LifterScores:
    """Figures of one action, or of all.

    Attributes:
        frames: frames that count.
        mpjpe_mm: protocol 1.
        pa_mpjpe_mm: protocol 2.
        n_mpjpe_mm: after the best scale.
        velocity_mm: protocol 3, per frame; None where no two frames follow each other.
        pck: share of MPI-INF-3DHP's 14 joints within 150 mm.
        auc: mean of that share over 0 to 150 mm.
    """

    frames: int
    mpjpe_mm: float
    pa_mpjpe_mm: float
    n_mpjpe_mm: float
    velocity_mm: float | None
    pck: float
    auc: float


@dataclass
class LifterReport:
    """What :func:`evaluate_lifter` measured.

    Attributes:
        overall: over all frames alike.
        average: plain mean over the actions, as Human3.6M's tables have it.
        actions: by action (name up to the first blank).
        joints_mm: protocol 1 of every joint.
    """

    overall: LifterScores
    average: LifterScores
    actions: dict[str, LifterScores] = field(default_factory=dict)
    joints_mm: dict[str, float] = field(default_factory=dict)


@dataclass
class _Errors:
    """Errors of an action frame by frame, kept until the end, millimetres."""

    joints: list[np.ndarray] = field(default_factory=list)
    aligned: list[np.ndarray] = field(default_factory=list)
    scaled: list[np.ndarray] = field(default_factory=list)
    velocity: list[np.ndarray] = field(default_factory=list)

    def scores(self) -> LifterScores:
        errors = np.concatenate(self.joints)
        velocity = np.concatenate(self.velocity)
        limbs = errors[:, list(PCK_JOINTS)] if errors.shape[1] == len(H36M17_NAMES) else errors
        return LifterScores(
            frames=len(errors),
            mpjpe_mm=float(errors.mean()),
            pa_mpjpe_mm=float(np.concatenate(self.aligned).mean()),
            n_mpjpe_mm=float(np.concatenate(self.scaled).mean()),
            velocity_mm=float(velocity.mean()) if len(velocity) else None,
            pck=float(pck(limbs)),
            auc=float(auc(limbs)),
        )


class ReportSums:
    """Errors of many tracks by action, for :func:`report_of`."""

    def __init__(self) -> None:
        self.actions: dict[str, _Errors] = {}

    def add(self, track: PoseTrack, poses: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> None:
        """Errors of a track's frames.

        Args:
            track: whose action they belong to.
            poses: (T, J, 3) metres.
            truth: (T, J, 3) metres.
            valid: (T,) bool, frames that count; velocities need two in a row.

        Raises:
            UsageError: if the lifter has other joints than the truth.
        """
        if poses.shape[1] != truth.shape[1]:
            raise UsageError(
                f"The lifter gives {poses.shape[1]} joints, track {track.subject} {track.action} has {truth.shape[1]}: "
                "it was made for another data set."
            )
        part = self.actions.setdefault(track.action.split(" ")[0], _Errors())
        p, g = poses[valid], truth[valid]
        scale = (g * p).sum((1, 2), keepdims=True) / np.maximum((p * p).sum((1, 2), keepdims=True), 1e-12)
        moved = np.linalg.norm(np.diff(poses, axis=0) - np.diff(truth, axis=0), axis=-1)
        part.joints.append(1e3 * np.linalg.norm(p - g, axis=-1))
        part.aligned.append(1e3 * np.asarray(pa_mpjpe(p, g, reduction="sample")) if len(p) else np.empty(0))
        part.scaled.append(1e3 * np.linalg.norm(scale * p - g, axis=-1).mean(-1))
        part.velocity.append(1e3 * moved[valid[1:] & valid[:-1]].mean(-1))


def report_of(sums: ReportSums) -> LifterReport:
    """Figures over all frames, by action, and their plain mean.

    Raises:
        UsageError: if there is nothing to measure.
    """
    parts = sums.actions
    if not parts or not sum(len(e) for s in parts.values() for e in s.joints):
        raise UsageError("There are no valid frames to measure.")
    keys = ("joints", "aligned", "scaled", "velocity")
    whole = _Errors(*([one for s in parts.values() for one in getattr(s, key)] for key in keys))
    actions = {name: one.scores() for name, one in sorted(parts.items()) if sum(map(len, one.joints))}
    names = [f for f in LifterScores.__dataclass_fields__ if f != "frames"]
    means: dict[str, Any] = {}
    for key in names:
        known = [value for s in actions.values() if (value := getattr(s, key)) is not None]
        means[key] = float(np.mean(known)) if known else None
    overall = whole.scores()
    joints = np.concatenate(whole.joints).mean(0)
    return LifterReport(
        overall,
        LifterScores(frames=overall.frames, **means),
        actions,
        dict(zip(_joint_names(len(joints)), joints.tolist(), strict=True)),
    )


def _joint_names(count: int) -> tuple[str, ...]:
    return H36M17_NAMES if count == len(H36M17_NAMES) else tuple(f"joint {i}" for i in range(count))


def evaluate_lifter(
    predict: Predictor, tracks: Sequence[PoseTrack], on_progress: Callable[[int, int], None] | None = None
) -> LifterReport:
    """Measure a lifter, or a baseline, on tracks; invalid frames do not count.

    Args:
        predict: what lifts a track, for example :func:`lifter_predictor`.
        tracks: with truth.
        on_progress: called with the number of tracks done and that of all.

    Raises:
        UsageError: if there is nothing to measure, or a prediction has another shape than its track.
    """
    sums = ReportSums()
    for done, track in enumerate(tracks, 1):
        poses = np.asarray(predict(track), np.float64)
        truth = np.asarray(track.relative(), np.float64)
        if poses.shape != truth.shape:
            raise UsageError(f"Track {track.name}: poses of shape {poses.shape} for {truth.shape} joints.")
        poses = poses - poses[:, track.root : track.root + 1]
        valid = np.isfinite(truth).all((1, 2))
        valid &= True if track.valid is None else np.asarray(track.valid, bool)
        sums.add(track, poses, truth, valid)
        if on_progress is not None:
            on_progress(done, len(tracks))
    return report_of(sums)


class ActionTable:
    """Sums of Protocols 1 and 2 per action over windows, as HoT's release adds them up.

    Args:
        compat: in a batch of several actions, every window adds the whole batch's Protocol 2, as released; otherwise
            its own.

    Attributes:
        sums: (action, "p1" or "p2") to the sum over windows (the unit of the poses) and their number.
    """

    def __init__(self, compat: bool = False) -> None:
        self.compat = compat
        self.sums: dict[tuple[str, str], tuple[float, int]] = {}

    def add(self, predicted: Any, target: Any, actions: Sequence[str]) -> None:
        """Windows (B, F, J, 3) of the given actions; nothing is moved to the root."""
        p1 = np.asarray(mpjpe(np.asarray(predicted), target, root=None, reduction="sample")).mean(-1)
        p2 = np.asarray(pa_mpjpe(np.asarray(predicted), target, reduction="sample")).mean(-1)
        if self.compat and len({name.split(" ")[0] for name in actions}) > 1:
            p2 = np.full_like(p2, p2.mean())
        for key, values in (("p1", p1), ("p2", p2)):
            for name, value in zip(actions, values, strict=True):
                total, count = self.sums.get((name.split(" ")[0], key), (0.0, 0))
                self.sums[name.split(" ")[0], key] = total + float(value), count + 1

    def mean(self, key: str) -> float:
        """Plain mean over actions of the means over windows of ``p1`` or ``p2``."""
        means = [total / count for (_, protocol), (total, count) in self.sums.items() if protocol == key]
        return float(np.mean(means)) if means else float("nan")


def lifter_predictor(model: Any, flip: bool = True) -> Predictor:
    """A network as a predictor, over whole tracks (:func:`dsr.lifting.lift_sequence`), flip-averaged by default."""
    from dsr.lifting.inference import lift_sequence

    def predict(track: PoseTrack) -> np.ndarray:
        keypoints = track.keypoints_px
        if track.confidence is not None:
            keypoints = np.concatenate((keypoints, track.confidence[..., None]), -1)
        return lift_sequence(model, keypoints, track.size, flip=flip, fps=track.fps).joints_m

    return predict


@dataclass(frozen=True, eq=False)
class MeanPose:
    """A baseline that knows no picture: the mean pose of the training tracks."""

    pose: np.ndarray

    @staticmethod
    def fit(tracks: Sequence[PoseTrack]) -> MeanPose:
        """From training tracks."""
        poses = np.concatenate([track.relative()[_good(track)] for track in tracks])
        return MeanPose(poses.mean(0, dtype=np.float64))

    def __call__(self, track: PoseTrack) -> np.ndarray:
        """The same pose for every frame."""
        return np.broadcast_to(self.pose, (len(track), *self.pose.shape))


@dataclass(frozen=True, eq=False)
class LinearLifter:
    """A baseline: ridge regression from the keypoints of a frame, centred at the pelvis and scaled to unit size.

    Its features are the centred and scaled keypoints, the centre, the logarithm of the scale and the confidences.
    """

    weights: np.ndarray
    mean: np.ndarray
    spread: np.ndarray

    @staticmethod
    def fit(tracks: Sequence[PoseTrack], ridge: float = 1e-3) -> LinearLifter:
        """From training tracks.

        Args:
            tracks: with truth.
            ridge: share of the features' variance added to it.
        """
        features = np.concatenate([_features(track)[_good(track)] for track in tracks])
        targets = np.concatenate([track.relative()[_good(track)] for track in tracks]).reshape(len(features), -1)
        mean, spread = features.mean(0), features.std(0) + 1e-6
        x = np.concatenate(((features - mean) / spread, np.ones((len(features), 1))), 1)
        damping = ridge * len(x) * np.diag([1.0] * (x.shape[1] - 1) + [0.0])
        return LinearLifter(np.linalg.solve(x.T @ x + damping, x.T @ targets.astype(np.float64)), mean, spread)

    def __call__(self, track: PoseTrack) -> np.ndarray:
        """(T, J, 3) frame by frame."""
        x = (_features(track) - self.mean) / self.spread
        poses = x @ self.weights[:-1] + self.weights[-1]
        return poses.reshape(len(track), -1, 3)


def _features(track: PoseTrack) -> np.ndarray:
    from dsr.lifting.inference import fill_gaps

    keypoints = track.keypoints_px
    if track.confidence is not None:
        keypoints = np.concatenate((keypoints, track.confidence[..., None]), -1)
    pixels, confidence, _ = fill_gaps(keypoints)
    screen = pixels * (2.0 / track.size[0]) - (1.0, track.size[1] / track.size[0])
    centre = screen[:, :1]
    size = np.maximum((screen - centre).std((1, 2), keepdims=True), 1e-6)
    shape = ((screen - centre) / size).reshape(len(screen), -1)[:, 2:]
    return np.concatenate((shape, centre[:, 0], np.log(size[:, 0]), confidence), 1)


def _good(track: PoseTrack) -> np.ndarray:
    finite = np.isfinite(track.joints_m).all((1, 2))
    return finite if track.valid is None else finite & np.asarray(track.valid, bool)
