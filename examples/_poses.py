"""Natural poses written by hand, for the example renders (SMPL's 24 joints)."""

from __future__ import annotations

# fmt: off
JOINTS = [
    "pelvis", "l_hip", "r_hip", "spine1", "l_knee", "r_knee", "spine2", "l_ankle", "r_ankle", "spine3", "l_foot",
    "r_foot",
    "neck", "l_collar", "r_collar", "head", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist",
    "l_hand", "r_hand",
]

# Degrees about x, y, z of each joint's rest frame (x left, y up, z front); applied x first, then y, then z.
# Arms hang by turning a shoulder about z (left minus, right plus); elbows bend about y (left minus, right plus).
POSES: dict[str, dict[str, tuple[float, float, float]]] = {
    "stand": {
        "l_shoulder": (0, 1, -80), "r_shoulder": (0, -1, 80), "l_elbow": (0, -14, -8), "r_elbow": (0, 14, 8),
    },
    "contrapposto": {
        "pelvis": (0, 0, 4), "spine1": (0, 0, -4), "spine2": (0, 4, -2), "l_hip": (-8, 10, 3), "l_knee": (16, 0, 0),
        "r_hip": (0, -6, -4), "l_shoulder": (0, -2, -78), "r_shoulder": (0, 2, 78), "l_elbow": (0, -22, -12),
        "r_elbow": (0, 26, 12), "head": (4, 12, 0),
    },
    "hands_on_hips": {
        "l_shoulder": (63, 17, -49), "r_shoulder": (63, -17, 49), "l_elbow": (0, -97, 0), "r_elbow": (0, 97, 0),
        "l_hip": (0, 0, 5), "r_hip": (0, 0, -5), "l_wrist": (0, 0, -20), "r_wrist": (0, 0, 20),
    },
    "walk": {
        "l_hip": (-24, 0, 0), "l_knee": (6, 0, 0), "r_hip": (18, 0, 0), "r_knee": (38, 0, 0), "r_ankle": (-6, 0, 0),
        "r_foot": (-24, 0, 0),
        "l_ankle": (0, 0, 0), "l_shoulder": (0, 26, -70), "r_shoulder": (0, 24, 70), "l_elbow": (0, -18, 0),
        "r_elbow": (0, 34, 0), "spine1": (3, 6, 0), "spine3": (0, -8, 0),
    },
    "run": {
        "pelvis": (12, 0, 0), "l_hip": (-62, 0, 0), "l_knee": (80, 0, 0), "r_hip": (22, 0, 0), "r_knee": (38, 0, 0),
        "r_ankle": (22, 0, 0), "l_shoulder": (0, 45, -66), "r_shoulder": (0, 32, 62), "l_elbow": (0, -85, 0),
        "r_elbow": (0, 88, 0), "spine2": (4, 8, 0), "spine3": (0, -10, 0), "head": (-10, 0, 0),
    },
    "arms_up": {
        "l_collar": (0, 0, 12), "r_collar": (0, 0, -12), "l_shoulder": (0, -10, 48), "r_shoulder": (0, 10, -48),
        "l_elbow": (0, -22, 12), "r_elbow": (0, 22, -12), "head": (-12, 0, 0), "l_hip": (0, 0, 7), "r_hip": (0, 0, -7),
    },
    "wave": {
        "l_shoulder": (0, 1, -79), "l_elbow": (0, -18, -8), "r_collar": (0, 0, -6), "r_shoulder": (0, -12, 8),
        "r_elbow": (0, 20, -88), "r_wrist": (0, 0, -10), "head": (0, -8, -4), "spine2": (0, 0, 2),
    },
    "point": {
        "l_shoulder": (0, -55, -8), "l_elbow": (0, -10, 0), "r_shoulder": (0, -1, 79), "r_elbow": (0, 16, 8),
        "head": (0, 25, 0), "spine3": (0, 8, 0), "l_hip": (-14, 6, 3), "l_knee": (8, 0, 0), "r_hip": (6, -6, -3),
    },
    "reach": {
        "l_shoulder": (0, -60, -25), "r_shoulder": (0, 62, 20), "l_elbow": (0, -30, 0), "r_elbow": (0, 30, 0),
        "spine1": (12, 0, 0), "spine2": (10, 0, 0), "l_hip": (-20, 4, 4), "l_knee": (20, 0, 0), "r_hip": (-4, -4, -4),
        "r_knee": (8, 0, 0),
    },
    "squat": {
        "pelvis": (28, 0, 0), "l_hip": (-105, 14, 16), "r_hip": (-105, -14, -16), "l_knee": (98, 0, 0),
        "r_knee": (98, 0, 0),
        "l_ankle": (-21, 0, 0), "r_ankle": (-21, 0, 0), "l_shoulder": (0, -70, -12), "r_shoulder": (0, 70, 12),
        "l_elbow": (0, -25, 0), "r_elbow": (0, 25, 0), "neck": (-12, 0, 0),
    },
    "lunge": {
        "l_hip": (-76, 0, 4), "l_knee": (78, 0, 0), "l_ankle": (-2, 0, 0), "r_hip": (34, 0, -4), "r_knee": (42, 0, 0),
        "r_ankle": (-4, 0, 0), "r_foot": (-34, 0, 0), "l_shoulder": (63, 17, -49), "r_shoulder": (63, -17, 49),
        "l_elbow": (0, -97, 0), "r_elbow": (0, 97, 0), "l_wrist": (0, 0, -20), "r_wrist": (0, 0, 20),
    },
    "kick": {
        "pelvis": (-8, 0, 0), "l_hip": (-68, 0, 6), "l_knee": (14, 0, 0), "l_ankle": (22, 0, 0), "r_hip": (4, 0, -4),
        "r_knee": (12, 0, 0), "l_shoulder": (0, 20, -35), "r_shoulder": (0, 40, 28), "l_elbow": (0, -30, 0),
        "r_elbow": (0, 45, 0), "spine2": (12, 0, 0),
    },
    "tree": {
        "r_hip": (-52, -55, -38), "r_knee": (118, 0, 0), "r_ankle": (20, 0, 0), "l_collar": (0, 0, 14),
        "r_collar": (0, 0, -14),
        "l_shoulder": (0, -14, 56), "r_shoulder": (0, 14, -56), "l_elbow": (0, -30, 22), "r_elbow": (0, 30, -22),
    },
    "star": {
        "l_shoulder": (0, -5, 18), "r_shoulder": (0, 5, -18), "l_elbow": (0, -8, 0), "r_elbow": (0, 8, 0),
        "l_hip": (0, 0, 26), "r_hip": (0, 0, -26),
    },
    "sit": {
        "l_hip": (-84, 6, 8), "r_hip": (-84, -6, -8), "l_knee": (84, 0, 0), "r_knee": (84, 0, 0), "spine1": (6, 0, 0),
        "l_shoulder": (0, -18, -62), "r_shoulder": (0, 18, 62), "l_elbow": (0, -48, 0), "r_elbow": (0, 48, 0),
    },
    "sit_lean": {
        "l_hip": (-88, 10, 10), "r_hip": (-78, -4, -6), "l_knee": (92, 0, 0), "r_knee": (64, 0, 0),
        "spine1": (16, 0, 0),
        "spine2": (12, 0, 0), "spine3": (8, 0, 0), "neck": (-12, 0, 0), "head": (-10, 10, 0),
        "l_shoulder": (0, -42, -48),
        "r_shoulder": (0, 36, 50), "l_elbow": (0, -62, 0), "r_elbow": (0, 50, 0),
    },
    "hand_to_head": {
        "l_shoulder": (0, 1, -78), "l_elbow": (0, -18, -8), "r_collar": (0, 0, -8), "r_shoulder": (0, 20, -32),
        "r_elbow": (0, 118, -40), "head": (6, -6, -6), "r_hip": (-6, -6, -3), "r_knee": (10, 0, 0),
    },
    "carry": {
        "l_shoulder": (0, 4, -62), "r_shoulder": (0, -4, 62), "l_elbow": (0, -82, 0), "r_elbow": (0, 82, 0),
        "spine1": (-3, 0, 0), "l_hip": (-6, 4, 3), "r_hip": (4, -4, -3),
    },
}
SEATED = ("sit", "sit_lean")
BOTH_FEET = (
    "stand", "contrapposto", "hands_on_hips", "walk", "arms_up", "wave", "point", "reach", "squat", "lunge", "star",
    "hand_to_head", "carry",
)
