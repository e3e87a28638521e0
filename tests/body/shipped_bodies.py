"""The shipped open body, read once, and the modules of its bake."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

import numpy as np

from dsr.body import BodyAsset, load_asset

BAKE = Path(__file__).parents[2] / "body_models"
TO_REFERENCE = np.array([1.198, 1.181, 1.281]), np.array([0.0, 0.15, -0.009])
"""Stretches and moves Anny's average body to the reference man on whom the points are marked."""


def marking(name: str):
    """A module of the bake."""
    sys.path.insert(0, str(BAKE))
    try:
        return __import__(name)
    finally:
        sys.path.remove(str(BAKE))


def reference_skin(asset: BodyAsset) -> np.ndarray:
    """(V, 3) about the reference man's skin in Anny's rest pose, without Anny."""
    with np.load(BAKE / "open" / "DSR_OPEN_HELPERS.npz") as data:
        rest = data["rest_vertices"].astype(np.float64)
    stretch, move = TO_REFERENCE
    return rest[asset.base_index] * stretch + move


@lru_cache(maxsize=1)
def open_body() -> BodyAsset:
    """The open body."""
    return load_asset("open")
