"""Points on a triangle mesh nearest to other points, and values carried from one mesh to another through them."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

_CANDIDATES = 16


def closest_on_surface(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nearest point of a mesh to every point, among the triangles whose middles are nearest.

    Args:
        points: (N, 3).
        vertices: (V, 3) in the same units.
        faces: (F, 3).

    Returns:
        Triangle (N,), its barycentric weights (N, 3) and the distance (N,).
    """
    corners = np.asarray(vertices, np.float64)[faces]
    count = min(_CANDIDATES, len(faces))
    near = cKDTree(corners.mean(1)).query(points, k=count)[1].reshape(len(points), count)
    best = np.full(len(points), np.inf)
    face, weights = np.zeros(len(points), np.int64), np.zeros((len(points), 3))
    for column in near.T:
        w = closest_in_triangle(points, corners[column])
        distance = np.linalg.norm(np.einsum("nk,nka->na", w, corners[column]) - points, axis=1)
        better = distance < best - 1e-12
        best[better], face[better], weights[better] = distance[better], column[better], w[better]
    return face, weights, best


def closest_in_triangle(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Barycentric weights (N, 3) of the point of each triangle (N, 3, 3) nearest to a point (N, 3)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    inner = _plane_weights(points, a, b, c)
    outside = (inner < 0).any(1)
    if not outside.any():
        return inner
    p, best = points[outside], np.full(int(outside.sum()), np.inf)
    chosen = np.zeros((len(best), 3))
    triangle = corners[outside]
    for first, second in ((0, 1), (1, 2), (2, 0)):
        start, edge = triangle[:, first], triangle[:, second] - triangle[:, first]
        length = np.maximum(np.einsum("na,na->n", edge, edge), 1e-18)
        t = np.clip(np.einsum("na,na->n", p - start, edge) / length, 0.0, 1.0)
        distance = np.linalg.norm(start + t[:, None] * edge - p, axis=1)
        closer = distance < best
        w = np.zeros((len(best), 3))
        w[:, first], w[:, second] = 1 - t, t
        chosen[closer], best[closer] = w[closer], distance[closer]
    inner[outside] = chosen
    return inner


def _plane_weights(p: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Barycentric weights of the foot of the perpendicular; a flat triangle gets those of its first corner."""
    u, v, w = b - a, c - a, p - a
    uu, uv, vv = (np.einsum("na,na->n", x, y) for x, y in ((u, u), (u, v), (v, v)))
    wu, wv = np.einsum("na,na->n", w, u), np.einsum("na,na->n", w, v)
    det = uu * vv - uv * uv
    safe = np.where(det > 1e-18, det, 1.0)
    second = np.where(det > 1e-18, (vv * wu - uv * wv) / safe, 0.0)
    third = np.where(det > 1e-18, (uu * wv - uv * wu) / safe, 0.0)
    return np.stack([1 - second - third, second, third], 1)
