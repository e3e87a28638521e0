"""Losses of the lifters and Ranger against vectors of the published code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from shared_data import tensors, vectors
from torch import nn

from dsr.errors import UsageError
from dsr.lifting import build_lifter
from dsr.losses import lifting as losses
from dsr.training.ranger import Ranger


def part(values, prefix):
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}


def same(ours, expected, absolute=1e-6):
    assert float(ours) == pytest.approx(float(expected), abs=absolute)


def test_moving_as_the_truth_does_is_no_velocity_error():
    """Where a body is says nothing about how it moves; a joint that drifts by 3 cm a frame is off by 3 cm."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(2, 5, 17, 3, generator=generator)
    same(losses.velocity_error(target + torch.tensor([1.0, -2.0, 0.5]), target), 0.0)
    drift = torch.zeros_like(target)
    drift[:, :, 4, 1] = 0.03 * torch.arange(5.0)
    same(losses.velocity_error(target + drift, target), 0.03 / 17)
    same(losses.velocity_error(target[:, :1] + 1, target[:, :1]), 0.0)


def test_losses_of_ktpformer():
    g = tensors("ktpformer", "losses")
    pred, target = g["pred"], g["target"]
    weights = g["joint_weights"].tolist()
    total, terms = losses.sequence_loss(pred, target)
    same(losses.weighted_mpjpe(pred, target, weights), g["weighted_mpjpe"])
    same(losses.weighted_mpjpe(pred, target), g["mpjpe"])
    same(terms["position"], g["weighted_mpjpe"])
    same(terms["temporal"], 0.5 * g["temporal_consistency"])
    same(terms["velocity"], 2.0 * g["velocity_train"])
    same(total, g["total"])
    same(losses.symmetry_penalty(pred), g["sym_penalty"])
    same(losses.bone_consistency(pred), g["bonelen_consistency"])


def test_losses_of_hot():
    g = tensors("hot", "losses_eval")
    total, terms = losses.sequence_loss(g["pred"], g["target"])
    same(losses.weighted_mpjpe(g["pred"], g["target"]), g["mpjpe"])
    same(terms["position"], g["weighted_mpjpe"])
    same(terms["temporal"] / 0.5, g["temporal_consistency"])
    same(terms["velocity"] / 2.0, g["mean_velocity"])
    same(total, g["total"])


def test_losses_of_glagcn():
    g = tensors("glagcn", "losses")
    pred, target, sequence = g["pred"], g["target"], g["seq_pred"]
    same(losses.weighted_mpjpe(pred, target), g["mpjpe"])
    same(losses.bone_length_error(pred, target), g["mpble"])
    same(losses.bone_direction_error(pred, target), g["mpbde"])
    same(losses.symmetry_penalty(sequence), g["sym_penalty"])
    same(losses.bone_consistency(sequence), g["bonelen_consistency"])
    _, terms = losses.sequence_loss(sequence, g["seq_target"], temporal=1.0, velocity=1.0)
    same(terms["position"], g["weighted_mpjpe"])
    same(terms["velocity"], g["velocity_error_axis1"])  # its temporal consistency, unused, is another formula


@pytest.mark.parametrize("name", ["tiny_f9_c32_d2", "tiny_f27_c64_d3"])
def test_a_training_step_of_ktpformer(name):
    g = tensors("ktpformer", name)
    frames, width, depth, heads, _ = g["cfg"].tolist()
    model = build_lifter("ktpformer", frames=frames, width=width, depth=depth, heads=heads, drop_path=0.0)
    model.load_state_dict(part(g, "sd/"))
    y = model.train()(g["in/x"])
    torch.testing.assert_close(y.detach(), g["train/y"], rtol=0, atol=2e-5)
    total, terms = losses.sequence_loss(y, g["in/target"])
    expected = g["train/losses_w_t_v_total"].tolist()
    found = [terms["position"], terms["temporal"] / 0.5, terms["velocity"] / 2.0, total]
    assert [float(v.detach()) for v in found] == pytest.approx(expected, abs=1e-5)
    losses.self_scaled(total).backward()
    gradients = {key: value.grad for key, value in model.named_parameters()}
    for key, expected_gradient in part(g, "train/grad/").items():
        scale = float(expected_gradient.abs().max())
        torch.testing.assert_close(gradients[key], expected_gradient, rtol=0, atol=max(1e-5, 1e-4 * scale))
    norms = dict(
        zip(vectors("ktpformer", name)["train/grad_norm_names"].tolist(), g["train/grad_norms"].tolist(), strict=True)
    )
    assert norms.keys() == gradients.keys()
    for key, norm in norms.items():
        assert float(gradients[key].norm()) == pytest.approx(norm, rel=1e-4, abs=1e-4), key
    after = model.state_dict()
    for key, expected_buffer in part(g, "train/after/").items():
        torch.testing.assert_close(after[key], expected_buffer.to(after[key].dtype), rtol=0, atol=1e-5)


def test_label_noise_of_glagcn():
    g = tensors("glagcn", "random_move")
    moved = losses.random_move(g["target_in"].numpy(), np.random.RandomState(int(g["numpy_seed"])))
    np.testing.assert_allclose(moved, g["target_out"].numpy(), atol=1e-6)


def test_ranger_follows_the_published_trace():
    g = tensors("glagcn", "ranger_vector")
    weight = nn.Parameter(g["w0"].clone())
    optimiser = Ranger([weight], lr=0.01)
    for step, (gradient, expected) in enumerate(zip(g["grads"], g["trace"], strict=True)):
        if step == 9:  # and goes on from a saved state
            state = optimiser.state_dict()
            optimiser = Ranger([weight], lr=0.5)
            optimiser.load_state_dict(state)
        weight.grad = gradient.clone()
        optimiser.step()
        torch.testing.assert_close(weight.detach(), expected, rtol=0, atol=1e-6)


def test_training_of_glagcn_with_ranger():
    """The recorded weights are all those after the 14th step (its arrays were views), so the run goes on from there."""
    g = tensors("glagcn", "train_ranger_c4")
    model = build_lifter("glagcn", frames=9, width=4, widths=(3, 3), drop=0.0, graph_drop=0.0).train()
    assert torch.equal(g["sd_init/fc.weight"], g["sd_step14/fc.weight"])
    model.load_state_dict(part(g, "sd_step14/"))
    assert float(losses.weighted_mpjpe(g["train_out0"], g["target"])) == pytest.approx(float(g["losses"][0]), abs=1e-6)
    optimiser = Ranger(model.parameters(), lr=0.01)
    later = []
    for _ in range(12):
        loss = losses.weighted_mpjpe(model(g["input"]), g["target"])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        later.append(float(loss.detach()))
    assert later[0] < float(g["losses"][-1]) and later[-1] < 0.95 * later[0]


def test_one_frame_has_no_motion():
    pred = torch.ones(2, 1, 17, 3, requires_grad=True)
    total, terms = losses.sequence_loss(pred, torch.zeros(2, 1, 17, 3))
    assert float(terms["temporal"].detach()) == 0 and float(terms["velocity"].detach()) == 0
    total.backward()
    assert torch.isfinite(pred.grad).all()


def test_shapes_are_checked():
    with pytest.raises(UsageError, match="one shape"):
        losses.weighted_mpjpe(torch.zeros(2, 27, 17, 3), torch.zeros(2, 17, 3))
    with pytest.raises(UsageError, match="15 joint weights for 17"):
        losses.sequence_loss(torch.zeros(1, 9, 17, 3), torch.zeros(1, 9, 17, 3), weights=[1.0] * 15)
