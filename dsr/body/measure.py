"""Measurements of a shaped body in its rest pose (T-pose, y up): height, girths, mass by volume. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dsr.body.asset import BodyAsset
from dsr.body.numpy_lbs import rest_shape
from dsr.errors import BodyError

DENSITY = 1010.0
"""kg/m^3 of a standing body at rest: 1040 to 1060 without air (Siri 1961, from memory), with two to three litres in the
lungs."""

_TORSO = ("pelvis", "left_hip", "right_hip", "spine1", "spine2", "spine3", "left_collar", "right_collar")
# Where to look for each girth: share of the way up from the hip joints to the shoulder joints.
_HIP_RANGE = (-0.3, 0.2)
_WAIST_RANGE = (0.25, 0.6)
_CHEST_RANGE = (0.55, 0.8)
_SLICES = 16


@dataclass(frozen=True)
class Measurements:
    """Sizes of one body.

    Attributes:
        height_m: standing height, metres.
        chest_m: girth at the foremost point of the chest, metres.
        waist_m: smallest girth between hips and chest, metres.
        hip_m: largest girth around hips and buttocks, metres.
        volume_m3: volume inside the outer skin, cubic metres.
        mass_kg: volume times :data:`DENSITY`.
    """

    height_m: float
    chest_m: float
    waist_m: float
    hip_m: float
    volume_m3: float
    mass_kg: float


def measure_body(asset: BodyAsset, betas: np.ndarray | None = None) -> Measurements:
    """Measure the body of the given shape.

    Girths are lengths of a taut tape: the convex outline of a horizontal slice through the torso, arms left out.

    Args:
        asset: the body model.
        betas: (n,) shape coefficients; None is the average body.

    Raises:
        BodyError: if the asset lacks part ids or the joints of hips and shoulders.

    Example:
        >>> from dsr.body import load_asset
        >>> 1.5 < measure_body(load_asset("open")).height_m < 1.9
        True
    """
    vertices, joints = rest_shape(asset, np.zeros(1) if betas is None else betas)
    skin = skin_faces(asset)
    torso = _torso_faces(asset)
    edges = face_edges(torso)
    low, high = _level(asset, joints, "hip"), _level(asset, joints, "shoulder")

    def girths(ends: tuple[float, float]) -> list[float]:
        return [girth(vertices, edges, low + share * (high - low)) for share in np.linspace(*ends, _SLICES)]

    front = vertices[_used(torso, len(vertices))]
    share = (front[:, 1] - low) / (high - low)
    front = front[(share >= _CHEST_RANGE[0]) & (share <= _CHEST_RANGE[1])]
    if len(front) == 0:
        raise BodyError(f"Body {asset.name} cannot be measured: it has no torso between hips and shoulders.")
    volume = volume_m3(vertices, skin)
    return Measurements(
        height_m=float(np.ptp(vertices[_used(skin, len(vertices)), 1])),
        chest_m=girth(vertices, edges, float(front[np.argmax(front[:, 2]), 1])),
        waist_m=min(girths(_WAIST_RANGE)),
        hip_m=max(girths(_HIP_RANGE)),
        volume_m3=volume,
        mass_kg=DENSITY * volume,
    )


def standing_height_m(asset: BodyAsset, betas: np.ndarray) -> np.ndarray:
    """Standing heights alone, quickly.

    Args:
        asset: the body model.
        betas: (..., n) shape coefficients.

    Returns:
        (...) metres.
    """
    betas = np.asarray(betas, np.float32)
    mean, directions = _skin_heights(asset)
    heights = mean + betas @ directions[:, : betas.shape[-1]].T
    return np.ptp(heights, axis=-1)


@lru_cache(maxsize=8)
def _skin_heights(asset: BodyAsset) -> tuple[np.ndarray, np.ndarray]:
    """Heights (S,) of the skin's vertices on the mean body, and by the betas (S, n)."""
    rows = np.flatnonzero(_used(skin_faces(asset), asset.num_vertices))
    return asset.v_template[rows, 1], asset.shapedirs[rows, 1]


def skin_mass_kg(asset: BodyAsset, betas: np.ndarray) -> float:
    """Mass of one shape, quickly: :data:`DENSITY` times the volume inside the outer skin with its holes closed.

    Args:
        asset: the body model.
        betas: (n,) shape coefficients.
    """
    vertices = asset.v_template.astype(np.float64) + asset.shapedirs[..., : len(betas)] @ betas
    corners = vertices[_closed_skin(asset)]
    six = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return float(DENSITY * abs(six) / 6)


