"""Software z-buffer in plain numpy: which triangle a pixel of a photograph sees, without OpenGL and without gradients.

OpenCV camera (x right, y down, z forward, metres), pixel centres at +0.5. Triangles are cut into rows and rows into
fragments, so the work grows with the pixels covered and not with bounding boxes; edges are evaluated from the same end
for both neighbours, which leaves neither gaps nor double pixels along them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

_FRAGMENTS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class ZBuffer:
    """What every pixel sees.

    Attributes:
        face_index: (h, w) int32, row of ``faces``; -1 where nothing is seen.
        depth: (h, w) float32, z in metres; infinite where nothing is seen.
    """

    face_index: np.ndarray
    depth: np.ndarray
    _points_px: np.ndarray = field(repr=False)
    _inverse_z: np.ndarray = field(repr=False)
    _faces: np.ndarray = field(repr=False)

    @property
    def covered(self) -> np.ndarray:
        """(h, w) bool, True where a triangle is seen."""
        return self.face_index >= 0

    def barycentric(self) -> tuple[np.ndarray, np.ndarray]:
        """Perspective-correct barycentric coordinates of the covered pixels.

        Returns:
            ``(corners, weights)``: (N, 3) int rows of the vertices and (N, 3) float64 weights that sum to 1, in the
            order of ``numpy.nonzero(covered)``.
        """
        rows, cols = np.nonzero(self.covered)
        corners = self._faces[self.face_index[rows, cols]]
        u, v = cols + 0.5, rows + 0.5
        # edge functions; a, b, c relative to the pixel
        (au, av), (bu, bv), (cu, cv) = ((self._points_px[k, 0] - u, self._points_px[k, 1] - v) for k in corners.T)
        weights = np.stack([bu * cv - bv * cu, cu * av - cv * au, au * bv - av * bu])
        weights /= weights.sum(axis=0)
        np.clip(weights, 0.0, 1.0, out=weights)
        weights *= self._inverse_z[corners.T]
        weights /= weights.sum(axis=0)
        return corners, weights.T

    def interpolate(self, attributes: np.ndarray) -> np.ndarray:
        """Values of the covered pixels from values at the vertices.

        Args:
            attributes: (V, C), one row per vertex.

        Returns:
            (N, C) float64, in the order of ``numpy.nonzero(covered)``.
        """
        corners, weights = self.barycentric()
        return sum(attributes[corners[:, k]] * weights[:, k, None] for k in range(3))


def rasterise(
    vertices_cam: np.ndarray,
    faces: np.ndarray,
    K: np.ndarray,
    size: tuple[int, int],
    *,
    near: float = 0.05,
    cull_back: bool = False,
) -> ZBuffer:
    """Find the nearest triangle of every pixel.

    Args:
        vertices_cam: (V, 3) metres, camera frame.
        faces: (F, 3) int, counter-clockwise seen from outside.
        K: (3, 3) intrinsics of the picture to draw, pixels.
        size: (width, height) of the picture in pixels.
        near: triangles with a corner nearer than this (metres) or behind the camera are left out, not cut.
        cull_back: leave out triangles that are seen from inside; for closed surfaces this halves the work.

    Returns:
        The z-buffer; of two triangles at the very same depth the one with the higher row is seen.
    """
    width, height = size
    faces = np.asarray(faces)
    points, inverse_z, kept, corners, area = _drawn(vertices_cam, faces, K, size, near, cull_back)
    best = np.zeros(width * height, np.uint64)  # bits of float32 1/z, then the face; the larger wins
    planes = _inverse_z_planes(corners, area, inverse_z[faces[kept]])
    triangle, row, start, length = _spans(corners, width, height)
    for part in _parts(length, _FRAGMENTS_AT_ONCE):
        _draw(best, kept, planes, triangle[part], row[part], start[part], length[part], width)

    nearest = (best >> np.uint64(32)).astype(np.uint32).view(np.float32).reshape(height, width)
    face_index = (best & np.uint64(0xFFFFFFFF)).astype(np.int64).reshape(height, width) - 1
    with np.errstate(divide="ignore"):
        depth = (1.0 / nearest).astype(np.float32)
    return ZBuffer(face_index.astype(np.int32), depth, points, inverse_z, faces)


def coverage(
    vertices_cam: np.ndarray, faces: np.ndarray, K: np.ndarray, size: tuple[int, int], *, near: float = 0.05
) -> np.ndarray:
    """What :attr:`ZBuffer.covered` of :func:`rasterise` with ``cull_back`` is, without finding out what is nearest.

    Args:
        vertices_cam: (V, 3) metres, camera frame.
        faces: (F, 3) int, counter-clockwise seen from outside.
        K: (3, 3) intrinsics of the picture to draw, pixels.
        size: (width, height) of the picture in pixels.
        near: as of :func:`rasterise`.

    Returns:
        (h, w) bool.
    """
    width, height = size
    corners = _drawn(vertices_cam, np.asarray(faces), K, size, near, True)[3]
    _, row, start, length = _spans(corners, width, height)
    cells, first = height * (width + 1), row * (width + 1) + start
    change = np.bincount(first, minlength=cells) - np.bincount(first + length, minlength=cells)
    return np.asarray(change.reshape(height, width + 1).cumsum(1)[:, :width] > 0)


def _drawn(
    vertices_cam: np.ndarray, faces: np.ndarray, K: np.ndarray, size: tuple[int, int], near: float, cull_back: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points in the picture (V, 2), 1/z (V,), and of the triangles to draw: row, corners (f, 3, 2), twice the area."""
    width, height = size
    vertices = np.asarray(vertices_cam, np.float64)
    z = vertices[:, 2]
    visible = z > near
    inverse_z = np.where(visible, 1.0 / np.where(visible, z, 1.0), 0.0)
    K = np.asarray(K, np.float64)
    points = vertices[:, :2] * inverse_z[:, None]
    points = points @ K[:2, :2].T + K[:2, 2]

    usable = visible & np.isfinite(points[:, 0]) & np.isfinite(points[:, 1])
    # spelled out: reductions over an axis of two or three are many times slower, and so are rows of two
    corner = faces.T.astype(np.int64)  # (3, F)
    u, v = (np.ascontiguousarray(points[:, k])[corner] for k in (0, 1))
    with np.errstate(invalid="ignore", over="ignore"):
        area = (u[1] - u[0]) * (v[2] - v[0]) - (v[1] - v[0]) * (u[2] - u[0])
        drawn = (area < 0.0) if cull_back else (area != 0.0)  # v points down: outside seen means a negative area
    drawn &= usable[corner[0]] & usable[corner[1]] & usable[corner[2]]
    kept = np.flatnonzero(drawn)
    u, v = u[:, kept], v[:, kept]
    inside = np.ones(len(kept), bool)
    for at, most in ((u, width), (v, height)):  # is the centre of a column, or a row, between the corners?
        low, high = np.minimum(np.minimum(at[0], at[1]), at[2]), np.maximum(np.maximum(at[0], at[1]), at[2])
        inside &= np.ceil(np.maximum(low, 0.0) - 0.5) < np.ceil(np.minimum(high, most) - 0.5)
    kept, u, v = kept[inside], u[:, inside], v[:, inside]
    return points, inverse_z, kept, np.stack([u.T, v.T], 2), area[kept]


