# ruff: noqa: UP018  (Warp wants variables that a loop changes to be declared with their type)
# mypy: ignore-errors
"""Warp kernels of the semantic renderer: one triangle per thread over the pixels of its bounding box, backward by hand.

The equations are in :mod:`dsr.rendering.settings`. Importing this module imports Warp; only the Warp backend does so.
Pictures are flat and channel-last: pixel = (item * H + row) * W + column. A *band* is a run of picture rows counted
through the batch; one CPU thread owns the pixels of its band, so :func:`draw` writes them plainly. On CUDA a pixel has
many writers: :mod:`dsr.rendering._kernels_atomic` does the same with atomics, in two passes.
"""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})

FAR_OUT = wp.constant(1.0e6)  # normalised units; farther corners would lose every digit
MIN_AREA = wp.constant(1.0e-10)  # twice the area of a triangle, squared normalised units


@wp.struct
class Scene:
    """Numbers that every kernel needs."""

    width: int
    height: int
    channels: int
    num_vertices: int
    num_faces: int
    per_vertex: int  # attributes belong to vertices (1) or faces (0)
    attribute_stride: int  # attribute rows of one batch item; 0 if all items share them
    first_row: int  # of the band
    last_row: int  # one past it
    half: float  # pixels per normalised unit
    sigma: float
    cut: float
    gamma: float
    eps: float
    discard: int  # colours outside the depth range are left out


@wp.struct
class Face:
    """A triangle on the picture: corners, inverse depths, pixels to visit."""

    drawn: bool
    ax: float
    ay: float
    bx: float
    by: float
    cx: float
    cy: float
    inverse_z: wp.vec3
    inverse_area: float
    inverse_lengths2: wp.vec3  # of the edges opposite of the corners
    item: int
    index: int
    row0: int
    row1: int
    col0: int
    col1: int
    corners: wp.vec3i
    near: float
    far: float


@wp.struct
class Hit:
    """A triangle at a pixel."""

    covered: bool  # within the blur
    inside: bool
    distance2: float  # signed, positive inside
    weights: wp.vec3  # barycentric, not clipped
    edge: int  # the nearest edge is opposite of this corner
    along: float  # 0 at the edge's first corner, 1 at its second
    nx: float  # from the pixel to the nearest point of the outline
    ny: float


@wp.func
def set_up(
    scene: Scene,
    thread: int,
    screen: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    depth: wp.array(dtype=wp.vec2),
) -> Face:
    """Read a triangle and find the pixels of this band that it may touch."""
    face = Face()
    face.drawn = False
    face.item = thread / scene.num_faces
    face.index = thread - face.item * scene.num_faces
    face.corners = faces[face.index]
    base = face.item * scene.num_vertices
    a = screen[base + face.corners[0]]
    b = screen[base + face.corners[1]]
    c = screen[base + face.corners[2]]
    face.inverse_z = wp.vec3(a[2], b[2], c[2])
    if a[2] > 0.0 and b[2] > 0.0 and c[2] > 0.0:
        low_x = wp.min(a[0], wp.min(b[0], c[0]))
        high_x = wp.max(a[0], wp.max(b[0], c[0]))
        low_y = wp.min(a[1], wp.min(b[1], c[1]))
        high_y = wp.max(a[1], wp.max(b[1], c[1]))
        ux = b[0] - a[0]
        uy = b[1] - a[1]
        vx = c[0] - a[0]
        vy = c[1] - a[1]
        area = ux * vy - uy * vx
        if low_x > -FAR_OUT and high_x < FAR_OUT and low_y > -FAR_OUT and high_y < FAR_OUT and wp.abs(area) >= MIN_AREA:
            radius = wp.sqrt(scene.cut)
            centre_x = 0.5 * float(scene.width) - 0.5
            centre_y = 0.5 * float(scene.height) - 0.5
            w = float(scene.width)
            top = float(wp.max(scene.first_row - face.item * scene.height, 0))
            bottom = float(wp.min(scene.last_row - face.item * scene.height, scene.height))
            face.col0 = int(wp.clamp(wp.ceil((low_x - radius) * scene.half + centre_x), 0.0, w))
            face.col1 = int(wp.clamp(wp.floor((high_x + radius) * scene.half + centre_x) + 1.0, 0.0, w))
            face.row0 = int(wp.max(wp.ceil((low_y - radius) * scene.half + centre_y), top))
            face.row1 = int(wp.min(wp.floor((high_y + radius) * scene.half + centre_y) + 1.0, bottom))
            face.drawn = face.row1 > face.row0 and face.col1 > face.col0
            face.ax = a[0]
            face.ay = a[1]
            face.bx = b[0]
            face.by = b[1]
            face.cx = c[0]
            face.cy = c[1]
            face.inverse_area = 1.0 / area
            wx = c[0] - b[0]
            wy = c[1] - b[1]
            face.inverse_lengths2 = wp.vec3(
                1.0 / (wx * wx + wy * wy), 1.0 / (vx * vx + vy * vy), 1.0 / (ux * ux + uy * uy)
            )
            face.near = depth[face.item][0]
            face.far = depth[face.item][1]
    return face


