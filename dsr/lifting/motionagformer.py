"""MotionAGFormer: an attention stream and a graph stream in parallel (host of HoT; HoT specification, 4.4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dsr.fast_layers import can_derive, derived, linear
from dsr.lifting.hourglass import FramePruning
from dsr.lifting.transformer import Attention, Mlp, by_frame, by_joint, from_frames, from_joints
from dsr.lifting.two_streams import TwoStreamLifter, mix

# As released, not symmetric: 0 lists 7 but not 4, 8 lists neither shoulder (specification, 4.4).
_NEIGHBOURS = (
    (1, 7),
    (0, 2),
    (1, 3),
    (2,),
    (0, 5),
    (4, 6),
    (5,),
    (0, 8),
    (7, 9),
    (8, 10),
    (9,),
    (8, 12),
    (11, 13),
    (12,),
    (8, 15),
    (14, 16),
    (15,),
)
_TEMPORAL_NEIGHBOURS = 4


def joint_adjacency() -> Tensor:
    """The released spatial graph, (17, 17) of zeros and ones."""
    adjacency = torch.zeros(17, 17)
    for joint, others in enumerate(_NEIGHBOURS):
        adjacency[joint, list(others)] = 1.0
    return adjacency


def normalise_adjacency(adjacency: Tensor) -> Tensor:
    """``D^-1/2 A D^-1/2`` with D the row sums; (..., n, n)."""
    scale = adjacency.sum(-1).clamp_min(torch.finfo(adjacency.dtype).tiny).rsqrt()
    return scale[..., :, None] * adjacency * scale[..., None, :]


class GraphMixer(nn.Module):
    """``ReLU(x + BN(N V(x) + U(x)))``: over joints with a fixed graph, over frames with the most similar frames."""

    adjacency: Tensor

    def __init__(self, width: int, nodes: int, temporal: bool) -> None:
        super().__init__()
        self.temporal = temporal
        self.U = nn.Linear(width, width)
        self.V = nn.Linear(width, width)
        for layer in (self.U, self.V):
            nn.init.normal_(layer.weight, std=(2.0 / width) ** 0.5)
        self.batch_norm = nn.BatchNorm1d(nodes)
        if not temporal:
            self.register_buffer("adjacency", normalise_adjacency(joint_adjacency()), persistent=False)

    def forward(self, x: Tensor, add: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
        """(N, nodes, C) to the same shape; times ``scale`` (C,) and added to ``add`` where given."""
        norm = self.batch_norm
        if norm.training or norm.running_var is None or not can_derive(x):
            graph = normalise_adjacency(similar_frames(x)) if self.temporal else self.adjacency
            y = functional.relu(x + norm(graph.to(x.dtype) @ self.V(x) + self.U(x)))
        else:
            y = self._without_gradients(x)
        if add is None or scale is None:
            return y if scale is None else scale * y
        return torch.addcmul(add, scale, y)

    def _without_gradients(self, x: Tensor) -> Tensor:
        """The same with the norm, which is one of nodes, as a scale of the rows."""
        norm = self.batch_norm
        factor, shift = derived(norm, "scale", [*norm.parameters(), *norm.buffers()], self._norm_as_scale)
        own = shift + factor * linear(x, self.U)
        others = linear(x, self.V)
        if not self.temporal:
            return torch.baddbmm(own, (factor * self.adjacency).expand(len(x), -1, -1), others).add_(x).relu_()
        graph = similar_frames(x)
        root = graph.sum(-1, keepdim=True).rsqrt_()
        return own.addcmul_(torch.bmm(graph, others.mul_(root)), root.mul_(factor)).add_(x).relu_()

    def _norm_as_scale(self) -> tuple[Tensor, Tensor]:
        norm: Any = self.batch_norm
        factor = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return factor[:, None], (norm.bias - norm.running_mean * factor)[:, None]


@torch.no_grad()
def similar_frames(x: Tensor) -> Tensor:
    """1 where two frames are at least as similar as a frame's fourth most similar one, (N, F, C) to (N, F, F)."""
    similarity = x @ x.transpose(
        1, 2
    )  # symmetric: what is said of rows is found in columns, whose entries lie side by side
    return similarity.ge_(fourth_greatest(similarity)).transpose(1, 2)


