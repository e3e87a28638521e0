"""What training draws at random for DSR, and how poses, joints and keypoints follow turns and mirrors.

DSR specification, section 7. "Left" is the person's left: whatever is mirrored exchanges its left and right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from dsr.body.joints import COCO17_NAMES, flip_name, flip_permutation

Random = np.random.Generator | np.random.RandomState

SPIN24_NAMES: Final = (
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "neck",
    "head_top",
    "pelvis",
    "thorax",
    "spine",
    "jaw",
    "head",
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
)
"""SPIN's 24 joints of data sets ("GT" joints), the second half of the 49."""
SPIN24_FLIP: Final = tuple(SPIN24_NAMES.index(flip_name(name)) for name in SPIN24_NAMES)
FLIP49: Final = (*flip_permutation("openpose25"), *(25 + i for i in SPIN24_FLIP))
"""The joint on the other side, for the 49 keypoints."""
COCO17_TO_SPIN24: Final = tuple(SPIN24_NAMES.index(name) for name in COCO17_NAMES)
"""Where SPIN puts COCO's 17 keypoints among its 24."""


@dataclass(frozen=True)
class DsrAugment:
    """One draw.

    Attributes:
        flip: mirror the crop.
        gains: factors on red, green and blue.
        rotation_deg: turn of the crop about its middle.
        scale: factor on the crop's side.
    """

    flip: bool = False
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    rotation_deg: float = 0.0
    scale: float = 1.0


def draw_dsr(
    rng: Random,
    *,
    flip_probability: float = 0.5,
    noise_factor: float = 0.4,
    rotation_deg: float = 30.0,
    scale_factor: float = 0.25,
) -> DsrAugment:
    """Draw as published, in the published order of draws.

    Args:
        rng: a generator; a ``RandomState`` gives the released code's numbers.
        flip_probability: of a mirrored crop.
        noise_factor: channel gains are uniform in 1 -+ this.
        rotation_deg: standard deviation of the turn (clipped at twice this; none in 6 of 10 draws).
        scale_factor: standard deviation of the scale, clipped at this.
    """
    flip = rng.uniform() <= flip_probability
    gains = rng.uniform(1 - noise_factor, 1 + noise_factor, 3)
    rotation = min(2 * rotation_deg, max(-2 * rotation_deg, rng.standard_normal() * rotation_deg))
    scale = min(1 + scale_factor, max(1 - scale_factor, 1 + scale_factor * rng.standard_normal()))
    if rng.uniform() <= 0.6:
        rotation = 0.0
    return DsrAugment(bool(flip), (float(gains[0]), float(gains[1]), float(gains[2])), float(rotation), float(scale))


def crop_matrix(centre_px: np.ndarray, side_px: float, size: int, rotation_deg: float = 0.0) -> np.ndarray:
    """Picture pixels to crop pixels: a square of a given side about a point, turned about its middle.

    Args:
        centre_px: (2,) middle of the crop in the picture.
        side_px: its side in picture pixels.
        size: its side in crop pixels.
        rotation_deg: turn of the square in the picture, clockwise as seen (its contents turn the other way).

    Returns:
        (3, 3) float64.
    """
    angle = np.deg2rad(rotation_deg)
    scale = size / side_px
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    A = np.array([[c, s, size / 2], [-s, c, size / 2], [0.0, 0.0, 1.0]])
    A[:2, 2] -= A[:2, :2] @ np.asarray(centre_px, dtype=np.float64)
    return A


def turn_pose(pose_aa: np.ndarray, rotation_deg: float, flip: bool) -> np.ndarray:
    """SMPL pose as the turned, then mirrored crop shows it.

    Args:
        pose_aa: (24, 3) axis-angle, joint 0 in the camera.
        rotation_deg: turn of the crop (:func:`crop_matrix`): the body turns by its negative about z.
        flip: mirror: left and right joints exchanged, y and z components negated.

    Returns:
        (24, 3) float64.
    """
    pose = np.array(pose_aa, dtype=np.float64).reshape(24, 3)
    if rotation_deg:
        from scipy.spatial.transform import Rotation

        turn = Rotation.from_euler("z", -rotation_deg, degrees=True)
        pose[0] = (turn * Rotation.from_rotvec(pose[0])).as_rotvec()
    return pose[list(flip_permutation("smpl24"))] * (1, -1, -1) if flip else pose


def turn_joints(joints: np.ndarray, rotation_deg: float, flip: bool, order: tuple[int, ...]) -> np.ndarray:
    """Joints as the turned, then mirrored crop shows them.

    Args:
        joints: (K, 3 or more); x, y, z first.
        rotation_deg: as for :func:`turn_pose`.
        flip: exchange left and right, negate x.
        order: the joint on the other side, for each.

    Returns:
        As ``joints``, float64.
    """
    turned = np.array(joints, dtype=np.float64)
    if rotation_deg:
        angle = np.deg2rad(-rotation_deg)
        c, s = np.cos(angle), np.sin(angle)
        turned[:, :2] = turned[:, :2] @ np.array([[c, -s], [s, c]]).T
    if flip:
        turned = turned[list(order)]
        turned[:, 0] *= -1
    return turned
