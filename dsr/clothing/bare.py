"""The label that bare skin has, for every vertex of a body."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

import numpy as np

from dsr.body import BodyAsset
from dsr.body.joints import joint_names
from dsr.clothing.labels import LABELS

TRUNK_SKIN = LABELS.index("jumpsuits")
"""CIHP's "torso skin": bare neck and trunk have this id everywhere in this project."""


def bare_labels(asset: BodyAsset) -> np.ndarray:
    """(V,) label id of every vertex of a body without clothes, by the joint that moves it most."""

    def label(name: str) -> int:
        side = name.split("_")[0]
        if name == "head":
            return LABELS.index("face")
        if any(part in name for part in ("shoulder", "elbow", "wrist", "hand")):
            return LABELS.index(f"{side}Arm")
        if any(part in name for part in ("hip", "knee", "ankle", "foot")):
            return LABELS.index(f"{side}Leg")
        return TRUNK_SKIN

    return _by_joint(asset, label)


PARTS: Final = ("head", "trunk", "pelvis", "upper arm", "forearm", "hand", "thigh", "shin", "foot")
"""Parts of a body that are more often bare or covered as a whole than in part."""

_PART_OF_JOINT: Final = MappingProxyType(
    {
        **{"head": "head", "neck": "head", "spine": "trunk", "collar": "trunk", "pelvis": "pelvis"},
        **{"shoulder": "upper arm", "elbow": "forearm", "wrist": "hand", "hand": "hand"},
        **{"hip": "thigh", "knee": "shin", "ankle": "foot", "foot": "foot"},
    }
)


def body_parts(asset: BodyAsset) -> np.ndarray:
    """(V,) part of every vertex, an index of :data:`PARTS`, by the joint that moves it most."""
    return _by_joint(asset, lambda name: PARTS.index(next(p for key, p in _PART_OF_JOINT.items() if key in name)))


def _by_joint(asset: BodyAsset, value: Callable[[str], int]) -> np.ndarray:
    """(V,) value of the joint that moves each vertex most, by its name."""
    count = asset.weights.shape[1]
    names = joint_names("smpl24")[: 24 if count == 24 else 22]  # larger rigs have jaw and fingers after the wrists
    of_joint = [value(name) for name in names]
    for j in range(len(names), count):
        of_joint.append(of_joint[asset.parents[j]])
    return np.array(of_joint)[asset.weights.argmax(1)]
