"""The open body with the marked points of body_models/measurements.py, added in memory."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from dsr.body import BodyAsset, load_asset
from dsr.body.measure import skin_faces

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
def marked_body() -> BodyAsset:
    """The open body with landmarks on their nearest vertices, and men who are 1 beta taller than women."""
    asset, measurements = load_asset("open"), marking("measurements")
    skin, reference = skin_faces(asset), reference_skin(load_asset("open"))
    used = np.unique(skin)
    nearest = used[cKDTree(reference[used]).query(list(measurements.LANDMARKS.values()))[1]]
    rows = [(name, {int(v): 1.0}) for name, v in zip(measurements.LANDMARKS, nearest, strict=True)]
    rows += measurements.ring_rows(reference, skin, asset.weights, list(asset.joint_names))
    entries = [(k, v, w) for k, (_, row) in enumerate(rows) for v, w in row.items()]
    number, vertex, weight = (np.array(column) for column in zip(*entries, strict=True))
    tape = csr_matrix((weight.astype(np.float32), (number, vertex)), shape=(len(rows), asset.num_vertices))
    taller = np.eye(10)[0] / 2
    return replace(
        asset,
        tape=tape,
        tape_names=tuple(name for name, _ in rows),
        sex_mean=np.stack([taller, -taller]),
        sex_cov=np.stack([np.eye(10) - 0.75 * np.outer(*2 * (np.eye(10)[0],))] * 2),
    ).check()
