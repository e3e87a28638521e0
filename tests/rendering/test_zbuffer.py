"""The z-buffer against brute force, and the properties overlays rely on."""

from __future__ import annotations

import numpy as np
import trimesh

from dsr.rendering import rasterise

K = np.array([[60.0, 0.0, 31.0], [0.0, 55.0, 25.0], [0.0, 0.0, 1.0]])
SIZE = (64, 48)


def brute_force(vertices, faces, K, size):
    """Per pixel ray against every triangle; nearest face, depth, barycentric weights."""
    width, height = size
    face = np.full((height, width), -1)
    depth = np.full((height, width), np.inf)
    rays = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1)
    rays = np.concatenate([rays, np.ones((height, width, 1))], -1) @ np.linalg.inv(K).T
    for f, (a, b, c) in enumerate(vertices[faces]):
        coordinates = rays @ np.linalg.inv(np.stack([a, b, c], 1)).T  # ray = sum of weight * corner
        inside = (coordinates > 0).all(-1)
        z = 1.0 / coordinates.sum(-1)
        closer = inside & (z < depth)
        face[closer], depth[closer] = f, z[closer]
    return face, depth


def soup(seed, count=60):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, 1, 3)) * [1.2, 1.0, 0.8] + [0, 0, 3.5]
    vertices = (centres + rng.normal(size=(count, 3, 3)) * 0.3).reshape(-1, 3)
    return vertices, np.arange(3 * count).reshape(-1, 3)


def test_equals_brute_force_on_triangle_soup():
    for seed in range(5):
        vertices, faces = soup(seed)
        vertices[:, 2] = np.maximum(vertices[:, 2], 0.3)
        face, depth = brute_force(vertices, faces, K, SIZE)
        zb = rasterise(vertices, faces, K, SIZE)
        assert (zb.face_index != face).sum() <= 2  # rays exactly along an edge
        same = (zb.face_index == face) & (face >= 0)
        assert same.sum() > 300
        assert np.abs(zb.depth[same] / depth[same] - 1).max() < 1e-5


def test_interpolation_is_perspective_correct():
    vertices, faces = soup(7)
    vertices[:, 2] = np.maximum(vertices[:, 2], 0.3)
    zb = rasterise(vertices, faces, K, SIZE)
    points = zb.interpolate(vertices)  # the 3D point seen must project back to its pixel
    rows, cols = np.nonzero(zb.covered)
    pixels = points @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    off = np.abs(pixels - np.stack([cols + 0.5, rows + 0.5], 1)).max(1)
    assert np.quantile(off, 0.99) < 1e-3
    assert np.allclose(points[:, 2], zb.depth[zb.covered], rtol=1e-4)


def test_neighbours_share_an_edge_without_gap():
    n = 23
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.linspace(-5, 5, n), np.linspace(-5, 5, n)), -1) + rng.normal(size=(n, n, 2)) * 0.08
    vertices = np.concatenate([grid.reshape(-1, 2), 2.0 + rng.random((n * n, 1))], 1)
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = i[:-1, :-1].ravel(), i[:-1, 1:].ravel(), i[1:, :-1].ravel(), i[1:, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    assert rasterise(vertices, faces, K, SIZE).covered.all()


def test_culling_drops_the_inside_and_keeps_the_outside():
    ball = trimesh.creation.icosphere(subdivisions=3)
    vertices = ball.vertices + np.array([0, 0, 4])
    both = rasterise(vertices, ball.faces, K, SIZE)
    outside = rasterise(vertices, ball.faces, K, SIZE, cull_back=True)
    inside = rasterise(vertices, ball.faces[:, ::-1], K, SIZE, cull_back=True)
    assert np.array_equal(both.face_index, outside.face_index)
    assert abs(outside.depth[25, 31] - 3.0) < 0.02 and abs(inside.depth[25, 31] - 5.0) < 0.02


def test_silhouette_of_a_ball():
    ball = trimesh.creation.icosphere(subdivisions=4)
    focal = 1000.0
    K = np.array([[focal, 0, 200.0], [0, focal, 150.0], [0, 0, 1]])
    zb = rasterise(ball.vertices * 0.5 + [0, 0, 5.0], ball.faces, K, (400, 300))
    radius = focal * 0.5 / np.sqrt(25.0 - 0.25)
    assert abs(zb.covered.sum() / (np.pi * radius**2) - 1) < 0.01
    rows, cols = np.nonzero(zb.covered)
    assert abs(cols.mean() + 0.5 - 200) < 0.05 and abs(rows.mean() + 0.5 - 150) < 0.05


def test_behind_the_camera_outside_and_empty():
    vertices = np.array([[-1, -1, 2.0], [1, -1, 2], [0, 1, 2], [0, 0, -1], [50, 50, 2], [51, 50, 2], [50, 51, 2]])
    behind = rasterise(vertices, np.array([[0, 1, 3]]), K, SIZE)
    beside = rasterise(vertices, np.array([[4, 5, 6]]), K, SIZE)
    nothing = rasterise(vertices, np.zeros((0, 3), int), K, SIZE)
    flat = rasterise(vertices, np.array([[0, 0, 1]]), K, SIZE)
    broken = rasterise(np.where(vertices == 50, np.nan, vertices), np.array([[4, 5, 6]]), K, SIZE)
    for zb in (behind, beside, nothing, flat, broken):
        assert not zb.covered.any() and np.isinf(zb.depth).all()
        assert zb.interpolate(vertices).shape == (0, 3)
    huge = rasterise(np.array([[-1e6, -1e6, 2.0], [1e6, -1e6, 2], [0, 1e6, 2]]), np.array([[0, 1, 2]]), K, SIZE)
    assert huge.covered.all() and np.allclose(huge.depth, 2.0, rtol=1e-4)


def test_memory_parts_give_the_same_picture(monkeypatch):
    vertices, faces = soup(3)
    whole = rasterise(vertices, faces, K, SIZE)
    monkeypatch.setattr("dsr.rendering.zbuffer._FRAGMENTS_AT_ONCE", 37)
    assert np.array_equal(rasterise(vertices, faces, K, SIZE).face_index, whole.face_index)


def test_triangles_that_come_nearer_than_the_limit_are_left_out_whole():
    vertices = np.array([[-1, -1, 0.04], [1, -1, 0.04], [0, 1, 0.04], [-9, -9, 2], [9, -9, 2], [0, 9, 0.049]])
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    assert not rasterise(vertices, faces, K, SIZE).covered.any()
    assert rasterise(vertices, faces, K, SIZE, near=0.045).face_index.max() == 1
    assert rasterise(vertices, faces[:1], K, SIZE, near=0.01).covered.any()
    assert not rasterise(-vertices, faces, K, SIZE, near=0.01).covered.any()
