"""The two benchmarks on real people: a body reproduces its joints, and errors are of the person who stands there."""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

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
    for name in ("real_joints", "real_views"):
        sys.modules.pop(name, None)


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
    assert errors.shape == (2, 12) and errors.mean() < 3 and betas.shape == (2, 11)
    longer = joints.copy()
    longer[:, 1:3] += 0.2 * (joints[:, 1:2] - joints[:, :1])
    assert real_joints.reproduce(asset, longer, steps=150)[0].mean() > 2 * errors.mean() + 2


def test_every_moment_counts_once(benchmark):
    joints, people = benchmark("real_joints").distinct_poses(real_views() / "truth.json")
    assert joints.shape == (8, 12, 3) and len(people) == 8 and len(set(people)) == 2
    thighs = np.linalg.norm(joints[:, 0] - joints[:, 1], axis=1)
    assert ((thighs > 0.25) & (thighs < 0.55)).all()  # metres


def test_the_error_is_of_the_person_at_the_true_place(benchmark, monkeypatch, tmp_path, capsys):
    real_views_benchmark = benchmark("real_views")
    asset = load_asset("open")
    upright = (asset.v_template * [1, -1, -1] + [0, 0, 4]).astype(np.float64)
    truth = (asset.keypoint_regressor("blazepose33") @ upright)[benchmark("real_joints").POINTS]
    intrinsics = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    pixels = (truth @ intrinsics.T)[:, :2] / truth[:, 2:]
    view = {"person": "somebody", "K": intrinsics.tolist(), "joints_px": pixels.tolist()}
    view["joints_cam_mm"] = (1000 * truth).tolist()
    (tmp_path / "truth.json").write_text(json.dumps({"views": [{"file": name, **view} for name in ("a.jpg", "b.jpg")]}))
    bent = upright + np.array([1.0, 0, 0]) + 0.3 * np.abs(upright[:, :1])  # somebody else, of another build
    people = [SimpleNamespace(vertices_cam_m=v, height_m=1.7) for v in (bent, upright)]

    def fit(paths, options, jobs):
        assert options.focal == 500 and options.person == "all"
        by_file = {"a.jpg": people, "b.jpg": []}
        return [SimpleNamespace(input_path=str(p), people=by_file[p.name], message="empty") for p in paths]

    monkeypatch.setattr("dsr.fit_images", fit, raising=False)
    monkeypatch.setattr(sys, "argv", ["real_views.py", "--views", str(tmp_path)])
    real_views_benchmark.main()
    printed = capsys.readouterr().out
    assert "somebody: PA-MPJPE 0.0 mm" in printed and "1 of 2 views" in printed and "b.jpg: nobody (empty)" in printed
