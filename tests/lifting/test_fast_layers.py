"""Linear layers and attention by the fastest way, and bfloat16 where it keeps the poses."""

from __future__ import annotations

import copy

import pytest
import torch
from small_lifters import ALL, keypoints, made
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from dsr.errors import UsageError
from dsr.lifting.fast_layers import attention, linear, use_bfloat16
from dsr.lifting.transformer import Mlp


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
