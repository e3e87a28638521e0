"""Rotations: goldens, round trips, the hard places (0 and pi), gradients."""

import numpy as np
import pytest
import torch
from harness import gradcheck
from shared_data import tensors

from dsr.body.numpy_lbs import rodrigues
from dsr.body.rotations import (
    axis_angle_to_rotmat,
    nearest_rotmat,
    quaternion_to_axis_angle,
    quaternion_to_rotmat,
    rot6d_to_rotmat,
    rotmat_to_axis_angle,
    rotmat_to_quaternion,
    rotmat_to_rot6d,
)


@pytest.fixture
def golden():
    return tensors("perspose", "rotations")


def random_axis_angle(n: int = 200) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    axis = torch.nn.functional.normalize(torch.randn(n, 3, generator=generator, dtype=torch.float64), dim=1)
    return axis * torch.linspace(0, 3.14, n, dtype=torch.float64)[:, None]


def test_goldens_of_perspose(golden):
    assert torch.allclose(axis_angle_to_rotmat(golden["aa"]), golden["rodrigues"], atol=1e-7)
    assert torch.allclose(rotmat_to_axis_angle(golden["rodrigues"]), golden["aa"], atol=1e-7)
    assert torch.allclose(quaternion_to_axis_angle(golden["quat"]), golden["quat2aa"], atol=1e-9)
    quaternion = golden["mat2quat"]
    quaternion = torch.where(quaternion[:, :1] < 0, -quaternion, quaternion)
    assert torch.allclose(rotmat_to_quaternion(golden["rodrigues"]), quaternion, atol=1e-9)
    assert torch.allclose(rot6d_to_rotmat(golden["rot6d_in"]), golden["rot6d_out"], atol=1e-9)


def test_round_trips():
    aa = random_axis_angle()
    rotmat = axis_angle_to_rotmat(aa)
    assert torch.allclose(rotmat @ rotmat.mT, torch.eye(3, dtype=aa.dtype).expand_as(rotmat), atol=1e-12)
    assert torch.allclose(torch.linalg.det(rotmat), torch.ones(len(aa), dtype=aa.dtype))
    assert torch.allclose(rotmat_to_axis_angle(rotmat), aa, atol=1e-10)
    assert torch.allclose(quaternion_to_rotmat(rotmat_to_quaternion(rotmat)), rotmat, atol=1e-12)
    assert torch.allclose(rot6d_to_rotmat(rotmat_to_rot6d(rotmat)), rotmat, atol=1e-12)
    assert np.allclose(rodrigues(aa.numpy()), rotmat.numpy(), atol=1e-12)


def test_quarter_turn_has_the_right_sign():
    turned = axis_angle_to_rotmat(torch.tensor([0.0, 0.0, torch.pi / 2])) @ torch.tensor([1.0, 0.0, 0.0])
    assert torch.allclose(turned, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_angle_is_exact_with_finite_gradients(dtype):
    zero = torch.zeros(2, 3, dtype=dtype, requires_grad=True)
    rotmat = axis_angle_to_rotmat(zero)
    assert torch.equal(rotmat, torch.eye(3, dtype=dtype).expand(2, 3, 3))
    back = rotmat_to_axis_angle(rotmat)
    assert torch.equal(back, torch.zeros_like(back))
    (gradient,) = torch.autograd.grad(back[:, 0].sum(), zero)
    assert torch.allclose(gradient, torch.tensor([1.0, 0.0, 0.0], dtype=dtype).expand(2, 3))


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0.8, 0), (-0.6, 0, 0.8), (0.48, 0.6, 0.64)])
@pytest.mark.parametrize("short_of_pi", [0.0, 1e-9, 1e-5, 1e-3])
def test_half_turns(axis, short_of_pi):
    aa = (torch.pi - short_of_pi) * torch.tensor(axis, dtype=torch.float64)
    rotmat = axis_angle_to_rotmat(aa).requires_grad_()
    back = rotmat_to_axis_angle(rotmat)
    assert torch.allclose(axis_angle_to_rotmat(back), rotmat, atol=1e-9)
    assert abs(back.detach().norm() - (torch.pi - short_of_pi)) < 1e-7
    (gradient,) = torch.autograd.grad(back.sum(), rotmat)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e-3, 1.0, 3.0])
def test_gradients_against_finite_differences(scale):
    aa = scale * torch.tensor([[0.6, -0.48, 0.64]], dtype=torch.float64)
    gradcheck(axis_angle_to_rotmat, aa)
    gradcheck(lambda v: rotmat_to_axis_angle(axis_angle_to_rotmat(v)), aa)


def test_nearest_rotation_is_never_a_mirror():
    mirror = torch.diag(torch.tensor([1.0, 1.0, -0.1], dtype=torch.float64))
    assert torch.allclose(nearest_rotmat(mirror), torch.eye(3, dtype=torch.float64))
    rotmat = axis_angle_to_rotmat(random_axis_angle(20))
    assert torch.allclose(nearest_rotmat(1.7 * rotmat), rotmat, atol=1e-10)
