"""PersPose's network, decoding and mirroring against the vectors of the released code, and their properties."""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from harness import gradcheck
from shared_data import specs, tensors
from torch import nn

from dsr.camera import perspective_encoding, project
from dsr.checkpoints import load_checkpoint
from dsr.errors import CheckpointError, DsrError, UsageError
from dsr.regressors import build_regressor
from dsr.regressors.perspose import decode as decoding
from dsr.regressors.perspose.hrnet import HRNet
from dsr.regressors.perspose.network import PersPose

SMALL = {"image_size": 64, "width": 8, "modules": (1, 1, 1), "blocks": 1}


def close(ours: torch.Tensor, golden: torch.Tensor, absolute: float, relative: float = 0.0) -> None:
    torch.testing.assert_close(ours.reshape(golden.shape), golden, rtol=relative, atol=absolute)


def manifest() -> dict[str, tuple[list[int], str]]:
    entries = json.loads((specs() / "perspose/golden" / "state_dict_manifest.json").read_text())
    return {key: value for key, value in entries.items() if not key.startswith("smpl.")}


def rule(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weight rule of INDEX.md."""
    n = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if key.endswith("running_mean"):
        n = 0.1 * n
    elif key.endswith("running_var"):
        n = 1 + 0.2 * np.abs(n)
    elif len(shape) == 1:
        n = 0.1 * n + key.endswith(".weight")
    elif key == "hm_layer.weight":
        n = 4 * n / np.sqrt(48)
    elif key == "cam_layer.weight":
        n = 0.5 * n
    else:
        n = (0.6 if len(shape) == 4 else 1.0) * n / np.sqrt(np.prod(shape[1:]))
    return np.asarray(n, np.float32)


@pytest.fixture(scope="module")
def published() -> PersPose:
    """The published architecture with the rule's weights, through our loader, laid out as an official checkpoint."""
    entries = {key: torch.from_numpy(np.asarray(rule(key, tuple(shape)))) for key, (shape, _) in manifest().items()}
    checkpoint = {"model": {**entries, "smpl.betas": torch.zeros(96, 11), "smpl.parents": torch.zeros(24).long()}}
    model = PersPose().eval()
    report = load_checkpoint(model, checkpoint)
    assert (report.layout, report.loaded, report.missing, report.extra) == ("model", 1967, (), ())
    assert sorted(report.ignored) == ["smpl.betas", "smpl.parents"]
    return model


def test_entries_are_those_of_the_manifest(published):
    entries = published.state_dict().items()
    ours = {key: (list(value.shape), str(value.dtype).removeprefix("torch.")) for key, value in entries}
    assert ours == {key: tuple(value) for key, value in manifest().items()}
    assert len(ours) == 1967
    assert sum(p.numel() for p in published.parameters()) == 75_713_559


def test_weight_rule_is_the_one_the_vectors_were_made_with():
    for key, expected in json.loads((specs() / "perspose/golden" / "weight_rule_check.json").read_text()).items():
        ours = rule(key, tuple(expected["shape"]))
        np.testing.assert_allclose(ours.reshape(-1)[:4], expected["first4"], rtol=1e-6)
        np.testing.assert_allclose(ours.astype(np.float64).sum(), expected["sum"], rtol=1e-6)


def test_encoding_and_its_projection():
    g = tensors("perspose", "pe_map")
    encode = torch.tensor([True, True, False, True])  # the third sample is of COCO
    seen: list[torch.Tensor] = []

    class Backbone(nn.Module):
        def forward(self, image, encoding):
            seen.append(encoding)
            return torch.zeros(len(image), 8, 64, 64), torch.zeros(len(image), 512)

    model = PersPose(width=8, modules=(1, 1, 1), blocks=1)
    model.backbone = Backbone()
    model.cam_layer.weight.data = g["cam_weight"]
    image = torch.zeros(4, 3, 256, 256)
    with torch.no_grad():
        model(image, g["K"], encode)
    close(seen[0][:, :8], g["cam_out_ch0_8"], 1e-6, 1e-5)
    close(perspective_encoding(g["K"]) * encode[:, None, None, None], g["pe"], 1e-6)
    _, flipped = decoding.mirror_inputs(image, g["K"])
    close(perspective_encoding(flipped) * encode[:, None, None, None], g["pe_flipK"], 1e-6)


def check_estimate(ours: decoding.PersPoseEstimate, g: dict[str, torch.Tensor], prefix: str, uv: float, rest: float):
    close(ours.uv_px, g[f"{prefix}_uv"], uv)
    close(ours.depth_m, g[f"{prefix}_depth"], rest)
    close(ours.twist, g[f"{prefix}_ortho_twist"], rest)
    close(ours.leaf_rotmat, g[f"{prefix}_leaf_rot"], rest)
    if prefix == "eval":  # the first coefficient is the inverse kinematics' there
        close(ours.betas[:, 1:], g["eval_beta"][:, 1:], rest)
    else:
        close(ours.betas, g[f"{prefix}_beta"], rest)
        close(ours.rho0, g[f"{prefix}_rho0"], rest * 0.01)
        close(ours.focal_px, g[f"{prefix}_f"], 1e-3)


def check_lifted(ours: decoding.LiftedJoints, g: dict[str, torch.Tensor], absolute: float):
    close(ours.relative_m, g["eval_xyz"], absolute)
    close(ours.root_m, g["eval_xyz0"], absolute)
    close(ours.density, g["eval_density"], absolute)


def golden_body(g: dict[str, torch.Tensor]) -> SimpleNamespace:
    def rest_joints(betas):
        shaped = g["body_v_template"] + torch.einsum("vcb,nb->nvc", g["body_shapedirs"], betas)
        return g["body_J_regressor"] @ shaped

    return SimpleNamespace(num_joints=24, num_betas=11, rest_joints=rest_joints)


def check_body(prediction, g: dict[str, torch.Tensor]):
    close(prediction.betas[:, 0], g["eval_beta"][:, 0], 1e-6)  # a discrete search: exactly the same step
    close(prediction.betas, g["eval_beta"], 2e-4)
    close(prediction.pose_rotmat, g["eval_theta"], 1e-3)
    close(prediction.transl, g["eval_transl"], 1e-3)


@pytest.fixture
def stub() -> tuple[PersPose, dict[str, torch.Tensor]]:
    """The heads with the vectors' weights, behind a backbone that always gives the vectors' features."""
    g = tensors("perspose", "heads")

    class Backbone(nn.Module):
        def forward(self, image, encoding):
            times = len(image) // 4
            return g["feat"].repeat(times, 1, 1, 1), g["glob"].repeat(times, 1)

    model = PersPose(image_size=64, width=48, modules=(1, 1, 1), blocks=1).eval()
    model.backbone = Backbone()
    weights = {key.removeprefix("w_"): value for key, value in g.items() if key.startswith("w_")}
    assert model.load_state_dict(weights, strict=False).missing_keys == ["cam_layer.weight"]
    return model, g


def test_heads(stub):
    model, g = stub
    image = torch.zeros(4, 3, 64, 64)
    with torch.no_grad():
        check_estimate(model.estimate(image, g["K"]), g, "plain", 1e-4, 1e-5)
        check_estimate(model.estimate(image, g["K"], mirrored=True), g, "flip", 1e-4, 1e-5)
        averaged = model.estimate_averaged(image, g["K"])
    check_estimate(averaged, g, "eval", 1e-4, 1e-5)
    check_lifted(decoding.lift(averaged, g["K"]), g, 1e-5)


def test_heads_to_bodies(stub):
    model, g = stub
    prediction = model.predict(torch.zeros(4, 3, 64, 64), g["K"], body=golden_body(tensors("perspose", "net64")))
    check_body(prediction, g)


@pytest.mark.parametrize("size", [64, 256])
def test_network(published, size):
    g = tensors("perspose", f"net{size}")
    if size == 256:
        random = np.random.RandomState(12)
        random.standard_normal((2, 3, 64, 64))
        g["img"] = torch.from_numpy(random.standard_normal((1, 3, 256, 256)).astype(np.float32))
    published.image_size = size
    image, K = g["img"], g["K"]
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        published.backbone.layer1.register_forward_hook(lambda module, inputs, output: seen.update(stage1=output)),
        published.backbone.register_forward_hook(
            lambda module, inputs, output: seen.update(fine=output[0], vector=output[1])
        ),
    ]
    try:
        with torch.no_grad():
            published(image, K, torch.zeros(len(image)))
            close(seen["fine"][:, ::4, ::2, ::2], g["hr_feat_noPE_s"], 2e-4)
            close(seen["vector"], g["global_feat_noPE"], 2e-4)
            estimate = published.estimate(image, K)
        close(seen["stage1"][:, ::32, ::2, ::2], g["layer1_s"], 2e-4)
        close(seen["fine"][:, ::4, ::2, ::2], g["hr_feat_s"], 2e-4)
        close(seen["vector"], g["global_feat"], 2e-4)
        check_estimate(estimate, g, "plain", 2e-2, 2e-4)
        prediction = published.predict(image, K, body=golden_body(tensors("perspose", "net64")))
    finally:
        for hook in hooks:
            hook.remove()
        published.image_size = 256
    check_body(prediction, g)
    extras = prediction.extras
    close(extras["uv"], g["eval_uv"], 2e-2)
    close(extras["depth"], g["eval_depth"], 2e-4)
    close(extras["twist"], g["eval_ortho_twist"], 2e-4)
    close(extras["density"], g["eval_density"], 2e-4)
    close(extras["joints_lifted"], g["eval_xyz"] + g["eval_xyz0"], 2e-4)
    close(prediction.pose_rotmat[:, decoding.LEAVES], g["eval_leaf_rot"], 2e-4)


