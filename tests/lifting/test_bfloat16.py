"""Transformer lifters in bfloat16 where it keeps the poses."""

from __future__ import annotations

import copy

import pytest
import torch
from small_lifters import ALL, keypoints, made

from dsr.errors import UsageError
from dsr.lifting.bfloat16 import use_bfloat16
from dsr.lifting.transformer import Mlp


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
