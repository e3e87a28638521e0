"""MHR, the body behind SAM 3D Body and InstantHMR, as far as its points are BlazePose's: its keypoints and its joints.

Source: specs/networks (MHR70's names, the rig's joints, axes and units).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dsr.body.joints import BLAZEPOSE33_NAMES

KEYPOINTS, JOINTS = 70, 127
RIG_TO_CAMERA = np.array([0.01, -0.01, -0.01])
"""From the rig's axes (X to the left, Y up, centimetres) to a camera's (x right, y down, z forward, metres)."""
_KEYPOINTS = {
    "nose": (0,), "left_eye": (1,), "right_eye": (2,), "left_ear": (3,), "right_ear": (4,),
    "left_shoulder": (5,), "right_shoulder": (6,), "left_elbow": (7, 7, 63, 65), "right_elbow": (8, 8, 64, 66),
    "left_wrist": (62,), "right_wrist": (41,), "left_pinky": (61,), "right_pinky": (40,), "left_index": (49,),
    "right_index": (28,), "left_thumb": (44,), "right_thumb": (23,), "left_hip": (9,), "right_hip": (10,),
    "left_knee": (11,), "right_knee": (12,), "left_ankle": (13,), "right_ankle": (14,), "left_heel": (17,),
    "right_heel": (20,), "left_foot_index": (15,), "right_foot_index": (18,),
}  # fmt: skip
"""Keypoints of MHR70 whose mean is a point of BlazePose; an elbow lies between kp 7 and the middle of its two sides."""
_JOINTS = {
    "left_eye": (124,), "right_eye": (122,), "left_shoulder": (75,), "right_shoulder": (39,), "left_elbow": (76,),
    "right_elbow": (40,), "left_wrist": (78,), "right_wrist": (42,), "left_pinky": (80,), "right_pinky": (44,),
    "left_index": (92,), "right_index": (56,), "left_thumb": (98,), "right_thumb": (62,), "left_hip": (2,),
    "right_hip": (18,), "left_knee": (3,), "right_knee": (19,), "left_ankle": (5,), "right_ankle": (21,),
}  # fmt: skip
"""Joints of the rig that are points of BlazePose."""
_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_OTHERS = 1.6
"""Errors of hands, feet and face against those of the limbs."""
_HIPS = [BLAZEPOSE33_NAMES.index("left_hip"), BLAZEPOSE33_NAMES.index("right_hip")]


def blazepose_of_keypoints(points: np.ndarray, sigma_m: float) -> tuple[np.ndarray, np.ndarray]:
    """BlazePose's points from MHR70.

    Args:
        points: (70, 3) metres, camera axes, relative to any point.
        sigma_m: how far the limbs' joints are off, metres.

    Returns:
        (33, 3) metres with the hips' middle at the origin, and (33,) standard deviations, infinite where MHR has no
        such point.
    """
    return _blazepose(np.asarray(points, np.float64).reshape(KEYPOINTS, 3), _KEYPOINTS, sigma_m)


def blazepose_of_joints(joints: np.ndarray, sigma_m: float) -> tuple[np.ndarray, np.ndarray]:
    """The same from the rig's joints (127, 3)."""
    return _blazepose(np.asarray(joints, np.float64).reshape(JOINTS, 3), _JOINTS, sigma_m)


def _blazepose(
    points: np.ndarray, rows: Mapping[str, tuple[int, ...]], sigma_m: float
) -> tuple[np.ndarray, np.ndarray]:
    out, sigma = np.zeros((len(BLAZEPOSE33_NAMES), 3)), np.full(len(BLAZEPOSE33_NAMES), np.inf)
    for place, name in enumerate(BLAZEPOSE33_NAMES):
        if name in rows:
            out[place] = points[list(rows[name])].mean(0)
            sigma[place] = sigma_m * (1.0 if name.endswith(_LIMBS) else _OTHERS)
    face = [place for place in range(11) if np.isfinite(sigma[place])]
    for place in np.flatnonzero(~np.isfinite(sigma)):  # somewhere sensible, for whoever looks at the points themselves
        name = BLAZEPOSE33_NAMES[place]
        foot = name.endswith(("heel", "foot_index"))
        out[place] = out[BLAZEPOSE33_NAMES.index(f"{name.split('_')[0]}_ankle")] if foot else out[face].mean(0)
    return out - out[_HIPS].mean(0), sigma
