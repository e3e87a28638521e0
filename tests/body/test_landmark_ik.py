"""Closed-form inverse kinematics: limbs point where the landmarks do, left is left, and feet turn only so far."""

from __future__ import annotations

import math

import pytest
import torch

from dsr.body import load_body
from dsr.body.joints import joint_names
from dsr.body.landmark_ik import pose_from_landmarks
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.fitting.keypoint_model import KeypointModel
from dsr.mocap import PosePrior

NAMES = joint_names("blazepose33")
PEOPLE = 24


@pytest.fixture(scope="module")
def model():
    return KeypointModel(load_body("open").asset, "blazepose33")


@pytest.fixture(scope="module")
def rest(model):
    return posed(model, torch.eye(3).double()[None], torch.zeros(1, 63).double())[0]


def posed(model, root, theta):
    zero = torch.zeros(len(root), 3, dtype=torch.float64)
    return model.pose(root, theta, torch.zeros(len(root), model.num_betas, dtype=torch.float64), zero).points


@pytest.fixture(scope="module")
def people(model):
    """Landmarks of random people in all facings, upright in a camera whose y points down."""
    generator = torch.Generator().manual_seed(3)
    theta = PosePrior.load(dtype=torch.float64).sample(PEOPLE, generator, 0.8)
    yaw = 2 * math.pi * torch.rand(PEOPLE, 1, generator=generator, dtype=torch.float64)
    upright = axis_angle_to_rotmat(torch.tensor([math.pi, 0.0, 0.0], dtype=torch.float64))
    root = upright @ axis_angle_to_rotmat(torch.nn.functional.pad(yaw, (1, 1)))
    return root, posed(model, root, theta)


def bones(points, start, end):
    pairs = [(NAMES.index(f"{side}_{start}"), NAMES.index(f"{side}_{end}")) for side in ("left", "right")]
    return torch.stack([torch.nn.functional.normalize(points[:, b] - points[:, a], dim=-1) for a, b in pairs], 1)


def angles_deg(model, people, rest, start, end):
    root, theta = pose_from_landmarks(people, rest)
    cosine = (bones(posed(model, root, theta), start, end) * bones(people, start, end)).sum(-1)
    return torch.rad2deg(cosine.clamp(-1, 1).arccos())


@pytest.mark.parametrize(
    ("start", "end"), [("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")]
)
def test_limbs_point_along_the_landmarks(model, people, rest, start, end):
    assert angles_deg(model, people[1], rest, start, end).median() < 8  # landmarks lie beside the joints


def test_bodies_face_where_the_people_do(people, rest):
    root, _ = pose_from_landmarks(people[1], rest)
    turn = root.transpose(1, 2) @ people[0]
    angle = torch.rad2deg(((turn.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1).arccos())
    assert angle.median() < 10 and angle.max() < 40


def test_feet_follow_their_landmarks_by_at_most_the_limit(model, rest):
    """A foot on its rest direction stays there; one that points backwards turns by 0.6 rad and no more."""
    still, theta = pose_from_landmarks(rest[None], rest)
    points = rest[None].clone()
    heel, toe = (NAMES.index(f"left_{part}") for part in ("heel", "foot_index"))
    points[:, toe] = points[:, heel] - (points[:, toe] - points[:, heel])
    _, backward = pose_from_landmarks(points, rest)
    ankle, other = slice(3 * 6, 3 * 7), slice(3 * 7, 3 * 8)  # of joints 1 to 21: left and right ankle
    assert float(theta[0, ankle].norm()) < 0.1
    assert float(backward[0, ankle].norm()) == pytest.approx(0.6, abs=1e-6)
    torch.testing.assert_close(theta[0, other], backward[0, other])
    torch.testing.assert_close(still, torch.eye(3).double()[None], rtol=0, atol=0.1)


def test_landmarks_in_one_place_give_a_finite_pose(rest):
    root, theta = pose_from_landmarks(torch.zeros(2, 33, 3, dtype=torch.float64), rest)
    assert torch.isfinite(root).all() and torch.isfinite(theta).all()
