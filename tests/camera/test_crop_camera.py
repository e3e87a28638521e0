"""Bodies where their crops show them: the published camera, and the crop's own."""

import numpy as np
import pytest
import torch

from dsr.body import joints49, load_body
from dsr.camera import camera_to_translation, project_weak
from dsr.camera.crop_camera import place_in_crop, project_to_crop, published_intrinsics
from dsr.datasets import DsrView, collate
from dsr.datasets.augment import DsrAugment
from dsr.synthetic import SyntheticSource

SIZE = 96


def test_the_published_intrinsics_give_the_published_camera():
    camera = torch.tensor([[0.9, 0.1, -0.2], [0.3, -0.4, 0.5]])
    points = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0))
    K = published_intrinsics(2, SIZE, camera)
    transl = place_in_crop(camera, K, SIZE)
    torch.testing.assert_close(transl, camera_to_translation(camera), atol=1e-4, rtol=1e-6)
    torch.testing.assert_close(
        project_to_crop(points, transl, K, SIZE), project_weak(points, camera), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("drawn", [DsrAugment(), DsrAugment(True, (1, 1, 1), 20.0, 1.1)])
def test_the_own_camera_sees_a_near_body_where_it_is(drawn):
    """The labels' body at its true place falls on its keypoints; with the published camera nothing brings it there."""
    body = load_body("open-light")
    source = SyntheticSource(4, 5, 144, occluders=False, facing_deg=45.0)
    view = DsrView(image_size=SIZE, targets=False)
    batch = collate([view.sample(source.record(i), drawn) for i in range(4)])
    pose, K = batch["pose_rotmat"], batch["K_crop"]
    with torch.no_grad():
        output = body(batch["betas"], pose[:, 1:], pose[:, 0])
        joints = joints49(body, output.vertices, output.joints)[:, 25:]
    true, seen = batch["keypoints"][:, 25:, :2], batch["keypoints"][:, 25:, 2] > 0

    def misses(intrinsics):
        camera = torch.tensor([[0.8, 0.0, 0.2]]).repeat(4, 1).requires_grad_()
        adam = torch.optim.Adam([camera], lr=0.03)
        for step in range(400):
            adam.param_groups[0]["lr"] = 0.03 * (1 - step / 400)
            points = project_to_crop(joints, place_in_crop(camera, intrinsics, SIZE), intrinsics, SIZE)
            apart = ((points - true).norm(dim=-1) * seen).sum(1) / seen.sum(1)
            adam.zero_grad()
            apart.sum().backward()
            adam.step()
        return SIZE / 2 * apart.detach().numpy()

    own, far = misses(K), misses(published_intrinsics(4, SIZE, K))
    assert own.max() < 0.2, own
    assert np.all(far > 3 * own) and far.mean() > 0.5, far


def test_points_behind_the_camera_keep_finite_gradients():
    camera = torch.tensor([[2.0, 0.0, 0.0]], requires_grad=True)
    K = torch.tensor([[[60.0, 0, 48], [0, 60, 48], [0, 0, 1]]])
    points = torch.tensor([[[0.1, 0.2, -5.0], [0.0, 0.0, -0.63]]])
    project_to_crop(points, place_in_crop(camera, K, SIZE), K, SIZE).square().sum().backward()
    assert camera.grad.isfinite().all() and camera.grad.abs().max() < 1e5
