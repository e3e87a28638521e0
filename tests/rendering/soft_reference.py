"""The soft rasteriser written out slowly, triangle by triangle, in float64 torch; autograd differentiates it."""

from __future__ import annotations

import torch


def project(vertices, K, size):
    """(V, 3) camera points to x, y in normalised units and z."""
    height, width = size
    pixels = vertices @ K.T
    pixels = pixels[:, :2] / vertices[:, 2:]
    return (pixels - pixels.new_tensor([width / 2, height / 2])) / (min(size) / 2)


def cross(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def distance2_to_segment(p, a, b):
    d = b - a
    t = ((p - a) @ d / (d @ d)).clamp(0, 1)
    return ((p - a - t[..., None] * d) ** 2).sum(-1)


def fragments(vertices, faces, attributes, per_vertex, K, size, settings):
    """Per triangle, dense over the picture: signed squared distance, drawn or not, inside or not, depth, value."""
    height, width = size
    u = torch.arange(width, dtype=torch.float64) + 0.5 - width / 2
    v = torch.arange(height, dtype=torch.float64) + 0.5 - height / 2
    p = torch.stack(torch.meshgrid(u, v, indexing="xy"), -1) / (min(size) / 2)
    points, z = project(vertices, K, size), vertices[:, 2]
    for index, face in enumerate(faces.tolist()):
        if (z[face] <= settings.min_depth).any():
            continue
        a, b, c = points[face]
        area = cross(b - a, c - a)
        if abs(area) < 1e-10:
            continue
        w = torch.stack([cross(b - p, c - p), cross(c - p, a - p), cross(a - p, b - p)], -1) / area
        inside = (w > 0).all(-1)
        edges = ((a, b), (b, c), (c, a))
        d = torch.stack([distance2_to_segment(p, *edge) for edge in edges]).amin(0)
        drawn = inside | (d < settings.cut)
        clipped = w.clamp(0, 1)
        clipped = clipped / clipped.sum(-1, keepdim=True)
        depth = 1 / (clipped / z[face]).sum(-1)
        if per_vertex:
            value = (clipped / z[face] * depth[..., None]) @ attributes[face]
        else:
            value = attributes[index].expand(height, width, -1)
        yield torch.where(inside, d, -d), drawn, inside, depth, value


def render(vertices, faces, attributes, K, size, settings, per_vertex=False, depth_range=None):
    """One mesh: (C, H, W) attributes, (H, W) alpha, hard depth (0 for none) and face index (-1 for none)."""
    near, far = depth_range if depth_range is not None else (settings.near, settings.far)
    softras = settings.blend == "softras"
    eps = settings.eps if softras else 1e-10
    found = list(fragments(vertices, faces, attributes, per_vertex, K, size, settings))
    background = torch.as_tensor(settings.background, dtype=torch.float64).expand(attributes.shape[-1])
    if not found:
        nothing = torch.zeros(size, dtype=torch.float64)
        return background[:, None, None].expand(-1, *size), nothing, nothing, nothing.long() - 1
    d, drawn, inside, z, value = (torch.stack(part) for part in zip(*found, strict=True))
    cover = torch.sigmoid(d / settings.sigma) * drawn
    alpha = 1 - (1 - cover).prod(0)
    coloured = drawn & (z >= near) & (z <= far) if softras and settings.occlusion == "camera" else drawn
    b = torch.where(coloured, (far - z) / (far - near), -1e9)
    peak = b.detach().amax(0).clamp(min=eps)
    weights = torch.where(coloured, cover * torch.exp((b - peak) / settings.gamma), 0.0)
    if softras:
        behind = torch.exp((2 * eps - peak) / settings.gamma)
    else:
        behind = torch.exp((eps - peak) / settings.gamma).clamp(min=1e-10)
    total = weights.sum(0) + behind
    colour = ((weights[..., None] * value).sum(0) + behind[..., None] * background) / total[..., None]
    nearest = torch.where(inside, z, torch.inf).min(0)
    seen = inside.any(0)
    kept = [i for i, face in enumerate(faces.tolist()) if is_drawn(vertices, face, K, size, settings)]
    index = torch.where(seen, torch.tensor(kept)[nearest.indices], -1)
    return colour.permute(2, 0, 1), alpha, torch.where(seen, nearest.values, 0.0), index


def is_drawn(vertices, face, K, size, settings):
    if (vertices[face, 2] <= settings.min_depth).any():
        return False
    a, b, c = project(vertices.detach(), K.detach(), size)[face]
    return abs(float(cross(b - a, c - a))) >= 1e-10
