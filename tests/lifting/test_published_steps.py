"""Networks as they are called give what the published steps, written one by one, give with the same weights."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from small_lifters import ALL, keypoints, made

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import published_speed


@pytest.mark.parametrize("name", published_speed.NAMES)
def test_networks_are_their_published_steps(name, monkeypatch):
    monkeypatch.setattr("dsr.fast_layers.SMALL", 0)
    row = published_speed.measure(name, 1, 2, small=True)
    assert row["ours_differs"] < 1e-5 and row["greatest"] > 0.05
    assert row["bfloat16_differs_mean"] < 0.05


@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith(("hot", "tpc"))])
def test_merged_layers_change_no_pose(name, monkeypatch):
    """With gradients nothing is merged."""
    monkeypatch.setattr("dsr.fast_layers.SMALL", 0)
    model = made(name, ALL[name]).eval()
    x = keypoints(model)
    with torch.no_grad():
        merged = model(x)
    wanted = model(x).detach()
    torch.testing.assert_close(merged, wanted, atol=2e-6 * max(1.0, wanted.abs().max().item() * 10), rtol=1e-5)


@pytest.mark.parametrize("name", ["mhformer", "tpc-mhformer", "tpc-mixste"])
def test_the_centre_alone_is_the_centre_of_all(name):
    model = made(name, ALL[name]).eval()
    x = keypoints(model)
    with torch.no_grad():
        everything, index = model.lift(x)
        at = (index == (model.frames - 1) // 2).nonzero()[:, 1]
        torch.testing.assert_close(model.poses(x)[:, 0], everything[torch.arange(len(x)), at], atol=2e-6, rtol=1e-5)