@wp.func
def look_at(scene: Scene, face: Face, x: float, y: float) -> Hit:
    """Where the pixel centre (x, y) lies with respect to a triangle; free of branches, which cost more than sums."""
    hit = Hit()
    ax = face.ax - x
    ay = face.ay - y
    bx = face.bx - x
    by = face.by - y
    cx = face.cx - x
    cy = face.cy - y
    w0 = (bx * cy - by * cx) * face.inverse_area
    w1 = (cx * ay - cy * ax) * face.inverse_area
    w2 = (ax * by - ay * bx) * face.inverse_area
    hit.weights = wp.vec3(w0, w1, w2)
    hit.inside = wp.min(w0, wp.min(w1, w2)) > 0.0
    # nearest point of every edge, relative to the pixel
    ux = face.cx - face.bx
    uy = face.cy - face.by
    vx = face.ax - face.cx
    vy = face.ay - face.cy
    wx = face.bx - face.ax
    wy = face.by - face.ay
    t0 = wp.clamp(-(bx * ux + by * uy) * face.inverse_lengths2[0], 0.0, 1.0)
    t1 = wp.clamp(-(cx * vx + cy * vy) * face.inverse_lengths2[1], 0.0, 1.0)
    t2 = wp.clamp(-(ax * wx + ay * wy) * face.inverse_lengths2[2], 0.0, 1.0)
    x0 = bx + t0 * ux
    y0 = by + t0 * uy
    x1 = cx + t1 * vx
    y1 = cy + t1 * vy
    x2 = ax + t2 * wx
    y2 = ay + t2 * wy
    d0 = x0 * x0 + y0 * y0
    d1 = x1 * x1 + y1 * y1
    d2 = x2 * x2 + y2 * y2
    d = wp.min(d0, wp.min(d1, d2))
    first = d == d0
    second = d == d1
    hit.edge = wp.where(first, 0, wp.where(second, 1, 2))
    hit.along = wp.where(first, t0, wp.where(second, t1, t2))
    hit.nx = wp.where(first, x0, wp.where(second, x1, x2))
    hit.ny = wp.where(first, y0, wp.where(second, y1, y2))
    hit.distance2 = wp.where(hit.inside, d, -d)
    hit.covered = hit.distance2 > -scene.cut
    return hit


@wp.func
def clip(weights: wp.vec3) -> wp.vec3:
    """Barycentric coordinates clipped to [0, 1], not yet divided by their sum."""
    return wp.vec3(wp.clamp(weights[0], 0.0, 1.0), wp.clamp(weights[1], 0.0, 1.0), wp.clamp(weights[2], 0.0, 1.0))


@wp.func
def coverage(distance2: float, sigma: float) -> wp.vec2:
    """D and 1 - D, neither losing digits."""
    e = wp.exp(-wp.abs(distance2) / sigma)
    large = 1.0 / (1.0 + e)
    small = e * large
    return wp.vec2(wp.where(distance2 > 0.0, large, small), wp.where(distance2 > 0.0, small, large))


@wp.func
def row_of(scene: Scene, face: Face, k: int) -> int:
    """First attribute value of corner k, or of the face."""
    base = face.item * scene.attribute_stride
    if scene.per_vertex == 1:
        return (base + face.corners[k]) * scene.channels
    return (base + face.index) * scene.channels


