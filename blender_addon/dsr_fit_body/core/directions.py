# SPDX-License-Identifier: GPL-3.0-or-later
"""Named directions of a body's shape: what one unit of height, mass and so on does to the coefficients."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

KEY_NAMES = {
    "height": "Height",
    "mass": "Mass",
    "muscle": "Muscle",
    "age": "Age",
    "sex": "Sex",
    "leg_length": "Leg Length",
    "shoulder_breadth": "Shoulder Breadth",
    "hip_breadth": "Hip Breadth",
}
"""Directions that have a slider, and the names of their shape keys."""


@dataclass(frozen=True, eq=False)
class Direction:
    """One of :data:`KEY_NAMES`.

    Attributes:
        name: as in the body model's file.
        betas: (B,) change of the coefficients per unit (centimetre, kilogram, year; see the sliders).
        spread: standard deviation of people in that unit.
    """

    name: str
    betas: np.ndarray = field(repr=False)
    spread: float


def read_directions(arrays: dict[str, np.ndarray], num_betas: int) -> list[Direction]:
    """The directions in a body model's arrays that have a slider; files of earlier versions have none.

    Raises:
        ValueError: if they do not fit the body.
    """
    if "directions" not in arrays:
        return []
    rows, spreads = arrays["directions"].astype(np.float64), arrays["direction_spreads"]
    names = [str(name) for name in arrays["direction_names"]]
    if rows.shape[0] != len(names) or len(spreads) != len(names) or rows.shape[1] > num_betas:
        raise ValueError(f"directions {rows.shape} do not fit {len(names)} names and {num_betas} coefficients")
    rows = np.pad(rows, ((0, 0), (0, num_betas - rows.shape[1])))
    known = zip(names, rows, spreads, strict=True)
    return [Direction(name, row, float(spread)) for name, row, spread in known if name in KEY_NAMES and spread > 0]
