# SPDX-License-Identifier: GPL-3.0-or-later
"""Materials of the skin and of the parts of the face, by the names that a body model gives its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Look:
    """A plain material: its name in the scene, base colour (linear RGB) and roughness."""

    name: str
    colour: tuple[float, float, float]
    roughness: float = 0.6


SKIN = Look("FitBody Skin", (0.8, 0.62, 0.53))
INTERIOR = Look("FitBody Interior", (0.55, 0.3, 0.28))
FACE = {
    "eye": Look("FitBody Eye", (0.88, 0.87, 0.84), 0.2),
    "iris": Look("FitBody Iris", (0.13, 0.065, 0.03), 0.2),
    "pupil": Look("FitBody Pupil", (0.005, 0.005, 0.005), 0.1),
    "lashes": Look("FitBody Lashes", (0.03, 0.02, 0.015), 0.8),
    "teeth": Look("FitBody Teeth", (0.87, 0.83, 0.74), 0.3),
    "tongue": Look("FitBody Tongue", (0.6, 0.25, 0.23), 0.4),
    "mouth": Look("FitBody Mouth", (0.45, 0.17, 0.15), 0.5),
}
"""By the last word of a part's name: ``left_eye``, ``upper_teeth``. The same as in dsr's own exports."""


def looks(part_names: Sequence[str], parts: np.ndarray | None, interior: np.ndarray) -> tuple[list[Look], np.ndarray]:
    """Which materials a body has, and where.

    Args:
        part_names: of the body model.
        parts: (P,) part of every polygon, or None.
        interior: (P,) True for mouth cavity, eyeballs; counts where no parts of a face are named.

    Returns:
        The materials that occur, and (P,) int32 indices into them.
    """
    table = [SKIN, INTERIOR, *FACE.values()]
    index = interior.astype(np.int32)
    ends = [name.rsplit("_", 1)[-1] for name in part_names]
    if parts is not None and any(end in FACE for end in ends):
        known = [table.index(FACE.get(end, SKIN)) for end in ends]
        known += [0] * max(0, int(parts.max(initial=0)) + 1 - len(known))
        index = np.array(known, np.int32)[parts]
    used, index = np.unique(index, return_inverse=True)
    return [table[k] for k in used], index.reshape(-1).astype(np.int32)
