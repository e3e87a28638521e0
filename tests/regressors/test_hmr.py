"""Behaviour of DSR's network: mirrored crops, mean parameters, backbones, settings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from dsr.body import axis_angle_to_rotmat, flip_permutation, load_body, rotmat_to_axis_angle
from dsr.errors import CheckpointError, UsageError
from dsr.regressors import HMR, REGRESSORS, build_regressor, load_imagenet_weights
from dsr.regressors.dsr.backbones import BACKBONES, build_backbone
from dsr.regressors.dsr.hmr import MeanParams, load_mean_params, mirror_pose
from dsr.regressors.dsr.resnet import Bottleneck, ResNet
from dsr.regressors.loading import architecture


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small wait longer for a second thread than it saves, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model() -> HMR:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_regressor("dsr", backbone="resnet18", image_size=64, hidden=64)
        assert isinstance(model, HMR)
        for layer in (model.head.decpose, model.head.decshape, model.head.deccam):
            nn.init.normal_(layer.weight, std=0.05)
    return model.train()


def test_shapes_and_rotations(model):
    prediction = model.predict(torch.randn(2, 3, 64, 64))
    assert prediction.pose_rotmat.shape == (2, 24, 3, 3)
    assert prediction.betas.shape == (2, 10)
    assert prediction.camera is not None and prediction.camera.shape == (2, 3)
    R = prediction.pose_rotmat
    torch.testing.assert_close(R @ R.transpose(-1, -2), torch.eye(3).expand_as(R), rtol=0, atol=1e-5)
    assert (torch.linalg.det(R) > 0.99).all()


def test_predicting_runs_as_in_evaluation_and_leaves_the_mode(model):
    image = torch.randn(2, 3, 64, 64)
    model.backbone.layer1.eval()  # frozen on purpose
    before = {key: value.clone() for key, value in model.state_dict().items()}
    a, b = model.predict(image), model.predict(image)
    assert torch.equal(a.pose_rotmat, b.pose_rotmat)  # no dropout
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())  # no statistics
    assert model.training and model.head.drop1.training and not model.backbone.layer1.training
    model.train()
    assert not torch.equal(model(image)[0], model(image)[0])  # dropout in training


def test_mirror_average_does_not_know_which_crop_was_mirrored(model):
    image = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    once, other = model.predict(image, mirror=True), model.predict(image.flip(-1), mirror=True)
    torch.testing.assert_close(mirror_pose(other.pose_rotmat), once.pose_rotmat, rtol=0, atol=1e-4)
    torch.testing.assert_close(other.betas, once.betas, rtol=0, atol=1e-5)
    assert other.camera is not None and once.camera is not None
    torch.testing.assert_close(other.camera * torch.tensor([1.0, -1, 1]), once.camera, rtol=0, atol=1e-5)
    plain, mirrored = model.predict(image), model.predict(image.flip(-1))
    assert (plain.pose_rotmat - mirror_pose(mirrored.pose_rotmat)).abs().max() > 0.05  # the network itself does
    halves = [
        rotmat_to_axis_angle(once.pose_rotmat.transpose(-1, -2) @ end).norm(dim=-1)
        for end in (plain.pose_rotmat, mirror_pose(mirrored.pose_rotmat))
    ]
    torch.testing.assert_close(halves[0], halves[1], rtol=0, atol=2e-3)  # the midpoint of the turn


def test_mirrored_pose_is_the_mirrored_body():
    body = load_body("open-light")
    rng = torch.Generator().manual_seed(2)
    pose = 0.4 * torch.randn(1, 24, 3, generator=rng)
    rotmat = axis_angle_to_rotmat(pose)
    mirrored = mirror_pose(rotmat)
    a = body.pose_joints(None, rotmat[:, 1:], rotmat[:, 0])
    b = body.pose_joints(None, mirrored[:, 1:], mirrored[:, 0])
    expected = a[:, list(flip_permutation("smpl24"))] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(b, expected, rtol=0, atol=0.01)


def test_our_own_start_stands_upright_before_the_camera():
    mean = MeanParams.default()
    model = HMR("resnet18", 64, hidden=8)
    with torch.no_grad():
        pose, betas, camera = model.head(torch.zeros(1, 512, 2, 2), iterations=0)
    assert (betas == 0).all() and torch.equal(camera[0], mean.camera)
    joints = load_body("open-light").pose_joints(betas, pose[:, 1:], pose[:, 0])[0]
    assert joints[15, 1] < joints[0, 1] < joints[7, 1]  # head above hips above ankles: y points down
    assert joints[16, 0] > joints[17, 0]  # the left shoulder is to the right in the picture
    assert joints[10, 2] < joints[7, 2]  # toes point at the camera
    assert joints[20, 1] > joints[16, 1] + 0.1  # arms hang
    torch.testing.assert_close(mirror_pose(pose), pose, rtol=0, atol=1e-4)


def test_mean_parameters_of_a_file(tmp_path):
    path = tmp_path / "smpl_mean_params.npz"
    arrays = {"pose": np.tile([1.0, 0, 0, 1, 0, 0], 24), "shape": np.arange(10.0), "cam": np.array([0.8, 0.1, 0.2])}
    np.savez(path, **arrays)
    model = HMR("resnet18", 64, hidden=8, mean=path)
    assert model.has_licensed_mean
    assert model.head.init_shape[0].tolist() == list(range(10))
    pose, _, _ = model.head(torch.zeros(1, 512, 2, 2), iterations=0)
    torch.testing.assert_close(pose[0], torch.eye(3).expand(24, 3, 3))
    np.savez(path, pose=arrays["pose"], shape=arrays["shape"])
    with pytest.raises(CheckpointError, match=r"smpl_mean_params\.npz holds no entry cam"):
        load_mean_params(path)
    np.savez(path, **{**arrays, "pose": np.zeros(72)})
    with pytest.raises(CheckpointError, match="pose has shape"):
        load_mean_params(path)
    np.savez(path, **{**arrays, "cam": np.array([{}])})
    with pytest.raises(CheckpointError, match=r"smpl_mean_params\.npz"):
        load_mean_params(path)
    for damaged in (b"", b"PK\3\4 no", b"nothing"):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"smpl_mean_params\.npz"):
            load_mean_params(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_mean_params(tmp_path / "absent.npz")


def test_imagenet_weights_of_the_user(tmp_path):
    donor = ResNet("resnet18")
    entries = {**donor.state_dict(), "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    old = {key: value for key, value in entries.items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "resnet18.pth", _use_new_zipfile_serialization=False)
    model = HMR("resnet18", 64, hidden=8, imagenet=tmp_path / "resnet18.pth")
    assert torch.equal(model.backbone.layer4[1].conv2.weight, donor.layer4[1].conv2.weight)
    with pytest.raises(CheckpointError, match=r"layer1\.0\.conv1\.weight has shape"):
        load_imagenet_weights(ResNet("resnet50"), entries)
    with pytest.raises(CheckpointError, match=r"no entry layer1\.0\.bn1\.bias"):
        load_imagenet_weights(ResNet("resnet18"), {k: v for k, v in entries.items() if k != "layer1.0.bn1.bias"})
    with pytest.raises(CheckpointError, match="no ImageNet weights"):
        load_imagenet_weights(ResNet("resnet18"), {"x": torch.zeros(1)})


@pytest.mark.parametrize(
    ("name", "entries", "parameters"),
    [
        ("resnet18", 120, 11_689_512),
        ("resnet34", 216, 21_797_672),
        ("resnet50", 318, 25_557_032),
        ("resnet101", 624, 44_549_160),
        ("resnet152", 930, 60_192_808),
        ("resnext50_32x4d", 318, 25_028_904),
        ("resnext101_32x8d", 624, 88_791_336),
        ("wide_resnet50_2", 318, 68_883_240),
        ("wide_resnet101_2", 624, 126_886_696),
        ("mobilenet_v2", 312, 3_504_872),
    ],
)
def test_backbones_have_the_published_size(name, entries, parameters):
    """torchvision's documented numbers, which include a classifier of 1000 classes."""
    with torch.device("meta"):
        backbone = build_backbone(name)
    assert len(backbone.state_dict()) == entries
    assert sum(p.numel() for p in backbone.parameters()) + 1000 * (backbone.channels + 1) == parameters


