"""Votes for the labels of body vertices, and how they become a prior: sides alike, smooth, with its looseness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.spatial import cKDTree

from dsr.body import BodyAsset
from dsr.clothing.labels import LABEL_MIRROR, LABELS
from dsr.clothing.prior import ClothingPrior
from dsr.errors import DatasetError

SMOOTHING_STEPS = 4
"""Times that every vertex takes half of its neighbours' mean."""
_UNKNOWN_STEPS = 200
"""How many vertices far votes reach into places nobody saw."""


@dataclass
class Votes:
    """Sums over people.

    Attributes:
        labels: (V, 20) weight of every label.
        covered: (V,) weight of people with a cover of known distance there.
        distance: (V,) their summed distance, metres.
        squares: (V,) their summed squared distance.
        people: how many were counted.
    """

    labels: np.ndarray
    covered: np.ndarray
    distance: np.ndarray
    squares: np.ndarray
    people: int = 0

    @classmethod
    def empty(cls, vertices: int) -> Votes:
        """No votes yet."""
        return cls(np.zeros((vertices, len(LABELS))), np.zeros(vertices), np.zeros(vertices), np.zeros(vertices))

    def add(self, rows: np.ndarray, labels: np.ndarray, distance_m: np.ndarray, weight: float = 1.0) -> None:
        """Count vertices ``rows``, each at most once, with their label and how far off the cover is (NaN: unknown)."""
        self.labels[rows, labels] += weight
        known = np.isfinite(distance_m)
        at, far = rows[known], distance_m[known]
        self.covered[at] += weight
        self.distance[at] += weight * far
        self.squares[at] += weight * far**2
        self.people += 1

    def arrays(self) -> dict[str, np.ndarray]:
        """For a file that a later run goes on from."""
        return {
            "labels": self.labels,
            "covered": self.covered,
            "distance": self.distance,
            "squares": self.squares,
            "people": np.array(self.people),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Votes:
        """What :meth:`arrays` gave."""
        return cls(
            arrays["labels"], arrays["covered"], arrays["distance"], arrays["squares"], int(arrays["people"].item())
        )


def prior_of(
    votes: Votes, asset: BodyAsset, base: ClothingPrior | None = None, base_people: float = 0.0
) -> ClothingPrior:
    """The prior that votes give.

    Args:
        votes: of the body's vertices.
        asset: the body.
        base: a prior of the same body that is improved: it counts as so many people at every vertex.
        base_people: how many.

    Raises:
        DatasetError: if there is no vote.
    """
    if not votes.labels.any():
        raise DatasetError("no votes for any vertex; give more people.")
    mirror = mirror_vertices(asset)
    labels = votes.labels + votes.labels[mirror][:, LABEL_MIRROR]
    covered, distance, squares = (sums + sums[mirror] for sums in (votes.covered, votes.distance, votes.squares))
    if base is not None:
        weight = 2 * base_people
        labels = labels + weight * base.vertex_labels
        known = weight * base.covered_vertices()
        covered, distance = covered + known, distance + known * base.vertex_looseness_m[:, 0]
        squares = squares + known * np.square(base.vertex_looseness_m).sum(1)
    neighbours = neighbour_mean(asset)
    total = labels.sum(1, keepdims=True)
    table = _filled(labels / np.maximum(total, 1e-12), total[:, 0] > 0, neighbours)
    for _ in range(SMOOTHING_STEPS):
        table = 0.5 * table + 0.5 * (neighbours @ table)
    table /= table.sum(1, keepdims=True)
    sums = np.stack([covered, distance, squares], 1)
    for _ in range(SMOOTHING_STEPS):  # sums, not means: who is rarely covered says little about how far
        sums = 0.5 * sums + 0.5 * (neighbours @ sums)
    mean = sums[:, 1] / np.maximum(sums[:, 0], 1e-9)
    spread = np.sqrt(np.maximum(sums[:, 2] / np.maximum(sums[:, 0], 1e-9) - mean**2, 0.0))
    loose = np.where(sums[:, :1] > 1e-6 * max(votes.people, 1), np.stack([mean, spread], 1), 0.0)
    return ClothingPrior(table.astype(np.float32), loose.astype(np.float32), asset.faces, asset.name)


def mirror_vertices(asset: BodyAsset) -> np.ndarray:
    """(V,) index of the vertex nearest to each vertex's mirror image."""
    return np.asarray(cKDTree(asset.v_template).query(asset.v_template * [-1.0, 1.0, 1.0])[1])


def neighbour_mean(asset: BodyAsset) -> csr_matrix:
    """(V, V) matrix that takes the mean over the vertices that share an edge."""
    faces, count = asset.faces, asset.num_vertices
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = np.concatenate([ends, ends[:, ::-1]])
    graph = csr_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    graph.data[:] = 1.0
    degree = np.asarray(graph.sum(1))[:, 0]
    return diags(1.0 / np.maximum(degree, 1.0)) @ graph


def _filled(table: np.ndarray, known: np.ndarray, neighbours: csr_matrix) -> np.ndarray:
    """Rows that nobody voted for from their neighbours; from the nearest known one in pieces without any."""
    table, reached = table.copy(), known.copy()
    for _ in range(_UNKNOWN_STEPS):
        if reached.all():
            return table
        share = neighbours @ reached.astype(float)
        grown = ~reached & (share > 0)
        if not grown.any():
            break
        mean = neighbours @ (table * reached[:, None])
        table[grown] = mean[grown] / share[grown, None]
        reached |= grown
    table[~reached] = table[known].mean(0)
    return table
