"""The benchmark of joints of real people: a body reproduces its own joints, and not those of another build."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from shared_data import real_views

from dsr.body import Body, load_asset


@pytest.fixture
def benchmark(monkeypatch):
    """A function that imports a benchmark."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    yield importlib.import_module
    sys.modules.pop("real_joints", None)


def posed_points(asset, points):
    """Two people with bent limbs, upside down as a camera sees them, (2, 12, 3) metres."""
    pose = 0.15 * torch.randn(2, 23, 3, generator=torch.Generator().manual_seed(0))
    betas = torch.tensor([[1.0, 0.5], [-1.0, 0.3]])
    orient, transl = torch.tensor([[np.pi, 0.0, 0.0]]), torch.tensor([[0.2, 0.1, 4.0]])
    vertices = Body(asset)(betas, pose, orient, transl).vertices
    return Body(asset).keypoints(vertices, "blazepose33")[:, points].double().numpy()


def test_a_body_without_its_other_vertices_has_the_same_points(benchmark):
    real_joints = benchmark("real_joints")
    asset = load_asset("open")
    few = real_joints.points_alone(asset)
    assert few.num_vertices < asset.num_vertices / 4
    betas, pose = torch.ones(1, 11), 0.2 * torch.ones(1, 23, 3)
    whole = Body(asset).keypoints(Body(asset)(betas, pose).vertices, "blazepose33")[:, real_joints.POINTS]
    alone = Body(few).keypoints(Body(few)(betas, pose).vertices, "coco17")
    np.testing.assert_allclose(alone, whole, atol=1e-5)


def test_a_body_reproduces_its_joints_but_not_those_of_a_longer_leg(benchmark):
    real_joints = benchmark("real_joints")
    asset = load_asset("open-light")
    joints = posed_points(asset, real_joints.POINTS)
    errors, betas = real_joints.reproduce(asset, joints, steps=150)
    assert errors.shape == (2, 12) and errors.mean() < 3 and betas.shape == (2, asset.num_betas)
    longer = joints.copy()
    longer[:, 1:3] += 0.2 * (joints[:, 1:2] - joints[:, :1])
    assert real_joints.reproduce(asset, longer, steps=150)[0].mean() > 2 * errors.mean() + 2


def test_every_moment_counts_once(benchmark):
    joints, people = benchmark("real_joints").distinct_poses(real_views() / "truth.json")
    assert joints.shape == (8, 12, 3) and len(people) == 8 and len(set(people)) == 2
    thighs = np.linalg.norm(joints[:, 0] - joints[:, 1], axis=1)
    assert ((thighs > 0.25) & (thighs < 0.55)).all()  # metres