@pytest.mark.parametrize(("name", "millions"), [("hrnet_w32", 41.2), ("hrnet_w48", 77.5)])
def test_hrnets_have_the_published_size(name, millions):
    with torch.device("meta"):
        backbone = build_backbone(name)
    assert round((sum(p.numel() for p in backbone.parameters()) + 1000 * 2049) / 1e6, 1) == millions


def plain_grouped_bottleneck(x, block, groups, stride):
    """A ResNeXt's bottleneck by slices: every group of channels has a convolution of its own."""
    h = functional.relu(block.bn1(functional.conv2d(x, block.conv1.weight)))
    parts, weights = h.chunk(groups, 1), block.conv2.weight.chunk(groups, 0)
    h = torch.cat([functional.conv2d(p, w, None, stride, 1) for p, w in zip(parts, weights, strict=True)], 1)
    h = block.bn3(functional.conv2d(functional.relu(block.bn2(h)), block.conv3.weight))
    return functional.relu(h + (x if block.downsample is None else block.downsample(x)))


def test_groups_and_widths_of_bottlenecks():
    torch.manual_seed(0)
    for groups, group_width, width in ((32, 4, 128), (32, 8, 256), (1, 128, 128)):
        down = torch.nn.Sequential(torch.nn.Conv2d(64, 256, 1, 2, bias=False), torch.nn.BatchNorm2d(256))
        block = Bottleneck(64, 64, 2, down, groups, group_width).eval()
        assert block.conv2.weight.shape == (width, width // groups, 3, 3)
        x = torch.randn(1, 64, 8, 8)
        with torch.no_grad():
            torch.testing.assert_close(block(x), plain_grouped_bottleneck(x, block, groups, 2), atol=1e-5, rtol=1e-5)


def test_mobilenet_is_the_published_table():
    """Entry names and shapes of torchvision's file, and the outputs of the steps written one by one."""
    torch.manual_seed(0)
    network = build_backbone("mobilenet_v2").eval()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert shapes["features.0.0.weight"] == (32, 3, 3, 3) and shapes["features.1.conv.0.0.weight"] == (32, 1, 3, 3)
    assert shapes["features.1.conv.1.weight"] == (16, 32, 1, 1) and shapes["features.1.conv.2.running_var"] == (16,)
    assert shapes["features.2.conv.1.0.weight"] == (96, 1, 3, 3) and shapes["features.17.conv.2.weight"] == (
        320,
        960,
        1,
        1,
    )
    assert shapes["features.18.0.weight"] == (1280, 320, 1, 1) and "features.19.0.weight" not in shapes
    x = image = torch.randn(1, 3, 64, 64)
    strides = {0, 2, 4, 7, 14}
    for i, part in enumerate(network.features):
        steps, start = (part.conv if hasattr(part, "conv") else part), x
        flat = [m for m in steps.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.BatchNorm2d)]
        for conv, norm in zip(flat[::2], flat[1::2], strict=True):
            stride = 2 if conv.kernel_size == (3, 3) and i in strides else 1
            x = norm(functional.conv2d(x, conv.weight, None, stride, conv.kernel_size[0] // 2, 1, conv.groups))
            x = x if conv is flat[-2] and hasattr(part, "conv") else x.clamp(0, 6)
        x = x + start if x.shape == start.shape else x
    with torch.no_grad():
        torch.testing.assert_close(network(image), x.detach(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_file_tells_its_backbone(name):
    with torch.device("meta"):
        model = build_regressor("dsr", backbone=name, hidden=16)
    state = dict(model.state_dict())
    assert architecture("dsr", state)["backbone"] == name


@pytest.mark.parametrize("name", ["mobilenet_v2", "hrnet_w32"])
def test_other_backbones_make_bodies(name):
    torch.manual_seed(0)
    model = build_regressor("dsr", backbone=name, image_size=64, hidden=16).eval()
    with torch.no_grad():
        pose, *_ = model(torch.randn(1, 3, 64, 64))
    assert pose.shape == (1, 24, 3, 3) and bool(pose.isfinite().all())


@pytest.mark.parametrize(
    "config",
    [
        {"backbone": "resnet19"},
        {"image_size": 8},
        {"iterations": 0},
        {"dropout": 1.0},
        {"colour": "red"},
        {
            "backbone": "resnet18",
            "num_betas": 11,
            "mean": MeanParams(torch.zeros(144), torch.zeros(10), torch.zeros(3)),
        },
    ],
)
def test_settings_that_make_no_sense(config):
    with pytest.raises(UsageError):
        build_regressor("dsr", **config)


def test_unknown_networks_are_named():
    with pytest.raises(UsageError, match=f"choose one of {', '.join(REGRESSORS)}"):
        build_regressor("hmr3000")