def _inverse_z_planes(corners: np.ndarray, area: np.ndarray, inverse_z: np.ndarray) -> np.ndarray:
    """1/z on the picture is c + gu u + gv v; (f, 5): c, gu, gv and the bounds that slivers must keep."""
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    db, dc = inverse_z[:, 1] - inverse_z[:, 0], inverse_z[:, 2] - inverse_z[:, 0]
    gu = (db * ac[:, 1] - dc * ab[:, 1]) / area
    gv = (dc * ab[:, 0] - db * ac[:, 0]) / area
    c = inverse_z[:, 0] - gu * corners[:, 0, 0] - gv * corners[:, 0, 1]
    first, second, third = inverse_z.T
    low, high = np.minimum(np.minimum(first, second), third), np.maximum(np.maximum(first, second), third)
    return np.stack([c, gu, gv, low, high], axis=1)


def _spans(corners: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Runs of pixels whose centres lie inside the triangles: triangle, row, first column, number of pixels."""
    order = np.argsort(corners[:, :, 1], axis=1, kind="stable")
    top, middle, bottom = (np.take_along_axis(corners, order[:, k, None, None], axis=1)[:, 0] for k in range(3))
    first = np.clip(np.ceil(top[:, 1] - 0.5), 0, height).astype(np.int64)
    last = np.clip(np.ceil(bottom[:, 1] - 0.5), 0, height).astype(np.int64)
    triangle, row = _expand(first, last - first)
    y = row + 0.5
    long_edge = _crossing(top, bottom, triangle, y)
    upper = y < middle[triangle, 1]
    short_edge = np.empty_like(y)
    short_edge[upper] = _crossing(top, middle, triangle[upper], y[upper])
    short_edge[~upper] = _crossing(middle, bottom, triangle[~upper], y[~upper])
    start = np.clip(np.ceil(np.minimum(long_edge, short_edge) - 0.5), 0, width).astype(np.int64)
    stop = np.clip(np.ceil(np.maximum(long_edge, short_edge) - 0.5), 0, width).astype(np.int64)
    filled = stop > start
    return triangle[filled], row[filled], start[filled], (stop - start)[filled]


def _crossing(a: np.ndarray, b: np.ndarray, index: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Column where the edges a-b (a above b) cross the rows y."""
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
    return a[index, 0] + (y - a[index, 1]) * slope[index]


def _expand(start: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every integer of the runs [start, start + length): the run it belongs to, and the integer."""
    length = np.maximum(length, 0)
    run = np.repeat(np.arange(len(start)), length)
    offset = start - (np.cumsum(length) - length)
    return run, np.arange(len(run)) + offset[run]


def _parts(length: np.ndarray, most: int) -> list[slice]:
    """Slices of consecutive runs with about ``most`` pixels each, so that memory stays bounded."""
    if len(length) == 0:
        return []
    group = np.cumsum(length) // most
    edges = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(length)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _draw(
    best: np.ndarray,
    face: np.ndarray,
    planes: np.ndarray,
    triangle: np.ndarray,
    row: np.ndarray,
    start: np.ndarray,
    length: np.ndarray,
    width: int,
) -> None:
    """Put the fragments of some runs into the buffer, nearest on top."""
    run, column = _expand(start, length)
    c, gu, gv, low, high = planes[triangle].T
    base = c + gv * (row + 0.5) + gu * 0.5
    value = np.clip(base[run] + gu[run] * column, low[run], high[run]).astype(np.float32)
    key = (value.view(np.uint32).astype(np.uint64) << np.uint64(32)) | (face[triangle] + 1).astype(np.uint64)[run]
    np.maximum.at(best, (row * width)[run] + column, key)
