"""What the picture does not show of somebody: where those limbs most likely are, and how unsure that is.

Who is cut by the border or stands behind something has legs all the same: below an upright trunk they stand, below
thighs that come forward at hip height they sit; arms hang. The keypoints that a detector guesses there are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr.body.joints import joint_names
from dsr.fitting.stance import SIDES, NamedPoints, Stance
from dsr.people.types import Detection

_LEG_RAD, _ARM_RAD = 0.2, 0.35
"""How far limbs that are not seen differ from relaxed ones, by joint."""
_SEAT_RAD = 0.06
"""The same for legs of which the height of the body says that they sit: the prior of poses likes them straight."""
_HIP_SITS, _KNEE_STANDS, _KNEE_SITS = -1.4, 0.1, 1.4
_SHOULDER_HANGS, _ELBOW_HANGS = 1.15, 0.4
_LEG = ("knee", "ankle", "heel", "foot", "toe")
_GUESSED = 0.1
"""What a guessed keypoint outside the picture still counts."""

# joints of SMPL's tree that hang on a keypoint: how unsure they are when it is not seen, millimetres (one standard
# deviation: the joints' spread in angle times the limb above, added up)
_UNSURE_MM = {
    "hip": {1: 60.0},
    "knee": {4: 150.0},
    "ankle": {7: 280.0, 10: 310.0},
    "elbow": {18: 130.0},
    "wrist": {20: 240.0, 22: 280.0},
}


@dataclass(frozen=True)
class Relaxed:
    """What is expected of one person's unseen limbs.

    Attributes:
        pose: (63,) axis-angle of joints 1 to 21, radians.
        factor: (63,) one over a standard deviation; 0 for what is seen.
    """

    pose: np.ndarray
    factor: np.ndarray


def relaxed_limbs(detection: Detection, size: tuple[int, int], stance: Stance) -> Relaxed:
    """The likely pose of the limbs that a picture of (width, height) does not show."""
    points = NamedPoints(detection, size)
    pose, factor = np.zeros((21, 3)), np.zeros((21, 3))
    sits = stance.sitting > 0.5
    for i, side in enumerate(SIDES):
        knee, ankle, elbow, wrist = (1 - points.seen(f"{side}_{part}") for part in ("knee", "ankle", "elbow", "wrist"))
        hip_joint, knee_joint, ankle_joint, shoulder_joint, elbow_joint = (j - 1 + i for j in (1, 4, 7, 16, 18))
        pose[hip_joint, 0] = _HIP_SITS if sits else 0.0
        factor[hip_joint] = knee / _LEG_RAD
        pose[knee_joint, 0] = _KNEE_SITS if sits else _KNEE_STANDS
        factor[knee_joint] = ankle / _LEG_RAD
        factor[ankle_joint] = ankle / _LEG_RAD
        mirror = 1.0 if side == "left" else -1.0
        pose[shoulder_joint, 2] = -mirror * _SHOULDER_HANGS
        factor[shoulder_joint] = elbow * wrist / _ARM_RAD
        pose[elbow_joint, 1] = -mirror * _ELBOW_HANGS
        factor[elbow_joint] = elbow * wrist / _ARM_RAD
    return Relaxed(pose.ravel(), factor.ravel())


def seated_legs() -> tuple[np.ndarray, np.ndarray]:
    """(63,) pose of legs that sit, and one over its standard deviation, 0 for the rest of the body, as in a Relaxed."""
    pose, factor = np.zeros((21, 3)), np.zeros((21, 3))
    pose[[0, 1], 0], pose[[3, 4], 0] = _HIP_SITS, _KNEE_SITS
    factor[[0, 1, 3, 4, 6, 7]] = 1 / _SEAT_RAD
    return pose.ravel(), factor.ravel()


def keypoint_shares(detection: Detection, size: tuple[int, int]) -> np.ndarray:
    """(K,) how much of its weight a keypoint keeps.

    A guess outside the picture is little of a measurement. Guesses of hidden legs are none at all: they are drawn
    shorter than legs are, and a body that follows them has to fall towards the camera.
    """
    points = NamedPoints(detection, size)
    low, high = np.zeros(2), np.asarray(size, np.float64)
    inside = ((detection.keypoints_px >= low) & (detection.keypoints_px < high)).all(1)
    shares = np.where(inside, 1.0, _GUESSED)
    for k, name in enumerate(joint_names(detection.keypoint_set)):
        if any(part in name for part in _LEG):
            shares[k] = points.seen(name)
        elif "hip" in name:  # without the legs, where a hip is inside a coat or behind a table is a guess, too
            shares[k] *= 0.3 + 0.7 * max(points.seen(f"{side}_knee") for side in SIDES)
    return shares


def unseen_uncertainty(detection: Detection, size: tuple[int, int], joints: int) -> np.ndarray | None:
    """How unsure the places of joints are that the picture does not show.

    Returns:
        (J,) millimetres, NaN for joints that are seen; None where all are.
    """
    points = NamedPoints(detection, size)
    result = np.full(joints, np.nan)
    for part, unsure in _UNSURE_MM.items():
        for i, side in enumerate(SIDES):
            if f"{side}_{part}" in joint_names(detection.keypoint_set) and points.seen(f"{side}_{part}") < 0.5:
                for joint, millimetres in unsure.items():
                    if joint + i < joints:
                        result[joint + i] = millimetres
    return None if np.isnan(result).all() else result
