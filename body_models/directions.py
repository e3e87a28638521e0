"""Named directions of the shape space for sliders, learned from the surveyed people: what changes with one unit.

Every direction is a coefficient of a linear regression of people's betas on what the direction is named after and on
what it leaves alone, over the matched people of the survey, men and women counted alike: the average difference between
people who differ by one unit in the one and not in the others. Measures are those of the bodies, so that a centimetre
is one on the mesh.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bake import save_npz

from dsr.body import load_asset, measure_shape

DIRECTIONS: dict[str, tuple[str, float, tuple[str, ...]]] = {
    "height": ("cm", 0.01, ("stature", "sex")),
    "mass": ("kg", 1.0, ("weight", "stature", "sex")),
    "muscle": ("sd", 0.0, ("muscle", "stature", "weight", "sex")),
    "age": ("years", 1.0, ("age", "stature", "weight", "sex")),
    "sex": ("middle to woman", 1.0, ("sex", "stature", "weight")),
    "leg_length": ("cm", 0.01, ("crotch_height", "stature", "weight", "sex")),
    "shoulder_breadth": ("cm", 0.01, ("biacromial_breadth", "stature", "weight", "sex")),
    "hip_breadth": ("cm", 0.01, ("hip_breadth", "stature", "weight", "sex")),
}
"""Unit, the unit in what the first variable is measured in (0: one spread of people who are alike in the others), and
the variables: the one that changes, then those that stay as they are."""


def add_directions(out: Path, people: np.ndarray, known: dict[str, np.ndarray]) -> None:
    """Add the arrays `directions`, `direction_names`, `direction_units` and `direction_spreads` to the asset's files.

    Args:
        out: folder of DSR_OPEN.npz and DSR_OPEN_LIGHT.npz.
        people: (N, V, 3) T-posed people, metres.
        known: (N,) of them: ``age`` in years, ``muscle`` as Anny measures it, ``women`` and ``surveyed`` (others do not
            count).
    """
    surveyed, women = known["surveyed"], known["women"]
    asset = load_asset(out / "DSR_OPEN.npz")
    scores = betas_of(people[surveyed], asset.v_template, asset.shapedirs, asset.child_beta)
    variables = {
        **measure_shape(asset, scores),
        "sex": np.where(women, 1.0, -1.0)[surveyed],
        "age": known["age"][surveyed],
        "muscle": known["muscle"][surveyed],
    }
    arrays = learn(scores, variables)
    for name in ("DSR_OPEN.npz", "DSR_OPEN_LIGHT.npz"):
        with np.load(out / name, allow_pickle=False) as data:
            held = {key: data[key] for key in data.files}
        save_npz(out / name, {**held, **arrays})


def betas_of(people: np.ndarray, mean: np.ndarray, directions: np.ndarray, child: int | None) -> np.ndarray:
    """Betas (N, B) of adults (N, V, 3) by least squares; none of them is a child."""
    basis = directions.reshape(-1, directions.shape[-1]).astype(np.float64)
    if child is not None:
        basis = np.delete(basis, child, 1)
    off = (people - mean.astype(np.float32)).reshape(len(people), -1)
    scores = np.linalg.solve(basis.T @ basis, (off @ basis.astype(np.float32)).T.astype(np.float64)).T
    return scores if child is None else np.insert(scores, child, 0.0, 1)


def learn(scores: np.ndarray, variables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of the asset from betas (N, B) and what is known of the same people, (N,) each.

    Spreads are in the direction's unit: by how much people differ who are alike in what stays as it is.
    """
    women = variables["sex"] > 0
    weight = np.sqrt(np.where(women, 0.5 / women.sum(), 0.5 / (~women).sum()))[:, None]
    rows, spreads = [], []
    for unit, step, names in DIRECTIONS.values():
        design = np.stack([*(variables[n] for n in names), np.ones(len(scores))], 1) * weight
        others = np.linalg.lstsq(design[:, 1:], design[:, 0], rcond=None)[0]
        spread = float(np.linalg.norm(design[:, 0] - design[:, 1:] @ others))
        one = spread if unit == "sd" else step
        rows.append(np.linalg.lstsq(design, scores * weight, rcond=None)[0][0] * one)
        spreads.append(spread / one)
    return {
        "directions": np.array(rows, np.float32),
        "direction_names": np.array(list(DIRECTIONS)),
        "direction_units": np.array([unit for unit, _, _ in DIRECTIONS.values()]),
        "direction_spreads": np.array(spreads, np.float32),
    }
