"""Kinematics and trajectory prior attention (KTPFormer, arXiv 2404.00658; specification, sections 2 to 4).

A prior unit is a graph layer whose adjacency is a fixed topology (skeleton, or chain in time) plus a learned global
part, followed by batch norm and ReLU. :class:`PriorEmbedding` is both priors in front of a transformer: it takes the
place of any host's joint embedding and positional tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dsr.fast_layers import can_derive, derived, linear
from dsr.lifting.transformer import (
    Attention,
    DropPath,
    Mlp,
    add_branch,
    by_frame,
    by_joint,
    from_frames,
    from_joints,
)
from dsr.tracks.skeleton import H36M17, Skeleton


def topology(nodes: int, edges: Iterable[tuple[int, int]]) -> Tensor:
    """Row-normalised symmetric adjacency with a diagonal of ones set afterwards (specification, section 2).

    Args:
        nodes: n.
        edges: undirected edges.

    Returns:
        (n, n) float32; not symmetric in general.
    """
    adjacency = torch.zeros(nodes, nodes)
    for a, b in edges:
        adjacency[a, b] = adjacency[b, a] = 1.0
    adjacency = adjacency / adjacency.sum(1, keepdim=True).clamp_min(1.0)
    return adjacency.fill_diagonal_(1.0)


def kinematic_topology(skeleton: Skeleton = H36M17) -> Tensor:
    """The skeleton's bones, (J, J)."""
    return topology(len(skeleton), skeleton.bones)


def trajectory_topology(frames: int) -> Tensor:
    """A chain through time, (F, F)."""
    return topology(frames, ((t, t - 1) for t in range(1, frames)))


class PriorGraph(nn.Module):
    """``(A o I)(M o xW0) + (A o (1 - I))(M o xW1) + bias``, A the symmetrised sum of topology and learned part."""

    adjacency: Tensor

    def __init__(self, inputs: int, outputs: int, adjacency: Tensor) -> None:
        super().__init__()
        nodes = len(adjacency)
        self.W = nn.Parameter(torch.empty(2, inputs, outputs))
        # Fans of the three-dimensional tensor, as published: far smaller than a Xavier of each matrix.
        nn.init.xavier_uniform_(self.W, gain=1.414)
        self.M = nn.Parameter(torch.ones(nodes, outputs))
        self.adj2 = nn.Parameter(torch.full((nodes, nodes), 1e-6))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-1.0, 1.0) / outputs**0.5)
        self.register_buffer("adjacency", adjacency, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, n, inputs) to (N, n, outputs)."""
        whole = self.adjacency + self.adj2
        whole = (whole + whole.T) / 2.0
        eye = torch.eye(len(whole), dtype=whole.dtype, device=whole.device)
        self_weight = (whole * eye).sum(1)
        # Two products with one wide matrix; the self weight is a row scale, the rest one n x n product.
        both = x @ self.W.transpose(0, 1).flatten(1)
        self_part, other = both.chunk(2, -1)
        return self_weight[:, None] * (self.M * self_part) + (whole * (1.0 - eye)) @ (self.M * other) + self.bias


class PriorUnit(nn.Module):
    """Graph layer, batch norm over channels, ReLU."""

    def __init__(self, inputs: int, outputs: int, adjacency: Tensor) -> None:
        super().__init__()
        self.gconv = PriorGraph(inputs, outputs, adjacency)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, n, inputs) to (N, n, outputs)."""
        norm, graph = self.bn, self.gconv
        if norm.training or not can_derive(x):
            return functional.relu(norm(graph(x).transpose(1, 2)).transpose(1, 2))
        sources = [*graph.parameters(), *norm.parameters(), *norm.buffers()]
        layer, own, mask, others, shift = derived(self, "merged", sources, self._merged)
        self_part, other = linear(x, layer).chunk(2, -1)
        mixed = torch.addcmul(shift, own, self_part)
        return mixed.baddbmm_(others.expand(len(x), -1, -1), mask * other).relu_()

    def _merged(self) -> tuple[nn.Linear, Tensor, Tensor, Tensor, Tensor]:
        """Both products as one layer with the norm taken in; the self weight, M, the graph without it, the shift."""
        norm: Any = self.bn
        graph = self.gconv
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        whole = graph.adjacency + graph.adj2
        whole = (whole + whole.T) / 2.0
        weight = (graph.W * scale).transpose(1, 2).flatten(0, 1).contiguous()
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        layer.weight = nn.Parameter(weight, requires_grad=False)
        others = whole - torch.diag(whole.diagonal())
        shift = (graph.bias - norm.running_mean) * scale + norm.bias
        return layer, whole.diagonal()[:, None] * graph.M, graph.M.detach(), others, shift


