"""The outside of a dressed body: where the picture shows cloth, the skin moved out by what lies over it.

How far off the skin clothes lie is not known: the prior says how far usually and how much that differs from wearer to
wearer, and the picture shows body and cloth together. So an outline of cloth is an upper bound of the body, softly: it
is explained by more of both, each by its own variance, and never by less than no cloth. How loose somebody's clothes
are is one unknown of the refinement for the upper and one for the lower ones. Thickness is linear in it, not
exponential, so that the likeliest explanation is also the mean of all of them: with factors of a logarithm near 1 cloth
would give way too little, and loose clothes would make bodies fat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from dsr.body import BodyAsset
from dsr.clothing.groups import GROUP_OF_LABEL, HAIR, LOWER, SHOES, SKIN, UPPER, group_shares
from dsr.clothing.prior import ClothingPrior
from dsr.people.body_view import BodyView

TOGETHER = 0.5
"""Correlation of how loose somebody's upper and lower clothes are."""
NUM_FACTORS = 2
_SOFT_M = 0.004
"""Cloth may lie on the skin but not below it; how softly that begins to count, metres."""
_DEPTH = 0.2  # of the rest pose: front and back of a limb wear the same, so that depth counts little
_FAR_M = 0.06
_SEEN_NEIGHBOURS = 6


@dataclass(frozen=True)
class ClothedSurface:
    """What lies over the skin of a batch of people.

    Attributes:
        fixed_m: (B, V) metres that do not depend on the unknowns (shoes, hair).
        loose_m: (B, V) metres that clothes usually stand off.
        spread_m: (B, V) their standard deviation over wearers, metres.
        upper: (V,) share of the upper clothes' unknown; the rest is the lower clothes'.
    """

    fixed_m: Tensor
    loose_m: Tensor
    spread_m: Tensor
    upper: Tensor

    def thickness(self, unknowns: Tensor) -> Tensor:
        """(B, V) metres for independent unknowns (B, 2): zero is usual clothes, more is looser."""
        upper, lower = _together(unknowns).split(1, 1)
        return self.fixed_m + self._cloth(self.upper * upper + (1 - self.upper) * lower)

    def looseness(self, unknowns: Tensor) -> Tensor:
        """(B, 2) how many times as thick as usual upper and lower clothes are, over all that is covered."""
        share = torch.stack([self.upper, 1 - self.upper])
        worn = torch.stack([self._cloth(z[:, None]) for z in _together(unknowns).unbind(1)], 1)
        return (share * worn).sum(2) / (share * self.loose_m[:, None]).sum(2).clamp(min=1e-6)

    def _cloth(self, z: Tensor) -> Tensor:
        cloth = torch.nn.functional.softplus((self.loose_m + self.spread_m * z) / _SOFT_M) * _SOFT_M
        return cloth * (self.loose_m / _SOFT_M).clamp(max=1.0)  # nothing where nothing is worn

    def worn(self, vertices: Tensor, faces: Tensor, unknowns: Tensor) -> Tensor:
        """Vertices (B, V, 3) of the dressed surface; normals are held fixed in the gradient."""
        with torch.no_grad():
            normals = _normals(vertices, faces)
        return vertices + self.thickness(unknowns)[..., None] * normals


def clothed_surface(
    prior: ClothingPrior, asset: BodyAsset, views: list[tuple[BodyView, np.ndarray, BodyAsset] | None]
) -> ClothedSurface:
    """Clothes of several people on one body.

    Args:
        prior: of ``asset``.
        asset: the body that is drawn.
        views: per person the fitted body as it was seen, the parsed label ids (S, S) there, and the body whose vertices
            the view speaks of; None where nothing was parsed: then the prior alone says what is covered.
    """
    shares = group_shares(prior.vertex_labels.astype(np.float64))
    covered = np.stack([_covered(shares, asset, view) for view in views])
    loose, spread = prior.vertex_looseness_m.astype(np.float64).T
    kinds = shares[:, [HAIR, UPPER, LOWER, SHOES]]
    kinds = kinds / np.maximum(kinds.sum(1, keepdims=True), 1e-6)
    fixed = kinds[:, 0] + kinds[:, 3]
    upper = kinds[:, 1] / np.maximum(kinds[:, 1] + kinds[:, 2], 1e-6)

    def tensor(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32)

    worn = covered * (1 - fixed)
    return ClothedSurface(tensor(covered * fixed * loose), tensor(worn * loose), tensor(worn * spread), tensor(upper))


def _together(unknowns: Tensor) -> Tensor:
    """(B, 2) standard deviations of upper and lower clothes from independent unknowns, both alike."""
    plus, minus = ((1 + TOGETHER) / 2) ** 0.5, ((1 - TOGETHER) / 2) ** 0.5
    both, apart = plus * unknowns[:, 0], minus * unknowns[:, 1]
    return torch.stack([both + apart, both - apart], 1)


def _covered(shares: np.ndarray, asset: BodyAsset, view: tuple[BodyView, np.ndarray, BodyAsset] | None) -> np.ndarray:
    """(V,) how likely something lies over each vertex: what is seen nearby, elsewhere the prior."""
    usual = 1.0 - shares[:, SKIN]
    if view is None:
        return usual
    body, labels, viewed = view
    seen = body.covered & (labels > 0)
    if not seen.any():
        return usual
    vertex = body.vertex[seen]
    over = (GROUP_OF_LABEL[labels[seen]] != SKIN).astype(np.float64)
    places = np.unique(vertex)
    mean = np.bincount(vertex, over, viewed.num_vertices)[places] / np.bincount(vertex)[places]
    tree = cKDTree(_rest_place(viewed.v_template[places]))
    distance, near = tree.query(_rest_place(asset.v_template), k=min(_SEEN_NEIGHBOURS, len(places)))
    distance, near = distance.reshape(len(usual), -1), near.reshape(len(usual), -1)
    weight = np.exp(-0.5 * (distance / (0.5 * _FAR_M)) ** 2)
    known = weight.sum(1)
    doubt = 0.1  # of the weight of one pixel right there
    return np.asarray(((weight * mean[near]).sum(1) + doubt * usual) / (known + doubt))


def _rest_place(points: np.ndarray) -> np.ndarray:
    """Where a vertex is at rest, left and right together, depth shortened."""
    return np.asarray(np.abs(points) * (1.0, 0.0, 0.0) + points * (0.0, 1.0, _DEPTH))


def _normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """(B, V, 3) unit normals of the vertices, outwards."""
    corners = vertices[:, faces]
    around = torch.linalg.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    normals = torch.zeros_like(vertices)
    for corner in range(3):
        normals.index_add_(1, faces[:, corner], around)
    return torch.nn.functional.normalize(normals, dim=-1)
