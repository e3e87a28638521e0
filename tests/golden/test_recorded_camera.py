"""Recorded camera functions: projection, perspective rotation, crop, encoding, weak perspective, placing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from recorded import Recording, normal, numbers, rotations, with_gradients
from torch import Tensor

from dsr import camera
from dsr.camera import crop_camera

recording = Recording("camera")


def intrinsics(batch: int = 5) -> Tensor:
    """(B, 3, 3) of pictures of about 640 x 480 pixels; fx is not fy."""
    K = torch.zeros(batch, 3, 3, dtype=torch.float64)
    K[:, 0, 0], K[:, 1, 1] = (numbers(f"focal {k}", batch, low=400, high=800) for k in "xy")
    K[:, 0, 2], K[:, 1, 2], K[:, 2, 2] = (
        numbers("cx", batch, low=300, high=340),
        numbers("cy", batch, low=220, high=260),
        1,
    )
    return K


def boxes() -> Tensor:
    """(5, 4); the last one reaches far out of a wide picture."""
    corner = torch.stack((numbers("x0", 5, low=-50, high=400), numbers("y0", 5, low=-50, high=200)), -1)
    box = torch.cat((corner, corner + numbers("extent", 5, 2, low=80, high=260)), -1)
    box[4, 2] += 6000
    return box


@recording.case
def pinhole():
    points = numbers("points", 5, 7, 3) + torch.tensor([0.0, 0.0, 3.0])
    pixels, depth = numbers("pixels", 5, 7, 2, low=0, high=600), numbers("depth", 5, 7, low=1, high=4)
    H = camera.homography(intrinsics(), rotations("R", 5, angle=0.3))
    return {
        "matrix": camera.intrinsics_matrix(512.5, 640, 481),
        "projected": camera.project(points, intrinsics()),
        "back": camera.unproject(pixels, depth, intrinsics()),
        "homography": H,
        "transformed": camera.transform_pixels(pixels, H),
    }


@recording.case
def rotation():
    centre, aim = numbers("centre", 5, 2, low=0, high=600), numbers("aim", 5, 2, low=100, high=400)
    twist = numbers("twist", 5, low=-40, high=40)
    plain = with_gradients(camera.perspective_rotation, intrinsics(), centre)
    aimed = with_gradients(camera.perspective_rotation, intrinsics(), centre, aim, twist)
    small = camera.perspective_rotation(
        intrinsics(), intrinsics()[:, :2, 2] + numbers("nudge", 5, 2, low=-1e-6, high=1e-6)
    )
    return {
        **{f"plain {key}": value for key, value in plain.items()},
        **{f"aimed {key}": value for key, value in aimed.items()},
        "small": (small - torch.eye(3)) * 1e9,
    }


@recording.case
def bodies_in_a_turned_camera():
    R, orient = rotations("R", 5, angle=0.5), rotations("orient", 5)
    transl, root = numbers("transl", 5, 3) + torch.tensor([0.0, 0.0, 4.0]), 0.3 * numbers("root", 5, 3)
    turned = camera.rotate_body(orient, transl, root, R)
    back = camera.rotate_body_to_original(orient, transl, root, R)
    points = numbers("points", 5, 7, 3)
    return {
        "orient": turned[0],
        "transl": turned[1],
        "orient back": back[0],
        "transl back": back[1],
        "points": camera.rotate_points(points, R),
        "points back": camera.rotate_points_to_original(points, R),
    }


@recording.case
def crop():
    outputs = {}
    options = {
        "plain": {},
        "margin": {"margin": 1.25, "size": 224},
        "level": {"rotate": False},
        "given": {"rotation": rotations("R", 5, angle=0.2)},
    }
    for name, extra in options.items():
        made = camera.perspective_crop(intrinsics(), boxes(), **extra)
        outputs |= {f"{name} {key}": getattr(made, key) for key in ("rotation", "homography", "K_crop")}
    centre, extent = numbers("c", 4, 2, low=100, high=300), numbers("e", 4, 2, low=50, high=200)
    stretch = torch.tensor([0.6, 0.9, 1.0, 1.7]).double()
    outputs["affine"] = camera.crop_affine(centre, extent, 256, stretch=stretch)
    outputs["encoding"] = camera.perspective_encoding(outputs["plain K_crop"], 64)
    v, u = np.mgrid[:40, :50].astype(np.float32)
    image = np.stack((3 * u, 4 * v, 2 * u + 2 * v), -1)
    H = np.array([[1.3, 0.1, -5], [-0.05, 1.2, -3], [1e-4, 2e-4, 1.0]])
    for name, where in (("picture", {}), ("picture published", {"pixel_centre": 0.0})):
        # OpenCV rounds source places to 1/32 pixel, in one way or another: means of quarters tell where things are
        outputs[name] = camera.warp_crop(image, H, 32, **where).reshape(2, 16, 2, 16, 3).mean((1, 3))
    return outputs


@recording.case
def weak_perspective():
    weak = torch.cat((numbers("s", 5, 1, low=0.4, high=1.1), numbers("t", 5, 2, low=-0.3, high=0.3)), -1)
    points = 0.7 * normal("joints", 5, 24, 3)
    transl = camera.camera_to_translation(weak)
    return {
        "translation": transl,
        "other focal": camera.camera_to_translation(weak, 1000.0, 256),
        "projected": camera.project_weak(points, weak),
        "back": camera.translation_to_camera(transl),
    }


@recording.case
def crop_cameras():
    weak = torch.cat((numbers("s", 5, 1, low=0.4, high=1.1), numbers("t", 5, 2, low=-0.3, high=0.3)), -1)
    K, points = intrinsics(), 0.4 * normal("joints", 5, 24, 3)
    transl = crop_camera.place_in_crop(weak, K, 640)
    return {
        "published": crop_camera.published_intrinsics(2, 256, weak),
        "place": transl,
        "seen": crop_camera.project_to_crop(points, transl, K, 640),
    }


@recording.case
def placement():
    weak = torch.cat((numbers("s", 5, 1, low=0.4, high=1.1), numbers("t", 5, 2, low=-0.3, high=0.3)), -1)
    weak[4, 0] = -0.2
    orient, root = rotations("orient", 5), 0.3 * numbers("root", 5, 3)
    centre, side = numbers("centre", 5, 2, low=0, high=600), numbers("side", 5, low=100, high=400)
    points, confidence = 0.4 * normal("joints", 5, 24, 3), numbers("confidence", 5, 24, low=0)
    outputs = {}
    for name, extra in {
        "plain": {},
        "fitted": {"points": points},
        "sure": {"points": points, "confidence": confidence},
    }.items():
        placed = camera.place_in_picture(orient, weak, root, intrinsics(), centre, side, **extra)
        outputs |= {f"{name} {key}": getattr(placed, key) for key in ("global_orient", "transl", "rotation")}
    pixels = numbers("pixels", 5, 24, 2, low=0, high=600)
    outputs["fit"] = camera.fit_translation(points, pixels, intrinsics(), confidence)
    rays, weight = numbers("rays", 5, 24, 2), numbers("weight", 5, 24, 2, low=0)
    outputs["rays"] = camera.translation_from_rays(points, rays, weight)
    return outputs


@pytest.mark.parametrize("name", recording.cases)
def test_recorded(name):
    recording.check(name)
