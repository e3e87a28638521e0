"""What MotionBERT and MotionAGFormer share: two streams per layer, and a representation in front of the last layer."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from dsr.lifting.base import SequenceLifter
from dsr.lifting.hourglass import FramePruning
from dsr.lifting.priors import PriorEmbedding


class Representation(nn.Module):
    """A linear layer, named as in the checkpoints."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) to (..., R), squashed by tanh."""
        return torch.tanh(self.fc(x))


class TwoStreamLifter(SequenceLifter):
    """A host whose joints are embedded with positions of their own, or with the priors.

    Args:
        frames: F.
        width: channels C.
        depth: layers.
        heads: attention heads.
        pruning: see :class:`~dsr.lifting.hourglass.FramePruning`.
        inputs: 3 as published, 2 without confidences.
        priors: kinematics and trajectory prior attention instead of the linear embedding and positions.
    """

    representation_name: ClassVar[str]
    """What the checkpoints call the representation."""

    def __init__(
        self, frames: int, width: int, depth: int, heads: int, pruning: FramePruning | None, inputs: int, priors: bool
    ) -> None:
        super().__init__(frames, inputs, 17, depth, pruning)
        self.priors = PriorEmbedding(inputs, width, heads, frames) if priors else None
        if not priors:
            self.joints_embed = nn.Linear(inputs, width)
            self.pos_embed = nn.Parameter(torch.zeros(1, 17, width))

    def add_head(self, width: int, representation: int, eps: float) -> None:
        """The last norm, the representation and the last layer (names as published)."""
        self.norm = nn.LayerNorm(width, eps=eps)
        self.add_module(self.representation_name, Representation(width, representation))
        self.head = nn.Linear(representation, 3)

    def embed(self, x: Tensor) -> Tensor:
        """Linear layer and positions of the joints, or the priors."""
        return self.priors(x) if self.priors is not None else self.joints_embed(x) + self.pos_embed

    def finish(self, tokens: Tensor) -> Tensor:
        """The last norm."""
        return self.norm(tokens)

    def regress(self, tokens: Tensor) -> Tensor:
        """Representation and linear head."""
        return self.head(self.get_submodule(self.representation_name)(tokens))


def mix(a: Tensor, b: Tensor, fusion: nn.Module) -> Tensor:
    """Two streams weighted by a softmax of a linear layer of both."""
    weights = fusion(torch.cat((a, b), -1)).softmax(-1)
    return a * weights[..., :1] + b * weights[..., 1:]
