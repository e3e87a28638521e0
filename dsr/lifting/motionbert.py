"""MotionBERT's DSTformer: parallel streams of attention over joints and frames (host of HoT; specification, 4.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dsr.lifting.hourglass import FramePruning
from dsr.lifting.transformer import Attention, Mlp, by_frame, by_joint, from_frames, from_joints
from dsr.lifting.two_streams import TwoStreamLifter, mix


class DualBlock(nn.Module):
    """Spatial attention, spatial MLP, temporal attention, temporal MLP; or time first."""

    def __init__(self, width: int, heads: int, hidden: int, time_first: bool) -> None:
        super().__init__()
        self.time_first = time_first
        for axis in ("s", "t"):
            setattr(self, f"norm1_{axis}", nn.LayerNorm(width, eps=1e-6))
            setattr(self, f"norm2_{axis}", nn.LayerNorm(width, eps=1e-6))
            setattr(self, f"attn_{axis}", Attention(width, heads))
            setattr(self, f"mlp_{axis}", Mlp(width, hidden))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, F, J, C) to the same shape."""
        for axis in "ts" if self.time_first else "st":
            tokens = self._half(tokens, axis)
        return tokens

    def _half(self, tokens: Tensor, axis: str) -> Tensor:
        x = by_frame(tokens) if axis == "s" else by_joint(tokens)
        x = getattr(self, f"attn_{axis}")(getattr(self, f"norm1_{axis}")(x), add=x)
        x = getattr(self, f"mlp_{axis}")(getattr(self, f"norm2_{axis}")(x), add=x)
        return from_frames(x, tokens.shape[1]) if axis == "s" else from_joints(x, tokens.shape[2])


class MotionBERT(TwoStreamLifter):
    """The published host: 243 frames of (u, v, confidence), 256 channels, 5 layers, 8 heads.

    Args:
        frames: F.
        width: channels C.
        depth: layers, each of two parallel blocks.
        heads: attention heads.
        hidden: width of the MLPs, by default 4 C.
        representation: width before the last layer.
        pruning: see :class:`~dsr.lifting.hourglass.FramePruning`.
        inputs: 3 as published, 2 without confidences.
        priors: kinematics and trajectory prior attention instead of the linear embedding and positions.
    """

    representation_name = "pre_logits"

    def __init__(
        self,
        frames: int = 243,
        width: int = 256,
        depth: int = 5,
        heads: int = 8,
        hidden: int | None = None,
        representation: int = 512,
        pruning: FramePruning | None = None,
        inputs: int = 3,
        priors: bool = False,
    ) -> None:
        super().__init__(frames, width, depth, heads, pruning, inputs, priors)
        hidden = hidden or 4 * width
        if not priors:
            self.temp_embed = nn.Parameter(torch.zeros(1, frames, 1, width))
            nn.init.trunc_normal_(self.pos_embed, std=0.02)
            nn.init.trunc_normal_(self.temp_embed, std=0.02)
        self.blocks_st = nn.ModuleList(DualBlock(width, heads, hidden, False) for _ in range(depth))
        self.blocks_ts = nn.ModuleList(DualBlock(width, heads, hidden, True) for _ in range(depth))
        self.ts_attn = nn.ModuleList(nn.Linear(2 * width, 2) for _ in range(depth))
        self.add_head(width, representation, eps=1e-6)
        self.add_recovery(width, heads)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        for fusion in list[Any](self.ts_attn):
            nn.init.zeros_(fusion.weight)
            nn.init.constant_(fusion.bias, 0.5)

    def embed(self, x: Tensor) -> Tensor:
        """Linear layer and positions of joints and frames, or the priors."""
        tokens = super().embed(x)
        return tokens if self.priors is not None else tokens + self.temp_embed

    def stage(self, index: int, tokens: Tensor) -> Tensor:
        """Both blocks on the same tokens, mixed by learned weights."""
        st, ts = self.blocks_st[index](tokens), self.blocks_ts[index](tokens)
        return mix(st, ts, self.ts_attn[index])
