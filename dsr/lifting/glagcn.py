"""GLA-GCN: an adaptive graph network that shrinks time to the centre frame, then regresses every joint (ICCV 2023).

Specification: sections 3 to 6; state dict as published. Nothing works in place, so it trains on current PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dsr.fast_layers import can_merge
from dsr.lifting.base import WindowLifter
from dsr.lifting.glagcn_merged import merged_stages
from dsr.tracks.skeleton import H36M17, HUMANEVA15

SUBSETS = 3
# (child, parent), literally as released: not consistently away from the root (specification, section 3)
_HUMANEVA15_EDGES = (
    (14, 1),
    (1, 2),
    (2, 3),
    (3, 4),
    (1, 5),
    (5, 6),
    (6, 7),
    (1, 0),
    (0, 11),
    (11, 12),
    (12, 13),
    (0, 8),
    (8, 9),
    (9, 10),
)
_HUMANEVA15_COCO_EDGES = (
    (14, 1),
    (2, 3),
    (3, 4),
    (1, 2),
    (5, 6),
    (6, 7),
    (1, 0),
    (0, 11),
    (11, 12),
    (12, 13),
    (9, 10),
    (8, 9),
)
EDGES = {"h36m": H36M17.bones, "humaneva15": _HUMANEVA15_EDGES, "humaneva15_coco": _HUMANEVA15_COCO_EDGES}
"""Fixed graphs by data set, as (child, parent)."""


def partitions(joints: int, edges: Sequence[tuple[int, int]]) -> Tensor:
    """Identity, inward and outward graphs, (3, J, J); columns of the last two sum to one where they hold anything."""
    identity, inward, outward = torch.eye(joints), torch.zeros(joints, joints), torch.zeros(joints, joints)
    for child, parent in edges:
        inward[parent, child] = outward[child, parent] = 1.0
    return torch.stack((identity, *(a / a.sum(0, keepdim=True).clamp_min(1.0) for a in (inward, outward))))


class AdaptiveGraph(nn.Module):
    """Graph convolution over joints; graph = fixed + learned + attention of the sequence (specification, 4.1)."""

    graph: Tensor

    def __init__(self, inputs: int, outputs: int, graph: Tensor, drop: float) -> None:
        super().__init__()
        self.embedded = outputs // 4 or 3
        self.PA = nn.Parameter(torch.full_like(graph, 1e-6))
        self.conv_a = nn.ModuleList(nn.Conv2d(inputs, self.embedded, 1) for _ in range(SUBSETS))
        self.conv_b = nn.ModuleList(nn.Conv2d(inputs, self.embedded, 1) for _ in range(SUBSETS))
        self.conv_d = nn.ModuleList(nn.Conv2d(inputs, outputs, 1) for _ in range(SUBSETS))
        self.down: nn.Sequential | None = None
        if inputs != outputs:
            self.down = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))
        self.bn = nn.BatchNorm2d(outputs)
        self.drop = nn.Dropout(drop)
        self.register_buffer("graph", graph, persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                nn.init.zeros_(module.bias)
        for conv in list[Any](self.conv_d):
            nn.init.normal_(conv.weight, std=(2.0 / (outputs * inputs * SUBSETS)) ** 0.5)
        nn.init.constant_(self.bn.weight, 1e-6)

    def attention(self, x: Tensor) -> Tensor:
        """(N, C, T, V) to (N, 3, V, V): softmax over the first joint index."""
        # The three subsets side by side in one convolution each.
        theta, phi = (self._side_by_side(x, convs).unflatten(1, (SUBSETS, -1)) for convs in (self.conv_a, self.conv_b))
        scores = torch.einsum("nsctu,nsctv->nsuv", theta, phi) / (self.embedded * x.shape[2])
        return scores.softmax(-2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, Cin, T, V) to (N, Cout, T, V)."""
        weights = self.attention(x) + self.graph + self.PA
        mixed = torch.einsum("nctu,nsuv->nsctv", x, weights).flatten(1, 2)
        convs: Any = self.conv_d
        kernel = torch.cat([conv.weight for conv in convs], 1)
        bias = torch.stack([conv.bias for conv in convs]).sum(0)
        y = self.drop(self.bn(functional.conv2d(mixed, kernel, bias)))
        return functional.relu(y + (x if self.down is None else self.down(x)))

    @staticmethod
    def _side_by_side(x: Tensor, convs: Any) -> Tensor:
        weight = torch.cat([conv.weight for conv in convs])
        return functional.conv2d(x, weight, torch.cat([conv.bias for conv in convs]))


