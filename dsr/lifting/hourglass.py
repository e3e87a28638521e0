"""Hourglass tokenizer: fewer frames through the middle of a lifter (HoT, CVPR 2024, arXiv 2311.12028).

Frames to keep are chosen by density-peak clustering (:func:`select_frames`, specification section 2); learned queries
bring the others back by cross-attention (:class:`CrossAttention`, section 3). Any
:class:`~dsr.lifting.base.SequenceLifter` takes a :class:`FramePruning`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsr.fast_layers import attention, linear

NOISE_SCALE = 1e-6
"""Tie-breaking noise on the densities (specification section 2, step 3)."""


@dataclass(frozen=True)
class FramePruning:
    """How a lifter prunes frames.

    Attributes:
        keep: frames kept, f.
        before: index of the first stage that sees f frames.
        recover: bring all frames back before the head (HoT); otherwise the output has f frames (TPC).
        centre: always keep the centre frame (TPC, for one pose per window).
        neighbours: k of the density.
        by_time: kept frames get the position of their time in the window, between two entries of ``pos_embed_token``;
            published, the one of their rank, from which nobody can tell when they were.
    """

    keep: int
    before: int
    recover: bool = True
    centre: bool = False
    neighbours: int = 2
    by_time: bool = False

    def positions(self, table: Tensor, index: Tensor, frames: int) -> Tensor:
        """Positions (1 or B, f, C) of kept frames (B, f) of a window of that many from the learned table (1, f, C)."""
        if not self.by_time:
            return table
        place = (index + 0.5) * (self.keep / frames) - 0.5
        place = place.clamp(0, self.keep - 1)
        low = place.floor().long().clamp_max(max(0, self.keep - 2))
        share = (place - low)[..., None].to(table.dtype)
        return torch.lerp(table[0][low], table[0][(low + 1).clamp_max(self.keep - 1)], share)


@dataclass(frozen=True)
class FrameSelection:
    """What :func:`select_frames` found.

    Attributes:
        index: (B, f) int64 frames kept, in time order.
        order: (B, f or f - 1) the same by descending score, without a forced centre.
        density: (B, F) after the noise.
        score: (B, F); -inf at a forced centre.
        distance: (B, F, F) between frames, divided by the root of the channels.
    """

    index: Tensor
    order: Tensor
    density: Tensor
    score: Tensor
    distance: Tensor

    def clusters(self) -> Tensor:
        """(B, F) place in ``order`` of the kept frame nearest to each frame; kept frames belong to themselves."""
        nearest = self.distance.gather(1, self.order[..., None].expand(-1, -1, self.distance.shape[-1])).argmin(1)
        positions = torch.arange(self.order.shape[1], device=nearest.device).expand_as(self.order)
        return nearest.scatter(1, self.order, positions)


@torch.no_grad()
def select_frames(
    z: Tensor,
    keep: int,
    *,
    neighbours: int = 2,
    noise: Tensor | None = None,
    centre: bool = False,
    mask: Tensor | None = None,
) -> FrameSelection:
    """Frames that stand for the rest: peaks of density far from denser ones.

    Args:
        z: (B, F, Cz) one feature per frame.
        keep: f, frames kept.
        neighbours: k, itself included.
        noise: (B, F) or (F,) numbers in [0, 1) that decide between equal densities; None for none.
        centre: force the centre frame ``(F - 1) // 2`` in.
        mask: (B, F) bool, False for frames that do not exist: they are never kept before one that does.

    Returns:
        The selection; no gradient flows through it.
    """
    frames = z.shape[1]
    if not 1 <= keep <= frames:
        raise ValueError(f"{keep} of {frames} frames cannot be kept.")
    z = z.float() if z.dtype in (torch.bfloat16, torch.float16) else z
    distance = _distances(z) / z.shape[-1] ** 0.5
    if mask is not None:
        distance = torch.where(mask[:, None, :], distance, distance.amax() + 1.0)
    # k smallest per row; k is tiny, F at most a few hundred
    nearest = distance.topk(neighbours, dim=-1, largest=False).values
    density = (-(nearest**2).mean(-1)).exp()
    if noise is not None:
        density = density + NOISE_SCALE * noise.to(density)
    if mask is not None:
        density = density * mask
    denser = density[:, None, :] > density[:, :, None]
    farthest = distance.flatten(1).amax(1)[:, None, None]
    score = torch.where(denser, distance, farthest).amin(-1) * density
    kept = score
    if centre:
        middle = torch.tensor([(frames - 1) // 2], device=score.device)
        kept, score = (score.index_fill(1, middle, extreme) for extreme in (torch.inf, -torch.inf))
    order = score.topk(keep - 1 if centre else keep, dim=-1).indices
    index = (kept.topk(keep, dim=-1).indices if centre else order).sort(-1).values
    return FrameSelection(index, order, density, score, distance)


def _distances(z: Tensor) -> Tensor:
    """(B, F, C) to (B, F, F)."""
    if not torch.compiler.is_exporting():
        return torch.cdist(z, z)
    # The exporters lack cdist. Products instead of differences cost half of the digits: frames much alike need them.
    wide = z.double()
    square = wide.square().sum(-1)
    products = wide @ wide.transpose(1, 2)
    return (square[:, :, None] + square[:, None, :] - 2.0 * products).clamp_min(0.0).sqrt().to(z.dtype)


def take_frames(tokens: Tensor, index: Tensor) -> Tensor:
    """(B, F, ..., C) tokens at (B, f) frames."""
    return tokens.gather(1, index[(..., *([None] * (tokens.ndim - 2)))].expand(-1, -1, *tokens.shape[2:]))


class CrossAttention(nn.Module):
    """Multi-head attention with separate projections of queries, keys and values (names as published)."""

    def __init__(self, width: int, heads: int, qkv_bias: bool = True, drop: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.drop = nn.Dropout(drop)
        self.linear_q = nn.Linear(width, width, bias=qkv_bias)
        self.linear_k = nn.Linear(width, width, bias=qkv_bias)
        self.linear_v = nn.Linear(width, width, bias=qkv_bias)
        self.proj = nn.Linear(width, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, add: Tensor | None = None) -> Tensor:
        """Queries (1 or N, F, C), keys and values (N, f, C) to (N, F, C), added to ``add`` where given."""
        # One set of queries for all samples (token recovery) is projected once.
        q = self._split(linear(query, self.linear_q))
        k, v = self._split(linear(key, self.linear_k)), self._split(linear(value, self.linear_v))
        q = q + k[:, :, :1] * 0.0 if torch.jit.is_tracing() else q.expand(k.shape[0], -1, -1, -1)
        x = attention(q, k, v)
        if self.drop.training and self.drop.p:
            x = self.drop(linear(x, self.proj))
            return x if add is None else add + x
        return linear(x, self.proj, add=add)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
