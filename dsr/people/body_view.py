"""What a fitted body shows in a square around a person: which part of it, and what usually covers that part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr.body import BodyAsset
from dsr.camera import PictureCamera
from dsr.clothing.bare import bare_labels, body_parts
from dsr.clothing.groups import group_shares
from dsr.clothing.prior import ClothingPrior
from dsr.rendering.zbuffer import rasterise


@dataclass(frozen=True)
class BodyView:
    """A fitted body drawn into a crop of S pixels a side; pixels beside it take the nearest body pixel's values.

    Attributes:
        covered: (S, S) bool, where the body is drawn.
        distance: (S, S) pixels to the body, 0 on it.
        groups: (S, S, 6) prior of the groups of clothing there; background is 0.
        skin_label: (S, S) label id that bare skin has there.
        part: (S, S) part of the body, an index of :data:`dsr.clothing.bare.PARTS`.
        vertex: (S, S) the body vertex nearest to what is seen.
    """

    covered: np.ndarray
    distance: np.ndarray
    groups: np.ndarray
    skin_label: np.ndarray
    part: np.ndarray
    vertex: np.ndarray


def view_body(
    vertices_cam: np.ndarray, asset: BodyAsset, prior: ClothingPrior, camera: PictureCamera
) -> BodyView | None:
    """Draw a body with its clothing prior.

    Args:
        vertices_cam: (V, 3) metres, camera frame.
        asset: the body.
        prior: of the same body.
        camera: of the square crop.

    Returns:
        The view, or None where no pixel shows the body.
    """
    from scipy.ndimage import distance_transform_edt

    outer = asset.faces[~asset.interior] if len(asset.interior) else asset.faces
    seen = rasterise(vertices_cam, outer, camera.K, camera.size, cull_back=True)
    covered = seen.covered
    if not covered.any():
        return None
    corners, weights = seen.barycentric()
    nearest = corners[np.arange(len(corners)), weights.argmax(1)]
    vertex = np.zeros(covered.shape, np.int64)
    vertex[covered] = nearest
    distance, (rows, cols) = distance_transform_edt(~covered, return_indices=True)
    vertex = vertex[rows, cols]
    shares = group_shares(prior.vertex_labels)
    part = body_parts(asset)[vertex]
    return BodyView(covered, distance, shares[vertex], bare_labels(asset)[vertex], part, vertex)
