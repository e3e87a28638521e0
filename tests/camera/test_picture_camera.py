"""A camera with its picture: sizes, crops and projection agree, and what makes no sense is refused."""

from __future__ import annotations

import numpy as np
import pytest

from dsr.camera import PictureCamera
from dsr.camera.picture_camera import NEAR_M
from dsr.errors import CameraError

CAMERA = PictureCamera([[700.0, 0, 410], [0, 650, 290], [0, 0, 1]], (800, 600))
POINTS = np.random.default_rng(0).normal([0.0, 0.0, 5.0], 1.0, (5, 7, 3))


def test_projection_is_focal_length_times_slope():
    x, y, z = np.moveaxis(POINTS, -1, 0)
    expected = np.stack([700 * x / z + 410, 650 * y / z + 290], -1)
    np.testing.assert_allclose(CAMERA.project(POINTS), expected)


def test_points_behind_the_camera_are_projected_from_just_before_it():
    np.testing.assert_allclose(CAMERA.project([[0.1, 0.2, -3.0]]) * NEAR_M, [[70.0 - 3 * 410, 130.0 - 3 * 290]])


def test_another_size_moves_pixels_with_the_picture():
    """Width and height by different factors: a picture may be rounded to its working size."""
    half = CAMERA.scaled((400, 200))
    assert half.size == (400, 200)
    np.testing.assert_allclose(half.project(POINTS), CAMERA.project(POINTS) * [400 / 800, 200 / 600])


def test_a_crop_shifts_and_scales_pixels():
    crop = CAMERA.warped(np.array([[2.0, 0, -100], [0, 2, -60], [0, 0, 1]]), (64, 32))
    assert crop.size == (64, 32)
    np.testing.assert_allclose(crop.project(POINTS), 2 * CAMERA.project(POINTS) - [100, 60])


def test_the_camera_is_its_own_copy():
    K = np.diag([500.0, 500.0, 1.0]).astype(np.float32)
    camera = PictureCamera(K, (10, 20))
    K[0, 0] = 1.0
    assert camera.K[0, 0] == 500.0 and camera.K.dtype == np.float64


@pytest.mark.parametrize(
    ("K", "size", "message"),
    [
        (np.eye(4), (10, 10), r"shape \(3, 3\)"),
        (np.diag([-1.0, 1.0, 1.0]), (10, 10), "positive focal"),
        (np.diag([np.nan, 1.0, 1.0]), (10, 10), "finite"),
        (np.eye(3), (0, 10), "0 x 10"),
    ],
)
def test_what_is_no_camera_is_refused(K, size, message):
    with pytest.raises(CameraError, match=message):
        PictureCamera(K, size)