class TemporalConvolution(nn.Module):
    """Convolution along time and batch norm; a causal one sees the past alone, up to the last frame of each stride."""

    def __init__(self, inputs: int, outputs: int, stride: int, kernel: int = 9, causal: bool = False) -> None:
        super().__init__()
        self.past = kernel - stride if causal and kernel > 1 else 0
        around = 0 if causal else kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, (kernel, 1), (stride, 1), (around, 0))
        self.bn = nn.BatchNorm2d(outputs)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out")
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, Cin, T, V) to (N, Cout, ceil(T / stride), V)."""
        y: Tensor = self.bn(self.conv(functional.pad(x, (0, 0, self.past, 0)) if self.past else x))
        return y


class GraphUnit(nn.Module):
    """Graph and temporal convolution with an optional shortcut, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, graph: Tensor, stride: int, shortcut: bool, drop: float, causal: bool = False
    ) -> None:
        super().__init__()
        self.gcn1 = AdaptiveGraph(inputs, outputs, graph, drop)
        self.tcn1 = TemporalConvolution(outputs, outputs, stride, causal=causal)
        self.shortcut = shortcut
        self.residual: TemporalConvolution | None = None
        if shortcut and (inputs != outputs or stride != 1):
            self.residual = TemporalConvolution(inputs, outputs, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, Cin, T, V) to (N, Cout, ceil(T / stride), V)."""
        y = self.tcn1(self.gcn1(x))
        if self.shortcut:
            y = y + (x if self.residual is None else self.residual(x))
        return functional.relu(y)


class GLAGCN(WindowLifter):
    """The published network: widths 3 x 5 (243 frames), 96 channels; centre frame out.

    Args:
        frames: by default the product of ``widths``; more frames leave several, which are averaged.
        width: channels C.
        widths: temporal strides.
        dataset: ``h36m``, ``humaneva15`` or ``humaneva15_coco`` (takes 17 COCO keypoints or 15 joints, no input norm).
        drop: dropout after units; inside of the graph convolutions it is 0.1 as released.
        inputs: channels per keypoint.
        causal: the last frame of a window is given instead of the middle one, from what was before it. The released
            switch fails with shapes that do not fit; here convolutions see the past alone and shortcuts take the last
            frame of each stride.
    """

    centre_only = True

    def __init__(
        self,
        frames: int | None = None,
        width: int = 96,
        widths: Sequence[int] = (3, 3, 3, 3, 3),
        dataset: str = "h36m",
        drop: float = 0.1,
        graph_drop: float = 0.1,
        inputs: int = 2,
        causal: bool = False,
    ) -> None:
        if dataset not in EDGES:
            raise ValueError(f"the data set is one of {', '.join(EDGES)}, got {dataset!r}")
        joints = len(H36M17) if dataset == "h36m" else len(HUMANEVA15)
        super().__init__(frames or prod(widths), inputs, joints)
        self.dataset, self.widths, self.causal = dataset, tuple(widths), bool(causal)
        left = self.frames
        for step in widths:
            if (left - 1) // step + 1 != -((step // 2 - left) // step):
                raise ValueError(f"{self.frames} frames do not shrink evenly by {tuple(widths)}")
            left = (left - 1) // step + 1
        graph = partitions(joints, EDGES[dataset])
        self.data_bn = nn.BatchNorm1d(inputs * joints)
        self.expand_gcn = GraphUnit(inputs, width, graph, 1, True, graph_drop, self.causal)
        self.layers_tcngcn = nn.ModuleList()
        for step in widths:
            self.layers_tcngcn.append(GraphUnit(width, width, graph, 1, True, graph_drop, self.causal))
            self.layers_tcngcn.append(GraphUnit(width, width, graph, step, False, graph_drop, self.causal))
        self.fc = nn.Conv1d(width, 3, 1)
        self.drop = nn.Dropout(drop)

    @property
    def target_frame(self) -> int:
        """The middle one, or the last one where it is causal."""
        return self.frames - 1 if self.causal else super().target_frame

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, V, inputs) to (N, 1, V, 3), metres: the centre frame, or the last one."""
        if self.dataset == "humaneva15_coco" and x.ndim == 4 and x.shape[2] == 17:
            x = coco17_to_humaneva15(x)
        x = self.enter(x)
        if self.dataset != "humaneva15_coco":
            flat = self.data_bn(x.flatten(2).transpose(1, 2)).transpose(1, 2)
            x = flat.unflatten(-1, (self.joints, self.inputs))
        if can_merge(x, self):
            return self.fc(merged_stages(self, x)).transpose(1, 2)[:, None]
        x = self.expand_gcn(x.permute(0, 3, 1, 2))
        for i, step in enumerate(self.widths):
            centres = x[:, :, step - 1 if self.causal else step // 2 :: step]
            x = self.drop(self.layers_tcngcn[2 * i](x))
            x = self.drop(self.layers_tcngcn[2 * i + 1](x)) + centres
        return self.fc(x.mean(2)).transpose(1, 2)[:, None]


def coco17_to_humaneva15(x: Tensor) -> Tensor:
    """17 COCO keypoints (..., 17, C) to HumanEva's 15 joints, on a copy (specification, section 8)."""
    middle = torch.stack((x[..., 11:13, :].mean(-2), x[..., 5:7, :].mean(-2)), -2)
    order = torch.tensor((5, 7, 9, 6, 8, 10, 11, 13, 15, 12, 14, 16, 0), device=x.device)
    return torch.cat((middle, x.index_select(-2, order)), -2)
