"""The shape space of matched people: components with unit variance, a child, and where women and men lie in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from match_people import held_out
from people import People

from dsr.body.asset import CHILD_BETA

LEADING, COMPONENTS = 12, 40
"""How many components there are; seven hold 98 % of the variance of the vertices, for size and fat move most of them,
but a person's own proportions take more. The leading ones are chosen by that variance alone."""
PER_SEX, SEED = 1000, 20261121
ADULT_YEARS, CHILD_YEARS = (18.0, 80.0), 6.0


@dataclass(frozen=True)
class ShapeSpace:
    """Components of T-posed people.

    Attributes:
        mean: (W, 3) middle between the mean man and the mean woman, base-mesh vertices, metres.
        directions: (W, 3, B) one standard deviation each, the strongest first; number CHILD_BETA leads to a child.
        share: (B - 1,) share of the variance of the others.
        sex_mean: (2, B) mean betas of the survey's men and women, of whom none is a child.
        sex_cov: (2, B, B) covariances of their betas.
    """

    mean: np.ndarray
    directions: np.ndarray
    share: np.ndarray
    sex_mean: np.ndarray
    sex_cov: np.ndarray


def load_people(folder: Path, gender: np.ndarray, seed: int = SEED) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters (N, P) of people not held out, their rows in the table (-1: not of the table) and True for women.

    Args:
        folder: blocks of match_people.py.
        gender: (T,) of the people of the table, 1 for women.
        seed: of the choice of 1000 of each sex.
    """
    files = sorted(folder.glob("block*.npz"))
    parts = [np.load(f) for f in files]
    rows, parameters = np.concatenate([p["rows"] for p in parts]), np.concatenate([p["parameters"] for p in parts])
    women = gender[rows] > 0.5
    free = ~held_out(len(gender))[rows]
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(free & (women == sex)))[:PER_SEX] for sex in (False, True)]
    keep = np.concatenate(chosen)
    rows, parameters, women = rows[keep], parameters[keep], women[keep]
    extra = folder / "extra.npz"
    if extra.is_file():
        with np.load(extra) as data:
            rows = np.concatenate([rows, np.full(len(data["parameters"]), -1)])
            parameters = np.concatenate([parameters, data["parameters"]])
            women = np.concatenate([women, data["gender"] > 0.5])
    return parameters, rows, women


def tposed(people: People, parameters: np.ndarray, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """T-posed base-mesh vertices (N, W, 3), float32, and joints (N, 24, 3)."""
    sub = people.only(vertices)
    place = np.searchsorted(sub.vertices, vertices)
    shapes, joints = [], []
    with torch.no_grad():
        for part in torch.from_numpy(parameters).split(25):
            v, j = sub.tposed(part)
            shapes.append(v[:, place].float().numpy())
            joints.append(j.numpy())
    return np.concatenate(shapes), np.concatenate(joints)


def shape_space(
    shapes: np.ndarray, women: np.ndarray, surveyed: np.ndarray, child: np.ndarray, body: np.ndarray
) -> ShapeSpace:
    """Components of shapes (N, W, 3); ``body`` are the rows whose variance counts.

    Both sexes count the same; deviations are taken from the middle between them, so the difference of the sexes is part
    of what the components explain. A positive first beta is taller, and so on for every component.
    """
    mean = (shapes[women].mean(0, dtype=np.float64) + shapes[~women].mean(0, dtype=np.float64)) / 2
    weight = np.where(women, 0.5 / women.sum(), 0.5 / (~women).sum())
    flat = (shapes - mean.astype(np.float32)).reshape(len(shapes), -1)
    seen = (shapes[:, body] - mean[body].astype(np.float32)).reshape(len(shapes), -1)
    seen *= np.sqrt(weight)[:, None].astype(np.float32)
    scores, share = _scores(seen)
    count = scores.shape[1]
    mix = np.sqrt(weight)[:, None] * scores
    directions = (flat.T.astype(np.float32) @ mix.astype(np.float32)).astype(np.float64)
    directions = directions.reshape(*mean.shape, count)
    tall = np.ptp(mean[body, 1])
    sign = np.array([1.0 if np.ptp(mean[body, 1] + directions[body, 1, k]) > tall else -1.0 for k in range(count)])
    directions *= sign
    scores = scores * sign / np.sqrt(weight)[:, None]
    del flat
    directions = np.insert(directions, CHILD_BETA, child - mean, -1)
    scores = np.insert(scores, CHILD_BETA, 0.0, -1)
    groups = [scores[surveyed & (women == sex)] for sex in (False, True)]
    return ShapeSpace(
        mean,
        directions,
        share,
        np.stack([g.mean(0) for g in groups]),
        np.stack([np.cov(g.T) for g in groups]),
    )


def _scores(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal scores (N, B) of the components of rows (N, D), strongest first, and their share of the variance.

    The first LEADING span what moves most vertices. The others are taken from what these leave over, every vertex
    counted by how much of it is left over, so that ankles, hands and heads keep their own spread. Ordered by variance.
    """
    total = float((seen.astype(np.float64) ** 2).sum())
    values, vectors = np.linalg.eigh((seen @ seen.T).astype(np.float64))
    first = vectors[:, np.argsort(-values)[:LEADING]]
    first32 = first.astype(np.float32)
    left = seen - first32 @ (first32.T @ seen)
    left /= np.sqrt(np.repeat((left**2).reshape(len(left), -1, 3).sum((0, 2)), 3)) + 1e-6
    values, vectors = np.linalg.eigh((left @ left.T).astype(np.float64))
    both = np.concatenate([first, vectors[:, np.argsort(-values)[: COMPONENTS - LEADING]]], 1)
    both, _ = np.linalg.qr(both)
    inside = (both.T.astype(np.float32) @ seen).astype(np.float64)
    values, rotation = np.linalg.eigh(inside @ inside.T)
    order = np.argsort(-values)
    return both @ rotation[:, order], values[order] / total
