"""The weak-perspective camera of DSR and the placing of its bodies in the whole picture."""

from __future__ import annotations

import math

import pytest
import torch
from shared_data import tensors

from dsr import camera
from dsr.body import axis_angle_to_rotmat
from dsr.camera import camera_to_translation, fit_translation, place_in_picture, project_weak, translation_to_camera
from dsr.errors import CameraError


def test_published_translation_and_projection():
    g = tensors("dsr", "geometry")
    torch.testing.assert_close(camera_to_translation(g["weak_cam"]), g["cam_t"], rtol=1e-5, atol=1e-6)
    ours = project_weak(g["points"], g["weak_cam"])
    torch.testing.assert_close(112 * ours, g["proj_identity_center0"], rtol=1e-5, atol=1e-4)
    K = torch.zeros(3, 3, 3)
    K[:, 0, 0] = K[:, 1, 1] = 5000
    K[:, 2, 2] = 1
    K[:, :2, 2] = g["proj_center"]
    turned = g["points"] @ g["proj_rot"].transpose(1, 2) + g["cam_t"][:, None]
    torch.testing.assert_close(camera.project(turned, K), g["proj_rot_center"], rtol=1e-5, atol=1e-3)


def test_renderer_matrix_of_the_release_sees_the_same():
    """P looks with y up; seen from there the crop's v is mirrored."""
    g = tensors("dsr", "geometry")
    ones = torch.ones_like(g["points"][..., :1])
    seen = torch.cat((g["points"], ones), -1).double() @ g["proj_mat_P"].double().transpose(1, 2)
    ours = 112 + 112 * project_weak(g["points"], g["weak_cam"]) * torch.tensor([1.0, -1.0])
    torch.testing.assert_close((seen[..., :2] / seen[..., 2:]).float(), ours, rtol=1e-5, atol=1e-3)


def test_published_camera_fit():
    g = tensors("dsr", "geometry")
    K = torch.tensor([[5000.0, 0, 112], [0, 5000, 112], [0, 0, 1]])
    pixels = g["esttrans_joints2d_px_conf"]
    ours = fit_translation(g["points"][:, 25:], pixels[:, 25:, :2], K, pixels[:, 25:, 2])
    torch.testing.assert_close(ours, g["esttrans_out"], rtol=1e-4, atol=1e-4)


def test_camera_and_translation_are_inverse():
    weak = torch.tensor([[0.9, 0.1, -0.2], [1.3, -0.4, 0.3]])
    torch.testing.assert_close(translation_to_camera(camera_to_translation(weak)), weak)


def test_fit_finds_the_translation_and_takes_unseen_points_for_nothing():
    rng = torch.Generator().manual_seed(0)
    points = torch.rand(4, 12, 3, generator=rng, dtype=torch.float64) - 0.5
    truth = torch.tensor([[0.3, -0.2, 3.0], [1.0, 0.5, 5.0], [-2.0, 0.0, 9.0], [0.0, 0.1, 40.0]], dtype=torch.float64)
    K = camera.intrinsics_matrix(800, 640, 480)
    pixels = camera.project(points + truth[:, None], K)
    torch.testing.assert_close(fit_translation(points, pixels, K), truth, rtol=1e-6, atol=1e-6)
    pixels[:, 3] = 1e4
    seen = torch.ones(4, 12, dtype=torch.float64)
    seen[:, 3] = 0
    torch.testing.assert_close(fit_translation(points, pixels, K, seen), truth, rtol=1e-6, atol=1e-6)
    assert (fit_translation(points, pixels, K, 0 * seen) == 0).all()


