"""Six coarse groups of the 20 clothing labels: what can be told from a picture without a parsing network."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import numpy as np

from dsr.clothing.labels import LABELS

GROUPS: Final = MappingProxyType(
    {
        "background": ("background",),
        "skin": ("sunglasses", "jumpsuits", "face", "leftArm", "rightArm", "leftLeg", "rightLeg"),
        "hair": ("hat", "hair"),
        "upper": ("glove", "upperclothes", "dress", "coat", "scarf"),
        "lower": ("socks", "pants", "skirt"),
        "shoes": ("leftShoe", "rightShoe"),
    }
)
"""Groups in the order of their ids and their labels; 10 is bare neck and trunk here (CIHP's "torso skin")."""

GROUP_NAMES: Final = tuple(GROUPS)
SKIN, HAIR, UPPER, LOWER, SHOES = 1, 2, 3, 4, 5
"""Ids of the groups; 0 is background."""

GROUP_OF_LABEL: Final = np.array(
    [next(g for g, members in enumerate(GROUPS.values()) if label in members) for label in LABELS]
)
"""Group id of each label id."""

GROUP_PALETTE_RGB: Final = (
    (0, 0, 0),
    (244, 190, 150),
    (120, 60, 20),
    (214, 60, 60),
    (60, 90, 214),
    (240, 220, 60),
)
"""Colours of the groups for people to look at."""


def group_shares(labels: np.ndarray) -> np.ndarray:
    """Probabilities of the groups from those of the labels, (..., 20) to (..., 6)."""
    shares = np.zeros((*labels.shape[:-1], len(GROUPS)), labels.dtype)
    for label, group in enumerate(GROUP_OF_LABEL):
        shares[..., group] += labels[..., label]
    return shares
