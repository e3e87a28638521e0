"""Joint and keypoint conventions: names, parents and left/right pairs.

Left is the person's left everywhere. Keypoint sets and their order are those of the data sets and detectors.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from dsr.errors import BodyError

SMPL24_NAMES: Final = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
)
SMPL24_PARENTS: Final = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)

_FINGERS: Final = ("index", "middle", "pinky", "ring", "thumb")
SMPLX55_NAMES: Final = (
    *SMPL24_NAMES[:22],
    "jaw",
    "left_eye_smplhf",
    "right_eye_smplhf",
    *(f"left_{finger}{i}" for finger in _FINGERS for i in (1, 2, 3)),
    *(f"right_{finger}{i}" for finger in _FINGERS for i in (1, 2, 3)),
)
SMPLH52_NAMES: Final = (*SMPL24_NAMES[:22], *SMPLX55_NAMES[25:])
SMPLX55_PARENTS: Final = (
    *SMPL24_PARENTS[:22],
    *(15, 15, 15),
    *(parent for finger in range(5) for parent in (20, 25 + 3 * finger, 26 + 3 * finger)),
    *(parent for finger in range(5) for parent in (21, 40 + 3 * finger, 41 + 3 * finger)),
)

COCO17_NAMES: Final = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)

# Human3.6M's 17 joints in the order of the lifting literature (VideoPose3D): the head joint is the top of the head.
H36M17_NAMES: Final = (
    "pelvis",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "spine",
    "thorax",
    "neck_nose",
    "head",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
)

BLAZEPOSE33_NAMES: Final = (
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_foot_index",
    "right_foot_index",
)

OPENPOSE25_NAMES: Final = (
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "mid_hip",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
)

H36M17_PARENTS: Final = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
COCO17_PARENTS: Final = (-1, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14)
BLAZEPOSE33_PARENTS: Final = (
    -1,
    0,
    1,
    2,
    0,
    4,
    5,
    3,
    6,
    0,
    0,
    0,
    0,
    11,
    12,
    13,
    14,
    15,
    16,
    15,
    16,
    15,
    16,
    11,
    12,
    23,
    24,
    25,
    26,
    27,
    28,
    27,
    28,
)
OPENPOSE25_PARENTS: Final = (
    1,
    -1,
    1,
    2,
    3,
    1,
    5,
    6,
    1,
    8,
    9,
    10,
    8,
    12,
    13,
    0,
    0,
    15,
    16,
    14,
    19,
    14,
    11,
    22,
    11,
)

JOINT_SETS: Final = MappingProxyType(
    {
        "smpl24": SMPL24_NAMES,
        "smplh52": SMPLH52_NAMES,
        "smplx55": SMPLX55_NAMES,
        "coco17": COCO17_NAMES,
        "h36m17": H36M17_NAMES,
        "blazepose33": BLAZEPOSE33_NAMES,
        "openpose25": OPENPOSE25_NAMES,
    }
)
"""Names of every joint and keypoint set, in order."""

PARENTS: Final = MappingProxyType(
    {
        "smpl24": SMPL24_PARENTS,
        "coco17": COCO17_PARENTS,
        "h36m17": H36M17_PARENTS,
        "blazepose33": BLAZEPOSE33_PARENTS,
        "openpose25": OPENPOSE25_PARENTS,
    }
)
"""Parent of every joint (root -1), for drawing and for the kinematic tree of SMPL."""

KEYPOINT_SETS: Final = ("coco17", "h36m17", "blazepose33", "openpose25")
"""The keypoint sets every body asset carries a regressor for."""


def joint_names(name: str) -> tuple[str, ...]:
    """Names of a joint or keypoint set, in order.

    Args:
        name: a key of :data:`JOINT_SETS`, ``coco17`` for instance.

    Raises:
        BodyError: if there is no such set.

    Example:
        >>> joint_names("coco17")[0]
        'nose'
    """
    if name not in JOINT_SETS:
        raise BodyError(f"There is no joint set named {name!r}; known are {', '.join(sorted(JOINT_SETS))}.")
    return JOINT_SETS[name]


def flip_name(name: str) -> str:
    """The same place on the other side: ``left_knee`` for ``right_knee``; names in the middle stay."""
    if "left" in name:
        return name.replace("left", "right")
    return name.replace("right", "left")


def flip_permutation(name: str) -> tuple[int, ...]:
    """Index of the opposite joint for every joint of a set.

    Take them after negating x: ``mirrored = points[..., flip_permutation("coco17"), :]``.

    Example:
        >>> flip_permutation("smpl24")[:3]
        (0, 2, 1)
    """
    names = joint_names(name)
    return tuple(names.index(flip_name(n)) for n in names)


def flip_pairs(name: str) -> tuple[tuple[int, int], ...]:
    """Pairs (left, right) of a set, each pair once.

    Example:
        >>> flip_pairs("smpl24")[0]
        (1, 2)
    """
    names = joint_names(name)
    return tuple((i, names.index(flip_name(n))) for i, n in enumerate(names) if "left" in n)
