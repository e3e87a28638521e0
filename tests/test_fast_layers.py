"""Layers by the fastest way are the layers, and step back where they must not stand in."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from dsr.fast_layers import ConvolutionSteps, FrozenLinear, attention, convolution, derived, linear, product


@pytest.fixture
def without_limit(monkeypatch):
    monkeypatch.setattr("dsr.fast_layers.SMALL", 0)


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


def test_a_sum_and_a_scale_are_part_of_the_layer(without_limit):
    torch.manual_seed(0)
    layer, x, add, scale = nn.Linear(8, 12), torch.randn(5, 8), torch.randn(5, 12), torch.rand(12)
    wanted, before = add + scale * layer(x), add.clone()
    with torch.no_grad():
        torch.testing.assert_close(linear(x, layer, add=add, scale=scale), wanted)
        for other in (add, add[:1], add.expand(2, -1, -1)):
            torch.testing.assert_close(linear(x, layer, add=other), other + layer(x))
        mixed = linear(x, layer.to(torch.bfloat16), add=add, scale=scale)
    assert mixed.dtype is torch.float32 and torch.equal(add, before)
    torch.testing.assert_close(mixed, wanted, atol=3e-2, rtol=3e-2)


def norm_with_numbers(channels):
    norm = nn.BatchNorm2d(channels)
    for value in (norm.weight.data, norm.running_var):
        value.uniform_(0.5, 1.5)
    for value in (norm.bias.data, norm.running_mean):
        value.normal_()
    return norm


@pytest.mark.parametrize(
    "settings", [{"padding": 1, "stride": 2}, {"groups": 4, "padding": 1}, {"padding": 2, "dilation": 2}]
)
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_takes_norm_sum_and_relu_along(settings, bias):
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(8, 16, 3, bias=bias, **settings), norm_with_numbers(16).eval()
    x = torch.randn(2, 8, 9, 7)
    plain = norm(conv(x)).detach()
    add = torch.randn_like(plain)
    for relu in (False, True):
        for other in (None, add):
            wanted = plain if other is None else plain + other
            wanted = functional.relu(wanted) if relu else wanted
            with torch.no_grad():
                found = convolution(x, conv, norm, relu=relu, add=other)
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(convolution(x, conv, norm, relu=relu, add=other).detach(), wanted)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = convolution(x, conv, norm)
    assert half.dtype is torch.bfloat16
    torch.testing.assert_close(half.float(), plain, atol=0.1, rtol=0.05)


def test_a_norm_that_learns_is_not_taken_in():
    conv, norm, x = nn.Conv2d(3, 4, 1), norm_with_numbers(4).train(), torch.randn(2, 3, 5, 5)
    before = norm.running_mean.clone()
    with torch.no_grad():
        found = convolution(x, conv, norm)
    assert found.mean((0, 2, 3)).sub(norm.bias).abs().max() < 1e-5
    assert not torch.equal(norm.running_mean, before)


def test_steps_give_what_a_sequence_gives():
    torch.manual_seed(0)
    parts = (
        nn.Conv2d(3, 6, 3, 1, 1),
        norm_with_numbers(6),
        nn.ReLU(),
        nn.Conv2d(6, 4, 1, bias=False),
        norm_with_numbers(4),
    )
    for steps in (
        parts,
        (*parts, nn.Upsample(scale_factor=2)),
        (ConvolutionSteps(*parts[:3]), ConvolutionSteps(*parts[3:])),
    ):
        plain, ours = nn.Sequential(*steps).eval(), ConvolutionSteps(*steps).eval()
        x = torch.randn(1, 3, 6, 5)
        with torch.no_grad():
            wanted = plain(x)
            add = torch.randn_like(wanted)
            torch.testing.assert_close(ours(x), wanted, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(ours(x, add), wanted + add, atol=1e-5, rtol=1e-5)
        assert ours(x).requires_grad


def test_merged_weights_follow_their_sources(without_limit):
    layer, x = nn.Linear(4, 4), torch.randn(3, 4)
    conv, norm, image = nn.Conv2d(2, 3, 1), norm_with_numbers(3).eval(), torch.randn(1, 2, 3, 3)
    with torch.no_grad():
        for change in (
            lambda: None,
            lambda: layer.weight.mul_(2),
            lambda: setattr(layer, "weight", nn.Parameter(torch.rand(4, 4))),
        ):
            change()
            torch.testing.assert_close(linear(x, layer), functional.linear(x, layer.weight, layer.bias))
        for change in (
            lambda: None,
            lambda: norm.running_mean.add_(1),
            lambda: conv.load_state_dict(nn.Conv2d(2, 3, 1).state_dict()),
        ):
            change()
            torch.testing.assert_close(convolution(image, conv, norm), norm(conv(image)), atol=1e-5, rtol=1e-5)


def test_what_is_derived_is_made_once():
    owner, source, made = nn.Identity(), torch.ones(2), []
    for _ in range(3):
        derived(owner, "sum", [source], lambda: made.append(source.sum().item()) or made[-1])
    source.add_(1)
    assert derived(owner, "sum", [source], lambda: source.sum().item()) == 4.0
    assert made == [2.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_frozen_layer_goes_both_ways(dtype):
    torch.manual_seed(0)
    layer, x, more = nn.Linear(6, 5).to(dtype), torch.randn(3, 2, 6, dtype=dtype), torch.randn(3, 2, 5, dtype=dtype)
    frozen = FrozenLinear(layer.weight.detach(), layer.bias.detach(), 6)
    assert frozen.packed == (dtype is torch.float32 and torch.backends.mkldnn.is_available())
    torch.testing.assert_close(frozen(x), layer(x).detach())
    torch.testing.assert_close(frozen(x, gelu=True), functional.gelu(layer(x)).detach())
    torch.testing.assert_close(frozen.back(more), more @ layer.weight.detach())
    torch.testing.assert_close(frozen.back(more, add=x), more @ layer.weight.detach() + x)


@pytest.mark.parametrize("fast_blas", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_few_rows_times_many_columns(dtype, fast_blas, monkeypatch):
    monkeypatch.setattr("dsr.fast_layers._has_fast_blas", lambda: fast_blas)
    torch.manual_seed(0)
    weight, x, more = (torch.randn(*shape, dtype=dtype) for shape in ((5, 7), (7, 300), (5, 300)))
    torch.testing.assert_close(product(weight, x), weight @ x)
    torch.testing.assert_close(product(weight, x, add=more), weight @ x + more)
