"""A fit of a person who is not there: what a first fit loads and works out is behind us before a picture comes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dsr.options import FitOptions

if TYPE_CHECKING:
    from dsr.body import Body
    from dsr.people import PeopleDetector

_SIZE = (640, 480)
_FOCAL_PX, _DEPTH_M = 600.0, 3.0
_KEYPOINTS = "blazepose33"


def rehearse(body: Body, options: FitOptions, detector: PeopleDetector | None = None) -> None:
    """Read an empty picture, look for people in it, and fit the mean body to its own keypoints.

    Args:
        body: as it will be fitted.
        options: as they will be.
        detector: that will look for people.
    """
    from PIL import Image

    from dsr.camera import PictureCamera, intrinsics_matrix
    from dsr.fitting import find_floor, find_gravity, find_stances, fit_people
    from dsr.image import read_photo
    from dsr.image.lines import straight_lines
    from dsr.people import Detection

    if _KEYPOINTS not in body.asset.keypoint_regressors:
        return
    world = body.asset.keypoint_regressor(_KEYPOINTS) @ body.asset.v_template * [1.0, -1.0, -1.0]
    world = world - world.mean(0)
    camera = PictureCamera(intrinsics_matrix(_FOCAL_PX, *_SIZE).numpy(), _SIZE)
    pixels = camera.project(world + np.array([0.0, 0.0, _DEPTH_M]))
    person = Detection(np.r_[pixels.min(0), pixels.max(0)], 1.0, _KEYPOINTS, pixels, np.ones(len(pixels)), world)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.jpg"
        Image.new("RGB", _SIZE).save(path)
        photo = read_photo(path)
    if detector is not None:
        detector.detect(photo)
        detector.complete(photo, [person])
    straight_lines(photo.rgb, photo.width)
    people = fit_people([person], camera, body, options)
    gravity = find_gravity([person], camera)
    if gravity is not None:
        find_floor(people, find_stances([person], camera, gravity), gravity, body.asset)
