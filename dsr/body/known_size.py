"""Bodies of a known stature or mass, over the betas that a fit moves: the likeliest one, and the nearest to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from dsr.body.asset import BodyAsset
from dsr.body.load import first_betas
from dsr.body.measure import skin_mass_kg, standing_height_m

_CHILD_SIGMA = 0.25
"""Change of the child's beta that counts as much as a change of another one by 1, for bodies that do not know how
people are distributed; the others know who is a child."""
_STEPS, _NUDGE = 12, 0.01


@dataclass(frozen=True, eq=False)
class KnownSize:
    """What is known of a body's size.

    Attributes:
        asset: the body with the betas that are fitted.
        height_m: standing height in metres, or None.
        mass_kg: mass in kilograms, or None.
        betas: (n,) the likeliest shape of that size; of a body that does not know how people are distributed, the one
            nearest to the average.
        mass_slope: (n,) kilograms per beta there; None without a mass.
    """

    asset: BodyAsset
    height_m: float | None
    mass_kg: float | None
    betas: np.ndarray = field(repr=False)
    mass_slope: np.ndarray | None = field(repr=False)

    def nearest(self, betas: np.ndarray) -> np.ndarray:
        """The shapes (N, n) of that size nearest to others (N, n); as much of a child as the likeliest one is."""
        start = np.asarray(betas, np.float64).copy()
        if self.asset.child_beta is not None:
            start[:, self.asset.child_beta] = self.betas[self.asset.child_beta]
        return np.stack([_moved(self.asset, row, self.height_m, self.mass_kg) for row in start])

    @property
    def mass_goal_kg(self) -> float:
        """What ``mass_slope @ betas`` is for a body of this mass."""
        return 0.0 if self.mass_slope is None else float(self.mass_slope @ self.betas)


@lru_cache(maxsize=16)
def known_size(asset: BodyAsset, num_betas: int, height_m: float | None, mass_kg: float | None) -> KnownSize | None:
    """What a stature, a mass or both say about the first betas of a body; None where neither is given.

    Args:
        asset: any body.
        num_betas: n, how many betas there are to move.
        height_m: standing height in metres, or None.
        mass_kg: mass in kilograms, or None.
    """
    if height_m is None and mass_kg is None:
        return None
    body = first_betas(asset, num_betas)
    betas = np.zeros(num_betas)
    if body.tape is not None and body.sex_mean is not None:
        from dsr.body.likely_shapes import betas_for

        given = {"height_m": height_m, "mass_kg": mass_kg}
        betas = betas_for(body, None, **{name: value for name, value in given.items() if value is not None})[:num_betas]
    betas = _moved(body, betas, height_m, mass_kg)
    slope = None if mass_kg is None else _slope(lambda b: skin_mass_kg(body, b), betas)
    return KnownSize(body, height_m, mass_kg, betas, slope)


def _moved(asset: BodyAsset, betas: np.ndarray, height_m: float | None, mass_kg: float | None) -> np.ndarray:
    """Betas (n,) moved as little as possible until height and mass are met: Gauss-Newton."""
    variance = np.ones(len(betas))
    if asset.child_beta is not None:
        variance[asset.child_beta] = 0.0 if asset.sex_mean is not None else _CHILD_SIGMA**2
    sizes: list[tuple[Callable[[np.ndarray], float], float]] = []
    if height_m is not None:
        sizes.append((lambda b: float(standing_height_m(asset, b)), height_m))
    if mass_kg is not None:  # its cube root is all but linear, as lengths are
        sizes.append((lambda b: float(np.cbrt(skin_mass_kg(asset, b))), float(np.cbrt(mass_kg))))
    for _ in range(_STEPS):
        off = np.array([goal - size(betas) for size, goal in sizes])
        if np.abs(off).max() < 1e-4:
            break
        slopes = np.stack([_slope(size, betas) for size, _ in sizes])
        spread = slopes * variance
        betas = betas + spread.T @ np.linalg.solve(spread @ slopes.T, off)
    return betas


def _slope(size: Callable[[np.ndarray], float], betas: np.ndarray) -> np.ndarray:
    """Change (n,) of a size per beta."""
    steps = np.eye(len(betas)) * _NUDGE
    return np.array([(size(betas + step) - size(betas - step)) / (2 * _NUDGE) for step in steps])
