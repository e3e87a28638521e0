"""Descending on the silhouette alone: a shifted body finds its place, a turned forearm its angle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dsr.body import load_body
from dsr.rendering import RenderSettings, SemanticRenderer

SIZE = (160, 160)
FOCAL = 260.0
K = torch.tensor([[FOCAL, 0, 80.0], [0, FOCAL, 80.0], [0, 0, 1]])
DEPTH_M = 3.4
LEFT_ELBOW = 18
# 2 px of blur: the silhouette is far-sighted enough to pull, sharp enough to stop
SETTINGS = RenderSettings(sigma=3e-4)


@pytest.fixture(scope="module")
def body():
    return load_body("open-light")


@pytest.fixture(scope="module")
def faces(body):
    return body.faces[~torch.as_tensor(body.asset.interior)]


def silhouette(render, body, faces, pose, transl):
    """The body with arms hanging out at 45 degrees, facing the camera, (H, W)."""
    upright = torch.tensor([[math.pi, 0.0, 0.0]])  # y up to y down
    output = body(torch.zeros(1, body.num_betas), body_pose=pose, global_orient=upright, transl=transl)
    ones = torch.ones(len(faces), 1)
    return render(output.vertices, faces, ones, K, SIZE).alpha[0]


def relaxed(elbow_deg):
    """Axis-angle pose (1, 23, 3): arms down by 40 degrees, left forearm turned in the picture's plane."""
    pose = torch.zeros(1, 23, 3)
    pose[0, 15, 2], pose[0, 16, 2] = -math.radians(40), math.radians(40)
    turned = torch.nn.functional.one_hot(torch.tensor(LEFT_ELBOW - 1), 23)[None, :, None]
    axis = torch.tensor([0.0, 0, 1])
    return pose + turned * axis * torch.deg2rad(torch.as_tensor(elbow_deg, dtype=torch.float32))


def iou_loss(alpha, target):
    return 1 - (alpha * target).sum() / (alpha + target - alpha * target).sum()


@pytest.mark.parametrize("direction", [(1.0, 0.0), (-0.6, 0.8)])
def test_a_body_ten_pixels_off_finds_its_silhouette(body, faces, direction):
    render = SemanticRenderer(SETTINGS, "warp")
    truth = torch.tensor([[0.02, 0.1, DEPTH_M]])
    pose = relaxed(0.0)
    with torch.no_grad():
        target = silhouette(render, body, faces, pose, truth)
    metres_per_px = DEPTH_M / FOCAL
    offset = torch.tensor([[*direction, 0.0]]) * 10 * metres_per_px
    transl = (truth + offset).requires_grad_()
    optimiser = torch.optim.Adam([transl], lr=0.5 * metres_per_px)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.97)
    for _ in range(80):
        optimiser.zero_grad()
        iou_loss(silhouette(render, body, faces, pose, transl), target).backward()
        optimiser.step()
        schedule.step()
    off_px = FOCAL * (transl[0, :2] / transl[0, 2] - truth[0, :2] / truth[0, 2])
    assert off_px.norm() < 1.0


@pytest.mark.parametrize("start_deg", [30.0, -30.0])
def test_a_forearm_thirty_degrees_off_finds_its_angle(body, faces, start_deg):
    render = SemanticRenderer(SETTINGS, "warp")
    transl = torch.tensor([[0.0, 0.1, DEPTH_M]])
    with torch.no_grad():
        target = silhouette(render, body, faces, relaxed(0.0), transl)
    elbow = torch.tensor(start_deg, requires_grad=True)
    optimiser = torch.optim.Adam([elbow], lr=1.5)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.97)
    for _ in range(80):
        optimiser.zero_grad()
        iou_loss(silhouette(render, body, faces, relaxed(elbow), transl), target).backward()
        optimiser.step()
        schedule.step()
    assert abs(elbow.item()) < 3.0


def test_the_forearm_is_visible_and_moves(body, faces):
    """The two starts above really differ from the target, so that there is something to recover."""
    render = SemanticRenderer(SETTINGS, "warp")
    transl = torch.tensor([[0.0, 0.1, DEPTH_M]])
    pictures = [silhouette(render, body, faces, relaxed(angle), transl) for angle in (0.0, 30.0, -30.0)]
    assert np.all([iou_loss(one, pictures[0]) > 0.03 for one in pictures[1:]])