@wp.kernel
def measure(
    scene: Scene,
    step: int,
    screen: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    depth: wp.array(dtype=wp.vec2),
    work: wp.array(dtype=float),
):
    """Pixels that every step-th triangle visits, as differences from one picture row to the next."""
    face = set_up(scene, step * wp.tid(), screen, faces, depth)
    if face.drawn:
        wide = float(face.col1 - face.col0) + 4.0
        wp.atomic_add(work, face.item * scene.height + face.row0, wide)
        wp.atomic_add(work, face.item * scene.height + face.row1, -wide)


@wp.kernel
def clear(
    scene: Scene,
    colour: wp.array(dtype=float),
    total: wp.array(dtype=float),
    peak: wp.array(dtype=float),
    keep: wp.array(dtype=float),
    nearest: wp.array(dtype=float),
    face_index: wp.array(dtype=wp.int64),
):
    """Start values of a band's pixels."""
    pixel = scene.first_row * scene.width + wp.tid()
    for k in range(scene.channels):
        colour[pixel * scene.channels + k] = 0.0
    total[pixel] = 0.0
    peak[pixel] = scene.eps
    keep[pixel] = 1.0
    nearest[pixel] = 0.0
    face_index[pixel] = wp.int64(-1)


@wp.kernel
def draw(
    scene: Scene,
    first_thread: int,
    screen: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    attributes: wp.array(dtype=float),
    depth: wp.array(dtype=wp.vec2),
    colour: wp.array(dtype=float),
    total: wp.array(dtype=float),
    peak: wp.array(dtype=float),
    keep: wp.array(dtype=float),
    nearest: wp.array(dtype=float),
    face_index: wp.array(dtype=wp.int64),
):
    """Forward pass of one thread's band: running maximum, sums and product per pixel."""
    face = set_up(scene, first_thread + wp.tid(), screen, faces, depth)
    if not face.drawn:
        return
    channels = scene.channels
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
                keep[pixel] = keep[pixel] * cover[1]
                w = clip(hit.weights)
                inverse = wp.dot(w, face.inverse_z)
                z = (w[0] + w[1] + w[2]) / inverse
                if hit.inside and (face_index[pixel] < wp.int64(0) or z < nearest[pixel]):
                    nearest[pixel] = z
                    face_index[pixel] = wp.int64(face.index)
                if scene.discard == 0 or (z >= face.near and z <= face.far):
                    b = (face.far - z) * scale
                    m = peak[pixel]
                    first = pixel * channels
                    exponent = (b - m) / scene.gamma
                    value = cover[0]
                    if exponent > 0.0:
                        fade = wp.exp(-exponent)
                        peak[pixel] = b
                        total[pixel] = total[pixel] * fade
                        for k in range(channels):
                            colour[first + k] = colour[first + k] * fade
                    else:
                        value = value * wp.exp(exponent)
                    if value > 0.0:
                        total[pixel] = total[pixel] + value
                        if scene.per_vertex == 1:
                            wa = value * w[0] * face.inverse_z[0] / inverse
                            wb = value * w[1] * face.inverse_z[1] / inverse
                            wc = value * w[2] * face.inverse_z[2] / inverse
                            for k in range(channels):
                                colour[first + k] = (
                                    colour[first + k]
                                    + wa * attributes[row_a + k]
                                    + wb * attributes[row_b + k]
                                    + wc * attributes[row_c + k]
                                )
                        else:
                            for k in range(channels):
                                colour[first + k] = colour[first + k] + value * attributes[row_a + k]


@wp.kernel
def finish(
    scene: Scene,
    pytorch3d: int,
    background: wp.array(dtype=float),
    colour: wp.array(dtype=float),
    total: wp.array(dtype=float),
    peak: wp.array(dtype=float),
    keep: wp.array(dtype=float),
    alpha: wp.array(dtype=float),
):
    """Add the background and divide; ``total`` becomes the factor 1 / sum that the backward pass needs."""
    pixel = scene.first_row * scene.width + wp.tid()
    first = pixel * scene.channels
    if total[pixel] == 0.0 and keep[pixel] == 1.0:  # nothing is drawn here
        for k in range(scene.channels):
            colour[first + k] = background[k]
        alpha[pixel] = 0.0
        return
    behind = float(1.0)
    if pytorch3d == 1:
        behind = wp.max(wp.exp((scene.eps - peak[pixel]) / scene.gamma), 1.0e-10)
    elif total[pixel] > 0.0:
        behind = wp.exp(wp.min((2.0 * scene.eps - peak[pixel]) / scene.gamma, 80.0))
    factor = 1.0 / (total[pixel] + behind)
    total[pixel] = factor
    for k in range(scene.channels):
        colour[first + k] = (colour[first + k] + behind * background[k]) * factor
    alpha[pixel] = 1.0 - keep[pixel]


