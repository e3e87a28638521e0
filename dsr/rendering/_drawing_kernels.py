# mypy: ignore-errors
"""Warp kernels of :mod:`dsr.rendering.drawing`: a plain z-buffer and what its pixels see, on one CPU thread."""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.kernel
def sum_normals(vertices: wp.array(dtype=wp.vec3), faces: wp.array2d(dtype=int), normals: wp.array(dtype=wp.vec3)):
    f = wp.tid()
    i = faces[f, 0]
    j = faces[f, 1]
    k = faces[f, 2]
    n = wp.cross(vertices[j] - vertices[i], vertices[k] - vertices[i])
    normals[i] = normals[i] + n
    normals[j] = normals[j] + n
    normals[k] = normals[k] + n


@wp.kernel
def nearest(
    points: wp.array(dtype=wp.vec3),
    faces: wp.array2d(dtype=int),
    width: int,
    height: int,
    inverse_z: wp.array(dtype=float),
    face_index: wp.array(dtype=int),
):
    """Points are u, v, 1/z with 1/z = 0 for what cannot be drawn; the nearest face of every pixel."""
    f = wp.tid()
    a = points[faces[f, 0]]
    b = points[faces[f, 1]]
    c = points[faces[f, 2]]
    if a[2] > 0.0 and b[2] > 0.0 and c[2] > 0.0:
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        col0 = wp.max(int(wp.ceil(wp.min(a[0], wp.min(b[0], c[0])) - 0.5)), 0)
        col1 = wp.min(int(wp.ceil(wp.max(a[0], wp.max(b[0], c[0])) - 0.5)), width)
        row0 = wp.max(int(wp.ceil(wp.min(a[1], wp.min(b[1], c[1])) - 0.5)), 0)
        row1 = wp.min(int(wp.ceil(wp.max(a[1], wp.max(b[1], c[1])) - 0.5)), height)
        if wp.abs(area) > 1.0e-9:
            scale = 1.0 / area
            for row in range(row0, row1):
                v = float(row) + 0.5
                for col in range(col0, col1):
                    u = float(col) + 0.5
                    wa = ((b[0] - u) * (c[1] - v) - (b[1] - v) * (c[0] - u)) * scale
                    wb = ((c[0] - u) * (a[1] - v) - (c[1] - v) * (a[0] - u)) * scale
                    wc = 1.0 - wa - wb
                    if wa >= 0.0 and wb >= 0.0 and wc >= 0.0:
                        z = wa * a[2] + wb * b[2] + wc * c[2]
                        pixel = row * width + col
                        if z > inverse_z[pixel]:
                            inverse_z[pixel] = z
                            face_index[pixel] = f


@wp.kernel
def interpolate(
    points: wp.array(dtype=wp.vec3),
    faces: wp.array2d(dtype=int),
    attributes: wp.array2d(dtype=float),
    pixels: wp.array(dtype=int),
    face_index: wp.array(dtype=int),
    width: int,
    values: wp.array2d(dtype=float),
):
    """Perspective-correct values of the covered pixels."""
    n = wp.tid()
    pixel = pixels[n]
    f = face_index[pixel]
    u = float(pixel % width) + 0.5
    v = float(pixel / width) + 0.5
    i = faces[f, 0]
    j = faces[f, 1]
    k = faces[f, 2]
    a = points[i]
    b = points[j]
    c = points[k]
    wa = wp.abs((b[0] - u) * (c[1] - v) - (b[1] - v) * (c[0] - u)) * a[2]
    wb = wp.abs((c[0] - u) * (a[1] - v) - (c[1] - v) * (a[0] - u)) * b[2]
    wc = wp.abs((a[0] - u) * (b[1] - v) - (a[1] - v) * (b[0] - u)) * c[2]
    total = wp.max(wa + wb + wc, 1.0e-30)
    for channel in range(attributes.shape[1]):
        values[n, channel] = (
            wa * attributes[i, channel] + wb * attributes[j, channel] + wc * attributes[k, channel]
        ) / total
