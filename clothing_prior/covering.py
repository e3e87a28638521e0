"""What covers a body vertex: the clothes that a ray along its normal meets, and how far away they are."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

REACH_M = 0.15
"""Clothes further away than this belong to another part of the body."""
_FIRST_M = 0.05  # something has to be as near as this: hair beside a cheek does not cover it
_INSIDE_M = 0.03  # the set's garments may lie below the skin, which is hidden there
_STEPS_M = (-0.015, 0.0, 0.015, 0.03, 0.06, 0.1)
_NEAREST = 8


def covering(
    vertices: np.ndarray,
    normals: np.ndarray,
    joints: np.ndarray,
    cloth: np.ndarray,
    faces: np.ndarray,
    face_joints: np.ndarray,
    near: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The outermost garment triangle over every vertex.

    Args:
        vertices: (V, 3) metres.
        normals: (V, 3) unit, outwards.
        joints: (V,) joint that moves each vertex most.
        cloth: (N, 3) garment vertices.
        faces: (F, 3) garment triangles.
        face_joints: (F,) joint that moves each of them most.
        near: (J, J) bool, joints whose flesh one garment covers together; a sleeve does not cover the trunk.

    Returns:
        (V,) int64 row of ``faces``, -1 where nothing covers, and (V,) metres along the normal, 0 where the garment lies
        below the skin.
    """
    best, distance = np.full(len(vertices), -1, np.int64), np.zeros(len(vertices))
    if not len(faces):
        return best, distance
    corners = cloth[faces]
    tree = cKDTree(corners.mean(1))
    points = vertices[None] + np.array(_STEPS_M)[:, None, None] * normals
    found = tree.query(points, k=min(_NEAREST, len(faces)))[1].reshape(len(_STEPS_M), len(vertices), -1)
    rows = np.repeat(np.arange(len(vertices)), found.shape[0] * found.shape[2])
    triangles = np.moveaxis(found, 0, 1).reshape(-1)
    pairs = np.unique(rows * len(faces) + triangles)
    rows, triangles = pairs // len(faces), pairs % len(faces)
    kept = near[joints[rows], face_joints[triangles]]
    rows, triangles = rows[kept], triangles[kept]
    along = _ray_hits(vertices[rows], normals[rows], corners[triangles])
    hit = (along > -_INSIDE_M) & (along < REACH_M)
    rows, triangles, along = rows[hit], triangles[hit], along[hit]
    first = np.full(len(vertices), np.inf)
    np.minimum.at(first, rows, along)
    kept = first[rows] < _FIRST_M
    rows, triangles, along = rows[kept], triangles[kept], along[kept]
    order = np.lexsort((triangles, along))  # the outermost is written last
    best[rows[order]] = triangles[order]
    distance[rows[order]] = np.maximum(along[order], 0.0)
    return best, distance


def nearest_cover(vertices: np.ndarray, rows: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """For some vertices the nearest vertex that something covers, rows of ``vertices``."""
    return np.flatnonzero(covered)[cKDTree(vertices[covered]).query(vertices[rows])[1]]


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, each triangle by its area."""
    corners = vertices[faces]
    around = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack(
        [sum(np.bincount(faces[:, k], around[:, axis], len(vertices)) for k in range(3)) for axis in range(3)], 1
    )
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _ray_hits(origins: np.ndarray, directions: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Signed distance along each line to its triangle, infinite where it passes by (Moeller and Trumbore 1997)."""
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    p = np.cross(directions, edge2)
    det = np.einsum("na,na->n", edge1, p)
    safe = np.where(np.abs(det) > 1e-12, det, 1.0)
    s = origins - corners[:, 0]
    u = np.einsum("na,na->n", s, p) / safe
    q = np.cross(s, edge1)
    v = np.einsum("na,na->n", directions, q) / safe
    inside = (np.abs(det) > 1e-12) & (u >= -1e-6) & (v >= -1e-6) & (u + v <= 1 + 1e-6)
    return np.where(inside, np.einsum("na,na->n", edge2, q) / safe, np.inf)
