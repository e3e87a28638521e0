"""ConvFormer's convolutions, attention and blocks (its specification, section 8)."""

from __future__ import annotations

import pytest
import torch
from small_lifters import ALL, keypoints, made
from torch.nn import functional

from dsr.errors import UsageError
from dsr.lifting import build_lifter
from dsr.lifting.convformer import ConvBlock, ConvFormer, ConvolutionalAttention, DynamicConvolution


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
