"""MotionAGFormer: an attention stream and a graph stream in parallel (host of HoT; HoT specification, 4.4)."""

from __future__ import annotations

from typing import Any, Literal

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


def joint_adjacency() -> Tensor:
    """The released spatial graph, (17, 17) of zeros and ones."""
    adjacency = torch.zeros(17, 17)
    for joint, others in enumerate(_NEIGHBOURS):
        adjacency[joint, list(others)] = 1.0
    return adjacency


def adjacent_frames(frames: int) -> Tensor:
    """1 for the frame before and the one after, (F, F)."""
    time = torch.arange(frames)
    return ((time[:, None] - time).abs() == 1).float()


def normalise_adjacency(adjacency: Tensor) -> Tensor:
    """``D^-1/2 A D^-1/2`` with D the row sums; (..., n, n)."""
    scale = adjacency.sum(-1).clamp_min(torch.finfo(adjacency.dtype).tiny).rsqrt()
    return scale[..., :, None] * adjacency * scale[..., None, :]


class GraphMixer(nn.Module):
    """``ReLU(x + BN(N V(x) + U(x)))``: over joints with a fixed graph, over frames with the most similar frames.

    Args:
        width: channels.
        nodes: joints or frames.
        temporal: over frames.
        similar: how many frames every frame is joined to, itself included; 0: to those before and after it.
    """

    adjacency: Tensor

    def __init__(self, width: int, nodes: int, temporal: bool, similar: int = 4) -> None:
        super().__init__()
        self.similar = similar if temporal else 0
        self.U = nn.Linear(width, width)
        self.V = nn.Linear(width, width)
        for layer in (self.U, self.V):
            nn.init.normal_(layer.weight, std=(2.0 / width) ** 0.5)
        self.batch_norm = nn.BatchNorm1d(nodes)
        if not self.similar:
            graph = adjacent_frames(nodes) if temporal else joint_adjacency()
            self.register_buffer("adjacency", normalise_adjacency(graph), persistent=False)

    def forward(self, x: Tensor, add: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
        """(N, nodes, C) to the same shape; times ``scale`` (C,) and added to ``add`` where given."""
        norm = self.batch_norm
        if norm.training or norm.running_var is None or not can_derive(x):
            graph = normalise_adjacency(similar_frames(x, self.similar)) if self.similar else self.adjacency
            y = functional.relu(x + norm(graph.to(x.dtype) @ self.V(x) + self.U(x)))
        else:
            y = self._without_gradients(x)
        if scale is None:
            return y if add is None else add + y
        return scale * y if add is None else torch.addcmul(add, scale, y)

    def _without_gradients(self, x: Tensor) -> Tensor:
        """The same with the norm, which is one of nodes, as a scale of the rows."""
        norm = self.batch_norm
        factor, shift = derived(norm, "scale", [*norm.parameters(), *norm.buffers()], self._norm_as_scale)
        own = shift + factor * linear(x, self.U)
        others = linear(x, self.V)
        if not self.similar:
            return torch.baddbmm(own, (factor * self.adjacency).expand(len(x), -1, -1), others).add_(x).relu_()
        graph = similar_frames(x, self.similar)
        root = graph.sum(-1, keepdim=True).rsqrt_()
        return own.addcmul_(torch.bmm(graph, others.mul_(root)), root.mul_(factor)).add_(x).relu_()

    def _norm_as_scale(self) -> tuple[Tensor, Tensor]:
        norm: Any = self.batch_norm
        factor = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return factor[:, None], (norm.bias - norm.running_mean * factor)[:, None]


@torch.no_grad()
def similar_frames(x: Tensor, count: int = 4) -> Tensor:
    """1 where two frames are at least as similar as a frame's ``count``-th most similar, (N, F, C) to (N, F, F)."""
    similarity = x @ x.transpose(1, 2)
    # It is symmetric: rows are judged as columns, which are fast to go through together.
    few = min(count, x.shape[1])
    least = fourth_greatest(similarity) if count == 4 else similarity.topk(few, dim=1).values[:, -1:]
    return similarity.ge_(least).transpose(1, 2)


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
    """Mixer and MLP, each behind a norm and, with ``layer_scale``, scaled by a learned vector."""

    def __init__(self, mixer: nn.Module, width: int, hidden: int, layer_scale: bool = True) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.mixer = mixer
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, hidden)
        for name in ("layer_scale_1", "layer_scale_2"):
            self.register_parameter(name, nn.Parameter(torch.full((width,), 1e-5)) if layer_scale else None)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, C) to the same shape."""
        x = self.mixer(self.norm1(x), add=x, scale=self.layer_scale_1)
        return self.mlp(self.norm2(x), add=x, scale=self.layer_scale_2)


class AGBlock(nn.Module):
    """Attention and graph streams on the same tokens, fused; arguments as of :class:`MotionAGFormer`."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        frames: int,
        *,
        similar: int,
        adaptive: bool,
        layer_scale: bool,
        streams: str,
    ) -> None:
        super().__init__()
        self.streams = ("att", "graph") if streams == "both" else ("att" if streams == "attention" else "graph",)
        for stream in self.streams:
            for axis, nodes in (("spatial", 17), ("temporal", frames)):
                mixer = (
                    Attention(width, heads, qkv_bias=False)
                    if stream == "att"
                    else GraphMixer(width, nodes, axis == "temporal", similar)
                )
                self.add_module(f"{stream}_{axis}", SubBlock(mixer, width, hidden, layer_scale))
        self.fusion = nn.Linear(2 * width, 2) if adaptive and len(self.streams) == 2 else None
        if self.fusion is not None:
            nn.init.zeros_(self.fusion.weight)
            nn.init.constant_(self.fusion.bias, 0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, F, J, C) to the same shape."""
        frames, joints = tokens.shape[1:3]
        found = []
        for stream in self.streams:
            spatial, temporal = (self.get_submodule(f"{stream}_{axis}") for axis in ("spatial", "temporal"))
            x = from_frames(spatial(by_frame(tokens)), frames)
            found.append(from_joints(temporal(by_joint(x)), joints))
        if len(found) == 1:
            return found[0]
        return 0.5 * (found[0] + found[1]) if self.fusion is None else mix(found[0], found[1], self.fusion)


class MotionAGFormer(TwoStreamLifter):
    """The published host: 243 frames of (u, v, confidence), 128 channels, 16 layers, 4 heads.

    Arguments as of :class:`~dsr.lifting.motionbert.MotionBERT`, and the variants that its paper compares. Layers behind
    the pruning are built for its ``keep`` frames, because their temporal batch norm has one entry per frame.

    Args:
        similar: frames that the temporal graph joins every frame to, the most similar ones; 0: the two beside it.
        adaptive: streams are weighted by a softmax of both; otherwise they count alike.
        layer_scale: residual branches are scaled by learned vectors.
        streams: ``both``, or ``attention`` or ``graph`` alone.
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
        similar: int = 4,
        adaptive: bool = True,
        layer_scale: bool = True,
        streams: Literal["both", "attention", "graph"] = "both",
    ) -> None:
        if not isinstance(similar, int) or similar < 0:
            raise ValueError(f"similar is a whole number from 0 on, got {similar!r}")
        if streams not in ("both", "attention", "graph"):
            raise ValueError(f"streams is both, attention or graph, got {streams!r}")
        super().__init__(frames, width, depth, heads, pruning, inputs, priors)
        hidden = hidden or 4 * width
        variant: dict[str, Any] = {
            "similar": similar,
            "adaptive": adaptive,
            "layer_scale": layer_scale,
            "streams": streams,
        }
        self.layers = nn.ModuleList(AGBlock(width, heads, hidden, self.frames_at(i), **variant) for i in range(depth))
        self.add_head(width, representation, eps=1e-5)
        self.add_recovery(width, heads, qkv_bias=False)

    def stage(self, index: int, tokens: Tensor) -> Tensor:
        """One layer of two streams."""
        return self.layers[index](tokens)
