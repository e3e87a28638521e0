"""What a track is fitted to, in the camera of its clip: all frames of one person, with one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dsr.body.asset import BodyAsset
from dsr.body.joints import joint_names
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.camera import PictureCamera
from dsr.fitting.keypoint_model import POSED_JOINTS, KeypointModel
from dsr.fitting.lifted_joints import LiftedJoints
from dsr.fitting.problem import keypoint_trust
from dsr.fitting.solver import LinearMass
from dsr.people.types import Detection

FOOT_POINTS = ("left_heel", "right_heel", "left_foot_index", "right_foot_index")
"""The points of a foot that can stand on the ground, by their BlazePose names."""
POSE_SIZE = 3 * POSED_JOINTS
"""Axis-angle of the posed joints, 1 to 21."""
FRAME_SIZE = 3 + POSE_SIZE + 3
"""Parameters of a frame: turn of the root (3), axis-angle of joints 1 to 21 (63), translation (3)."""

# usual accelerations in m/s^2, by what a keypoint's name says
_ACCELERATION = {"wrist": 12.0, "ankle": 12.0, "heel": 14.0, "foot_index": 14.0, "elbow": 8.0, "knee": 8.0}
_TRUNK_ACCELERATION = 4.0
_CORRELATED = 1.5
"""A lifter's joints err together, and as in the frames before: all of them tell less than so many independent ones."""
_LEAST_SIGMA_MM = 15.0
_CHUNK = 300  # frames whose keypoints are posed at once


