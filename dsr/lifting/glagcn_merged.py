"""GLA-GCN's forward pass without gradients: norms taken into convolutions, and the frames of a joint side by side.

Activations lie in memory as (N, V, T, C): what a graph mixes is then one product of a small by a wide matrix, and
convolutions slide along memory. Results are those of the modules but for rounding.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dsr.fast_layers import PackedConvolution, convolution_dtype, derived, folded


def merged_stages(model: Any, x: Tensor) -> Tensor:
    """From normalised keypoints to what the last layer takes.

    Args:
        model: a :class:`~dsr.lifting.glagcn.GLAGCN` in evaluation.
        x: (N, T, V, inputs).

    Returns:
        (N, C, V), the mean over the frames that are left.
    """
    x = _unit(model.expand_gcn, x.permute(0, 3, 2, 1))
    for i, step in enumerate(model.widths):
        centres = x[..., step - 1 if model.causal else step // 2 :: step]
        x = _unit(model.layers_tcngcn[2 * i], x)
        x = _unit(model.layers_tcngcn[2 * i + 1], x) + centres
    return x.mean(3)


def _unit(unit: Any, x: Tensor) -> Tensor:
    """Graph and temporal convolution with its shortcut; (N, Cin, V, T) to (N, Cout, V, T / stride)."""
    dtype, graph = convolution_dtype(x), unit.gcn1
    layers: dict[str, Any] = derived(unit, ("merged", dtype), _sources(unit), lambda: _packed(unit, x.shape, dtype))
    x = x.contiguous(memory_format=torch.channels_last)
    frames = x.shape[3]
    both = layers["scores"](x).permute(0, 2, 3, 1).unflatten(-1, (2, len(graph.graph), -1))
    theta, phi = both.permute(3, 0, 4, 1, 2, 5).flatten(-2).float()
    weights = (theta @ phi.mT / (graph.embedded * frames)).softmax(-2) + layers["graph"]
    y = layers["down"](x) if layers["down"] else x
    flat = x.permute(0, 2, 3, 1).flatten(2).to(dtype)
    # One piece of memory for what every graph mixes: pieces of this size come from the system, anew each time.
    mixed = torch.empty_like(flat)
    as_image = mixed.unflatten(2, (frames, -1)).permute(0, 3, 1, 2)
    for s, subset in enumerate(layers["subsets"]):
        torch.bmm(weights[:, s].mT.to(dtype), flat, out=mixed)
        y = subset(as_image, add=y, relu=subset is layers["subsets"][-1])
    shortcut = None
    if unit.shortcut:
        shortcut = layers["residual"](x) if layers["residual"] else x
    if unit.tcn1.past:
        y = functional.pad(y, (unit.tcn1.past, 0))
    found: Tensor = layers["time"](y, relu=True, add=shortcut)
    return found


def _sources(unit: Any) -> list[Tensor]:
    """What a unit's merged weights are made of."""
    graph, time, residual = unit.gcn1, unit.tcn1, unit.residual
    convs = [*graph.conv_a, *graph.conv_b, *graph.conv_d, time.conv]
    norms = [graph.bn, time.bn]
    for more in (graph.down, None if residual is None else (residual.conv, residual.bn)):
        if more is not None:
            convs.append(more[0])
            norms.append(more[1])
    found = [graph.PA, graph.graph]
    for layer in (*convs, *norms):
        found += (layer.weight, layer.bias)
    for norm in norms:
        found += (norm.running_mean, norm.running_var)
    return found


def _packed(unit: Any, shape: torch.Size, dtype: torch.dtype) -> dict[str, Any]:
    """A unit's layers for inputs (N, C, V, T) of about that shape."""
    graph, residual = unit.gcn1, unit.residual
    scores = [*graph.conv_a, *graph.conv_b]
    bias = torch.stack([conv.bias for conv in graph.conv_d]).sum(0)
    # The first of the subsets has all that is constant.
    subsets = [folded(SimpleNamespace(weight=conv.weight.detach(), bias=bias), graph.bn)[0] for conv in graph.conv_d]
    constant = folded(SimpleNamespace(weight=graph.conv_d[0].weight, bias=bias), graph.bn)[1]
    outputs = (shape[0], len(bias), shape[2], shape[3] + unit.tcn1.past)

    def along_time(temporal: Any, shape: Any) -> PackedConvolution:
        weight, bias = folded(temporal.conv, temporal.bn)
        around, stride = temporal.conv.padding[::-1], temporal.conv.stride[::-1]
        return PackedConvolution(weight.transpose(2, 3), bias, shape, dtype, around, stride)

    return {
        "scores": PackedConvolution(
            torch.cat([conv.weight for conv in scores]), torch.cat([conv.bias for conv in scores]), shape, dtype
        ),
        "graph": graph.graph + graph.PA,
        "down": None if graph.down is None else PackedConvolution(*folded(*graph.down), shape, dtype),
        "subsets": [
            PackedConvolution(weight, None if s else constant, shape, dtype) for s, weight in enumerate(subsets)
        ],
        "time": along_time(unit.tcn1, outputs),
        "residual": None if residual is None else along_time(residual, shape),
    }
