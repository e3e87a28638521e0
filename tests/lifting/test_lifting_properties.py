"""Properties the specifications ask of the lifters, beyond their golden vectors."""

from __future__ import annotations

import copy

import pytest
import torch
from small_lifters import AGGREGATED, ALL, SMALL, keypoints, made
from torch import nn

from dsr.errors import UsageError
from dsr.lifting import LIFTERS, build_lifter, select_frames
from dsr.lifting.hourglass import take_frames
from dsr.lifting.motionagformer import adjacent_frames, fourth_greatest, similar_frames
from dsr.lifting.priors import PriorGraph, PriorUnit, kinematic_topology
from dsr.lifting.transformer import DropPath, drop_rates
from dsr.losses.lifting import laplace_loss

NEW_HOSTS = {
    "mhformer": {"frames": 9, "width": 16, "hidden": 32, "keep": 3, "before": 1, "recover": True},
    "motionbert": {**SMALL, **AGGREGATED, "priors": True},
    "hot-motionbert": {**SMALL, **AGGREGATED, "keep": 3, "priors": True},
    "motionagformer": {**SMALL, **AGGREGATED, "priors": True},
}


def test_every_lifter_has_a_small_size():
    assert set(ALL) == set(LIFTERS)


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
        with pytest.raises(UsageError, match=rf"takes keypoints of shape \(B, {model.frames}, 17, "):
            model(wrong)


@pytest.mark.parametrize(("name", "config"), [*ALL.items(), *NEW_HOSTS.items()])
def test_a_step_of_training_reaches_every_parameter(name, config):
    model = made(name, config).train()
    for module in model.modules():  # what is dropped at random has no gradient
        if isinstance(module, DropPath | nn.Dropout):
            module.p = 0.0
    optimizer = torch.optim.Adam(model.parameters(), 1e-4 if name == "uao" else 1e-3)
    x = keypoints(model, 4)
    target = torch.randn(4, 1, 17, 3)
    losses = []
    for _ in range(2):
        if name == "uao":
            loss = laplace_loss(*model.with_uncertainty(x), target)  # both heads
        else:
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
    model = made("hot-ktpformer", ALL["hot-ktpformer"]).eval()
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


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 27, 81, 243])
def test_the_fourth_greatest_of_a_column_counts_equal_ones(frames):
    x = torch.randn(2, frames, 6).round(decimals=1)
    least = x.topk(min(4, frames), dim=1).values[:, -1:]
    assert torch.equal(fourth_greatest(x), least)


VARIANTS = {
    "similar": 0,
    "adaptive": False,
    "layer_scale": False,
    "streams": "graph",
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_variants_of_motionagformer(name):
    published, variant = (
        made("motionagformer", {**SMALL, **AGGREGATED, **more}) for more in ({}, {name: VARIANTS[name]})
    )
    x = keypoints(variant, batch=1)
    with torch.no_grad():
        alone = variant.eval()(x)
        assert not torch.allclose(alone, published.eval()(x), atol=1e-3)
    torch.testing.assert_close(alone, variant(x).detach(), atol=1e-5, rtol=1e-5)  # gradients recorded: layer by layer
    kept = set(variant.state_dict())
    assert kept < set(published.state_dict()) if name != "similar" else kept == set(published.state_dict())


def test_the_two_frames_beside_one():
    assert torch.equal(adjacent_frames(4), torch.tensor([[0.0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]]))
    x = torch.randn(2, 9, 5)
    assert torch.equal(similar_frames(x, 1).sum(-1), torch.ones(2, 9))
    assert bool((similar_frames(x, 9) == 1).all())
