"""Keypoint, parameter and camera terms, weights and the light import."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from dsr import losses
from dsr.body import axis_angle_to_rotmat
from dsr.errors import LossError


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_keypoints_without_confidence_may_hold_anything():
    predicted, target, confidence = random(2, 5, 2), random(2, 5, 2, seed=1), random(2, 5, seed=2)
    confidence[0, 3] = confidence[1, 0] = 0
    clean = losses.keypoint_2d_loss(predicted, target, confidence)
    target[0, 3], target[1, 0] = torch.nan, torch.inf
    predicted[0, 3] = torch.nan
    predicted.requires_grad_()
    loss = losses.keypoint_2d_loss(predicted, target, confidence)
    loss.backward()
    assert loss == clean > 0
    assert predicted.grad.isfinite().all()


def test_keypoint_loss_of_one_known_error():
    target = torch.zeros(1, 4, 2)
    predicted = target.clone()
    predicted[0, 1, 0] = 3
    assert losses.keypoint_2d_loss(predicted, target, torch.full((1, 4), 0.5)) == pytest.approx(0.5 * 9 / 8)
    assert losses.keypoint_2d_loss(target, target, torch.ones(1, 4)) == 0


def test_3d_keypoints_do_not_care_where_the_body_stands_nor_about_samples_without_truth():
    target, confidence = random(3, 24, 3), torch.ones(3, 24)
    predicted = target + torch.tensor([1.0, -2.0, 5.0])
    assert losses.keypoint_3d_loss(predicted, target, confidence) == pytest.approx(0, abs=1e-10)
    predicted[:, 7] += 0.3
    loss = losses.keypoint_3d_loss(predicted, target, confidence)
    assert loss == pytest.approx(0.09 / 24, rel=1e-4)
    has = torch.tensor([True, False, True])
    target[1] = torch.nan
    predicted.requires_grad_()
    masked = losses.keypoint_3d_loss(predicted, target, confidence, has)
    masked.backward()
    torch.testing.assert_close(masked.detach(), loss, rtol=1e-4, atol=0)  # a mean over those that have a truth
    assert predicted.grad.isfinite().all()
    assert (predicted.grad[1] == 0).all()
    other = losses.keypoint_3d_loss(predicted, target, confidence, has, root=(7,))
    assert other > masked


def test_pose_loss_takes_matrices_and_axis_angles():
    aa = random(3, 24, 3)
    predicted = axis_angle_to_rotmat(random(3, 24, 3, seed=1))
    forms = [float(losses.pose_loss(predicted, t)) for t in (axis_angle_to_rotmat(aa), aa, aa.flatten(1))]
    assert forms[0] == pytest.approx(forms[1]) == pytest.approx(forms[2])
    assert forms[0] > 0.01
    assert losses.pose_loss(axis_angle_to_rotmat(aa), aa) == pytest.approx(0, abs=1e-12)
    with pytest.raises(LossError, match="target must have shape"):
        losses.pose_loss(predicted, aa[:, :23])


@pytest.mark.parametrize("loss", ["pose", "betas", "vertices"])
def test_parameter_terms_leave_out_samples_without_truth(loss):
    call, shape = {
        "pose": (losses.pose_loss, (4, 24, 3, 3)),
        "betas": (losses.betas_loss, (4, 10)),
        "vertices": (losses.vertex_loss, (4, 30, 3)),
    }[loss]
    predicted, target = random(*shape), random(*shape, seed=1)
    has = torch.tensor([True, False, True, False])
    expected = call(predicted[has], target[has])
    target[~has] = torch.nan
    predicted.requires_grad_()
    value = call(predicted, target, has)
    value.backward()
    torch.testing.assert_close(value, expected)
    assert predicted.grad.isfinite().all()
    assert call(predicted, target, torch.zeros(4, dtype=torch.bool)) == 0
    with pytest.raises(LossError, match="target contains NaN"):
        call(predicted, target)
    with pytest.raises(LossError, match="has_smpl"):
        call(predicted, target, has[:3])


def test_camera_term_stays_finite_where_the_published_one_overflows():
    for scale in (-50.0, -5.0, -1.0, 0.0, 0.9):
        camera = torch.tensor([[scale, 0.0, 0.0]], requires_grad=True)
        loss = losses.camera_scale_loss(camera)
        loss.backward()
        assert loss.isfinite()
        assert camera.grad.isfinite().all()
        assert camera.grad[0, 0] < 0  # a larger scale is always better
        if scale >= -1:
            torch.testing.assert_close(loss, losses.camera_scale_loss(camera, compat=True))
    assert losses.camera_scale_loss(torch.tensor([[-5.0, 0, 0]]), compat=True).isinf()


def test_empty_batches_give_zero():
    nobody = torch.zeros(0, 24, 3)
    assert losses.keypoint_3d_loss(nobody, nobody, nobody[..., 0]) == 0
    assert losses.vertex_loss(nobody, nobody) == 0
    assert losses.camera_scale_loss(nobody[:, 0]) == 0
    assert losses.dsr_mc_loss(nobody, nobody) == 0


def test_total_leaves_terms_without_weight_out():
    weights = losses.LossWeights()
    broken = torch.tensor(torch.nan, requires_grad=True)
    pose = torch.tensor(2.0, requires_grad=True)
    total, logged = losses.weighted_total(
        {"loss_shape": broken * 1, "loss_dsr_mc": broken * 2, "loss_regr_pose": pose}, weights, dsr_started=False
    )
    total.backward()
    assert total == 120
    assert logged["loss_shape"] == 0
    assert pose.grad == 60
    with pytest.raises(LossError, match="loss_pose"):
        losses.weighted_total({"loss_pose": pose})
    with pytest.raises(LossError, match="scalar"):
        losses.weighted_total({"loss_cam": torch.ones(3)})
    with pytest.raises(LossError, match="terms is empty"):
        losses.weighted_total({})


def test_schedule_of_the_semantic_terms():
    training = losses.PUBLISHED_TRAINING
    assert [training.dsr_started(epoch) for epoch in range(5)] == [False, False, False, True, True]
    assert losses.PUBLISHED_DEFAULTS.dsr_started(0)
    assert not losses.LossWeights(dsr_mc=0, dsr_c=0, start_dsr=-1).dsr_started(9)
    assert (training.mc_variant, training.compat, training.sigma, training.gamma) == ("row_iou", "on", 1e-5, 1e-1)
    assert losses.LossWeights().compat == "off"


def test_importing_the_room_imports_no_torch():
    code = "import sys, dsr.losses; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there():
    for name in losses.__all__:
        assert getattr(losses, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        losses.nothing_like_it  # noqa: B018
