# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of bones (SMPL's in the scene, Mixamo's and Rigify's on request) and of data-blocks."""

from __future__ import annotations

from collections.abc import Sequence

from ..carried.skeleton_names import RIG_NAMES

SCHEMES = ("SMPL", "MIXAMO", "RIGIFY")

BONE_NAMES = {joint: (name, RIG_NAMES["rigify"][joint]) for joint, name in RIG_NAMES["mixamo"].items()}
"""SMPL name -> (Mixamo name, Rigify name). SMPL's hand has no counterpart there: it gets a separate name, so that no
weight is lost; bodies with fingers have no such hand."""


def bone_name_in(smpl: str, scheme: str) -> str:
    """A bone's name in a scheme; joints outside the table keep theirs."""
    if scheme == "SMPL" or smpl not in BONE_NAMES:
        return smpl
    return BONE_NAMES[smpl][SCHEMES.index(scheme) - 1]


SMPL24 = (
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


def joint_names(names: Sequence[str], count: int) -> list[str]:
    """Bone names for ``count`` joints: those of the file, else SMPL's 24, else numbered ones."""
    if len(names) == count:
        return [str(name) for name in names]
    return list(SMPL24) if count == len(SMPL24) else [f"joint{j:02d}" for j in range(count)]


def cut_name(stem: str, limit: int = 40) -> str:
    """A file's stem short enough for Blender's names (63 bytes, not letters)."""
    return stem.encode()[:limit].decode(errors="ignore").strip() or "photo"
