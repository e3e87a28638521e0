# mypy: ignore-errors
"""Forward pass with atomics, for CUDA: one triangle per thread, pixels have many writers, hence two passes.

The largest depth weight of a pixel has to be known before weights are summed: :func:`find_peak`, then
:func:`accumulate`. :func:`dsr.rendering._kernels.finish` and the backward pass are the same as on the CPU.
"""

from __future__ import annotations

import warp as wp

from dsr.rendering._kernels import Scene, clip, coverage, look_at, row_of, set_up

wp.set_module_options({"enable_backward": False})


@wp.kernel
def find_peak(
    scene: Scene,
    first_thread: int,
    screen: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    depth: wp.array(dtype=wp.vec2),
    peak: wp.array(dtype=float),
    nearest: wp.array(dtype=wp.int64),
):
    """First of two passes with atomics: the largest b of every pixel, and its nearest triangle as (z in µm, face)."""
    face = set_up(scene, first_thread + wp.tid(), screen, faces, depth)
    if not face.drawn:
        return
    for row in range(face.row0, face.row1):
        y = (float(row) + 0.5 - 0.5 * float(scene.height)) / scene.half
        for col in range(face.col0, face.col1):
            x = (float(col) + 0.5 - 0.5 * float(scene.width)) / scene.half
            hit = look_at(scene, face, x, y)
            if hit.covered:
                pixel = (face.item * scene.height + row) * scene.width + col
                w = clip(hit.weights)
                z = (w[0] + w[1] + w[2]) / wp.dot(w, face.inverse_z)
                if hit.inside:
                    micrometres = wp.int64(wp.min(z, 2000.0) * 1.0e6)
                    wp.atomic_min(nearest, pixel, micrometres * wp.int64(4294967296) + wp.int64(face.index))
                if scene.discard == 0 or (z >= face.near and z <= face.far):
                    wp.atomic_max(peak, pixel, (face.far - z) / (face.far - face.near))


@wp.kernel
def accumulate(
    scene: Scene,
    first_thread: int,
    screen: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    attributes: wp.array(dtype=float),
    depth: wp.array(dtype=wp.vec2),
    peak: wp.array(dtype=float),
    colour: wp.array(dtype=float),
    total: wp.array(dtype=float),
    log_keep: wp.array(dtype=float),
):
    """Second of two passes with atomics: sums of weights, weighted attributes and ln(1 - D)."""
    face = set_up(scene, first_thread + wp.tid(), screen, faces, depth)
    if not face.drawn:
        return
    row_a = row_of(scene, face, 0)
    row_b = row_of(scene, face, 1)
    row_c = row_of(scene, face, 2)
    scale = 1.0 / (face.far - face.near)
    for row in range(face.row0, face.row1):
        y = (float(row) + 0.5 - 0.5 * float(scene.height)) / scene.half
        for col in range(face.col0, face.col1):
            x = (float(col) + 0.5 - 0.5 * float(scene.width)) / scene.half
            hit = look_at(scene, face, x, y)
            if hit.covered:
                pixel = (face.item * scene.height + row) * scene.width + col
                cover = coverage(hit.distance2, scene.sigma)
                # ln(1 - sigmoid(q)) = -max(q, 0) - ln(1 + e^-|q|): finite where 1 - D is not a float any more
                q = hit.distance2 / scene.sigma
                wp.atomic_add(log_keep, pixel, -wp.max(q, 0.0) - wp.log(1.0 + wp.exp(-wp.abs(q))))
                w = clip(hit.weights)
                inverse = wp.dot(w, face.inverse_z)
                z = (w[0] + w[1] + w[2]) / inverse
                if scene.discard == 0 or (z >= face.near and z <= face.far):
                    b = (face.far - z) * scale
                    value = cover[0] * wp.exp(wp.min((b - peak[pixel]) / scene.gamma, 0.0))
                    if value > 0.0:
                        first = pixel * scene.channels
                        wp.atomic_add(total, pixel, value)
                        wa = value * w[0] * face.inverse_z[0] / inverse
                        wb = value * w[1] * face.inverse_z[1] / inverse
                        wc = value * w[2] * face.inverse_z[2] / inverse
                        for k in range(scene.channels):
                            part = value * attributes[row_a + k]
                            if scene.per_vertex == 1:
                                part = wa * attributes[row_a + k] + wb * attributes[row_b + k]
                                part = part + wc * attributes[row_c + k]
                            wp.atomic_add(colour, first + k, part)
