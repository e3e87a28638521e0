"""The trunk's cross-sections of matched people, made as broad and as deep as people's at the same girth.

MakeHuman's trunk is rounder than people's: with a girth met, chest, waist and seat are too deep and too broad. Each
cross-section is drawn in sideways and in depth and let out between, by amounts that bring the means of the survey's
men and of its women towards the table's; one smooth field over the body from the armpits to the top of the thighs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from measurements import TABLE

_LEVELS = {
    "buttock": ("hip_breadth", "buttock_depth", "buttock_girth"),
    "waist": ("waist_breadth", "waist_depth", "waist_girth"),
    "chest": ("chest_breadth", "chest_depth", "chest_girth"),
}
"""Rings from below, and what is measured there."""
_BELOW_CROTCH, _ABOVE_AXILLA = 0.06, 0.04
"""Metres below the crotch and above the armpit where nothing changes any more."""
_STEPS, _DIRECTIONS = 3, 96
_NEAR, _SPREAD = np.array([0.004, 0.004, 0.0015] * 3), 0.08
"""How near the means should come, metres, and how large amounts may be."""


@dataclass(frozen=True)
class Rings:
    """Marked points of the trunk over the vertices of a set of shapes.

    Attributes:
        rows: sparse (K, W) of each ring of :data:`_LEVELS`, of ``hips``, ``crotch`` and ``axilla``.
        trunk: (W,) how much of each vertex is no arm's.
    """

    rows: dict[str, sp.csr_matrix]
    trunk: np.ndarray

    @classmethod
    def of(cls, marks: sp.csr_matrix, names: tuple[str, ...], vertices: np.ndarray, weights: np.ndarray) -> Rings:
        """From the rows of all marked points over the base mesh, for shapes that hold its ``vertices`` (W,).

        Args:
            marks: (K, 19158) sparse.
            names: of the K points.
            vertices: (W,) base-mesh vertices.
            weights: (19158, 24) skinning weights.
        """
        kept, own = marks[:, vertices], np.array(names)
        wanted = (*_LEVELS, "hips", "crotch", "axilla")
        return cls({n: kept[own == n].astype(np.float64) for n in wanted}, 1 - weights[vertices, 16:].sum(1))

    def measure(self, shape: np.ndarray) -> np.ndarray:
        """Breadth, depth and girth (3, 3) at each level of a shape (W, 3), metres."""
        turn = np.linspace(0, 2 * np.pi, _DIRECTIONS, endpoint=False)
        out = []
        for name in _LEVELS:
            ring = self.rows[name] @ shape
            broad = self.rows["hips"] @ shape if name == "buttock" else ring
            tape = (ring[:, [0, 2]] @ np.stack([np.cos(turn), np.sin(turn)])).max(0).mean() * 2 * np.pi
            out.append((np.ptp(broad[:, 0]), np.ptp(ring[:, 2]), tape))
        return np.array(out)

    def square(self, shape: np.ndarray, amounts: np.ndarray) -> np.ndarray:
        """A shape (W, 3) with its trunk drawn in sideways and in depth and let out between.

        Args:
            shape: T-posed, metres.
            amounts: (3, 3) by level: shares by which it is drawn in sideways and in depth, and let out at the corners.
        """
        rings = [self.rows[name] @ shape for name in _LEVELS]
        low = float((self.rows["crotch"] @ shape)[:, 1].mean()) - _BELOW_CROTCH
        high = float((self.rows["axilla"] @ shape)[:, 1].mean()) + _ABOVE_AXILLA
        levels = [float(ring[:, 1].mean()) for ring in rings]
        y = shape[:, 1]
        middle = np.interp(y, levels, [(r[:, 2].max() + r[:, 2].min()) / 2 for r in rings])
        broad = np.interp(y, levels, [np.ptp(r[:, 0]) / 2 for r in rings])
        deep = np.interp(y, levels, [np.ptp(r[:, 2]) / 2 for r in rings])
        share = _smooth(y, [low, *levels, high], np.concatenate([np.zeros((1, 3)), amounts, np.zeros((1, 3))]))
        x, z = shape[:, 0], shape[:, 2] - middle
        side, front = (x / broad) ** 2, (z / deep) ** 2
        side, front = side / (side + front + 1e-12), front / (side + front + 1e-12)
        corner = 4 * share[:, 2] * side * front
        out = shape.copy()
        out[:, 0] += self.trunk * (corner - share[:, 0]) * x
        out[:, 2] += self.trunk * (corner - share[:, 1]) * z
        return out


def amounts_of(rings: Rings, shapes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Amounts (3, 3) for :meth:`Rings.square` with which shapes come near the mean measures of people.

    Men's chests would have to be all but rectangles: the survey's tape goes over muscles beside the armpits that its
    calipers leave out. So amounts are kept small where they do not help.

    Args:
        rings: marked points.
        shapes: (N, W, 3) of some people.
        values: (N, M) their measures in the order of :data:`measurements.TABLE`.
    """
    names = list(TABLE)
    columns = [names.index(n) for level in _LEVELS.values() for n in level]
    goal = values[:, columns].mean(0)
    used = np.unique(np.concatenate([m.indices for m in rings.rows.values()]))
    small = Rings({n: m[:, used] for n, m in rings.rows.items()}, rings.trunk[used])
    few = shapes[:, used].astype(np.float64)

    def mean(amounts: np.ndarray) -> np.ndarray:
        return np.mean([small.measure(small.square(s, amounts.reshape(3, 3))).ravel() for s in few], 0)

    amounts = np.zeros(9)
    for _ in range(_STEPS):
        now = mean(amounts)
        slopes = np.stack([(mean(amounts + step) - now) / 0.01 for step in 0.01 * np.eye(9)], 1)
        slopes, miss = slopes / _NEAR[:, None], (goal - now) / _NEAR
        normal = slopes.T @ slopes + np.eye(9) / _SPREAD**2
        amounts = amounts + np.linalg.solve(normal, slopes.T @ miss - amounts / _SPREAD**2)
    return amounts.reshape(3, 3)


def _smooth(y: np.ndarray, knots: list[float], values: np.ndarray) -> np.ndarray:
    """(N, 3) values between knots, level at each of them, constant beyond."""
    place = np.clip(np.searchsorted(knots, y) - 1, 0, len(knots) - 2)
    low, high = np.array(knots)[place], np.array(knots)[place + 1]
    t = np.clip((y - low) / (high - low), 0, 1)
    t = t * t * (3 - 2 * t)
    return values[place] * (1 - t)[:, None] + values[place + 1] * t[:, None]
