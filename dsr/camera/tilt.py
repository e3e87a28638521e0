"""How a camera was held: what is known of its pitch and roll, as log probabilities over a grid of both.

A grid keeps several possibilities alive (a row of books is as straight as a door) and adds up evidence of any shape:
what photographs are usually like, straight lines (:mod:`dsr.camera.scene_lines`), people who should stand upright
(:mod:`dsr.fitting.gravity`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

PITCH_DEG, ROLL_DEG = np.arange(-39.0, 60.1, 3.0), np.arange(-33.0, 33.1, 1.5)
"""The grid's degrees: a positive pitch looks down, with a positive roll the scene leans to the right."""

_USUAL_PITCH, _USUAL_ROLL = (3.0, 9.0), (0.0, 2.5)  # mean and deviation in degrees of most photographs
_ODD_PITCH, _ODD_ROLL = (10.0, 17.0), (0.0, 12.0)  # and of the others
_FROM_BELOW = (-15.0, 6.0)
_ODD = 0.15
_NEAR = (9, 11)  # cells of the grid that say about the same, 27 degrees of pitch and 16 of roll


@dataclass(frozen=True)
class Gravity:
    """Which way is up.

    Attributes:
        up: (3,) unit vector in the camera frame, against gravity.
        pitch_deg: how far the camera looks down.
        roll_deg: how far the scene leans to the right in the picture.
        pitch_sigma_deg: standard deviation of the pitch.
        roll_sigma_deg: standard deviation of the roll.
    """

    up: np.ndarray
    pitch_deg: float
    roll_deg: float
    pitch_sigma_deg: float
    roll_sigma_deg: float


def up_vector(pitch_deg: np.ndarray | float, roll_deg: np.ndarray | float) -> np.ndarray:
    """(..., 3) unit vectors against gravity in the camera frame (x right, y down, z forward)."""
    pitch, roll = np.radians(pitch_deg), np.radians(roll_deg)
    return np.stack([np.sin(roll) * np.cos(pitch), -np.cos(roll) * np.cos(pitch), -np.sin(pitch) + 0 * roll], -1)


GRID_UP = up_vector(PITCH_DEG[:, None], ROLL_DEG[None, :])
"""(P, R, 3) the upward direction of every cell."""


@lru_cache(maxsize=1)
def usual_tilt() -> np.ndarray:
    """(P, R) log probabilities of photographs, of which nothing else is known: about level, some of them far from it.

    EXIF orientation is applied before anything here, so that down is down.
    """

    def mixture(grid: np.ndarray, usual: tuple[float, float], odd: tuple[float, float]) -> np.ndarray:
        parts = [np.exp(-0.5 * ((grid - mean) / sd) ** 2) / sd for mean, sd in (usual, odd)]
        return np.log((1 - _ODD) * parts[0] + _ODD * parts[1])

    # people are seldom photographed from far below: the camera would lie on the floor close to their feet
    pitch = (
        mixture(PITCH_DEG, _USUAL_PITCH, _ODD_PITCH)
        - 0.5 * (np.minimum(PITCH_DEG - _FROM_BELOW[0], 0) / _FROM_BELOW[1]) ** 2
    )
    return pitch[:, None] + mixture(ROLL_DEG, _USUAL_ROLL, _ODD_ROLL)[None, :]


def gravity_of(log_probability: np.ndarray) -> Gravity:
    """The mean and spread of (P, R) log probabilities where most of them lie.

    Far-away second guesses widen the spread but do not move the mean; a lonely peak is no guess.
    """
    weight = np.exp(log_probability - log_probability.max())
    mass = np.pad(weight, [(n // 2 + 1, n // 2) for n in _NEAR])
    for axis, near in enumerate(_NEAR):
        sums = mass.cumsum(axis)
        mass = np.take(sums, range(near, sums.shape[axis]), axis) - np.take(sums, range(sums.shape[axis] - near), axis)
    p, r = (int(i) for i in np.unravel_index(int(mass.argmax()), weight.shape))
    near = weight * (np.abs(PITCH_DEG - PITCH_DEG[p]) < 16)[:, None] * (np.abs(ROLL_DEG - ROLL_DEG[r]) < 8)[None, :]
    near = near / near.sum()
    pitch, roll = float(near.sum(1) @ PITCH_DEG), float(near.sum(0) @ ROLL_DEG)
    weight = weight / weight.sum()
    spread = [
        float(np.sqrt(max(share @ (grid - mean) ** 2, (step / 4) ** 2)))
        for share, grid, mean, step in (
            (weight.sum(1), PITCH_DEG, pitch, PITCH_DEG[1] - PITCH_DEG[0]),
            (weight.sum(0), ROLL_DEG, roll, ROLL_DEG[1] - ROLL_DEG[0]),
        )
    ]
    return Gravity(up_vector(pitch, roll), pitch, roll, *spread)
