"""Which clothing label each triangle of the open body shows: the table that ships with the package, and its smoothing.

:mod:`dsr.training.systems.label_prior` learns the table (DSR specification, section 3.5).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from dsr.body import BodyAsset, load_asset
from dsr.checkpoints import shipped_file
from dsr.errors import DatasetError

LABELS = 20
_FARTHEST = 0.03  # metres between triangles of two meshes of the same body


def load_label_prior(asset: BodyAsset | None = None, path: str | Path | None = None) -> np.ndarray:
    """The prior for a body's triangles: those of ``open-light``, or by nearest triangle those of ``open``.

    Args:
        asset: the light or the full open body; by default the light one.
        path: file of :func:`write_prior`; by default the one that ships with the package.

    Returns:
        (F, 20) float32, rows sum to 1.

    Raises:
        DatasetError: if the file is missing or damaged, or the body is not the open one.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = shipped_file("label_prior_open.safetensors") if path is None else Path(path)
    light = load_asset("open-light")
    try:
        table = load_file(path)["probabilities"].astype(np.float32)
    except (OSError, SafetensorError, KeyError) as error:
        raise DatasetError(
            f"cannot read the label prior {path}: {error}; make it with "
            "`python -m dsr.training.systems.label_prior --out FILE`."
        ) from error
    if table.shape != (len(light.faces), LABELS):
        raise DatasetError(f"{path} holds {table.shape} where ({len(light.faces)}, {LABELS}) is needed; make it again.")
    if asset is not None and not np.array_equal(asset.faces, light.faces):
        distance, nearest = cKDTree(triangle_centres(light)).query(triangle_centres(asset))
        if np.quantile(distance, 0.99) > _FARTHEST:
            raise DatasetError(
                f"the label prior is for the open body; {asset.name} has triangles "
                f"{distance.max():.2f} m away from it. Give a semantic prior of that body."
            )
        table = table[nearest]
    return np.asarray(table / table.sum(1, keepdims=True), np.float32)


def mirror_faces(asset: BodyAsset) -> np.ndarray:
    """(F,) index of the triangle that lies nearest to each triangle's mirror image."""
    centroids = triangle_centres(asset)
    return cKDTree(centroids).query(centroids * [-1.0, 1.0, 1.0])[1]


def smooth(votes: np.ndarray, asset: BodyAsset, steps: int = 60) -> np.ndarray:
    """Probabilities from votes: each triangle's own, blended with its neighbours' the more the fewer it has.

    Args:
        votes: (F, 20) non-negative.
        asset: the body; triangles that share a vertex are neighbours.
        steps: how many triangles far a known one reaches.

    Returns:
        (F, 20) float32; triangles that no known one reaches take the nearest known one's.

    Raises:
        DatasetError: if there is no vote at all.
    """
    total = votes.sum(1, keepdims=True)
    if not total.any():
        raise DatasetError("no votes for any triangle; draw more people.")
    faces = asset.faces
    share = csr_matrix((np.ones(faces.size), (np.repeat(np.arange(len(faces)), 3), faces.reshape(-1))))
    weight = 0.02 * np.median(total[total > 0])
    known = np.where(total > 0, votes / np.maximum(total, 1e-12), 0.0)
    result = known
    for _ in range(steps):
        around = share @ (share.T @ result)
        mass = around.sum(1, keepdims=True)
        around = np.where(mass > 0, around / np.maximum(mass, 1e-12), 0.0)
        result = (votes + weight * around) / (total + weight * (mass > 0) + 1e-12)
    lost = result.sum(1) < 0.5
    if lost.any():
        centroids = triangle_centres(asset)
        result[lost] = result[~lost][cKDTree(centroids[~lost]).query(centroids[lost])[1]]
    return np.asarray(result / result.sum(1, keepdims=True), np.float32)


def triangle_centres(asset: BodyAsset) -> np.ndarray:
    """(F, 3) middle of every triangle at rest, metres."""
    return asset.v_template[asset.faces].mean(1)