def small_inputs(batch: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    K = torch.tensor([[150.0, 0, 32], [0, 150, 32], [0, 0, 1]]).repeat(batch, 1, 1)
    K[:, :2, :2] *= torch.linspace(1, 2, batch)[:, None, None]
    return torch.randn(batch, 3, 64, 64, generator=generator), K


@pytest.fixture
def small() -> PersPose:
    torch.manual_seed(0)
    model = PersPose(**SMALL, initialisation="kaiming")
    nn.init.normal_(model.hm_layer.weight)
    nn.init.normal_(model.cam_layer.weight)
    return model


def random_estimate(seed: int = 1, batch: int = 3) -> tuple[decoding.PersPoseEstimate, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    heads = decoding.PersPoseHeads(
        *(torch.randn(batch, *shape, generator=g) for shape in ((25, 16, 16), (25,), (1,), (75,), (11,), (30,)))
    )
    K = small_inputs(batch)[1]
    return decoding.decode(heads, K, 64), K


def test_every_parameter_gets_a_gradient(small):
    image, K = small_inputs()
    estimate = small.estimate(image, K)
    lifted = decoding.lift(estimate, K)
    loss = sum((getattr(estimate, f.name) * torch.rand_like(getattr(estimate, f.name))).sum() for f in fields(estimate))
    (loss + lifted.joints_m.square().sum()).backward()
    for name, parameter in small.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_encoding_reaches_only_samples_that_ask_for_it(small):
    image, K = small_inputs(4)
    small.eval()
    with torch.no_grad():
        mixed = small(image, K, torch.tensor([True, False, True, False])).depth
        encoded = small(image, K).depth
        bare = small(image, 3 * K, torch.zeros(4)).depth
    torch.testing.assert_close(mixed[0::2], encoded[0::2])
    torch.testing.assert_close(mixed[1::2], bare[1::2])
    assert (encoded - bare).abs().amax(1).min() > 1e-3


def test_averaging_is_two_runs_and_batches_do_not_mix(small):
    image, K = small_inputs(3)
    small.eval()
    encode = torch.tensor([1.0, 0.0, 1.0])
    with torch.no_grad():
        averaged = small.estimate_averaged(image, K, encode)
        for i in range(3):
            one = image[i : i + 1], K[i : i + 1], encode[i : i + 1]
            expected = decoding.average(small.estimate(*one), small.estimate(*one, mirrored=True))
            for f in fields(expected):
                torch.testing.assert_close(
                    getattr(averaged, f.name)[i : i + 1], getattr(expected, f.name), rtol=1e-4, atol=1e-4
                )


def test_mirrored_run_of_a_mirrored_crop_is_the_plain_run_unmirrored(small):
    image, K = small_inputs()
    K[:, 0, 2] = 25.0
    flipped, K_flipped = decoding.mirror_inputs(image, K)
    assert K_flipped[0, 0, 2] == 39.0 and K[0, 0, 2] == 25.0
    small.eval()
    with torch.no_grad():
        mirrored = small.estimate(flipped, K_flipped, mirrored=True)
        plain = decoding.unmirror(small.estimate(image, K), 64)
    for f in fields(plain):
        torch.testing.assert_close(getattr(mirrored, f.name), getattr(plain, f.name))


def test_unmirroring_twice_changes_nothing_and_once_reflects_the_joints():
    estimate, K = random_estimate()
    once = decoding.unmirror(estimate, 64)
    twice = decoding.unmirror(once, 64)
    for f in fields(estimate):
        torch.testing.assert_close(getattr(twice, f.name), getattr(estimate, f.name))
    assert torch.allclose(torch.linalg.det(once.leaf_rotmat), torch.ones(3, 5), atol=1e-5)
    here = decoding.lift(estimate, K).joints_m
    there = decoding.lift(once, K).joints_m
    left_wrist, right_wrist = 20, 21
    reflected = here[:, right_wrist] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(there[:, left_wrist], reflected)


def test_lifted_joints_project_onto_the_pixels_they_came_from():
    estimate, K = random_estimate()
    lifted = decoding.lift(estimate, K)
    torch.testing.assert_close(project(lifted.joints_m, K), estimate.uv_px, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(lifted.joints_m[..., 2] * 1000 / K[:, :1, 0], lifted.density)
    assert (lifted.relative_m[:, 0] == 0).all() and estimate.depth_m.abs().max() <= 1.1


def test_a_sharp_peak_is_read_at_its_cell_centre():
    heatmaps = torch.full((1, 1, 16, 16), -50.0)
    heatmaps[0, 0, 3, 10] = 50.0
    assert decoding.soft_argmax(heatmaps, 64).tolist() == [[[42.0, 14.0]]]
    assert decoding.soft_argmax(heatmaps.bfloat16(), 64).dtype == torch.float32


def test_under_autocast_only_the_backbone_is_in_half_precision(small):
    image, K = small_inputs()
    small.eval()
    kinds: list[torch.dtype] = []
    hook = small.backbone.register_forward_hook(lambda module, inputs, output: kinds.append(output[0].dtype))
    with torch.no_grad():
        full = small.estimate(image, K)
        with torch.autocast("cpu", torch.bfloat16):
            half = small.estimate(image, K)
    hook.remove()
    assert kinds == [torch.float32, torch.bfloat16]
    for f in fields(full):
        ours, other = getattr(half, f.name), getattr(full, f.name)
        assert ours.dtype == torch.float32
        assert (ours - other).abs().mean() < 0.1 * other.abs().mean(), f.name


def test_gradients_of_decoding_and_lifting():
    g = torch.Generator().manual_seed(0)
    shapes = ((1, 25, 2, 2), (1, 25), (1, 1), (1, 75), (1, 11), (1, 30))
    heads = [torch.randn(*shape, generator=g, dtype=torch.float64) for shape in shapes]
    K = torch.tensor([[[90.0, 0, 30], [0, 110, 35], [0, 0, 1]]], dtype=torch.float64)

    def outputs(*heads):
        estimate = decoding.unmirror(decoding.decode(decoding.PersPoseHeads(*heads), K, 64), 64)
        return decoding.lift(estimate, K).joints_m, estimate.leaf_rotmat, estimate.twist, estimate.betas

    gradcheck(outputs, *heads, fast_mode=True)


def test_nobody_is_a_batch_too(small):
    image, K = small_inputs()
    prediction = small.predict(image[:0], K[:0])
    assert prediction.pose_rotmat.shape == (0, 24, 3, 3) and prediction.transl.shape == (0, 3)


def test_predict_leaves_the_modes_of_a_network_in_training_alone(small):
    image, K = small_inputs(3)
    small.backbone.layer1.eval()
    modes = [module.training for module in small.modules()]
    mean = small.backbone.bn1.running_mean.clone()
    prediction = small.predict(image, K)
    assert [module.training for module in small.modules()] == modes
    assert torch.equal(small.backbone.bn1.running_mean, mean)
    eye = prediction.pose_rotmat @ prediction.pose_rotmat.transpose(-1, -2)
    torch.testing.assert_close(eye, torch.eye(3).expand_as(eye), rtol=0, atol=1e-4)
    assert prediction.betas.shape == (3, 11) and prediction.transl.shape == (3, 3)
    assert not prediction.pose_rotmat.requires_grad


def test_a_body_with_ten_betas_gets_the_first_ten(small):
    def rest_joints(betas):
        assert betas.shape[1] == 10
        ladder = torch.linspace(-1, 1, 72).sin().reshape(24, 3)
        return ladder + 0.01 * betas[:, :1, None] * ladder

    body = SimpleNamespace(num_joints=24, num_betas=10, rest_joints=rest_joints)
    prediction = small.predict(*small_inputs(), body=body)
    assert prediction.betas.shape == (2, 10)
    torch.testing.assert_close(prediction.betas[:, 1:], prediction.extras["betas_network"][:, 1:10])


def test_backbone_starts_from_published_pose_weights():
    torch.manual_seed(0)
    model = PersPose(**SMALL)
    names = [key for key in model.backbone.state_dict() if not key.startswith(("incre", "downsamp", "final_feat"))]
    weights = {key: torch.full_like(model.backbone.state_dict()[key], 0.25) for key in names if "running" not in key}
    weights["final_layer.weight"] = torch.zeros(17, 8, 1, 1)
    kept = model.load_backbone(weights)
    assert "incre_modules.0.0.conv1.weight" in kept and "bn1.running_mean" in kept and "conv1.weight" not in kept
    assert (model.backbone.conv1.weight == 0.25).all()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"stage4\.0\.branches\.0\.0\.conv1\.weight"):
        model.load_backbone({**weights, "stage4.0.branches.0.0.conv1.weight": torch.ones(32, 32, 3, 3)})
    with pytest.raises(CheckpointError, match="not an HRNet"):
        model.load_backbone({"layer1.0.conv1.weight": weights["layer1.0.conv1.weight"]})
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_published_initialisation():
    torch.manual_seed(0)
    model = PersPose(**SMALL)
    assert model.backbone.layer1[0].conv2.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert model.backbone.downsamp_modules[0][0].bias.abs().max() == 0
    assert model.cam_layer.weight.std().item() == pytest.approx(0.01, rel=0.15)


@pytest.mark.parametrize("config", [{"image_size": 100}, {"image_size": 0}, {"width": 0}, {"modules": (1, 1)}])
def test_unusable_settings_are_refused(config):
    with pytest.raises(UsageError):
        build_regressor("perspose", **{**SMALL, **config})


def test_unusable_inputs_are_refused(small):
    image, K = small_inputs()
    for bad in ((image[:, :2], K), (image[..., :32], K), (image, K[:1]), (image, K * 0)):
        with pytest.raises(DsrError):
            small(*bad)
    with pytest.raises(UsageError):
        HRNet(8, modules=(1, 1, 1), blocks=1)(torch.zeros(1, 3, 48, 64))
    body = SimpleNamespace(num_joints=55, num_betas=10, asset=SimpleNamespace(name="SMPL-X"))
    with pytest.raises(UsageError, match="55"):
        small.predict(image, K, body=body)
