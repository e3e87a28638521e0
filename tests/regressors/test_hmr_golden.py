"""Parity of DSR's network with the vectors of the released code: names, head, backbone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from shared_data import script, specs, tensors

from dsr.body import axis_angle_to_rotmat, rot6d_to_rotmat, rotmat_to_axis_angle
from dsr.body.rotations import quaternion_to_rotmat
from dsr.regressors import HMR, build_regressor
from dsr.regressors.dsr.hmr import MeanParams


@pytest.fixture(scope="module")
def model() -> HMR:
    """The published network with the weights of the golden recipe."""
    g, fill = tensors("dsr", "hmr_head"), script("dsr", "weight_recipe").fill
    mean = MeanParams(g["mean_pose"][0], g["mean_shape"][0], g["mean_cam"][0])
    with torch.random.fork_rng():
        model = build_regressor("dsr", mean=mean)
    assert isinstance(model, HMR)
    model.backbone.load_state_dict(fill(model.backbone.state_dict(), 5000))
    model.head.load_state_dict(fill(model.head.state_dict(), 1000))
    return model.eval()


@pytest.mark.parametrize(("part", "manifest"), [("backbone", "resnet50_state_dict"), ("head", "hmr_head_state_dict")])
def test_names_shapes_and_types(model, part, manifest):
    golden = json.loads((specs() / "dsr/golden" / f"{manifest}.json").read_text())
    ours = {
        key: {"shape": list(value.shape), "dtype": str(value.dtype)}
        for key, value in getattr(model, part).state_dict().items()
    }
    assert ours == golden
    assert len(model.state_dict()) == 331


def test_head_after_every_iteration(model):
    g = tensors("dsr", "hmr_head")
    features = torch.from_numpy(np.abs(np.random.RandomState(2).standard_normal((2, 2048, 7, 7))).astype(np.float32))
    with torch.no_grad():
        for i in (1, 2, 3):
            for ours, key in zip(model.head(features, i), ("pose", "shape", "cam"), strict=True):
                torch.testing.assert_close(ours, g[f"iter{i}_pred_{key}"], rtol=0, atol=1e-5)


def test_forward_of_a_crop(model):
    g = tensors("dsr", "resnet50_forward")
    image = torch.from_numpy(np.random.RandomState(3).standard_normal((1, 3, 224, 224)).astype(np.float32))
    with torch.no_grad():
        features = model.backbone(image)
        torch.testing.assert_close(features, g["features"], rtol=0, atol=1e-4)
        torch.testing.assert_close(features.mean((2, 3)), g["pooled"], rtol=0, atol=1e-4)
        for ours, key in zip(model(image), ("pose", "shape", "cam"), strict=True):
            torch.testing.assert_close(ours, g[f"pred_{key}"], rtol=0, atol=1e-4)


def test_rotations():
    g = tensors("dsr", "geometry")
    close = {"rtol": 0, "atol": 1e-5}
    torch.testing.assert_close(rot6d_to_rotmat(g["rot6d_in"].reshape(4, 24, 6)), g["rot6d_rotmat"], **close)
    torch.testing.assert_close(axis_angle_to_rotmat(g["aa"]), g["rodrigues"], **close)
    torch.testing.assert_close(quaternion_to_rotmat(g["quat"]), g["quat_rotmat"], **close)
    back, theirs = rotmat_to_axis_angle(g["rodrigues"]), g["rotmat_to_aa"]
    torch.testing.assert_close(axis_angle_to_rotmat(back), g["rodrigues"], **close)
    torch.testing.assert_close(back[2:], theirs[2:], rtol=0, atol=1e-4)  # rows 0 and 1: zero and half a turn
