"""Properties of the camera room: round trips, agreement of the crop with 3D, gradients and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from harness import gradcheck

from dsr.camera import (
    homography,
    intrinsics_matrix,
    perspective_crop,
    perspective_encoding,
    perspective_rotation,
    project,
    rotate_body_to_original,
    rotate_points,
    rotate_points_to_original,
    transform_pixels,
    unproject,
    warp_crop,
)
from dsr.errors import CameraError


@pytest.fixture
def cameras() -> tuple[torch.Tensor, torch.Tensor]:
    """Eight cameras (one with fy != fx) and a box for each, off the axis."""
    generator = torch.Generator().manual_seed(0)
    focal = 400 + 1200 * torch.rand(8, generator=generator, dtype=torch.float64)
    K = torch.stack([intrinsics_matrix(float(value), 1280, 720) for value in focal])
    K[3, 1, 1] *= 1.3
    corner = torch.rand(8, 2, generator=generator, dtype=torch.float64) * torch.tensor([900.0, 400.0])
    extent = 60 + 250 * torch.rand(8, 2, generator=generator, dtype=torch.float64)
    return K, torch.cat([corner, corner + extent], dim=-1)


def points_in(K: torch.Tensor, box: torch.Tensor, number: int = 30) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    along = torch.rand(len(K), number, 2, generator=generator, dtype=torch.float64)
    pixels = box[:, None, :2] + along * (box[:, 2:] - box[:, :2])[:, None]
    return unproject(pixels, 2 + 3 * torch.rand(len(K), number, generator=generator, dtype=torch.float64), K)


def test_project_and_unproject_are_inverse(cameras) -> None:
    K, box = cameras
    points = points_in(K, box)
    pixels = project(points, K)
    assert (pixels >= box[:, None, :2] - 1e-9).all() and (pixels <= box[:, None, 2:] + 1e-9).all()
    torch.testing.assert_close(unproject(pixels, points[..., 2], K), points, rtol=0, atol=1e-12)
    # the middle of the picture is on the axis; right is +u, down is +v
    K0 = intrinsics_matrix(500.0, 640, 480)
    probe = torch.tensor([[0.0, 0.0, 3.0], [1.0, 0.0, 2.0], [0.0, 1.0, 2.0]], dtype=torch.float64)
    expected = torch.tensor([[320.0, 240.0], [570.0, 240.0], [320.0, 490.0]], dtype=torch.float64)
    torch.testing.assert_close(project(probe, K0), expected)


def test_rotation_brings_the_ray_to_the_axis_without_roll(cameras) -> None:
    K, box = cameras
    centre = (box[:, :2] + box[:, 2:]) / 2
    R = perspective_rotation(K, centre)
    eye = torch.eye(3, dtype=torch.float64).expand_as(R)
    torch.testing.assert_close(R @ R.transpose(-1, -2), eye, rtol=0, atol=1e-14)
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(8, dtype=torch.float64))
    ray = unproject(centre[:, None], 1.0, K)
    turned = rotate_points(ray, R)[:, 0]
    torch.testing.assert_close(turned[:, :2], torch.zeros(8, 2, dtype=torch.float64), rtol=0, atol=1e-13)
    assert (turned[:, 2] > 0).all()
    torch.testing.assert_close(R[:, 0, 1], R[:, 1, 0])  # the axis lies in the picture plane: no roll


@pytest.mark.parametrize("offset", [0.0, 1e-9, 1e-6, 1e-3])
def test_smallest_angles_are_exact_and_differentiable(offset: float) -> None:
    K = intrinsics_matrix(1000.0, 1280, 720)
    centre = torch.tensor([640.0 + offset, 360.0], dtype=torch.float64, requires_grad=True)
    R = perspective_rotation(K, centre)
    # the right of the picture is turned to the axis: x' = x - z tan(angle), about
    assert float(R[0, 2].detach()) == pytest.approx(-math.sin(math.atan(offset / 1000)), rel=1e-4, abs=1e-16)
    (gradient,) = torch.autograd.grad(R[0, 2], centre)
    torch.testing.assert_close(gradient, torch.tensor([-1e-3, 0.0], dtype=torch.float64), rtol=1e-5, atol=1e-12)


def test_gradients() -> None:
    K = intrinsics_matrix(700.0, 640, 480)[None]
    K[0, 1, 1] = 770.0  # at fx = fy the crop's stretch has a kink
    centre = torch.tensor([[120.0, 400.0]], dtype=torch.float64)
    box = torch.tensor([[40.0, 300.0, 180.0, 470.0]], dtype=torch.float64)
    points = torch.tensor([[[0.3, -0.2, 2.0], [0.1, 0.4, 3.0]]], dtype=torch.float64)
    gradcheck(perspective_rotation, K, centre)
    gradcheck(project, points, K)
    gradcheck(lambda k, b: perspective_crop(k, b).homography, K, box)


def test_twist_turns_about_the_aimed_ray() -> None:
    K = intrinsics_matrix(700.0, 640, 480)
    centre, aim = torch.tensor([100.0, 90.0]), torch.tensor([400.0, 300.0])
    R = perspective_rotation(K, centre, aim, 30.0)
    H = homography(K, R)
    torch.testing.assert_close(transform_pixels(centre[None].double(), H)[0], aim.double(), rtol=0, atol=1e-9)
    still = perspective_rotation(K, aim, aim, 30.0)
    assert math.degrees(math.acos((float(still.trace()) - 1) / 2)) == pytest.approx(30.0)


def test_crop_pixels_equal_the_projection_of_rotated_points(cameras) -> None:
    K, box = cameras
    points = points_in(K, box)
    crop = perspective_crop(K, box, 224, margin=1.1)
    through_picture = transform_pixels(project(points, K), crop.homography)
    through_rotation = project(rotate_points(points, crop.rotation), crop.K_crop)
    torch.testing.assert_close(through_picture, through_rotation, rtol=0, atol=1e-9)
    torch.testing.assert_close(rotate_points_to_original(rotate_points(points, crop.rotation), crop.rotation), points)
    # where fx = fy the box lies inside and touches a border; every crop is a centred camera with square pixels
    square = K[:, 0, 0] == K[:, 1, 1]
    assert square.sum() == 7
    assert (through_rotation[square] > 0).all() and (through_rotation[square] < 224).all()
    tight = perspective_crop(K, box, 224)
    corners = box[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(8, 4, 2)
    reach = (transform_pixels(corners, tight.homography) - 112).abs().amax(dim=(1, 2))
    torch.testing.assert_close(reach[square], torch.full((7,), 112.0, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(tight.K_crop[:, :2, 2], torch.full((8, 2), 112.0, dtype=torch.float64))
    torch.testing.assert_close(tight.K_crop[:, 0, 0], tight.K_crop[:, 1, 1])


def test_crop_without_rotation_keeps_the_projection(cameras) -> None:
    K, box = cameras
    points = points_in(K, box)
    crop = perspective_crop(K, box, rotate=False)
    torch.testing.assert_close(
        project(points, crop.K_crop), transform_pixels(project(points, K), crop.homography), rtol=0, atol=1e-9
    )
    torch.testing.assert_close(crop.rotation, torch.eye(3, dtype=torch.float64).expand(8, 3, 3))


@pytest.mark.parametrize(
    "box",
    [
        [-4000.0, -3000.0, 4600.0, 3400.0],  # far beyond a 100 px lens on both sides
        [0.0, 0.0, 6000.0, 400.0],  # centre far off the axis: the near corners end up behind the turned camera
        [300.0, -90000.0, 340.0, 90000.0],
    ],
)
def test_boxes_across_the_camera_plane_are_cut_not_exploded(box: list[float]) -> None:
    K = intrinsics_matrix(100.0, 640, 480)
    crop = perspective_crop(K, torch.tensor(box, dtype=torch.float64))
    assert torch.isfinite(crop.homography).all() and torch.isfinite(crop.K_crop).all()
    angle = math.degrees(math.atan(128 / float(crop.K_crop[0, 0])))
    assert 45 < angle <= 80.01


def test_body_turned_back_is_the_same_body() -> None:
    """Skinned points R_root (x - j0) + j0 + transl must come back as R^T of the points in the turned camera."""
    generator = torch.Generator().manual_seed(4)
    K = intrinsics_matrix(900.0, 1280, 720).expand(2, 3, 3)
    R = perspective_rotation(K, torch.tensor([[100.0, 80.0], [1200.0, 650.0]]))
    away = torch.tensor([[300.0, 700.0], [20.0, 30.0]])
    orient = perspective_rotation(K, away, twist_deg=torch.tensor([40.0, -70.0]))
    rest = torch.randn(2, 3, generator=generator, dtype=torch.float64) * 0.2
    transl = torch.tensor([[0.1, 0.2, 3.0], [-0.4, 0.3, 5.0]], dtype=torch.float64)
    body = torch.randn(2, 40, 3, generator=generator, dtype=torch.float64)

    def posed(orient, transl):
        return (body - rest[:, None]) @ orient.transpose(-1, -2) + (rest + transl)[:, None]

    back_orient, back_transl = rotate_body_to_original(orient, transl, rest, R)
    expected = rotate_points_to_original(posed(orient, transl), R)
    torch.testing.assert_close(posed(back_orient, back_transl), expected, rtol=0, atol=1e-12)


def test_encoding_is_the_ray_of_each_cell() -> None:
    K = intrinsics_matrix(400.0, 256, 256)
    encoding = perspective_encoding(K, 256)
    assert encoding.shape == (2, 64, 64)
    ray = unproject(torch.tensor([[4 * 10 + 2.0, 4 * 50 + 2.0]], dtype=torch.float64), 1.0, K)[0]
    torch.testing.assert_close(encoding[:, 50, 10], ray[:2])
    assert float(encoding[0, 0, 0]) < 0 < float(encoding[0, 0, -1])  # channel 0 grows to the right


def test_warp_uses_pixel_centres_at_half() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:20, 30:40] = (250, 120, 10)
    zoom = np.array([[2.0, 0, -60 + 1], [0, 2.0, -20 + 1], [0, 0, 1]])  # the patch's corner to (1, 1)
    crop = warp_crop(image, torch.from_numpy(zoom), 32)
    rows, columns = np.nonzero(crop[..., 0] > 125)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 20, 1, 20)
    outside = warp_crop(image + 9, np.diag([0.5, 0.5, 1.0]), 64)
    assert (outside[25:, 40:] == 0).all() and (outside[:15, :10] > 0).all()


@pytest.mark.parametrize("focal", [0.0, -3.0, math.nan, math.inf])
def test_bad_focal_is_refused(focal: float) -> None:
    with pytest.raises(CameraError, match="focal length"):
        intrinsics_matrix(focal, 640, 480)
    K = torch.tensor([[focal, 0, 320], [0, focal, 240], [0, 0, 1.0]])
    with pytest.raises(CameraError):
        perspective_rotation(K, torch.tensor([3.0, 4.0]))


@pytest.mark.parametrize("box", [[10.0, 10, 10, 20], [10, 20, 30, 5], [math.nan, 0, 1, 1]])
def test_bad_box_is_refused(box: list[float]) -> None:
    with pytest.raises(CameraError, match="box"):
        perspective_crop(intrinsics_matrix(500.0, 640, 480), torch.tensor(box))


def test_other_refusals() -> None:
    K = intrinsics_matrix(500.0, 640, 480)
    with pytest.raises(CameraError, match="multiple of 4"):
        perspective_encoding(K, 250)
    with pytest.raises(CameraError, match="shape"):
        perspective_rotation(torch.eye(4), torch.zeros(2))
    with pytest.raises(CameraError, match="homography"):
        warp_crop(np.zeros((4, 4, 3), np.uint8), np.full((3, 3), np.nan))
    with pytest.raises(CameraError, match="finite"):
        perspective_rotation(K, torch.tensor([math.nan, 0.0]))
