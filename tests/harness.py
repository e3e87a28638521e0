"""How close is close, per number type, and gradients against finite differences. ``conftest`` has the devices.

``close`` measures differences against the scale of the expected values (their largest magnitude): rounding in a sum
grows with what is summed, and a value that happens to be near zero is no more exact than its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
"""Share of the scale by which values may differ. float32: other processors and BLAS sum in another order."""
TINY = 1e-12


def assert_close(actual: Any, expected: Any, *, relative: float | None = None, what: str = "the values") -> None:
    """Equal shapes, equal NaN and infinities, and differences within a share of the expected values' scale.

    Args:
        actual: tensor, array or number.
        expected: the same; integers and truth values must be equal.
        relative: share of the largest expected magnitude; by default that of the less precise of the two types.
        what: named in the message.
    """
    ours, target = (torch.as_tensor(value).detach().cpu() for value in (actual, expected))
    assert ours.shape == target.shape, f"{what}: shape {tuple(ours.shape)} instead of {tuple(target.shape)}"
    if not (ours.is_floating_point() or target.is_floating_point()):
        assert torch.equal(ours, target), f"{what} differ at {_first(ours != target)}"
        return
    types = [value.dtype for value in (ours, target) if value.is_floating_point()]
    share = max(TOLERANCES[kind] for kind in types) if relative is None else relative
    ours, target = ours.double(), target.double()
    finite = target.isfinite()
    scale = float(target[finite].abs().max()) if finite.any() else 0.0
    same = (ours == target) | (ours.isnan() & target.isnan())
    far = torch.where(finite, ((ours - target).abs() <= share * scale + TINY).logical_not(), ~same)
    if far.any():
        index = _first(far)
        raise AssertionError(
            f"{what}: {int(far.sum())} of {far.numel()} differ by more than {share:g} of {scale:g}; at {index} "
            f"{float(ours[index]):.9g} instead of {float(target[index]):.9g}"
        )


def gradcheck(function: Callable[..., Any], *inputs: Tensor, second: bool = False, **options: Any) -> None:
    """Derivatives of a function against finite differences, in float64.

    Args:
        function: of as many tensors as there are inputs, to a tensor or several.
        inputs: floating-point tensors are raised to float64 and differentiated, others passed on.
        second: also the second derivatives.
        options: of ``torch.autograd.gradcheck``.
    """
    leaves = [x.detach().double().requires_grad_() if x.is_floating_point() else x for x in inputs]
    assert torch.autograd.gradcheck(function, leaves, **options)
    if second:
        assert torch.autograd.gradgradcheck(function, leaves, **options)


def _first(mask: Tensor) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask.numpy())[0])
