# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures of a body from its rest vertices, and the smallest change of shape that gives a measure its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

DENSITY = 1010.0
"""kg/m^3 of a standing body; as in dsr."""
LEVELS = {"Chest": (0.55, 0.8), "Waist": (0.25, 0.6), "Hips": (-0.3, 0.2)}
"""Where girths are measured, as fractions of the way from hips to shoulders."""
_SLICES, _STEPS, _NUDGE = 12, 15, 0.05
_TOLERANCES = {"Height": 0.02, "Mass": 0.02, "Chest": 0.05, "Waist": 0.05, "Hips": 0.05}


class Tape:
    """Measures any shape of one mesh.

    Args:
        faces: (F, k) outer skin, k = 3 or 4.
        torso: (T, k) those of its faces that girths go around; none where they are not known.
    """

    def __init__(self, faces: np.ndarray, torso: np.ndarray) -> None:
        self.used = np.unique(faces)
        self.triangles = _closed(_triangles(faces))
        self.edges = np.stack((torso, np.roll(torso, -1, axis=1)), axis=-1).reshape(-1, 2)

    def sizes(self, vertices: np.ndarray, low: float, high: float) -> dict[str, float]:
        """Height, arm span and girths in centimetres, mass in kilograms.

        Args:
            vertices: (V, 3) rest vertices, metres, z up.
            low: height of the hip joints.
            high: of the shoulder joints.
        """
        skin = vertices[self.used]
        sizes = {"Height": 100 * float(np.ptp(skin[:, 2])), "Mass": DENSITY * self.volume(vertices)}
        sizes["Arm Span"] = 100 * float(np.ptp(skin[:, 0]))
        for name in LEVELS if len(self.edges) else ():
            sizes[name] = 100 * self.girth(vertices, low + self.share(name, vertices, low, high) * (high - low))
        return sizes

    def volume(self, vertices: np.ndarray) -> float:
        """Cubic metres inside the skin, its holes closed."""
        a, b, c = (vertices[self.triangles[:, k]] for k in range(3))
        return abs(float(np.einsum("fi,fi->", a, np.cross(b, c)))) / 6

    def share(self, name: str, vertices: np.ndarray, low: float, high: float) -> float:
        """Where between hips and shoulders a girth is: the smallest of the waist, the largest of chest and hips."""
        shares = np.linspace(*LEVELS[name], _SLICES)
        girths = [self.girth(vertices, low + share * (high - low)) for share in shares]
        return float(shares[np.argmin(girths) if name == "Waist" else np.argmax(girths)])

    def girth(self, vertices: np.ndarray, height: float) -> float:
        """Length of a taut tape at this height, metres; 0 where it meets nothing."""
        a, b = vertices[self.edges[:, 0]], vertices[self.edges[:, 1]]
        cut = (a[:, 2] - height) * (b[:, 2] - height) < 0
        a, b = a[cut], b[cut]
        if len(a) < 3:
            return 0.0
        fraction = ((height - a[:, 2]) / (b[:, 2] - a[:, 2]))[:, None]
        points = (a + fraction * (b - a))[:, :2]
        angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
        reach = (points @ np.stack([np.cos(angles), np.sin(angles)])).max(axis=0)
        # Cauchy: the perimeter of a convex hull is its mean width times pi.
        return float(reach.mean() * 2 * np.pi)


