"""A walk made of sines: a cyclic gait whose standing feet do not slide, for tests and benchmarks with known truth."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.errors import DatasetError
from dsr.mocap.retarget import SmplMotion, default_rest_joints

_FINE_FPS = 480.0
_STANDING_KNEE = 0.12
_HIPS, _KNEES, _ANKLES, _SHOULDERS, _ELBOWS = (1, 2), (4, 5), (7, 8), (16, 17), (18, 19)


def walking_motion(
    seconds: float = 4.0,
    fps: float = 30.0,
    steps_per_s: float = 1.8,
    turn_rad_s: float = 0.0,
    heading_rad: float = 0.0,
    rest: np.ndarray | None = None,
) -> SmplMotion:
    """A person walking over the plane y = 0.

    Knees and hips follow sines, ankles keep the soles level, and the pelvis is placed so that the foot that carries
    stays exactly where it is: the ankle joint of that foot does not move.

    Args:
        seconds: how long.
        fps: frames per second.
        steps_per_s: cadence.
        turn_rad_s: how fast the walker turns; 0 walks straight.
        heading_rad: turn about the vertical at the start; 0 walks along +z.
        rest: (24, 3) rest joints of the skeleton, metres; the open body's mean when not given.

    Returns:
        The clip in the frame of :class:`~dsr.mocap.retarget.SmplMotion` (y up).

    Raises:
        DatasetError: if the clip would have no frame.
    """
    frames = round(seconds * fps)
    if frames < 1 or not fps > 0:
        raise DatasetError(f"a walk of {seconds} s at {fps} frames per second has no frame.")
    rest = default_rest_joints() if rest is None else np.asarray(rest, np.float64)
    fine = max(1, round(_FINE_FPS / fps))  # support goes from foot to foot between frames
    whole = _gait((np.arange((frames - 1) * fine + 1)) / (fps * fine), steps_per_s, turn_rad_s, heading_rad, rest)
    return SmplMotion(
        whole.body_pose_rotmat[::fine], whole.global_orient[::fine], whole.root_position_m[::fine], fps, "walk"
    )


def _gait(time: np.ndarray, steps_per_s: float, turn_rad_s: float, heading_rad: float, rest: np.ndarray) -> SmplMotion:
    frames = len(time)
    phase = np.pi * steps_per_s * time  # a step is half a cycle
    pose = np.zeros((frames, 24, 3))
    for side, sign in enumerate((1.0, -1.0)):
        swing = np.sin(phase) * sign
        lifting = np.clip(np.cos(phase) * sign, 0, None)  # the leg that swings forward is bent
        pose[:, _HIPS[side], 0] = -0.38 * swing - 0.35 * lifting - _lean_of_leg(rest, side)
        pose[:, _KNEES[side], 0] = _STANDING_KNEE + 0.85 * lifting
        pose[:, _SHOULDERS[side], 2] = -sign * 1.2  # arms hang
        pose[:, _ELBOWS[side], 1] = -sign * (0.35 + 0.1 * swing)
    turns = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(frames, 24, 3, 3)
    for side, sign in enumerate((1.0, -1.0)):
        arm = Rotation.from_euler("x", 0.45 * np.sin(phase)[:, None] * sign).as_matrix()  # against the leg of its side
        turns[:, _SHOULDERS[side]] = arm @ turns[:, _SHOULDERS[side]]
        leg = turns[:, _HIPS[side]] @ turns[:, _KNEES[side]]
        turns[:, _ANKLES[side]] = np.swapaxes(leg, -1, -2)  # soles stay level
    turns[:, 0] = Rotation.from_euler("y", (heading_rad + turn_rad_s * time)[:, None]).as_matrix()
    motion = SmplMotion(turns[:, 1:], turns[:, 0], np.zeros((frames, 3)), 0.0, "walk")
    ankles = motion.joints(rest)[:, _ANKLES]
    carries = (np.cos(phase) > 0).astype(int)  # the left leg lifts: the right foot carries
    root = np.zeros((frames, 3))
    for t in range(1, frames):
        foot = carries[t]
        root[t] = root[t - 1] - (ankles[t, foot] - ankles[t - 1, foot])
    lowest = (ankles[..., 1] + root[:, None, 1]).min()
    root[:, 1] += rest[7, 1] - rest[:, 1].min() - lowest
    return SmplMotion(motion.body_pose_rotmat, motion.global_orient, root, 0.0, "walk")


def _lean_of_leg(rest: np.ndarray, side: int) -> float:
    """How far the ankle of a leg that stands is behind its hip, radians: turned by it, the leg swings evenly.

    Both ankles are then at one height when the support goes from foot to foot, and the walker neither sinks nor rises.
    """
    hip, knee, ankle = (rest[joints[side]] for joints in (_HIPS, _KNEES, _ANKLES))
    leg = knee - hip + Rotation.from_euler("x", _STANDING_KNEE).apply(ankle - knee)
    return float(np.arctan2(-leg[2], -leg[1]))
