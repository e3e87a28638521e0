"""Properties the specifications ask of the lifters, beyond their golden vectors."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from dsr.errors import UsageError
from dsr.lifting import build_lifter, select_frames
from dsr.lifting.convformer import ConvBlock, ConvFormer, ConvolutionalAttention, DynamicConvolution
from dsr.lifting.fast_layers import attention, linear, use_bfloat16
from dsr.lifting.hourglass import take_frames
from dsr.lifting.priors import PriorGraph, PriorUnit, kinematic_topology
from dsr.lifting.transformer import DropPath, Mlp, drop_rates

SMALL = {"frames": 9, "width": 16, "depth": 2}
AGGREGATED = {"representation": 16}
# Every lifter, and priors and pruning on hosts that their papers did not use.
ALL = {
    "mixste": SMALL,
    "hot-mixste": {**SMALL, "keep": 3, "before": 1},
    "tpc-mixste": {**SMALL, "keep": 3, "before": 1},
    "ktpformer": SMALL,
    "mhformer": {"frames": 9, "width": 16, "hidden": 32},
    "tpc-mhformer": {"frames": 9, "width": 16, "hidden": 32, "keep": 3},
    "motionbert": {**SMALL, **AGGREGATED},
    "hot-motionbert": {**SMALL, **AGGREGATED, "keep": 3},
    "motionagformer": {**SMALL, **AGGREGATED},
    "hot-motionagformer": {**SMALL, **AGGREGATED, "keep": 3, "before": 1},
    "convformer": {"frames": 9, "width": 8},
    "glagcn": {"width": 8, "widths": (3, 3)},
}
NEW_HOSTS = {
    "hot-ktpformer": {**SMALL, "keep": 3, "before": 1},
    "mhformer": {"frames": 9, "width": 16, "hidden": 32, "keep": 3, "before": 1, "recover": True},
    "motionbert": {**SMALL, **AGGREGATED, "priors": True},
    "hot-motionbert": {**SMALL, **AGGREGATED, "keep": 3, "priors": True},
    "motionagformer": {**SMALL, **AGGREGATED, "priors": True},
}


def made(name, config, spread=0.05):
    """A lifter in which nothing is zero."""
    torch.manual_seed(0)
    model = build_lifter(name, **config)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(spread * torch.randn_like(value))
    return model


def keypoints(model, batch=2, seed=0):
    rng = torch.Generator().manual_seed(seed)
    still = torch.rand(batch, 1, model.joints, model.inputs, generator=rng) - 0.5
    steps = 0.05 * torch.randn(batch, model.frames, model.joints, model.inputs, generator=rng)
    return still + steps.cumsum(1)


@pytest.mark.parametrize("name", ALL)
def test_input_is_left_alone_and_evaluation_repeats_itself(name):
    model = made(name, ALL[name]).eval()
    x = keypoints(model)
    given = x.clone()
    y = model(x)
    assert torch.equal(x, given)
    assert torch.equal(y, model(x))
    assert torch.equal(y, copy.deepcopy(model)(x))
    model.train()(x)
    assert torch.equal(x, given)


@pytest.mark.parametrize("name", ALL)
def test_other_windows_are_refused(name):
    model = made(name, ALL[name])
    x = keypoints(model)
    for wrong in (x[:, :-1], x[:, :, :-1], x[..., :1], x[0], torch.cat((x, x), 1)):
        with pytest.raises(UsageError, match=r"takes keypoints of shape \(B, 9, 17, "):
            model(wrong)


@pytest.mark.parametrize(("name", "config"), [*ALL.items(), *NEW_HOSTS.items()])
def test_a_step_of_training_reaches_every_parameter(name, config):
    model = made(name, config).train()
    for module in model.modules():  # what is dropped at random has no gradient
        if isinstance(module, DropPath | nn.Dropout):
            module.p = 0.0
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    x = keypoints(model, 4)
    target = torch.randn(4, 1, 17, 3)
    losses = []
    for _ in range(2):
        loss = (model(x) - target).norm(dim=-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    for key, value in model.named_parameters():
        assert value.grad is not None, key
        assert value.grad.isfinite().all(), key
        # A constant added to all scores of a softmax, or before a batch norm, changes nothing.
        if not key.endswith((".bias", ".eta")):
            assert value.grad.any(), key
    assert losses[1] < losses[0]


def test_priors_and_pruning_change_their_new_hosts():
    for name, off in (("motionbert", {"priors": False}), ("motionagformer", {"priors": False})):
        names = [set(made(name, {**NEW_HOSTS[name], **change}).state_dict()) for change in ({}, off)]
        assert any("kpattention.attn.kpa" in key for key in names[0])
        assert any("tpattention.attn.tpa" in key for key in names[0])
        assert not any("priors" in key for key in names[1])
    model = made("hot-ktpformer", NEW_HOSTS["hot-ktpformer"]).eval()
    _, index = model.lift(keypoints(model))
    assert index.shape == (2, 3)
    lengths = []
    for block in model.TTEblocks:
        block.register_forward_hook(lambda module, given, result: lengths.append(result.shape[1]))
    model(keypoints(model))
    assert lengths == [9, 3]


# ---- HoT (specification, sections 2, 3 and 14)


@pytest.mark.parametrize("name", [name for name in ALL if name.startswith(("hot", "tpc"))])
def test_pruning_is_random_in_training_only_and_follows_the_noise_given(name):
    model = made(name, ALL[name])
    x = keypoints(model)
    x[:, 1::2] = x[:, :-1:2]  # pairs of equal frames: ties that only noise decides
    model.eval()
    (y, index), (again, same) = model.lift(x), model.lift(x)
    assert torch.equal(y, again)
    assert torch.equal(index, same)
    noise = torch.rand(2, 9, generator=torch.Generator().manual_seed(1))
    picks = [model.lift(x, noise=noise)[1] for _ in range(2)]
    assert torch.equal(*picks)
    others = [model.lift(x, noise=torch.rand(2, 9))[1] for _ in range(8)]
    assert any(not torch.equal(other, picks[0]) for other in others)
    model.train()
    fresh = {tuple(model.lift(x)[1].flatten().tolist()) for _ in range(8)}
    assert len(fresh) > 1
    if "tpc" in name:
        assert all(4 in row for picked in others for row in picked.tolist())


def test_gradients_flow_through_the_kept_frames_alone():
    tokens = torch.randn(2, 9, 17, 4, requires_grad=True)
    index = select_frames(tokens.mean(2), 3, noise=torch.rand(9)).index
    assert not index.requires_grad
    take_frames(tokens, index).square().sum().backward()
    kept = torch.zeros(2, 9, dtype=torch.bool).scatter(1, index, True)
    assert torch.equal(tokens.grad.flatten(2).any(-1), kept)
    assert (index.diff(dim=1) > 0).all()


def test_a_pruned_lifter_sees_the_rest_only_before_the_pruning():
    config = {**SMALL, **AGGREGATED, "keep": 3, "before": 0, "recover": False}
    model = made("motionbert", config).eval()  # pruned before anything mixes frames
    x = keypoints(model).requires_grad_(True)
    y, index = model.lift(x)
    y.sum().backward()
    kept = torch.zeros(2, 9, dtype=torch.bool).scatter(1, index, True)
    assert torch.equal(x.grad.flatten(2).any(-1), kept)


def test_recovered_frames_begin_as_their_own_queries():
    model = made("hot-mixste", ALL["hot-mixste"]).eval()
    x = keypoints(model)
    with torch.no_grad():
        assert model(x).std(1).max() > 1e-3
        model.x_token.zero_()
        alike = model(x)
    torch.testing.assert_close(alike, alike[:, :1].expand_as(alike), atol=1e-6, rtol=0)


def test_more_frames_cannot_be_kept_than_there_are():
    for wrong in ({"keep": 10}, {"keep": 0}, {"keep": 3, "before": 5}, {"keep": 3, "before": 0}):
        with pytest.raises(UsageError, match="hot-mixste"):
            build_lifter("hot-mixste", **{**SMALL, **wrong})
    with pytest.raises(ValueError, match="cannot be kept"):
        select_frames(torch.rand(1, 5, 2), 6)


# ---- KTPFormer (specification, sections 2 to 5 and 15)


def test_epsilons_of_the_norms():
    model = build_lifter("ktpformer", **SMALL)
    eps = {key: module.eps for key, module in model.named_modules() if isinstance(module, nn.LayerNorm)}
    usual = {"kpattention.attn.norm1", "tpattention.attn.norm1", "head.0"}
    assert {key for key, value in eps.items() if value == 1e-5} == usual
    assert {value for key, value in eps.items() if key not in usual} == {1e-6}


def test_the_prior_is_the_formula_with_an_adjacency_symmetrised_after_the_learned_part():
    torch.manual_seed(0)
    layer = PriorGraph(2, 4, kinematic_topology())
    with torch.no_grad():
        layer.adj2.normal_()
        layer.M.normal_()
    x = torch.randn(3, 17, 2)
    whole = layer.adjacency + layer.adj2
    whole = (whole + whole.T) / 2
    own = torch.eye(17)
    wanted = (whole * own) @ (layer.M * (x @ layer.W[0])) + (whole * (1 - own)) @ (layer.M * (x @ layer.W[1]))
    torch.testing.assert_close(layer(x), wanted + layer.bias)
    assert not torch.equal(layer.adjacency, layer.adjacency.T)


def test_prior_weights_begin_as_published():
    layer = PriorGraph(512, 512, kinematic_topology())
    bound = 1.414 * (6 / (514 * 512)) ** 0.5
    assert 0.99 * bound < layer.W.abs().max() <= bound
    assert torch.equal(layer.M, torch.ones(17, 512))
    assert torch.equal(layer.adj2, torch.full((17, 17), 1e-6))
    assert layer.bias.abs().max() <= 512**-0.5


def test_the_statistics_of_a_prior_move_in_training_only():
    unit = PriorUnit(2, 4, kinematic_topology())
    x = torch.randn(6, 17, 2)
    unit.eval()(x)
    assert not unit.bn.running_mean.any()
    unit.train()(x)
    assert unit.bn.running_mean.any()


def test_blocks_of_pairs_see_what_they_should():
    model = made("ktpformer", {**SMALL, "depth": 1}).eval()
    x = keypoints(model, 1).requires_grad_(True)
    tokens = model.Spatial_norm(model.kpattention(x.flatten(0, 1)))
    tokens[4].sum().backward()
    assert x.grad[0].flatten(1).any(1).nonzero().flatten().tolist() == [4]  # joints of a frame, no other frame


# ---- stochastic depth


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    layer = DropPath(0.3).train()
    x = torch.ones(20000, 2, 3)
    y = layer(x)
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert torch.equal(y.flatten(1).amin(1), y.flatten(1).amax(1))
    assert y.mean() == pytest.approx(1.0, abs=0.02)
    assert (y == 0).float().mean() == pytest.approx(0.3, abs=0.015)
    assert layer.eval()(x) is x
    assert drop_rates(0.1, 8) == pytest.approx(torch.linspace(0, 0.1, 8).tolist())
    assert drop_rates(0.1, 1) == [0.0]


def test_depths_of_the_published_lifters():
    with torch.device("meta"):
        mixste, ktpformer, convformer = (build_lifter(name) for name in ("mixste", "ktpformer", "convformer"))
    assert [b.drop_path.p for b in mixste.TTEblocks] == pytest.approx(torch.linspace(0, 0.1, 8).tolist())
    rates = [ktpformer.tpattention.drop_path.p, *(b.drop_path.p for b in ktpformer.STEblocks)]
    assert rates == pytest.approx(torch.linspace(0, 0.1, 8).tolist())
    assert [b.drop_path.p for b in convformer.sb] == [0.0, 0.2]
    assert {b.at.drop.p for b in convformer.tb} == {0.2}


# ---- ConvFormer (specification, section 8)


def test_weights_of_the_convolutions_are_a_mean_at_first():
    torch.manual_seed(0)
    layer = DynamicConvolution(6, (3, 5, 7))
    x = torch.randn(2, 6, 20)
    torch.testing.assert_close(layer(x), torch.stack([conv(x) for conv in layer.convs]).mean(0), atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        layer.eta.copy_(torch.tensor([3.0, -2.0, 0.5]))
    weights = layer.eta.softmax(0)
    assert (weights > 0).all()
    assert weights.sum().item() == pytest.approx(1, abs=1e-6)
    mixed = sum(w * conv(x) for w, conv in zip(weights, layer.convs, strict=True))
    torch.testing.assert_close(layer(x), mixed, atol=1e-6, rtol=1e-5)
    single = DynamicConvolution(6, (5,))
    torch.testing.assert_close(single(x), single.convs[0](x), atol=1e-6, rtol=1e-5)


def test_kernels_of_one_are_ordinary_attention():
    torch.manual_seed(0)
    layer = ConvolutionalAttention(8, (1,), 2, True, 0.0).eval()
    x = torch.randn(3, 5, 8)
    q, k, v = (
        functional.linear(x, part.convs[0].weight[..., 0], part.convs[0].bias).unflatten(-1, (2, 4)).transpose(1, 2)
        for part in (layer.q, layer.k, layer.v)
    )
    scores = (q @ k.transpose(-1, -2) / 4**0.5).softmax(-1)
    wanted = functional.linear((scores @ v).transpose(1, 2).flatten(-2), layer.proj.weight[..., 0], layer.proj.bias)
    torch.testing.assert_close(layer(x), wanted, atol=1e-6, rtol=1e-5)


def test_spatial_blocks_see_their_own_frame_alone():
    torch.manual_seed(0)
    block = ConvBlock(8, 8, (3,), 2, True, 0.0, 0.0).eval()
    x = torch.randn(6, 17, 8)
    other = x.clone()
    other[3] += 1.0
    difference = (block(x) - block(other)).flatten(1).abs().amax(1)
    assert difference[3] > 0
    assert not difference[[0, 1, 2, 4, 5]].any()


def test_temporal_kernels_see_all_frames_of_a_few_features():
    torch.manual_seed(0)
    layer = ConvolutionalAttention(6, (5,), 2, False, 0.0)
    x = torch.zeros(1, 6, 20, requires_grad=True)
    layer.q(x)[0, 2, 9].backward()
    seen = x.grad[0] != 0
    assert seen.all(0).nonzero().flatten().tolist() == [7, 8, 9, 10, 11]
    assert seen.any(0).sum() == 5


def test_the_centre_pose_depends_on_every_frame_and_their_order():
    model = made("convformer", ALL["convformer"]).eval()
    x = keypoints(model, 1)
    for t in range(9):
        other = x.clone()
        other[0, t] += 0.5
        assert (model(other) - model(x)).abs().max() > 1e-7
    assert model(x).shape == (1, 1, 17, 3)
    assert (model(x.roll(1, 1)) - model(x)).abs().max() > 1e-4


@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_heads_do_not_change_the_number_of_parameters(heads):
    with torch.device("meta"):
        assert sum(p.numel() for p in build_lifter("convformer", frames=9, heads=heads).parameters()) == 2_561_621


def test_even_kernels_are_refused():
    with pytest.raises(UsageError, match="odd"):
        build_lifter("convformer", kernels=(4,))


def test_convformer_learns_clips_by_heart():
    torch.manual_seed(0)
    model = ConvFormer(
        frames=3, width=8, heads=4, kernels=(3,), spatial_blocks=1, temporal_blocks=1, drop=0.0, drop_path=0.0
    ).train()
    poses = 0.3 * torch.randn(4, 1, 17, 3)
    x = (poses[..., :2] / (4 + poses[..., 2:])).expand(-1, 3, -1, -1) + 0.02 * torch.randn(4, 3, 17, 2)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3, amsgrad=True)
    first = None
    for _ in range(200):
        loss = (model(x) - poses).norm(dim=-1).mean()
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert first > 0.4
    assert loss.item() < 0.02


# ---- the faster ways of products.py


@pytest.fixture
def without_limit(monkeypatch):
    monkeypatch.setattr("dsr.lifting.fast_layers._SMALL", 0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("gelu", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_fused_linear_layer_is_the_plain_one(without_limit, dtype, gelu, bias):
    torch.manual_seed(0)
    layer = nn.Linear(32, 48, bias=bias).to(dtype)
    x = torch.randn(3, 7, 40, dtype=dtype)[..., 4:36].transpose(0, 1)  # not contiguous
    wanted = functional.linear(x, layer.weight, layer.bias)
    wanted = functional.gelu(wanted) if gelu else wanted
    with torch.inference_mode():
        found = linear(x, layer, gelu)
    tolerance = {"rtol": 2e-2, "atol": 2e-2} if dtype is torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(found, wanted, **tolerance)


def test_the_fused_linear_layer_steps_back_where_the_module_matters(without_limit, monkeypatch):
    layer, x, calls = nn.Linear(4, 4), torch.rand(2, 4), []
    handle = layer.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        linear(x, layer)
        assert calls == [1]
        handle.remove()
        with FlopCounterMode(display=False) as counter:
            linear(x, layer)
        assert counter.get_total_flops() == 2 * 2 * 4 * 4
        with torch.autocast("cpu", torch.bfloat16):
            assert linear(x, layer).dtype is torch.bfloat16
        torch.func.vmap(lambda row: linear(row, layer))(x)
    assert linear(x, layer).requires_grad


def test_attention_in_bfloat16_is_that_of_float32():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 9, 8)
    wanted = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)
    torch.testing.assert_close(attention(q, k, v), wanted)
    half = attention(q.bfloat16(), k.bfloat16(), v.bfloat16())
    assert half.dtype is torch.bfloat16
    torch.testing.assert_close(half.float(), wanted, atol=3e-2, rtol=2e-2)


@pytest.mark.parametrize("name", ["mixste", "ktpformer", "motionbert", "motionagformer", "mhformer"])
def test_bfloat16_keeps_sums_and_head_in_float32(name):
    model = made(name, ALL[name]).eval()
    x = keypoints(model)
    with torch.inference_mode():
        y = model(x)
        mixed = use_bfloat16(copy.deepcopy(model))
        z = mixed(x)
        pure = copy.deepcopy(model).bfloat16()(x.bfloat16()).float()
    assert z.dtype is torch.float32
    kinds = {m.fc1.weight.dtype for m in mixed.modules() if isinstance(m, Mlp)}
    assert kinds == {torch.bfloat16, torch.float32}  # the last blocks stay exact
    spread = (y - y.mean((0, 1))).norm()
    assert 0 < (z - y).norm() < 0.3 * spread
    assert (z - y).norm() < 0.7 * (pure - y).norm()


def test_bfloat16_is_refused_where_there_is_no_attention():
    with pytest.raises(UsageError, match="GLAGCN has no attention blocks"):
        use_bfloat16(made("glagcn", ALL["glagcn"]))
