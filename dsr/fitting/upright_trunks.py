"""How upright the trunks of people are, by what they do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dsr.fitting.balance import MASS_M
from dsr.fitting.stance import Stance

OVER_FEET_M = 0.05
"""How far the mass of somebody who stands is from over the feet, metres."""
STANDING_DEG, BENDING_DEG, SITTING_DEG, CUT_DEG, ACTING_DEG = 6.0, 15.0, 12.0, 7.0, 25.0
"""How far a trunk leans: of people who just stand, who do something on their feet, who sit, whose legs are not seen,
and who do something else."""


def trunk_factors(stances: Sequence[Stance], tilt: float) -> tuple[np.ndarray, float]:
    """How upright trunks are expected to be.

    Args:
        stances: of B people.
        tilt: standard deviation of what is upright, radians.

    Returns:
        (B,) one over the standard deviation of their lean, per radian; and the share of the lean of somebody's mass
        that is the error of what is upright, which the trunk's lean shares.
    """
    standing, calm = np.array([s.standing for s in stances]), np.array([s.calm for s in stances])
    sitting = np.array([s.sitting for s in stances])
    unseen = 1 - np.array([s.feet.max() for s in stances])
    alone = (OVER_FEET_M / MASS_M) ** 2
    both = tilt**2 / (alone + tilt**2)
    # the trunk's lean is taken given the mass's
    spread = np.radians(calm * STANDING_DEG + (1 - calm) * BENDING_DEG)
    trunk = standing / np.sqrt(spread**2 + tilt**2 * (1 - both))
    rest = 1 - standing
    for share, degrees in (
        (rest * sitting, SITTING_DEG),
        (rest * (1 - sitting) * unseen, CUT_DEG),
        (rest * (1 - sitting) * (1 - unseen), ACTING_DEG),
    ):
        trunk = trunk + share / np.hypot(np.radians(degrees), tilt)
    return trunk, both