class KinematicsAttention(Attention):
    """KPA: prior unit over the joints of a frame, learned positions, residual attention."""

    def __init__(self, inputs: int, width: int, heads: int, skeleton: Skeleton = H36M17) -> None:
        super().__init__(width, heads)
        self.kpa = PriorUnit(inputs, width, kinematic_topology(skeleton))
        self.Spatial_pos_embed = nn.Parameter(torch.zeros(1, len(skeleton), width))
        self.norm1 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(N, J, inputs) to (N, J, C)."""
        h = self.kpa(x) + self.Spatial_pos_embed
        return super().forward(self.norm1(h), add=h)


class TrajectoryUnits(nn.Module):
    """Two prior units over the frames of a joint, and the identity."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.gconv1 = PriorUnit(width, width, trajectory_topology(frames))
        self.gconv2 = PriorUnit(width, width, trajectory_topology(frames))

    def forward(self, x: Tensor) -> Tensor:
        """(N, F, C) to the same shape."""
        return x + self.gconv2(self.gconv1(x))


class TrajectoryAttention(Attention):
    """TPA: trajectory prior, learned positions, residual attention."""

    def __init__(self, width: int, heads: int, frames: int) -> None:
        super().__init__(width, heads)
        self.tpa = TrajectoryUnits(width, frames)
        self.Temporal_pos_embed = nn.Parameter(torch.zeros(1, frames, width))
        self.norm1 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(N, F, C) to the same shape."""
        h = self.tpa(x) + self.Temporal_pos_embed
        return super().forward(self.norm1(h), add=h)


class PriorBlock(nn.Module):
    """Prior attention followed by a residual MLP; no residual around the attention (specification, section 4)."""

    def __init__(self, attention: Attention, width: int, hidden: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.attn = attention
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, hidden)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, inputs) to (N, T, C)."""
        h = self.attn(x)
        return add_branch(h, self.norm2, self.mlp, self.drop_path)


class PriorEmbedding(nn.Module):
    """Both priors as the embedding of another host: (B, F, J, inputs) to (B, F, J, C).

    Args:
        inputs: channels of a keypoint, 2 or 3.
        width: channels C of the host.
        heads: attention heads.
        frames: F; the trajectory prior is built for one length.
        hidden: width of the MLPs, 2 C as published.
        kinematics: the kinematics prior; otherwise a linear embedding with positions.
        trajectory: the trajectory prior; otherwise temporal positions alone.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        heads: int,
        frames: int,
        hidden: int | None = None,
        *,
        kinematics: bool = True,
        trajectory: bool = True,
        skeleton: Skeleton = H36M17,
    ) -> None:
        super().__init__()
        hidden = hidden or 2 * width
        self.kinematics, self.trajectory = kinematics, trajectory
        if kinematics:
            self.kpattention = PriorBlock(KinematicsAttention(inputs, width, heads, skeleton), width, hidden)
        else:
            self.linear = nn.Linear(inputs, width)
            self.pos_embed = nn.Parameter(torch.zeros(1, 1, len(skeleton), width))
        self.Spatial_norm = nn.LayerNorm(width, eps=1e-6)
        if trajectory:
            self.tpattention = PriorBlock(TrajectoryAttention(width, heads, frames), width, hidden)
        else:
            self.temp_embed = nn.Parameter(torch.zeros(1, frames, 1, width))
        self.Temporal_norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, J, inputs) to (B, F, J, C)."""
        frames, joints = x.shape[1:3]
        if self.kinematics:
            tokens = from_frames(self.kpattention(by_frame(x)), frames)
        else:
            tokens = self.linear(x) + self.pos_embed
        tokens = self.Spatial_norm(tokens)
        if not self.trajectory:
            return self.Temporal_norm(tokens + self.temp_embed)
        return self.Temporal_norm(from_joints(self.tpattention(by_joint(tokens)), joints))