@lru_cache(maxsize=8)
def _closed_skin(asset: BodyAsset) -> np.ndarray:
    return close_holes(skin_faces(asset).astype(np.int64), asset.num_vertices)


def face_edges(faces: np.ndarray) -> np.ndarray:
    """Directed edges (3 F, 2) of triangles (F, 3)."""
    return np.concatenate((faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]))


def girth(vertices: np.ndarray, edges: np.ndarray, height: float) -> float:
    """Length of a taut tape around the horizontal slice of a mesh.

    Args:
        vertices: (V, 3) metres, y up.
        edges: (E, 2) of the part of the mesh to go around (:func:`face_edges`).
        height: y of the slice.

    Returns:
        Perimeter of the slice's convex hull in metres; 0 where the mesh is not cut.
    """
    from scipy.spatial import ConvexHull, QhullError

    above = vertices[:, 1] > height
    crossed = edges[above[edges[:, 0]] != above[edges[:, 1]]]
    if len(crossed) < 4:
        return 0.0
    start, end = vertices[crossed[:, 0]], vertices[crossed[:, 1]]
    along = (height - start[:, 1]) / (end[:, 1] - start[:, 1])
    points = (start + along[:, None] * (end - start))[:, ::2]
    try:
        return float(ConvexHull(points).area)  # in the plane, scipy's "area" is the perimeter
    except QhullError:  # all points on a line
        return float(2 * np.linalg.norm(np.ptp(points, axis=0)))


def volume_m3(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume inside a mesh by the divergence theorem; holes (mouth, eyes) are closed by fans around their centres.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3), consistently wound; no closed surface inside another.

    Returns:
        Cubic metres, whatever the sense of winding.
    """
    corners = vertices[faces]
    total = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    rims, labels = open_edges(faces, len(vertices))
    for label in np.unique(labels):
        start, end = vertices[rims[labels == label, 0]], vertices[rims[labels == label, 1]]
        total += np.einsum("ei,ei->", np.cross(end, start), np.broadcast_to(start.mean(0), start.shape))
    return float(abs(total) / 6)


def open_edges(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Directed edges (E, 2) without a neighbouring face, and the number of the hole each belongs to."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    edges = face_edges(faces)
    graph = csr_matrix((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(count, count))
    alone = (graph - graph.T).tocoo()  # +1 where an edge has no neighbour running the other way
    rims = np.stack((alone.row, alone.col), 1)[alone.data > 0]
    if len(rims) == 0:
        return rims, np.zeros(0, np.int64)
    _, component = connected_components(alone, directed=False)
    return rims, component[rims[:, 0]]


def close_holes(faces: np.ndarray, count: int) -> np.ndarray:
    """The triangles (F, 3) of a mesh of ``count`` vertices and, for every hole, a fan around one of its vertices."""
    rims, labels = open_edges(faces, count)
    fans = [faces]
    for label in np.unique(labels):
        edge = rims[labels == label]
        fans.append(np.stack((np.full(len(edge), edge[0, 0]), edge[:, 1], edge[:, 0]), 1))
    closed = np.concatenate(fans)
    corners = np.sort(closed, 1)
    return closed[(corners[:, 1:] != corners[:, :-1]).all(1)]


def skin_faces(asset: BodyAsset) -> np.ndarray:
    """Triangles (F, 3) of the outer skin, without eyeballs, mouth cavity and the like."""
    return asset.faces[~asset.interior] if len(asset.interior) else asset.faces


def _used(faces: np.ndarray, count: int) -> np.ndarray:
    """(V,) True for vertices that a face uses."""
    used = np.zeros(count, bool)
    used[faces] = True
    return used


def _level(asset: BodyAsset, joints: np.ndarray, name: str) -> float:
    """Height of a pair of joints."""
    pair = [i for i, joint in enumerate(asset.joint_names) if joint in (f"left_{name}", f"right_{name}")]
    if not pair:
        raise BodyError(f"Body {asset.name} cannot be measured: it names no {name} joints.")
    return float(joints[pair, 1].mean())


def _torso_faces(asset: BodyAsset) -> np.ndarray:
    names = asset.part_names
    torso = [names.index(name) for name in _TORSO if name in names]
    if not torso or len(asset.part_ids) != len(asset.faces):
        raise BodyError(f"Body {asset.name} cannot be measured: it has no part ids for the torso.")
    keep = np.isin(asset.part_ids, torso)
    return asset.faces[keep & ~asset.interior if len(asset.interior) else keep]
