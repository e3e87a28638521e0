"""The camera of a photograph, from what is written in it, the lines of its scene and the people."""

import cv2
import numpy as np
import pytest

from dsr.camera.tilt import up_vector
from dsr.image import Photo
from dsr.image.focal import FocalHint
from dsr.options import FitOptions
from dsr.pipeline.chain import find_camera, scene_camera
from dsr.results.picture import FitResult

SIZE, FOCAL = (1200, 900), 1000.0


@pytest.fixture(scope="module")
def room():
    """(h, w, 3) picture of shelves in the corner of a room, seen from above with a wide lens."""
    up = up_vector(22, 4)
    forward = np.array([0, 0, 1.0]) - up * up[2]
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, up)
    turn = np.radians(38)
    axes = np.stack([np.cos(turn) * forward + np.sin(turn) * right, np.cos(turn) * right - np.sin(turn) * forward, up])
    picture = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    rng = np.random.default_rng(5)
    for index in range(160):
        start = np.array([rng.uniform(-3, 3), rng.uniform(-2, 2), rng.uniform(4, 9)])
        ends = np.stack([start, start + rng.uniform(0.8, 1.8) * axes[index % 3]])
        pixels = ends[:, :2] / ends[:, 2:] * FOCAL + np.array(SIZE) / 2
        if (ends[:, 2] > 1).all() and ((pixels > 0) & (pixels < SIZE)).all():
            (a, b), (c, d) = pixels.round().astype(int).tolist()
            cv2.line(picture, (a, b), (c, d), (255, 255, 255) if index % 2 else (0, 0, 0), 3, cv2.LINE_AA)
    return picture


def camera_of(path, rgb, hint=None):
    result = FitResult("ok", path)
    photo = Photo(path, rgb, rgb.shape[1], rgb.shape[0], 1.0, "", "PNG", hint=hint)
    return result, scene_camera(result, find_camera(result, photo, FitOptions()), photo, [])


@pytest.mark.skipif(not hasattr(cv2, "ximgproc"), reason="this OpenCV finds no lines")
def test_lines_tell_an_unknown_lens_and_which_way_is_down(tmp_path, room):
    result, camera = camera_of(tmp_path / "room.png", room)
    assert result.focal_source == "lines" and "degrees across" in result.focal_detail
    assert camera.K[0, 0] == pytest.approx(FOCAL, rel=0.1) and camera.K[0, 0] == camera.K[1, 1]
    assert np.degrees(np.arccos(camera.gravity.up @ up_vector(22, 4))) < 3


def test_what_the_file_says_of_its_lens_stays(tmp_path, room):
    result, camera = camera_of(tmp_path / "room.png", room, FocalHint(1500.0, "exif", "EXIF"))
    assert result.focal_source == "exif" and camera.K[0, 0] == 1500


def test_an_empty_picture_keeps_the_diagonal(tmp_path):
    result, camera = camera_of(tmp_path / "grey.png", np.full((900, 1200, 3), 90, np.uint8))
    assert result.focal_source == "default" and camera.K[0, 0] == 1500


@pytest.mark.skipif(not hasattr(cv2, "ximgproc"), reason="this OpenCV finds no lines")
def test_stripes_keep_the_diagonal(tmp_path):
    """Under the longest focal length tried they would be edges of a room, as under any longer one."""
    down, right = np.mgrid[:900, :1200]
    stripes = ((down + right) // 10 % 2 * 255).astype(np.uint8)
    result, camera = camera_of(tmp_path / "stripes.png", np.repeat(stripes[..., None], 3, 2))
    assert result.focal_source == "default" and camera.K[0, 0] == 1500
