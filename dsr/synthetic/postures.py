"""Postures that motion capture lacks, written by hand: sitting, kneeling, lying, arms crossed, a telephone at the ear.

Degrees about x, y, z of each joint's rest frame (x left, y up, z front), applied x first. Arms hang by turning a
shoulder about z (left minus, right plus); elbows bend about y (left minus, right plus); knees bend by positive x, hips
by negative.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.body.joints import joint_names

Angles = dict[str, tuple[int, int, int]]

_HANG: Angles = {"left_shoulder": (0, 1, -76), "right_shoulder": (0, -1, 76), "left_elbow": (0, -16, -6)}
_HANG |= {"right_elbow": (0, 16, 6)}
_ON_HIPS: Angles = {"left_shoulder": (60, 17, -50), "right_shoulder": (60, -17, 50), "left_elbow": (0, -97, 0)}
_ON_HIPS |= {"right_elbow": (0, 97, 0)}
_ON_LAP: Angles = {"left_shoulder": (0, -25, -60), "right_shoulder": (0, 25, 60), "left_elbow": (0, -62, 0)}
_ON_LAP |= {"right_elbow": (0, 62, 0)}
_SEAT: Angles = {"left_hip": (-86, 6, 8), "right_hip": (-86, -6, -8), "left_knee": (86, 0, 0), "right_knee": (86, 0, 0)}
_CROSSED_ARMS: Angles = {"left_shoulder": (0, -34, -58), "right_shoulder": (0, 30, 62)}
_CROSSED_ARMS |= {"left_elbow": (14, -112, 10), "right_elbow": (14, 118, -6)}
_KNEEL: Angles = {"left_hip": (-12, 4, 6), "right_hip": (-12, -4, -6), "left_knee": (105, 0, 0)}
_KNEEL |= {"right_knee": (105, 0, 0), "left_ankle": (35, 0, 0), "right_ankle": (35, 0, 0)}

POSTURES: dict[str, Angles] = {
    "stand": _HANG,
    "contrapposto": _HANG
    | {"pelvis": (0, 0, 4), "spine1": (0, 0, -4), "left_hip": (-8, 10, 3), "left_knee": (16, 0, 0)}
    | {"right_hip": (0, -6, -4), "head": (4, 12, 0)},
    "hands_on_hips": _ON_HIPS | {"left_hip": (0, 0, 5), "right_hip": (0, 0, -5)},
    "arms_crossed": _CROSSED_ARMS,
    "arms_folded_sitting": _CROSSED_ARMS | _SEAT,
    "hands_before": _HANG
    | {"left_shoulder": (0, -22, -66), "right_shoulder": (0, 22, 66), "left_elbow": (0, -58, -8)}
    | {"right_elbow": (0, 58, 8)},
    "hands_behind": _HANG
    | {"left_shoulder": (20, 24, -68), "right_shoulder": (20, -24, 68), "left_elbow": (0, -40, 0)}
    | {"right_elbow": (0, 40, 0)},
    "telephone": _HANG | {"right_shoulder": (10, 22, 52), "right_elbow": (20, 128, -20), "head": (2, -4, -10)},
    "selfie": _HANG | {"right_shoulder": (0, 68, 6), "right_elbow": (0, 18, 0), "head": (-4, -6, 0)},
    "phone_in_hands": {"left_shoulder": (0, -28, -64), "right_shoulder": (0, 28, 64), "neck": (20, 0, 0)}
    | {"left_elbow": (0, -96, 10), "right_elbow": (0, 96, -10), "head": (14, 0, 0)},
    "wave": _HANG | {"right_shoulder": (0, -12, 8), "right_elbow": (0, 20, -88), "head": (0, -8, -4)},
    "arms_up": {"left_collar": (0, 0, 12), "right_collar": (0, 0, -12), "left_shoulder": (0, -10, 48)}
    | {"right_shoulder": (0, 10, -48), "left_elbow": (0, -22, 12), "right_elbow": (0, 22, -12)},
    "hands_on_head": {"left_shoulder": (0, -10, 26), "right_shoulder": (0, 10, -26), "left_elbow": (0, -122, 40)}
    | {"right_elbow": (0, 122, -40)},
    "walk": _HANG
    | {"left_hip": (-24, 0, 0), "left_knee": (6, 0, 0), "right_hip": (18, 0, 0), "right_knee": (38, 0, 0)}
    | {"left_shoulder": (0, 26, -70), "right_shoulder": (0, 24, 70)},
    "run": {"pelvis": (12, 0, 0), "left_hip": (-62, 0, 0), "left_knee": (80, 0, 0), "right_hip": (22, 0, 0)}
    | {"right_knee": (38, 0, 0), "left_shoulder": (0, 45, -66), "right_shoulder": (0, 32, 62)}
    | {"left_elbow": (0, -85, 0), "right_elbow": (0, 88, 0), "head": (-10, 0, 0)},
    "squat": {"pelvis": (28, 0, 0), "left_hip": (-105, 14, 16), "right_hip": (-105, -14, -16)}
    | {"left_knee": (98, 0, 0), "right_knee": (98, 0, 0), "left_ankle": (-21, 0, 0), "right_ankle": (-21, 0, 0)}
    | {"left_shoulder": (0, -70, -12), "right_shoulder": (0, 70, 12), "left_elbow": (0, -25, 0)},
    "lunge": _ON_HIPS
    | {"left_hip": (-76, 0, 4), "left_knee": (78, 0, 0), "right_hip": (34, 0, -4), "right_knee": (42, 0, 0)},
    "kick": {"pelvis": (-8, 0, 0), "left_hip": (-68, 0, 6), "left_knee": (14, 0, 0), "right_knee": (12, 0, 0)}
    | {"left_shoulder": (0, 20, -35), "right_shoulder": (0, 40, 28), "left_elbow": (0, -30, 0)},
    "arabesque": {"pelvis": (40, 0, 0), "right_hip": (48, 0, -4), "left_hip": (-38, 0, 0), "right_knee": (10, 0, 0)}
    | {"left_shoulder": (0, -40, -4), "right_shoulder": (0, -10, 10), "neck": (-18, 0, 0)},
    "tree": {"right_hip": (-52, -55, -38), "right_knee": (118, 0, 0), "left_shoulder": (0, -14, 56)}
    | {"right_shoulder": (0, 14, -56), "left_elbow": (0, -30, 22), "right_elbow": (0, 30, -22)},
    "star": {"left_shoulder": (0, -5, 18), "right_shoulder": (0, 5, -18), "left_hip": (0, 0, 26)}
    | {"right_hip": (0, 0, -26)},
    "sit": _ON_LAP | _SEAT | {"spine1": (6, 0, 0)},
    "sit_back": _HANG | _SEAT | {"pelvis": (-14, 0, 0), "spine1": (8, 0, 0), "left_knee": (64, 0, 0)},
    "sit_legs_crossed": _ON_LAP | _SEAT | {"right_hip": (-102, -18, 10), "right_knee": (92, 0, 0)},
    "sit_typing": _SEAT
    | {"left_shoulder": (0, -40, -62), "right_shoulder": (0, 40, 62), "left_elbow": (0, -78, 0)}
    | {"right_elbow": (0, 78, 0), "spine2": (10, 0, 0), "head": (10, 0, 0)},
    "sit_on_floor": {"left_hip": (-95, 34, 40), "right_hip": (-95, -34, -40), "left_knee": (120, 0, 0)}
    | {"right_knee": (120, 0, 0), "spine1": (14, 0, 0)}
    | _ON_LAP,
    "sit_legs_out": _HANG | {"left_hip": (-84, 6, 8), "right_hip": (-84, -6, -8), "left_knee": (8, 0, 0)},
    "kneel": _HANG | _KNEEL,
    "kneel_one": _HANG
    | {"left_hip": (-92, 4, 4), "left_knee": (94, 0, 0), "right_hip": (4, 0, -4), "right_knee": (94, 0, 0)},
    "sit_on_heels": _ON_LAP | _KNEEL | {"left_hip": (-82, 6, 8), "right_hip": (-82, -6, -8), "left_knee": (142, 0, 0)},
    "all_fours": {"pelvis": (85, 0, 0), "left_hip": (-88, 0, 4), "right_hip": (-88, 0, -4), "left_knee": (90, 0, 0)}
    | {"right_knee": (90, 0, 0), "left_shoulder": (0, -84, -8), "right_shoulder": (0, 84, 8), "neck": (-30, 0, 0)},
    "plank": {"pelvis": (78, 0, 0), "left_shoulder": (0, -80, -8), "right_shoulder": (0, 80, 8), "neck": (-20, 0, 0)},
    "lie_on_back": _HANG | {"pelvis": (-88, 0, 0), "left_knee": (18, 0, 0), "left_hip": (-14, 4, 4)},
    "lie_on_belly": _HANG | {"pelvis": (88, 0, 0), "head": (-20, 30, 0)},
    "lie_on_side": _HANG
    | {"pelvis": (0, 0, 86), "left_hip": (-40, 0, 0), "left_knee": (60, 0, 0), "right_knee": (25, 0, 0)},
    "handstand": {"pelvis": (178, 0, 0), "left_shoulder": (0, -10, 72), "right_shoulder": (0, 10, -72)},
    "climb": {"left_shoulder": (0, -30, 50), "right_shoulder": (0, 40, -10), "left_elbow": (0, -40, 10)}
    | {"right_elbow": (0, 70, -10), "left_hip": (-78, 24, 20), "left_knee": (88, 0, 0), "right_hip": (-14, -10, -8)}
    | {"right_knee": (26, 0, 0), "neck": (-20, 0, 0)},
    "throw": {"right_shoulder": (0, -30, -10), "right_elbow": (0, 80, -50), "left_shoulder": (0, -60, -10)}
    | {"spine2": (0, -16, 0), "left_hip": (-40, 0, 4), "left_knee": (20, 0, 0), "right_hip": (18, 0, -6)},
    "bend_down": {"pelvis": (48, 0, 0), "spine1": (20, 0, 0), "spine2": (16, 0, 0), "left_hip": (-46, 0, 4)}
    | {"right_hip": (-46, 0, -4), "left_shoulder": (0, -84, -14), "right_shoulder": (0, 84, 14)},
    "carry": {"left_shoulder": (0, 4, -62), "right_shoulder": (0, -4, 62), "left_elbow": (0, -82, 0)}
    | {"right_elbow": (0, 82, 0), "spine1": (-3, 0, 0)},
    "ride": _SEAT
    | {"pelvis": (24, 0, 0), "left_shoulder": (0, -62, -22), "right_shoulder": (0, 62, 22), "right_hip": (-50, -6, -4)}
    | {"right_knee": (62, 0, 0), "left_elbow": (0, -20, 0), "right_elbow": (0, 20, 0), "neck": (-16, 0, 0)},
    "t_pose": {"left_shoulder": (0, 0, -4), "right_shoulder": (0, 0, 4)},
}
HELD_OUT = ("hands_before", "kneel_one", "sit_back", "throw", "lie_on_side", "tree")
"""Postures kept for testing."""
_USUAL = ("stand", "contrapposto", "hands_on_hips", "arms_crossed", "hands_before", "sit", "walk", "sit_legs_crossed")


def draw_posture(rng: np.random.Generator, split: str) -> tuple[str, np.ndarray]:
    """Name and rotations (24, 3, 3) of a posture, varied; row 0 tilts the pelvis.

    Args:
        rng: randomness.
        split: ``train`` or ``val``.
    """
    names = [name for name in POSTURES if (name in HELD_OUT) == (split == "val")]
    share = np.array([3.0 if name in _USUAL else 0.4 if name == "t_pose" else 1.0 for name in names])
    name = str(rng.choice(names, p=share / share.sum()))
    joints = joint_names("smpl24")
    angles = np.zeros((24, 3))
    for joint, degrees in POSTURES[name].items():
        angles[joints.index(joint)] = degrees
    noise = rng.normal(0, rng.uniform(3, 14), (24, 3))
    noise[[10, 11]] *= 0.3
    noise[[4, 5, 18, 19]] *= (1.0, 0.3, 0.3)
    noise[[18, 19]] += rng.normal(0, 10, (2, 3)) * (0, 1, 0)
    angles += noise
    angles[[4, 5], 0] = np.maximum(angles[[4, 5], 0], 0)
    return name, Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
