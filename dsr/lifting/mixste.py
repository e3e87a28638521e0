"""MixSTE: alternating spatial and temporal transformer blocks over all frames (host of HoT; HoT specification, 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsr.lifting.base import SequenceLifter
from dsr.lifting.hourglass import FramePruning
from dsr.lifting.transformer import Block, by_frame, by_joint, drop_rates, from_frames, from_joints


class AlternatingLifter(SequenceLifter):
    """Pairs of a spatial and a temporal block with two shared norms, and a linear head.

    Args:
        frames: F.
        width: channels C.
        depth: number of pairs.
        heads: attention heads.
        hidden: width of the MLPs, by default 2 C.
        drop_path: stochastic depth of every pair.
        pruning: frame pruning, see :class:`~dsr.lifting.hourglass.FramePruning`.
    """

    def __init__(
        self,
        frames: int,
        width: int,
        depth: int,
        heads: int,
        hidden: int | None,
        drop_path: list[float],
        pruning: FramePruning | None,
        joints: int = 17,
        inputs: int = 2,
    ) -> None:
        super().__init__(frames, inputs, joints, depth, pruning)
        hidden = hidden or 2 * width
        self.STEblocks = nn.ModuleList(Block(width, heads, hidden, drop_path=p) for p in drop_path)
        self.TTEblocks = nn.ModuleList(Block(width, heads, hidden, drop_path=p) for p in drop_path)
        self.Spatial_norm = nn.LayerNorm(width, eps=1e-6)
        self.Temporal_norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3))
        self.add_recovery(width, heads)

    def stage(self, index: int, tokens: Tensor) -> Tensor:
        """One pair: joints of every frame, then frames of every joint."""
        frames, joints = tokens.shape[1:3]
        tokens = from_frames(self.Spatial_norm(self.STEblocks[index](by_frame(tokens))), frames)
        return from_joints(self.Temporal_norm(self.TTEblocks[index](by_joint(tokens))), joints)

    def regress(self, tokens: Tensor) -> Tensor:
        """Norm and linear layer per token."""
        return self.head(tokens)


class MixSTE(AlternatingLifter):
    """The published host: 243 frames, 512 channels, 8 pairs, 8 heads."""

    def __init__(
        self,
        frames: int = 243,
        width: int = 512,
        depth: int = 8,
        heads: int = 8,
        hidden: int | None = None,
        drop_path: float = 0.1,
        pruning: FramePruning | None = None,
        joints: int = 17,
        inputs: int = 2,
    ) -> None:
        rates = drop_rates(drop_path, depth)
        if pruning is not None and pruning.before == 0:
            raise ValueError("The positions of MixSTE's frames come inside its first pair: prune before 1 or later.")
        super().__init__(frames, width, depth, heads, hidden, rates, pruning, joints, inputs)
        self.Spatial_patch_to_embedding = nn.Linear(inputs, width)
        self.Spatial_pos_embed = nn.Parameter(torch.zeros(1, joints, width))
        self.Temporal_pos_embed = nn.Parameter(torch.zeros(1, frames, width))

    def embed(self, x: Tensor) -> Tensor:
        """Linear layer and the joints' positions."""
        return self.Spatial_patch_to_embedding(x) + self.Spatial_pos_embed

    def stage(self, index: int, tokens: Tensor) -> Tensor:
        """One pair; the frames' positions come in between the two blocks of the first."""
        if index > 0:
            return super().stage(index, tokens)
        frames, joints = tokens.shape[1:3]
        tokens = from_frames(self.Spatial_norm(self.STEblocks[0](by_frame(tokens))), frames)
        in_time = by_joint(tokens) + self.Temporal_pos_embed
        return from_joints(self.Temporal_norm(self.TTEblocks[0](in_time)), joints)