@dataclass(frozen=True)
class TrackWeights:
    """How far each term may be off before it hurts: one standard deviation each."""

    pixel: float = 0.008
    """Reprojection, as a share of the person's box side; a detector's errors are much the same in frames that follow
    each other, so they do not average out."""
    robust: float = 4.0
    """Where the reprojection term stops growing, in standard deviations."""
    landmark_across_m: float = 0.09
    """Bodies of single frames across the viewing direction, metres, where the default network did not say it."""
    landmark_along_m: float = 0.18
    """The same along the viewing direction."""
    frames: float = 0.6
    """Factor on what the network says: bodies that are fitted to a frame are nearer to the truth, but errors of frames
    that follow each other go together."""
    believed: float = 0.5
    """Confidence of a keypoint from which on the network's standard deviations hold as they are, for it has heeded the
    confidence: of 24 drawn clips joints are off by 1.0 of them (root mean square), below it by 1.5."""
    landmark_robust: float = 2.0
    """Where that stops growing, in standard deviations: some frames have the sides of a body exchanged."""
    lifter_robust: float = 2.0
    """The same of the lifter's joints: it has seen few ways to move."""
    prior: float = 0.5
    """Factor on the pose prior's residual: the bodies of single frames have heeded it already."""
    guess: float = 0.5
    """Factor on the prior's residual in frames where the person was not seen: neighbours know more."""
    limit_rad: float = 0.05
    """Overshoot of a joint limit, radians."""
    beta: float = 1.0
    """Shape coefficients."""
    child: float = 0.25
    """The coefficient that leads to a child, where the body has one."""
    height_m: float = 0.004
    """Standing height where the user gave one, metres."""
    mass_kg: float = 0.5
    """Mass where the user gave one, kilograms."""
    acceleration: float = 1.2
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
        landmarks: (T, K, 3) the keypoints of the bodies that single frames give, in camera axes, metres, or None.
        landmark_sigma: (T, K, 3) their standard deviations, metres; infinite where they say nothing.
        lifted: (T, 17, 3) a lifter's joints in camera axes, metres, relative to any point, or None.
        lifted_sigma: (T, 17) its standard deviations, metres; infinite where it says nothing.
        contact: (T - 1, C) how surely each foot point stays where it is from a frame to the next, 0 to 1; or None.
        ground: (4,) plane of the ground: unit normal n and offset d with n . x = d; or None.
        height: standing height in metres, or None.
        betas: (n,) shape to stay near, or None for the average one.
        mass: mass as a linear function of the betas, and what it should be; or None.
        held: frames at the beginning that stay as they are.
        shape_held: whether the betas stay as they are.
    """

    rays: Tensor
    weight: Tensor
    scale: Tensor
    fps: float
    landmarks: Tensor | None = None
    landmark_sigma: Tensor | None = None
    lifted: Tensor | None = None
    lifted_sigma: Tensor | None = None
    contact: Tensor | None = None
    ground: Tensor | None = None
    height: float | None = None
    betas: Tensor | None = None
    mass: LinearMass | None = None
    held: int = 0
    shape_held: bool = False

    def window(self, start: int, stop: int) -> TrackTargets:
        """The frames ``start`` to ``stop - 1``."""
        cut = {
            name: value[start:stop]
            for name in ("rays", "weight", "scale", "landmarks", "landmark_sigma", "lifted", "lifted_sigma")
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
            self.theta + frames[:, 3 : 3 + POSE_SIZE],
            self.transl + frames[:, 3 + POSE_SIZE :],
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
        parts = (state.window(i, i + _CHUNK) for i in range(0, len(state.root), _CHUNK))
        return torch.cat(
            [self.model.carried(s.root, s.theta, s.betas.expand(len(s.root), -1), s.transl)[0] for s in parts]
        )


@lru_cache(maxsize=4)
def track_points(asset: BodyAsset, keypoint_set: str) -> TrackPoints:
    """The points of a body that a track with these keypoints needs: the detector's, the lifter's and the feet's.

    Raises:
        BodyError: if the body has no regressor for a keypoint set.
    """
    sets = tuple(dict.fromkeys((keypoint_set, "h36m17", "blazepose33")))
    names = [(own_set, name) for own_set in sets for name in joint_names(own_set)]
    joints = [names.index(("h36m17", name)) for name in joint_names("h36m17")]
    feet = [names.index(("blazepose33", name)) for name in FOOT_POINTS]
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


def track_targets(
    detections: Sequence[Detection | None],
    camera: PictureCamera,
    fps: float,
    height: float | None = None,
    lifted: LiftedJoints | None = None,
) -> TrackTargets:
    """What a track is fitted to, but for its single frames' bodies; frames without the person have weight 0.

    Args:
        detections: T consecutive frames, finite; None where the person was not seen, at least one is not None.
        camera: of the clip.
        fps: frames per second.
        height: standing height in metres, or None.
        lifted: 3D joints of the same T frames, or None.
    """
    some = next(d for d in detections if d is not None)
    count, frames = len(some.confidence), len(detections)
    rays, weight = np.zeros((frames, count, 2)), np.zeros((frames, count))
    scale = np.zeros(frames)
    trust = keypoint_trust(some.keypoint_set).numpy()
    inverse = np.linalg.inv(camera.K)
    for t, d in enumerate(detections):
        if d is None:
            continue
        ray = np.c_[d.keypoints_px, np.ones(count)] @ inverse.T
        rays[t] = ray[:, :2] / ray[:, 2:]
        weight[t] = d.confidence**2 * trust
        scale[t] = max(float((d.box_px[2:] - d.box_px[:2]).max()), 1.0) / camera.K[0, 0]
    known = np.flatnonzero(scale)
    scale = np.interp(np.arange(frames), known, scale[known])
    sigma = None
    if lifted is not None:
        sigma = _CORRELATED * np.maximum(np.asarray(lifted.uncertainty_mm, np.float64), _LEAST_SIGMA_MM) / 1000
        sigma = np.where(np.isfinite(sigma) & np.isfinite(lifted.joints_m).all(-1), sigma, np.inf)

    def tensor(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float64)

    return TrackTargets(
        rays=tensor(rays),
        weight=tensor(weight),
        scale=tensor(scale),
        fps=fps,
        lifted=None if lifted is None else tensor(np.nan_to_num(lifted.joints_m)),
        lifted_sigma=None if sigma is None else tensor(sigma),
        height=height,
    )