@wp.kernel
def take_upstream(
    scene: Scene,
    strides: wp.vec4i,
    upstream: wp.array(dtype=float),
    colour: wp.array(dtype=float),
    grad_colour: wp.array(dtype=float),
    grad_dot: wp.array(dtype=float),
):
    """Upstream gradients of a band with channels last, and their scalar product with the colours."""
    pixel = scene.first_row * scene.width + wp.tid()
    row = pixel / scene.width
    item = row / scene.height
    place = item * strides[0] + (row - item * scene.height) * strides[1] + (pixel - row * scene.width) * strides[2]
    dot = float(0.0)
    for k in range(scene.channels):
        value = upstream[place + k * strides[3]]
        grad_colour[pixel * scene.channels + k] = value
        dot = dot + value * colour[pixel * scene.channels + k]
    grad_dot[pixel] = dot


@wp.kernel
def draw_backward(
    scene: Scene,
    first_thread: int,
    with_colour: int,
    with_alpha: int,
    with_attributes: int,
    with_screen: int,
    screen: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    attributes: wp.array(dtype=float),
    depth: wp.array(dtype=wp.vec2),
    factor: wp.array(dtype=float),
    peak: wp.array(dtype=float),
    keep: wp.array(dtype=float),
    grad_colour: wp.array(dtype=float),
    grad_dot: wp.array(dtype=float),
    grad_alpha: wp.array(dtype=float),
    grad_screen: wp.array(dtype=wp.vec3),
    grad_attributes: wp.array(dtype=float),
):
    """Backward pass of one band (CPU: into this thread's own buffers) or of everything (CUDA: with atomics)."""
    face = set_up(scene, first_thread + wp.tid(), screen, faces, depth)
    if not face.drawn:
        return
    channels = scene.channels
    row_a = row_of(scene, face, 0)
    row_b = row_of(scene, face, 1)
    row_c = row_of(scene, face, 2)
    scale = 1.0 / (face.far - face.near)
    to_a = wp.vec3(0.0, 0.0, 0.0)
    to_b = wp.vec3(0.0, 0.0, 0.0)
    to_c = wp.vec3(0.0, 0.0, 0.0)
    for row in range(face.row0, face.row1):
        y = (float(row) + 0.5 - 0.5 * float(scene.height)) / scene.half
        for col in range(face.col0, face.col1):
            x = (float(col) + 0.5 - 0.5 * float(scene.width)) / scene.half
            hit = look_at(scene, face, x, y)
            if hit.covered:
                pixel = (face.item * scene.height + row) * scene.width + col
                cover = coverage(hit.distance2, scene.sigma)
                # d alpha / d(distance2 / sigma) = prod of the others' (1 - D) times D (1 - D) = keep D
                by_q = float(0.0)
                if with_alpha == 1:
                    by_q = grad_alpha[pixel] * keep[pixel] * cover[0]
                by_inverse_z = wp.vec3(0.0, 0.0, 0.0)
                by_weights = wp.vec3(0.0, 0.0, 0.0)
                if with_colour == 1:
                    w = clip(hit.weights)
                    weight_sum = w[0] + w[1] + w[2]
                    inverse = wp.dot(w, face.inverse_z)
                    z = weight_sum / inverse
                    if scene.discard == 0 or (z >= face.near and z <= face.far):
                        b = (face.far - z) * scale
                        share = cover[0] * factor[pixel] * wp.exp(wp.min((b - peak[pixel]) / scene.gamma, 0.0))
                        if share > 1.0e-12:
                            first = pixel * channels
                            mixed = float(0.0)
                            mix = wp.cw_mul(w, face.inverse_z) / inverse
                            if scene.per_vertex == 1:
                                da = float(0.0)
                                db = float(0.0)
                                dc = float(0.0)
                                for k in range(channels):
                                    g = grad_colour[first + k]
                                    da = da + g * attributes[row_a + k]
                                    db = db + g * attributes[row_b + k]
                                    dc = dc + g * attributes[row_c + k]
                                dots = wp.vec3(da, db, dc)
                                mixed = wp.dot(mix, dots)
                                rest = share * (dots - wp.vec3(mixed, mixed, mixed)) / inverse
                                by_weights = wp.cw_mul(rest, face.inverse_z)
                                by_inverse_z = wp.cw_mul(rest, w)
                                if with_attributes == 1:
                                    for k in range(channels):
                                        g = share * grad_colour[first + k]
                                        wp.atomic_add(grad_attributes, row_a + k, mix[0] * g)
                                        wp.atomic_add(grad_attributes, row_b + k, mix[1] * g)
                                        wp.atomic_add(grad_attributes, row_c + k, mix[2] * g)
                            else:
                                for k in range(channels):
                                    mixed = mixed + grad_colour[first + k] * attributes[row_a + k]
                                if with_attributes == 1:
                                    for k in range(channels):
                                        wp.atomic_add(grad_attributes, row_a + k, share * grad_colour[first + k])
                            pull_by = share * (mixed - grad_dot[pixel])
                            by_q = by_q + pull_by * cover[1]
                            # z = sum w / sum (w / z_k)
                            by_z = -pull_by * scale / scene.gamma
                            by_inverse_z = by_inverse_z - (by_z * z / inverse) * w
                            by_weights = by_weights + (by_z / inverse) * (wp.vec3(1.0, 1.0, 1.0) - z * face.inverse_z)
                if with_screen == 1:
                    ax = face.ax - x
                    ay = face.ay - y
                    bx = face.bx - x
                    by = face.by - y
                    cx = face.cx - x
                    cy = face.cy - y
                    # clipped weights do not move; w_k = e_k / (e_0 + e_1 + e_2), e_0 = b x c, e_1 = c x a, e_2 = a x b
                    u = by_weights
                    if hit.weights[0] < 0.0 or hit.weights[0] > 1.0:
                        u = wp.vec3(0.0, u[1], u[2])
                    if hit.weights[1] < 0.0 or hit.weights[1] > 1.0:
                        u = wp.vec3(u[0], 0.0, u[2])
                    if hit.weights[2] < 0.0 or hit.weights[2] > 1.0:
                        u = wp.vec3(u[0], u[1], 0.0)
                    common = wp.dot(u, hit.weights)
                    e0 = (u[0] - common) * face.inverse_area
                    e1 = (u[1] - common) * face.inverse_area
                    e2 = (u[2] - common) * face.inverse_area
                    gax = e2 * by - e1 * cy
                    gay = e1 * cx - e2 * bx
                    gbx = e0 * cy - e2 * ay
                    gby = e2 * ax - e0 * cx
                    gcx = e1 * ay - e0 * by
                    gcy = e0 * bx - e1 * ax
                    # squared distance to the point (1 - t) p + t q of the nearest edge p q
                    pulled = 2.0 * by_q / scene.sigma
                    if not hit.inside:
                        pulled = -pulled
                    px = pulled * (1.0 - hit.along) * hit.nx
                    py = pulled * (1.0 - hit.along) * hit.ny
                    qx = pulled * hit.along * hit.nx
                    qy = pulled * hit.along * hit.ny
                    if hit.edge == 0:
                        gbx = gbx + px
                        gby = gby + py
                        gcx = gcx + qx
                        gcy = gcy + qy
                    elif hit.edge == 1:
                        gcx = gcx + px
                        gcy = gcy + py
                        gax = gax + qx
                        gay = gay + qy
                    else:
                        gax = gax + px
                        gay = gay + py
                        gbx = gbx + qx
                        gby = gby + qy
                    to_a = to_a + wp.vec3(gax, gay, by_inverse_z[0])
                    to_b = to_b + wp.vec3(gbx, gby, by_inverse_z[1])
                    to_c = to_c + wp.vec3(gcx, gcy, by_inverse_z[2])
    if with_screen == 1:
        base = face.item * scene.num_vertices
        wp.atomic_add(grad_screen, base + face.corners[0], to_a)
        wp.atomic_add(grad_screen, base + face.corners[1], to_b)
        wp.atomic_add(grad_screen, base + face.corners[2], to_c)
