"""MHFormer: three hypotheses of the pose, refined and mixed over time (host of HoT; HoT specification, 4.2).

Tokens are (B, F, 3, C): one row per hypothesis instead of per joint.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsr.lifting.base import SequenceLifter
from dsr.lifting.hourglass import CrossAttention, FramePruning, take_frames
from dsr.lifting.transformer import Attention, Block, DropPath, Mlp, add_branch, drop_rates

HYPOTHESES = 3
_DROP = 0.1
_SHORT = 27  # windows up to this length are embedded with batch norm, ReLU and dropout


class CoordinateEncoder(nn.Module):
    """Transformer over the 2J coordinate tracks of a window, each a token of F numbers."""

    def __init__(self, tokens: int, frames: int, depth: int = 4, heads: int = 9) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, frames))
        self.pos_drop = nn.Dropout(_DROP)
        rates = drop_rates(0.2, depth)
        self.blocks = nn.ModuleList(Block(frames, heads, 2 * frames, drop_path=p, drop=_DROP) for p in rates)
        self.norm = nn.LayerNorm(frames, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2J, F) to the same shape."""
        x = self.pos_drop(x + self.pos_embed)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class SelfRefinement(nn.Module):
    """Self-attention inside every hypothesis, then one MLP over all of them (SHR)."""

    def __init__(self, width: int, heads: int, hidden: int, drop_path: float) -> None:
        super().__init__()
        for i in range(1, HYPOTHESES + 1):
            setattr(self, f"norm1_{i}", nn.LayerNorm(width, eps=1e-6))
            setattr(self, f"attn_{i}", Attention(width, heads, drop=_DROP))
        self.norm2 = nn.LayerNorm(HYPOTHESES * width, eps=1e-6)
        self.mlp = Mlp(HYPOTHESES * width, hidden, _DROP)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, F, 3, C) to the same shape."""
        parts = [(getattr(self, f"norm1_{i}"), getattr(self, f"attn_{i}")) for i in range(1, HYPOTHESES + 1)]
        streams = [add_branch(x, *part, self.drop_path) for x, part in zip(tokens.unbind(2), parts, strict=True)]
        x = torch.cat(streams, -1)
        return add_branch(x, self.norm2, self.mlp, self.drop_path).unflatten(-1, (HYPOTHESES, -1))


class CrossInteraction(nn.Module):
    """Hypotheses attend to each other in turn, each seeing those already renewed; then one MLP over all (CHI)."""

    # (query, key) of each hypothesis; the value is its own
    _FROM = ((1, 2), (0, 2), (0, 1))

    def __init__(self, width: int, heads: int, hidden: int, drop_path: float) -> None:
        super().__init__()
        for i in range(1, HYPOTHESES + 1):
            for k in range(1, 4):
                setattr(self, f"norm3_{i}{k}", nn.LayerNorm(width, eps=1e-6))
            setattr(self, f"attn_{i}", CrossAttention(width, heads, drop=_DROP))
        self.norm2 = nn.LayerNorm(HYPOTHESES * width, eps=1e-6)
        self.mlp = Mlp(HYPOTHESES * width, hidden, _DROP)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, only: Tensor | None = None) -> Tensor:
        """(B, F, 3, C) to the same shape, or (B, n, 3, C) at the frames ``only`` (B, n), which cost less."""
        streams = list(tokens.unbind(2))
        for i, (q, k) in enumerate(self._FROM):
            query, key, value = streams[q], streams[k], streams[i]
            if i + 1 == HYPOTHESES and only is not None:  # nobody looks at the others of the last one
                query = take_frames(query, only)
                streams = [take_frames(x, only) for x in streams]
            normed = [getattr(self, f"norm3_{i + 1}{n}")(x) for n, x in enumerate((query, key, value), 1)]
            cross = getattr(self, f"attn_{i + 1}")
            if self.drop_path.training and self.drop_path.p:
                streams[i] = streams[i] + self.drop_path(cross(*normed))
            else:
                streams[i] = cross(*normed, add=streams[i])
        x = torch.cat(streams, -1)
        return add_branch(x, self.norm2, self.mlp, self.drop_path).unflatten(-1, (HYPOTHESES, -1))


class HypothesisTransformer(nn.Module):
    """Positions, self-refinement blocks, cross-interaction blocks and the last norm."""

    def __init__(self, frames: int, width: int, heads: int, hidden: int, refinements: int = 2) -> None:
        super().__init__()
        for i in range(1, HYPOTHESES + 1):
            setattr(self, f"pos_embed_{i}", nn.Parameter(torch.zeros(1, frames, width)))
        rates = drop_rates(0.2, refinements + 1)
        self.pos_drop = nn.Dropout(_DROP)
        self.SHR_blocks = nn.ModuleList(SelfRefinement(width, heads, hidden, p) for p in rates[:-1])
        self.CHI_blocks = nn.ModuleList([CrossInteraction(width, heads, hidden, rates[-1])])
        self.norm = nn.LayerNorm(HYPOTHESES * width, eps=1e-6)

    def positions(self) -> Tensor:
        """(1, F, 3, C)."""
        return torch.stack([getattr(self, f"pos_embed_{i}") for i in range(1, HYPOTHESES + 1)], 2)


class MHFormer(SequenceLifter):
    """The published host: 351 frames, 512 channels; of its output only the centre frame is meant to be used.

    Args:
        frames: F, divisible by 9.
        width: channels C.
        heads: attention heads over time.
        hidden: width of the hypotheses' MLPs.
        pruning: see :class:`~dsr.lifting.hourglass.FramePruning`; frames are compared by all hypotheses.
        inputs: channels per keypoint.
    """

    def __init__(
        self,
        frames: int = 351,
        width: int = 512,
        heads: int = 8,
        hidden: int = 1024,
        pruning: FramePruning | None = None,
        inputs: int = 2,
    ) -> None:
        if frames % 9:
            raise ValueError(f"{frames} frames are not divisible by 9, the heads of MHFormer's encoders.")
        super().__init__(frames, inputs, 17, 3, pruning)
        rows = 17 * inputs
        for i in range(1, HYPOTHESES + 1):
            setattr(self, f"norm_{i}", nn.LayerNorm(frames))
            setattr(self, f"Transformer_encoder_{i}", CoordinateEncoder(rows, frames))
            convolution: nn.Module = nn.Conv1d(rows, width, 1)
            if frames <= _SHORT:
                convolution = nn.Sequential(convolution, nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.25))
            setattr(self, f"embedding_{i}", convolution)
        self.Transformer_hypothesis = HypothesisTransformer(frames, width, heads, hidden)
        self.regression = nn.Sequential(nn.BatchNorm1d(HYPOTHESES * width), nn.Conv1d(HYPOTHESES * width, 51, 1))
        self.add_recovery(width, heads)

    @property
    def by_centre(self) -> bool:
        """True: only the centre frame is used, as published."""
        return True

    def embed(self, x: Tensor) -> Tensor:
        """Three encoders, each refining what the one before left; tokens (B, F, 3, C)."""
        x = x.flatten(2).transpose(1, 2)
        streams = []
        for i in range(1, HYPOTHESES + 1):
            x = x + getattr(self, f"Transformer_encoder_{i}")(getattr(self, f"norm_{i}")(x))
            streams.append(getattr(self, f"embedding_{i}")(x).transpose(1, 2))
        hypothesis = self.Transformer_hypothesis
        return hypothesis.pos_drop(torch.stack(streams, 2) + hypothesis.positions())

    def stage(self, index: int, tokens: Tensor) -> Tensor:
        """Two refinements, one interaction."""
        hypothesis = self.Transformer_hypothesis
        return (hypothesis.SHR_blocks[index] if index < 2 else hypothesis.CHI_blocks[0])(tokens)

    def poses(self, x: Tensor, *, copies: int = 1) -> Tensor:
        """The centre frame (B, 1, J, 3); what only other frames need is left out."""
        if self.training or (self.pruning is not None and self.pruning.before == self.stages):
            return super().poses(x, copies=copies)
        tokens, index = self.through(x, self.stages - 1, copies=copies)
        tokens = self.Transformer_hypothesis.CHI_blocks[0](tokens, self.centre_of(index))
        return self.regress(self.finish(tokens))

    def finish(self, tokens: Tensor) -> Tensor:
        """The last norm, over all hypotheses together."""
        return self.Transformer_hypothesis.norm(tokens.flatten(2)).unflatten(-1, (HYPOTHESES, -1))

    def regress(self, tokens: Tensor) -> Tensor:
        """Batch norm and a linear layer over all hypotheses: (B, F, 17, 3)."""
        return self.regression(tokens.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(-1, (17, 3))

    def frame_features(self, tokens: Tensor) -> Tensor:
        """All hypotheses of a frame, (B, F, 3C)."""
        return tokens.flatten(2)
