"""What the detector says of people, in figures: to hold made-up people against photographs.

Every figure is one number a person; two sets of people are alike where the figures are spread alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr.synthetic.pairs import Pair
from dsr.synthetic.people_drawn import true_region

GROUPS = {
    "face": (0, 2, 5, 7, 8, 9, 10),
    "shoulders": (11, 12),
    "elbows": (13, 14),
    "wrists": (15, 16),
    "hands": (17, 18, 19, 20, 21, 22),
    "hips": (23, 24),
    "knees": (25, 26),
    "ankles": (27, 28),
    "feet": (29, 30, 31, 32),
}
"""Landmarks of BlazePose that are seen or hidden together."""
_BONES = {
    "shoulder breadth": (11, 12),
    "hip breadth": (23, 24),
    "upper arm": (11, 13),
    "forearm": (13, 15),
    "thigh": (23, 25),
    "shin": (25, 27),
}
_SURE = 0.5


@dataclass(frozen=True)
class Comparison:
    """One figure of two sets of people.

    Attributes:
        name: of the figure.
        first: its 10th, 50th and 90th percentile in the first set.
        second: the same of the second set.
        apart: largest difference of the two cumulative distributions (Kolmogorov and Smirnov), 0 to 1.
    """

    name: str
    first: tuple[float, float, float]
    second: tuple[float, float, float]
    apart: float


def figures(
    points: np.ndarray, confidence: np.ndarray, world: np.ndarray, presence: np.ndarray, size: np.ndarray
) -> dict[str, np.ndarray]:
    """One number a person of every figure.

    Args:
        points: (N, 33, 2) landmarks, picture pixels.
        confidence: (N, 33).
        world: (N, 33, 3) metres, the camera's axes.
        presence: (N,) score of the person.
        size: (N, 2) width and height of the pictures.
    """
    out = {"presence": presence}
    for name, rows in GROUPS.items():
        out[f"confidence of the {name}"] = confidence[:, list(rows)].mean(1)
    shoulders, hips = world[:, [11, 12]].mean(1), world[:, [23, 24]].mean(1)
    trunk = shoulders - hips
    length = np.maximum(np.linalg.norm(trunk, axis=1), 1e-6)
    out["trunk, metres"] = length
    out["trunk leans aside, degrees"] = np.degrees(np.arctan2(trunk[:, 0], -trunk[:, 1]))
    out["trunk leans away, degrees"] = np.degrees(np.arctan2(trunk[:, 2], np.hypot(trunk[:, 0], trunk[:, 1])))
    across = world[:, 11] - world[:, 12]
    out["shoulders turned, degrees"] = np.abs(np.degrees(np.arctan2(across[:, 2], across[:, 0])))
    for name, (a, b) in _BONES.items():
        out[f"{name} / trunk"] = np.linalg.norm(world[:, a] - world[:, b], axis=1) / length
    thighs = [np.linalg.norm(world[:, a] - world[:, b], axis=1) for a, b in ((23, 25), (24, 26))]
    out["left thigh / right thigh"] = thighs[0] / np.maximum(thighs[1], 1e-6)
    out["elbows bent, degrees"] = _bend(world, ((11, 13, 15), (12, 14, 16)))
    out["knees bent, degrees"] = _bend(world, ((23, 25, 27), (24, 26, 28)))
    out["depth of the body, metres"] = world[..., 2].std(1)
    regions = [true_region(each) for each in points.astype(np.float64)]
    sides = np.array([max(region.side, 1e-6) for region in regions])
    out["region / longer side of the picture"] = sides / size.max(1)
    out["points outside of the picture"] = ((points < 0) | (points >= size[:, None])).any(2).mean(1)
    out["picture against world, share of the region"] = _misfit(points, world) / sides
    return {name: np.asarray(values, np.float64) for name, values in out.items()}


def pair_figures(pairs: Pair) -> dict[str, np.ndarray]:
    """The figures of stacked pairs: of the mean of both passes, of those whom a search would keep."""
    presence = pairs["presence"].mean(1)
    kept = presence > _SURE
    confidence = pairs["visibility"].astype(np.float32) * pairs["inside"].astype(np.float32)
    return figures(
        pairs["points"].mean(1)[kept],
        confidence.mean(1)[kept],
        pairs["world"].mean(1)[kept],
        presence[kept],
        pairs["size"][kept],
    )


def compare(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> list[Comparison]:
    """The figures that both sets have, as they are spread in each."""
    from scipy.stats import ks_2samp

    found = []
    for name in first:
        if name in second:
            a, b = (
                tuple(float(q) for q in np.percentile(values, [10, 50, 90])) for values in (first[name], second[name])
            )
            apart = float(ks_2samp(first[name], second[name]).statistic)
            found.append(Comparison(name, (a[0], a[1], a[2]), (b[0], b[1], b[2]), apart))
    return found


def histogram(confidence: np.ndarray) -> dict[str, np.ndarray]:
    """Share of people per tenth of confidence, (10,) for every group of landmarks."""
    out = {}
    for name, rows in GROUPS.items():
        counts, _ = np.histogram(confidence[:, list(rows)], np.linspace(0, 1, 11))
        out[name] = counts / max(int(counts.sum()), 1)
    return out


def _bend(world: np.ndarray, chains: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    """(N,) mean angle by which chains of three points are off straight, degrees."""
    angles = []
    for a, b, c in chains:
        u, v = world[:, b] - world[:, a], world[:, c] - world[:, b]
        cosine = (u * v).sum(1) / np.maximum(np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1), 1e-9)
        angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    return np.mean(angles, axis=0)


def _misfit(points: np.ndarray, world: np.ndarray) -> np.ndarray:
    """(N,) rms pixels between the points and the world landmarks scaled and moved onto them."""
    a = points - points.mean(1, keepdims=True)
    b = world[..., :2] - world[..., :2].mean(1, keepdims=True)
    scale = (a * b).sum((1, 2)) / np.maximum((b * b).sum((1, 2)), 1e-9)
    return np.sqrt(((a - scale[:, None, None] * b) ** 2).sum(2).mean(1))
