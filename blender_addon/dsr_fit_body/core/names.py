# SPDX-License-Identifier: GPL-3.0-or-later
"""Bone names: SMPL's (in the scene), Mixamo's and Rigify's (on request), and where bones point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SCHEMES = ("SMPL", "MIXAMO", "RIGIFY")

# SMPL joint, Mixamo bone (without "mixamorig:"), Rigify metarig bone. SMPL's "shoulder" is Mixamo's "Arm" and SMPL's
# "collar" is its "Shoulder". SMPL's hand has no counterpart: it keeps a name of its own, so that no weight is lost.
_CENTRE = (
    ("pelvis", "Hips", "spine"),
    ("spine1", "Spine", "spine.001"),
    ("spine2", "Spine1", "spine.002"),
    ("spine3", "Spine2", "spine.003"),
    ("neck", "Neck", "spine.004"),
    ("head", "Head", "spine.006"),
)
_SIDE = (
    ("collar", "Shoulder", "shoulder"),
    ("shoulder", "Arm", "upper_arm"),
    ("elbow", "ForeArm", "forearm"),
    ("wrist", "Hand", "hand"),
    ("hand", "HandMiddle1", "palm"),
    ("hip", "UpLeg", "thigh"),
    ("knee", "Leg", "shin"),
    ("ankle", "Foot", "foot"),
    ("foot", "ToeBase", "toe"),
)


def _table() -> dict[str, tuple[str, str]]:
    table = {smpl: (f"mixamorig:{mixamo}", rigify) for smpl, mixamo, rigify in _CENTRE}
    for side, long, short in (("left", "Left", "L"), ("right", "Right", "R")):
        for smpl, mixamo, rigify in _SIDE:
            table[f"{side}_{smpl}"] = (f"mixamorig:{long}{mixamo}", f"{rigify}.{short}")
    return table


TABLE = _table()
"""SMPL name -> (Mixamo name, Rigify name)."""


def name_in(smpl: str, scheme: str) -> str:
    """A bone's name in a scheme; joints outside the table (fingers, jaw, eyes of SMPL-X) keep theirs."""
    if scheme == "SMPL" or smpl not in TABLE:
        return smpl
    return TABLE[smpl][SCHEMES.index(scheme) - 1]


def smpl_name(name: str) -> str:
    """The SMPL name of a bone that has a name of any scheme; unknown names come back as they are."""
    return _BACK.get(name, name)


_BACK = {other: smpl for smpl, others in TABLE.items() for other in others}

SMPL24 = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee",
    "spine2", "left_ankle", "right_ankle", "spine3", "left_foot", "right_foot",
    "neck", "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip

_POINTS_TO = {"pelvis": "spine1", "spine3": "neck", "left_wrist": "left_hand", "right_wrist": "right_hand"}
_LEAF_LENGTH = {"head": 0.16, "left_foot": 0.06, "right_foot": 0.06, "left_hand": 0.08, "right_hand": 0.08}


def joint_names(names: Sequence[str], count: int) -> list[str]:
    """Bone names for ``count`` joints: the asset's own, else SMPL's 24, else numbered ones."""
    if len(names) == count:
        return [str(name) for name in names]
    return list(SMPL24) if count == len(SMPL24) else [f"joint{j:02d}" for j in range(count)]


def bone_children(names: Sequence[str], parents: np.ndarray, joints: np.ndarray) -> list[int]:
    """For every joint the child its bone points at, -1 for a leaf.

    Args:
        names: J joint names.
        parents: (J,), root -1.
        joints: (J, 3) rest joints, x to the body's left.
    """
    found = []
    for joint, name in enumerate(names):
        children = np.flatnonzero(np.asarray(parents) == joint)
        wanted = _POINTS_TO.get(name)
        if wanted in names and names.index(wanted) in children:
            found.append(names.index(wanted))
        elif len(children):
            found.append(int(children[np.argmin(np.abs(joints[children, 0] - joints[joint, 0]))]))
        else:
            found.append(-1)
    return found


def bone_axes(names: Sequence[str], parents: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions and lengths of bones: along the limb, the head upwards, feet forwards.

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


def cut_name(stem: str, limit: int = 40) -> str:
    """A file's stem short enough for Blender's names (63 bytes, not letters)."""
    return stem.encode()[:limit].decode(errors="ignore").strip() or "photo"