def solve(
    tape: Tape,
    targets: Mapping[str, float],
    vertices: np.ndarray,
    offsets: np.ndarray,
    levels: Callable[[np.ndarray], tuple[float, float]],
    limit: float = 10.0,
) -> np.ndarray:
    """The smallest change of shape coefficients that gives measures their values, by Gauss-Newton steps.

    Coefficients of likely people have one spread each, so the smallest change is the likeliest.

    Args:
        tape: of the mesh.
        targets: measures by name, centimetres and kilograms.
        vertices: (V, 3) rest vertices now.
        offsets: (V, 3, n) what one unit of each coefficient adds.
        levels: heights of hip and shoulder joints after a change (n,).
        limit: of each coefficient's change.

    Returns:
        (n,) change; where the values cannot be had, the nearest one found.
    """
    change = np.zeros(offsets.shape[2])
    best, least = change, np.inf
    for _ in range(_STEPS):
        now, (low, high) = vertices + offsets @ change, levels(change)
        sizes = tape.sizes(now, low, high)
        missing = np.array([targets[name] - sizes[name] for name in targets])
        worst = float(np.max(np.abs(missing) / [_TOLERANCES[name] for name in targets]))
        if worst < least:
            best, least = change, worst
        if worst < 1.0:
            break
        slopes = np.stack([_slope(tape, name, now, offsets, change, levels) for name in targets])
        damped = slopes @ slopes.T + 1e-6 * np.eye(len(slopes))
        change = np.clip(change + slopes.T @ np.linalg.solve(damped, missing), -limit, limit)
    return best


def _slope(
    tape: Tape,
    name: str,
    vertices: np.ndarray,
    offsets: np.ndarray,
    change: np.ndarray,
    levels: Callable[[np.ndarray], tuple[float, float]],
) -> np.ndarray:
    """(n,) what a unit of each coefficient does to a measure, in its unit."""
    if name == "Height":
        heights = vertices[tape.used, 2]
        top, bottom = tape.used[heights.argmax()], tape.used[heights.argmin()]
        return 100 * (offsets[top, 2] - offsets[bottom, 2])
    if name == "Mass":
        a, b, c = (tape.triangles[:, k] for k in range(3))
        slopes = np.zeros(vertices.shape)
        for one, two, three in ((a, b, c), (b, c, a), (c, a, b)):
            turned = np.cross(vertices[two], vertices[three])
            for axis in range(3):
                slopes[:, axis] += np.bincount(one, turned[:, axis], len(vertices))
        six = float(np.einsum("fi,fi->", vertices[a], np.cross(vertices[b], vertices[c])))
        return DENSITY * np.sign(six) / 6 * np.einsum("vi,vin->n", slopes, offsets)
    low, high = levels(change)
    share = tape.share(name, vertices, low, high)
    before = tape.girth(vertices, low + share * (high - low))
    slope = np.empty(offsets.shape[2])
    for index in range(len(slope)):
        moved = change.copy()
        moved[index] += _NUDGE
        low, high = levels(moved)
        after = tape.girth(vertices + _NUDGE * offsets[..., index], low + share * (high - low))
        slope[index] = 100 * (after - before) / _NUDGE
    return slope


def _triangles(faces: np.ndarray) -> np.ndarray:
    return faces if faces.shape[1] == 3 else np.concatenate((faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]))


def _closed(triangles: np.ndarray) -> np.ndarray:
    """The triangles (F, 3) of a mesh and, for every hole, a fan around one of its vertices."""
    triangles = triangles.astype(np.int64)
    if not len(triangles):
        return triangles
    count = int(triangles.max()) + 1
    edges = np.concatenate((triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]))
    rims = edges[~np.isin(edges[:, 0] * count + edges[:, 1], edges[:, 1] * count + edges[:, 0])]
    hole = np.arange(count)
    while len(rims):  # every vertex of a rim gets the smallest number on it
        smallest = np.minimum(hole[rims[:, 0]], hole[rims[:, 1]])
        before = hole.copy()
        np.minimum.at(hole, rims[:, 0], smallest)
        np.minimum.at(hole, rims[:, 1], smallest)
        if (hole == before).all():
            break
    fans = np.stack((hole[rims[:, 0]], rims[:, 1], rims[:, 0]), 1)
    fans = fans[(fans[:, 0] != fans[:, 1]) & (fans[:, 0] != fans[:, 2])]
    return np.concatenate((triangles, fans))