def test_fit_is_the_least_of_pixel_errors_times_depth():
    """With pixels that no translation explains, and focal lengths that differ."""
    rng = torch.Generator().manual_seed(1)
    points = torch.rand(9, 3, generator=rng, dtype=torch.float64) - 0.5
    K = torch.tensor([[500.0, 0, 320], [0, 1500, 240], [0, 0, 1]], dtype=torch.float64)
    pixels = camera.project(points + torch.tensor([0.2, 0.1, 4.0]), K)
    pixels = pixels + 30 * torch.randn(9, 2, generator=rng, dtype=torch.float64)
    confidence = torch.rand(9, generator=rng, dtype=torch.float64)
    transl = fit_translation(points, pixels, K, confidence).requires_grad_()
    placed = points + transl
    error = (camera.project(placed, K) - pixels) * placed[:, 2:]
    (slope,) = torch.autograd.grad((confidence[:, None] * error.square()).sum(), transl)
    scale = (confidence[:, None] * K[1, 1] * error.abs()).sum()
    assert float((slope / scale).abs().max()) < 1e-6


def body_points(count: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of something the size of a person, and where its root joint is; origin near the chest as in SMPL."""
    rng = torch.Generator().manual_seed(3)
    spread = torch.tensor([0.35, 0.9, 0.25], dtype=torch.float64)
    rest = (2 * torch.rand(1, count, 3, generator=rng, dtype=torch.float64) - 1) * spread
    root = torch.tensor([[0.0, -0.22, 0.03]], dtype=torch.float64)
    return rest, root


def posed(rest, root, orient, transl):
    """What the body layer does with one joint."""
    return (rest - root[:, None]) @ orient.transpose(1, 2) + root[:, None] + transl[:, None]


def test_same_lens_on_the_axis_gives_the_same_picture_exactly():
    """A picture that is the crop, seen with the focal length the network assumes."""
    rest, root = body_points()
    orient = axis_angle_to_rotmat(torch.tensor([[2.9, 0.3, -0.2]], dtype=torch.float64))
    weak = torch.tensor([[0.8, 0.0, 0.0]], dtype=torch.float64)
    side = 500.0
    K = camera.intrinsics_matrix(5000 * side / 224, 1000, 800)
    middle = torch.tensor([[500.0, 400.0]], dtype=torch.float64)
    placed = place_in_picture(orient, weak, root, K, middle, side)
    zero = torch.zeros(1, 3, dtype=torch.float64)
    wanted = middle[:, None] + side / 2 * project_weak(posed(rest, root, orient, zero), weak)
    got = camera.project(posed(rest, root, placed.global_orient, placed.transl), K)
    torch.testing.assert_close(placed.rotation, torch.eye(3, dtype=torch.float64)[None])
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)  # the 1e-9 of the published formula


@pytest.mark.parametrize(("focal", "bound", "bound_fitted"), [(20000.0, 0.003, 0.0015), (1200.0, 0.075, 0.04)])
@pytest.mark.parametrize("middle", [(960.0, 540.0), (300.0, 700.0), (1700.0, 250.0)])
def test_the_body_lies_over_the_crop_joints_anywhere(focal, bound, bound_fitted, middle):
    """Off the axis and with true lenses joints move by the share depth offset / distance of the crop at most."""
    rest, root = body_points()
    orient = axis_angle_to_rotmat(torch.tensor([[2.9, 0.3, -0.2]], dtype=torch.float64))
    weak = torch.tensor([[0.9, 0.05, -0.08]], dtype=torch.float64)
    side = 400.0
    K = camera.intrinsics_matrix(focal, 1920, 1080)
    centre = torch.tensor([middle], dtype=torch.float64)
    points = posed(rest, root, orient, torch.zeros(1, 3, dtype=torch.float64))
    wanted = centre[:, None] + side / 2 * project_weak(points, weak)

    def error(placed):
        got = camera.project(posed(rest, root, placed.global_orient, placed.transl), K)
        return float((got - wanted).norm(dim=-1).max() / side)

    assert error(place_in_picture(orient, weak, root, K, centre, side)) < bound
    assert error(place_in_picture(orient, weak, root, K, centre, side, points=points)) < bound_fitted


@pytest.mark.parametrize("where", [(0.0, 0.0), (2.2, 0.3), (-2.5, -0.6), (0.4, 1.4)])
def test_a_perfect_prediction_comes_back_as_the_true_body(where):
    """The network sees the body as the turned camera does; orientation must come back exactly, distance nearly."""
    rest, root = body_points()
    K = camera.intrinsics_matrix(1500, 1920, 1080)
    transl = torch.tensor([[*where, 6.0]], dtype=torch.float64)
    orient = axis_angle_to_rotmat(torch.tensor([[3.0, 0.4, 0.1]], dtype=torch.float64))
    pixels = camera.project(posed(rest, root, orient, transl), K)
    low, high = pixels.amin(1), pixels.amax(1)
    centre, side = (low + high) / 2, float((high - low).max() * 1.2)
    R = camera.perspective_rotation(K, centre)
    seen = R @ orient
    points = posed(rest, root, seen, torch.zeros(1, 3, dtype=torch.float64))
    crop = (pixels - centre[:, None]) / (side / 2)
    K_weak = torch.tensor([[5000.0, 0, 0], [0, 5000, 0], [0, 0, 1]], dtype=torch.float64)
    weak = translation_to_camera(fit_translation(points, crop * 112, K_weak))
    placed = place_in_picture(seen, weak, root, K, centre, side)
    torch.testing.assert_close(placed.global_orient, orient, rtol=0, atol=1e-9)
    assert float((placed.transl - transl).norm() / transl.norm()) < 0.05
    fitted = place_in_picture(seen, weak, root, K, centre, side, points=points)
    assert float((fitted.transl - transl).norm() / transl.norm()) < 0.004
    angle = math.degrees(math.acos(float(R[0, 2, 2])))
    assert angle > 9 or where == (0.0, 0.0)


@pytest.mark.parametrize("focal", [(1200.0, 1200.0), (1000.0, 1300.0)])
@pytest.mark.parametrize("middle", [(960.0, 540.0), (60.0, 900.0), (1850.0, 100.0)])
def test_a_square_metre_has_the_area_that_the_crop_gives_it(focal, middle):
    """Anywhere in the picture: the depth makes up for the stretch of a flat picture far from its axis."""
    weak, side, step = torch.tensor([[0.9, 0.0, 0.0]], dtype=torch.float64), 300.0, 1e-4
    K = camera.intrinsics_matrix(1.0, 1920, 1080)
    K[0, 0], K[1, 1] = focal
    eye, zero = torch.eye(3, dtype=torch.float64)[None], torch.zeros(1, 3, dtype=torch.float64)
    placed = place_in_picture(eye, weak, zero, K, torch.tensor([middle], dtype=torch.float64), side)
    corners = torch.tensor([[[0.0, 0, 0], [step, 0, 0], [0, step, 0]]], dtype=torch.float64)
    pixels = camera.project(posed(corners, zero, placed.global_orient, placed.transl), K)[0]
    area = torch.linalg.det(pixels[1:] - pixels[0]) / step**2
    torch.testing.assert_close(area, torch.tensor((side / 2 * 0.9) ** 2, dtype=torch.float64), rtol=2e-3, atol=0)
    assert placed.rotation[0, 2, 2] < 0.85 or middle == (960.0, 540.0)


def test_untrained_scales_still_stand_in_front_of_the_camera():
    _, root = body_points()
    K = camera.intrinsics_matrix(1000, 640, 480)
    weak = torch.tensor([[-0.3, 0.1, 0.1], [0.0, 0.0, 0.0]], dtype=torch.float64)
    orient = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    placed = place_in_picture(orient, weak, root.expand(2, 3), K, torch.full((2, 2), 200.0), 300.0)
    assert torch.isfinite(placed.transl).all()
    assert (placed.transl[:, 2] > 0).all()


def test_a_crop_without_extent_is_refused():
    eye = torch.eye(3)[None]
    with pytest.raises(CameraError, match="side of a crop"):
        place_in_picture(eye, torch.ones(1, 3), torch.zeros(1, 3), eye[0], torch.zeros(1, 2), 0.0)
