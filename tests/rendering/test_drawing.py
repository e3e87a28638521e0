"""Plain drawing: the same pixels as the z-buffer in numpy, values with perspective, normals that point outwards."""

from __future__ import annotations

import numpy as np
import pytest

from dsr.body import load_asset
from dsr.errors import RenderError
from dsr.rendering.drawing import draw, vertex_normals
from dsr.rendering.zbuffer import rasterise

K = np.array([[150.0, 0, 70], [0, 150, 60], [0, 0, 1]])
SIZE = (140, 120)


@pytest.fixture(scope="module")
def body():
    asset = load_asset("open-light")
    return (asset.v_template * [1, -1, -1] + [0.1, 0.05, 2.0]).astype(np.float32), asset.faces


def test_every_pixel_sees_the_face_that_the_zbuffer_finds(body):
    vertices, faces = body
    drawn = draw(vertices, faces, K, SIZE, vertices)
    exact = rasterise(vertices, faces, K, SIZE)
    assert drawn.face_index.shape == (120, 140)
    assert (drawn.face_index >= 0).sum() > 2000
    assert (drawn.face_index != exact.face_index).mean() < 1e-3
    np.testing.assert_array_equal(np.isfinite(drawn.depth), drawn.face_index >= 0)
    both = (drawn.face_index >= 0) & exact.covered
    np.testing.assert_allclose(drawn.depth[both], exact.depth[both], atol=1e-3)


def test_values_are_those_of_the_point_behind_the_pixel(body):
    vertices, faces = body
    drawn = draw(vertices, faces, K, SIZE, vertices)
    rows, columns = np.nonzero(drawn.face_index >= 0)
    seen = drawn.values[:, :2] / drawn.values[:, 2:] * 150 + [70, 60]
    np.testing.assert_allclose(seen, np.c_[columns + 0.5, rows + 0.5], atol=0.05)
    np.testing.assert_allclose(drawn.values[:, 2], drawn.depth[rows, columns], rtol=1e-4)


def test_nothing_nearer_than_the_limit_or_outside_is_drawn(body):
    vertices, faces = body
    near = draw(vertices, faces, K, SIZE, vertices, near=5.0)
    beside = draw(vertices + np.float32([50, 0, 0]), faces, K, SIZE, vertices)
    for drawn in (near, beside):
        assert (drawn.face_index == -1).all() and len(drawn.values) == 0


def test_normals_are_unit_and_point_outwards(body):
    vertices, faces = body
    corners = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0)], np.float32)
    np.testing.assert_allclose(vertex_normals(corners, np.array([[0, 1, 2]])), [[0, 0, 1]] * 3)
    normals = vertex_normals(vertices, faces)
    used = np.unique(faces)
    np.testing.assert_allclose(np.linalg.norm(normals[used], axis=1), 1, atol=1e-5)
    drawn = draw(vertices, faces, K, SIZE, normals)
    assert (drawn.values[:, 2] < 0.1).mean() > 0.97  # those that are seen look at the camera


@pytest.mark.parametrize(("faces", "values"), [([[0, 1, 7]], 3), ([[0, 1, -1]], 3), ([[0, 1, 2]], 2)])
def test_what_does_not_fit_together_is_refused(faces, values):
    with pytest.raises(RenderError):
        draw(np.ones((3, 3)), np.array(faces), K, SIZE, np.ones((values, 1)))