def fourth_greatest(x: Tensor) -> Tensor:
    """The fourth greatest entry of every column, (N, F, M) to (N, 1, M), or the least of fewer; equal ones all count.

    A tournament of sorted fours: several times faster than topk, which goes through the columns one by one.
    """
    places = 4
    while places < x.shape[1]:
        places *= 2
    if x.shape[1] < 4:
        return x.amin(1, keepdim=True)
    fours = functional.pad(x, (0, 0, 0, places - x.shape[1]), value=-torch.inf).unflatten(1, (4, -1)).unbind(1)
    (a, b), (c, d) = _ordered(*fours[:2]), _ordered(*fours[2:])
    (a, c), (b, d) = _ordered(a, c), _ordered(b, d)
    b, c = _ordered(b, c)
    while a.shape[1] > 1:
        half = a.shape[1] // 2
        winners, losers = ([part[:, :half] for part in (a, b, c, d)], [part[:, half:] for part in (d, c, b, a)])
        a, b, c, d = (torch.maximum(one, other) for one, other in zip(winners, losers, strict=True))
        (a, c), (b, d) = _ordered(a, c), _ordered(b, d)
        (a, b), (c, d) = _ordered(a, b), _ordered(c, d)
    return d


def _ordered(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """The greater and the lesser of every two."""
    return torch.maximum(one, other), torch.minimum(one, other)


class SubBlock(nn.Module):
    """Mixer and MLP, each behind a norm and scaled by a learned vector."""

    def __init__(self, mixer: nn.Module, width: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.mixer = mixer
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, hidden)
        self.layer_scale_1 = nn.Parameter(torch.full((width,), 1e-5))
        self.layer_scale_2 = nn.Parameter(torch.full((width,), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, C) to the same shape."""
        x = self.mixer(self.norm1(x), add=x, scale=self.layer_scale_1)
        return self.mlp(self.norm2(x), add=x, scale=self.layer_scale_2)


class AGBlock(nn.Module):
    """Attention and graph streams on the same tokens, fused."""

    def __init__(self, width: int, heads: int, hidden: int, frames: int) -> None:
        super().__init__()
        self.att_spatial = SubBlock(Attention(width, heads, qkv_bias=False), width, hidden)
        self.att_temporal = SubBlock(Attention(width, heads, qkv_bias=False), width, hidden)
        self.graph_spatial = SubBlock(GraphMixer(width, 17, False), width, hidden)
        self.graph_temporal = SubBlock(GraphMixer(width, frames, True), width, hidden)
        self.fusion = nn.Linear(2 * width, 2)
        nn.init.zeros_(self.fusion.weight)
        nn.init.constant_(self.fusion.bias, 0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, F, J, C) to the same shape."""
        frames, joints = tokens.shape[1:3]
        streams = []
        for spatial, temporal in (
            (self.att_spatial, self.att_temporal),
            (self.graph_spatial, self.graph_temporal),
        ):
            x = from_frames(spatial(by_frame(tokens)), frames)
            streams.append(from_joints(temporal(by_joint(x)), joints))
        return mix(streams[0], streams[1], self.fusion)


class MotionAGFormer(TwoStreamLifter):
    """The published host: 243 frames of (u, v, confidence), 128 channels, 16 layers, 4 heads.

    Arguments as of :class:`~dsr.lifting.motionbert.MotionBERT`. Layers behind the pruning are built for its ``keep``
    frames, because their temporal batch norm has one entry per frame.
    """

    representation_name = "rep_logit"

    def __init__(
        self,
        frames: int = 243,
        width: int = 128,
        depth: int = 16,
        heads: int = 4,
        hidden: int | None = None,
        representation: int = 512,
        pruning: FramePruning | None = None,
        inputs: int = 3,
        priors: bool = False,
    ) -> None:
        super().__init__(frames, width, depth, heads, pruning, inputs, priors)
        hidden = hidden or 4 * width
        self.layers = nn.ModuleList(AGBlock(width, heads, hidden, self.frames_at(i)) for i in range(depth))
        self.add_head(width, representation, eps=1e-5)
        self.add_recovery(width, heads, qkv_bias=False)

    def stage(self, index: int, tokens: Tensor) -> Tensor:
        """One layer of two streams."""
        return self.layers[index](tokens)
