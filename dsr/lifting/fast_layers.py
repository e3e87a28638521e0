"""Linear layers and attention of the lifters, by the fastest way this machine has; bfloat16 where it keeps the poses.

Without gradients on a CPU, PyTorch's float32 linear layers leave speed on the table where its BLAS does not know the
processor; oneDNN, which it carries as well, does them up to a fifth faster and takes the GELU along.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional

from dsr.errors import UsageError

_SMALL = 1 << 24  # multiply-adds below which the choice does not matter
_PACKED: WeakKeyDictionary[nn.Linear, tuple[tuple[int, int], Tensor]] = WeakKeyDictionary()


def linear(x: Tensor, layer: nn.Linear, gelu: bool = False) -> Tensor:
    """``layer(x)``, through GELU (erf) where asked for; the input is brought to the layer's precision.

    Args:
        x: (..., inputs).
        layer: the layer.
        gelu: apply GELU to the result.
    """
    x = x.to(layer.weight.dtype)
    if _takes_onednn(x, layer):
        kind: tuple[Any, ...] = ("gelu", [], "none") if gelu else ("none", [], "")
        return torch.ops.mkldnn._linear_pointwise(x, _weight(layer), layer.bias, *kind)
    x = layer(x)
    return functional.gelu(x) if gelu else x


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention of (N, heads, T, d); (N, T, heads * d)."""
    if q.dtype is torch.bfloat16 and q.device.type == "cpu":
        # PyTorch's fused attention gains nothing from bfloat16 on a CPU; plain products of packed heads do.
        sequences, scale = q.shape[:2], q.shape[-1] ** -0.5
        q, k, v = (part.flatten(0, 1) for part in (q, k, v))
        weights = torch.baddbmm(q.new_empty(()), q, k.mT, beta=0.0, alpha=scale).softmax(-1)
        out = torch.bmm(weights, v).unflatten(0, sequences)
    else:
        out = functional.scaled_dot_product_attention(q, k, v)
    return out.transpose(1, 2).flatten(-2)


def use_bfloat16(model: nn.Module) -> nn.Module:
    """Attention and MLPs of a transformer lifter to bfloat16, in place; sums, norms, embedding and head keep float32.

    So does the last block: its rounding would reach the poses unaveraged (with bfloat16 all through they are off by
    twice as much). On a CPU the weights are also kept in oneDNN's order.

    Args:
        model: a lifter of attention blocks.

    Returns:
        The same model.

    Raises:
        UsageError: if it has no such parts.
    """
    stacks = [part for part in model.modules() if isinstance(part, nn.ModuleList) and len(part) > 1]
    stacks = [stack for stack in stacks if any(hasattr(part, "wide_layers") for part in stack.modules())]
    exact = {id(part) for stack in stacks[-1:] for part in stack[-1].modules()}
    wide = [(part, getattr(part, name)) for part in model.modules() for name in getattr(part, "wide_layers", ())]
    if all(id(part) in exact for part, _ in wide):
        raise UsageError(f"{type(model).__name__} has no attention blocks to compute in bfloat16; use float32.")
    rows = getattr(model, "frames", 1) * getattr(model, "joints", 1)
    for part, layer in wide:
        if id(part) not in exact:
            layer.to(torch.bfloat16)
        _pack(layer, rows)
    return model


def _pack(layer: nn.Linear, rows: int) -> None:
    """Keep the weight in the order oneDNN wants for about so many rows; a few percent of each product."""
    if layer.weight.device.type == "cpu" and torch.backends.mkldnn.is_available() and not layer.weight.is_inference():
        weight = layer.weight.detach()
        _PACKED[layer] = _state(layer), torch.ops.mkldnn._reorder_linear_weight(weight, rows)


def _weight(layer: nn.Linear) -> Tensor:
    """The packed weight, unless the layer's has changed since."""
    packed = _PACKED.get(layer)
    return packed[1] if packed is not None and packed[0] == _state(layer) else layer.weight


def _state(layer: nn.Linear) -> tuple[int, int]:
    return layer.weight.data_ptr(), layer.weight._version


def _takes_onednn(x: Tensor, layer: nn.Linear) -> bool:
    """Whether the fused operator may stand for the layer: nothing is recorded, traced, hooked or converted."""
    return bool(
        type(layer) is nn.Linear
        and not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and x.numel() * layer.out_features >= _SMALL
        and not (layer._forward_hooks or layer._forward_pre_hooks)
        and not (torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.is_autocast_enabled("cpu"))
        and torch._C._len_torch_dispatch_stack() == 0  # counters of operations, fake tensors
        and not torch._C._functorch.is_functorch_wrapped_tensor(x)
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
    )
