# SPDX-License-Identifier: GPL-3.0-or-later
"""Where bones point and how long they are: along the limbs, the head upwards, feet forwards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_POINTS_TO = {
    "pelvis": ("spine1",),
    "spine3": ("neck",),
    "left_wrist": ("left_hand", "left_middle1"),
    "right_wrist": ("right_hand", "right_middle1"),
}
"""Children that a bone may point at where it has several; the head's points upwards, not at an eye."""
_LEAF_LENGTH = {"head": 0.16, "left_foot": 0.06, "right_foot": 0.06, "left_hand": 0.08, "right_hand": 0.08}
_FORWARD = {"jaw": (0.0, -0.05, 0.06), "left_eye_smplhf": (0.0, 0.0, 0.03), "right_eye_smplhf": (0.0, 0.0, 0.03)}
"""Bones of the face: to the chin, along the gaze; metres."""


def bone_children(names: Sequence[str], parents: np.ndarray, joints: np.ndarray) -> list[int]:
    """For every joint the child its bone points at, -1 for a leaf.

    Args:
        names: J joint names.
        parents: (J,), root -1.
        joints: (J, 3) rest joints, x to the body's left.
    """
    children_of = []
    for joint, name in enumerate(names):
        children = np.flatnonzero(np.asarray(parents) == joint)
        preferred = [names.index(n) for n in _POINTS_TO.get(name, ()) if n in names and names.index(n) in children]
        if preferred:
            children_of.append(preferred[0])
        elif len(children) and name != "head":
            children_of.append(int(children[np.argmin(np.abs(joints[children, 0] - joints[joint, 0]))]))
        else:
            children_of.append(-1)
    return children_of


def bone_axes(names: Sequence[str], parents: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions and lengths of bones.

    Args:
        names: J joint names.
        parents: (J,), root -1.
        joints: (J, 3) rest joints in the files' body frame (y up, facing +z).

    Returns:
        unit directions (J, 3), same frame, and lengths (J,) metres.
    """
    joints = np.asarray(joints, np.float64)
    ends = np.array(joints)
    for joint, (name, child) in enumerate(zip(names, bone_children(list(names), parents, joints), strict=True)):
        parent = int(parents[joint])
        along = joints[joint] - joints[parent] if parent >= 0 else np.array([0.0, 1.0, 0.0])
        if child >= 0:
            ends[joint] = joints[child]
        elif name in _FORWARD:
            ends[joint] = joints[joint] + _FORWARD[name]
        elif name == "head":
            ends[joint] = joints[joint] + [0.0, _LEAF_LENGTH[name], 0.0]
        elif name.endswith("_foot"):
            ends[joint] = joints[joint] + [0.0, 0.0, _LEAF_LENGTH.get(name, 0.06)]
        else:
            size = max(float(np.linalg.norm(along)), 1e-6)
            ends[joint] = joints[joint] + along / size * _LEAF_LENGTH.get(name, max(0.3 * size, 0.02))
    lengths = np.linalg.norm(ends - joints, axis=1)
    short = lengths < 0.01  # Blender drops bones without length
    ends[short] = joints[short] + [0.0, 0.03, 0.0]
    lengths = np.linalg.norm(ends - joints, axis=1)
    return (ends - joints) / lengths[:, None], lengths
