"""Transformer lifters in bfloat16 where it keeps the poses."""

from __future__ import annotations

import torch
from torch import nn

from dsr.errors import UsageError


def use_bfloat16(model: nn.Module) -> nn.Module:
    """Attention and MLPs of a transformer lifter to bfloat16, in place; sums, norms, embedding and head keep float32.

    So does the last block: its rounding would reach the poses unaveraged (with bfloat16 all through they are off by
    twice as much).

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
    for part, layer in wide:
        if id(part) not in exact:
            layer.to(torch.bfloat16)
    return model
