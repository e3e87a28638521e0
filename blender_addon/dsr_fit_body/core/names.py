# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of bones (SMPL's in the scene, Mixamo's and Rigify's on request) and of data-blocks."""

from __future__ import annotations

from collections.abc import Sequence

SCHEMES = ("SMPL", "MIXAMO", "RIGIFY")

# SMPL joint, Mixamo bone (without "mixamorig:"), Rigify metarig bone. SMPL's "shoulder" is Mixamo's "Arm" and SMPL's
# "collar" is its "Shoulder". SMPL's hand has no counterpart: it gets a separate name, so that no weight is lost. Bodies
# with fingers have no such hand.
_CENTRE = (
    ("pelvis", "Hips", "spine"),
    ("spine1", "Spine", "spine.001"),
    ("spine2", "Spine1", "spine.002"),
    ("spine3", "Spine2", "spine.003"),
    ("neck", "Neck", "spine.004"),
    ("head", "Head", "spine.006"),
    ("jaw", "Jaw", "jaw"),
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
    ("eye_smplhf", "Eye", "eye"),
    *(
        (f"{finger}{k}", f"Hand{finger.title()}{k}", f"{'' if finger == 'thumb' else 'f_'}{finger}.0{k}")
        for finger in ("thumb", "index", "middle", "ring", "pinky")
        for k in (1, 2, 3)
    ),
)


def _bone_names() -> dict[str, tuple[str, str]]:
    table = {smpl: (f"mixamorig:{mixamo}", rigify) for smpl, mixamo, rigify in _CENTRE}
    for side, long, short in (("left", "Left", "L"), ("right", "Right", "R")):
        for smpl, mixamo, rigify in _SIDE:
            table[f"{side}_{smpl}"] = (f"mixamorig:{long}{mixamo}", f"{rigify}.{short}")
    return table


BONE_NAMES = _bone_names()
"""SMPL name -> (Mixamo name, Rigify name)."""


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
