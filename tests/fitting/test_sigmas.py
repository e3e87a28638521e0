"""Uncertainties of detections: the table per joint, and what agreement of landmarks and keypoints says of a person."""

from __future__ import annotations

import pytest
import torch

from dsr.body import joint_names
from dsr.fitting.sigmas import (
    LEAST_FACTOR,
    USUAL_DISAGREEMENT,
    disagreement,
    landmark_sigma,
    limb_weight,
    person_factor,
)

NAMES = joint_names("blazepose33")


@pytest.fixture(scope="module")
def people():
    """Two people's landmarks, where they stand, their rays and their size in the picture."""
    generator = torch.Generator().manual_seed(3)
    landmarks = 0.4 * torch.randn(2, 33, 3, generator=generator, dtype=torch.float64)
    placed = landmarks + torch.tensor([[0.3, -0.2, 3.0], [0.0, 0.1, 6.0]], dtype=torch.float64)[:, None]
    return landmarks, placed[..., :2] / placed[..., 2:], torch.tensor([0.5, 0.3], dtype=torch.float64)


def test_depth_and_distant_joints_are_less_certain():
    sigma = landmark_sigma("blazepose33")
    by_name = dict(zip(NAMES, sigma, strict=True))
    assert sigma.shape == (33, 3)
    assert (sigma[:, 2] > sigma[:, 0]).all()
    assert by_name["left_hip"][2] < by_name["left_knee"][2] < by_name["left_ankle"][2]
    assert torch.equal(by_name["left_shoulder"], by_name["right_shoulder"])
    assert limb_weight("blazepose33").sum() == 12


def test_landmarks_of_the_same_place_agree_wherever_they_are_put(people):
    landmarks, rays, scale = people
    weight = torch.ones(2, 33, dtype=torch.float64)
    assert (disagreement(rays, landmarks, weight, scale) < 1e-6).all()
    assert (person_factor(disagreement(rays, landmarks, weight, scale)) == LEAST_FACTOR).all()


def test_disagreement_is_a_share_of_the_box(people):
    landmarks, rays, scale = people
    weight = torch.ones(2, 33, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(rays.shape, generator=generator, dtype=torch.float64) / 2**0.5
    off = disagreement(rays + 0.02 * scale[:, None, None] * noise, landmarks, weight, scale)
    torch.testing.assert_close(off, torch.full_like(off, 0.02), rtol=0.15, atol=0)
    assert (person_factor(off) == 1).all()
    unseen = weight.clone()
    unseen[:, 13] = 0
    rays = rays.clone()
    rays[:, 13] += 1
    assert (disagreement(rays, landmarks, unseen, scale) < 1e-6).all()


def test_what_a_detector_gives_is_not_called_exact():
    off = torch.tensor([USUAL_DISAGREEMENT, 0.1, 1e3])
    assert torch.equal(person_factor(off), torch.ones(3))
