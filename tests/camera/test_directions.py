"""Smallest rotations between directions: what they turn, how far, and about which axis."""

from __future__ import annotations

import math

import pytest
import torch

from dsr.camera.directions import angle_between, cross_matrix, frame, swing, unit


def directions(count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(5)
    return tuple(torch.randn(count, 3, generator=rng, dtype=torch.float64) for _ in range(2))


def angle_of(R: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(R - torch.eye(3, dtype=R.dtype), dim=(-2, -1)).div(math.sqrt(8)).asin() * 2


def test_swing_turns_start_to_target_by_the_angle_between_them():
    a, b = directions()
    R = swing(a, b)
    torch.testing.assert_close((R @ unit(a)[..., None])[..., 0], unit(b))
    torch.testing.assert_close(angle_of(R), angle_between(a, b))
    across = torch.linalg.cross(a, b)
    torch.testing.assert_close((R @ across[..., None])[..., 0], across)  # the axis stays


def test_no_direction_turns_nothing():
    a, _ = directions(3)
    torch.testing.assert_close(swing(a, 0 * a), torch.eye(3, dtype=a.dtype).expand(3, 3, 3))


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 1.0, 2.0, math.pi - 1e-6])
def test_swing_has_a_gradient_at_every_angle(angle):
    start = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    target = torch.tensor([math.sin(angle), 0.0, math.cos(angle)], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(swing(start, target)[0, 2], target)
    torch.testing.assert_close(
        gradient,
        torch.tensor([math.cos(angle) ** 2, 0.0, -math.sin(angle) * math.cos(angle)]).double(),
        rtol=1e-6,
        atol=1e-6,
    )


def test_frames_and_cross_products():
    a, b = directions()
    F = frame(a, b)
    torch.testing.assert_close(torch.linalg.det(F), torch.ones(len(a), dtype=torch.float64))
    torch.testing.assert_close(F[..., 0], unit(a))
    assert ((F[..., 1] * b).sum(-1) > 0).all() and (F[..., 2] * b).sum(-1).abs().max() < 1e-12
    torch.testing.assert_close((cross_matrix(a) @ b[..., None])[..., 0], torch.linalg.cross(a, b))
