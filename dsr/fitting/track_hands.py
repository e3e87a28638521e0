"""Hands of a person through a clip: every frame read by itself, then one of its two readings in depth, smooth in time.

Where a hand is not seen for a moment it goes on from before to after, for longer it relaxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from dsr.body import Body
from dsr.body.numpy_lbs import rest_shape, rodrigues
from dsr.fitting.fingers import FINGERS, RestHand, forearm_and_wrist, twist_of
from dsr.fitting.hand_network import likely_readings
from dsr.fitting.hands import global_rotation, hand_view
from dsr.people.hands import SIDES, Hand, Side
from dsr.results.clip import TrackResult

if TYPE_CHECKING:
    from dsr.camera import PictureCamera
    from dsr.fitting.fingers import FingerPose

SMOOTH_S = 0.05
"""Standard deviation of each of the two smoothings of hands in time, seconds."""
_LEAST_FRAMES = 0.6  # the same in frames, of clips of few frames a second
_UNSEEN_WEIGHT = 1e-3  # of a relaxed hand in every frame, against one that is seen
_TURN_RAD, _BEND_RAD = 0.4, 0.6  # by how much a hand turns and its fingers bend from one frame to the next
_OUTLIER_RAD = 0.5  # a frame that is so far from those around it counts half
_ROUNDS = 3


def with_track_hands(
    track: TrackResult, hands: Sequence[Mapping[Side, Hand]], camera: PictureCamera, body: Body, fps: float
) -> TrackResult:
    """A track with fingers and wrists turned as in the pictures, relaxed where they are not seen.

    Args:
        track: as fitted.
        hands: what is seen in each of its n frames, full-picture pixels.
        camera: of the clip.
        body: the body layer, with fingers.
        fps: frames per second.
    """
    asset, names = body.asset, list(body.asset.joint_names)
    pose = np.asarray(track.body_pose, np.float64).copy()
    presence = np.full((len(pose), 2), np.nan)
    shaped = rest_shape(asset, track.betas)
    for column, side in enumerate(SIDES):
        rest = RestHand(asset, track.betas, side, shaped)
        first, elbow, wrist = (names.index(f"{side}_{part}") for part in (f"{FINGERS[0]}1", "elbow", "wrist"))
        forearms = global_rotation(asset.parents, pose, track.global_orient, elbow)
        seen = [t for t, each in enumerate(hands) if side in each]
        readings = []
        for t in seen:
            turn, view = hand_view(hands[t][side], camera, forearms[t], track.joints_cam_m[t, wrist])
            poses, costs = likely_readings(rest, view)
            readings.append(([replace(p, hand=forearms[t].T @ turn @ p.hand) for p in poses], costs))
            presence[t, column] = hands[t][side].presence
        weights, angles = np.zeros(len(pose)), np.tile(rest.relaxed, (len(pose), 1))
        wanted = rodrigues(pose[:, wrist - 1])
        for t, chosen in zip(seen, likeliest(readings, np.diff(seen)), strict=True):
            weights[t], angles[t], wanted[t] = hands[t][side].presence, chosen.angles, chosen.hand
        angles, wanted = smooth_hand(angles, wanted, weights, rest.relaxed, fps)
        pose[:, first - 1 : first + 14] = (
            Rotation.from_matrix(rest.turns(angles).reshape(-1, 3, 3)).as_rotvec().reshape(len(pose), 15, 3)
        )
        if seen:
            elbows = rodrigues(pose[:, elbow - 1])
            twists = steady([twist_of(elbows[t], wanted[t], rest.forearm) for t in range(len(pose))])
            for t, twist in enumerate(twists):
                turns = forearm_and_wrist(elbows[t], wanted[t], rest.forearm, twist)
                pose[t, [elbow - 1, wrist - 1]] = Rotation.from_matrix(np.stack(turns[:2])).as_rotvec()
    return posed_track(replace(track, body_pose=pose, hand_presence=presence), body)


def steady(twists: Sequence[float]) -> list[float]:
    """Angles without jumps by whole turns, most of them within half a turn of zero."""
    whole = np.unwrap(twists)
    turns: list[float] = (whole - 2 * np.pi * np.round(np.median(whole) / (2 * np.pi))).tolist()
    return turns


def likeliest(readings: Sequence[tuple[Sequence[FingerPose], np.ndarray]], steps: np.ndarray) -> list[FingerPose]:
    """One reading per frame: the sequence that costs least, jumps between frames included (Viterbi's algorithm).

    Args:
        readings: N frames' readings, rotations against the forearm, and their costs.
        steps: (N - 1,) frames from one to the next; what lies further apart may differ more.
    """
    if not readings:
        return []
    total, back = np.asarray(readings[0][1], float), []
    for (before, _), (after, costs), step in zip(readings, readings[1:], steps, strict=False):
        jumps = np.array([[_jump(a, b) / step for a in before] for b in after])
        back.append((total + jumps).argmin(1))
        total = np.asarray(costs) + (total + jumps).min(1)
    chosen = [int(total.argmin())]
    for row in reversed(back):
        chosen.append(int(row[chosen[-1]]))
    return [readings[i][0][k] for i, k in enumerate(reversed(chosen))]


def _jump(a: FingerPose, b: FingerPose) -> float:
    turn = np.linalg.norm(Rotation.from_matrix(a.hand.T @ b.hand).as_rotvec())
    return float((turn / _TURN_RAD) ** 2 + (((a.angles - b.angles) / _BEND_RAD) ** 2).mean())


def smooth_hand(
    angles: np.ndarray, rotations: np.ndarray, weights: np.ndarray, relaxed: np.ndarray, fps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Angles and rotations smooth in time.

    Args:
        angles: (n, 21) of every frame.
        rotations: (n, 3, 3) against the forearm; where a hand is not seen, what it goes back to.
        weights: (n,) how much a frame counts, 0 where the hand is not seen.
        relaxed: (21,) angles it goes back to.
        fps: frames per second.
    """
    sigma = max(SMOOTH_S * fps, _LEAST_FRAMES)
    quaternions = Rotation.from_matrix(rotations).as_quat()
    signs = np.sign((quaternions[1:] * quaternions[:-1]).sum(1))
    quaternions[1:] *= np.cumprod(np.where(signs == 0, 1.0, signs))[:, None]

    def average(values: np.ndarray, counted: np.ndarray, idle: np.ndarray) -> np.ndarray:
        above = gaussian_filter1d(counted[:, None] * values, sigma, axis=0, mode="constant", truncate=6.0)
        below = gaussian_filter1d(counted, sigma, mode="constant", truncate=6.0)[:, None]
        mean: np.ndarray = (above + _UNSEEN_WEIGHT * idle) / (below + _UNSEEN_WEIGHT)
        return mean

    counted = weights
    for _ in range(_ROUNDS):
        smooth = average(angles, counted, relaxed)
        mean = average(quaternions, counted, quaternions)
        mean = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        apart = 2 * np.arccos(np.clip(np.abs((mean * quaternions).sum(1)), 0, 1))
        off = np.hypot(apart, np.abs(smooth - angles).max(1))
        counted = weights / (1 + (off / _OUTLIER_RAD) ** 2)
    # once more, so that hands do not snap to rest where they are lost
    smooth, mean = (gaussian_filter1d(each, sigma, axis=0, mode="nearest") for each in (smooth, mean))
    return smooth, Rotation.from_quat(mean).as_matrix()


def posed_track(track: TrackResult, body: Body) -> TrackResult:
    """A track whose joints are those of its parameters."""
    joints = []
    rows = (track.body_pose, track.global_orient, track.transl)
    with torch.no_grad():
        betas = torch.as_tensor(track.betas, dtype=torch.float32)
        for i in range(0, len(track.frames), 32):
            pose, orient, place = (torch.as_tensor(row[i : i + 32], dtype=torch.float32) for row in rows)
            joints.append(body(betas.expand(len(pose), -1), pose, orient, place).joints.numpy())
    return replace(track, joints_cam_m=np.concatenate(joints))
