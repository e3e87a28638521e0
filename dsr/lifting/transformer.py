"""The parts all transformer lifters here are made of: attention, MLP, pre-norm block, stochastic depth.

Shapes are (N, T, C): N independent sequences of T tokens. Names of parameters are those of the published checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsr.fast_layers import attention, linear


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection, output order q | k | v, then head, then channel.

    Args:
        width: channels C.
        heads: must divide C.
        qkv_bias: whether the fused projection has a bias.
        drop: dropout after the last projection.

    Attributes:
        wide_layers: those that :func:`~dsr.lifting.bfloat16.use_bfloat16` converts.
    """

    wide_layers = ("qkv", "proj")

    def __init__(self, width: int, heads: int = 8, qkv_bias: bool = True, drop: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} attention heads do not divide {width} channels.")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias)
        self.proj = nn.Linear(width, width)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor, add: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
        """(N, T, C) to the same shape; times ``scale`` (C,) and added to ``add`` where given."""
        q, k, v = linear(x, self.qkv).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return _last(attention(q, k, v), self.proj, self.drop, add, scale)


class Mlp(nn.Module):
    """Linear, GELU (erf), linear, with dropout after each."""

    wide_layers = ("fc1", "fc2")

    def __init__(self, width: int, hidden: int, drop: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor, add: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
        """(..., C) to the same shape; times ``scale`` (C,) and added to ``add`` where given."""
        return _last(self.drop(linear(x, self.fc1, gelu=True)), self.fc2, self.drop, add, scale)


def _last(x: Tensor, layer: nn.Linear, drop: nn.Dropout, add: Tensor | None, scale: Tensor | None) -> Tensor:
    """The layer that ends a residual branch, with the sum."""
    if not (drop.training and drop.p):
        return linear(x, layer, add=add, scale=scale)
    x = drop(linear(x, layer))
    x = x if scale is None else scale * x
    return x if add is None else add + x


class DropPath(nn.Module):
    """Stochastic depth: drops whole samples (first axis) of a residual branch, survivors scaled by 1 / (1 - p)."""

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) to the same shape."""
        if not self.training or self.p == 0.0:
            return x
        kept = torch.rand(x.shape[0], *([1] * (x.ndim - 1)), device=x.device) >= self.p
        return x * (kept / (1.0 - self.p)).to(x.dtype)


class Block(nn.Module):
    """Pre-norm transformer block: ``x += DP(attention(norm1 x)); x += DP(mlp(norm2 x))``."""

    def __init__(
        self, width: int, heads: int, hidden: int, *, drop_path: float = 0.0, drop: float = 0.0, eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads, drop=drop)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, hidden, drop)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, C) to the same shape."""
        x = add_branch(x, self.norm1, self.attn, self.drop_path)
        return add_branch(x, self.norm2, self.mlp, self.drop_path)


def add_branch(x: Tensor, norm: nn.Module, branch: nn.Module, drop_path: DropPath) -> Tensor:
    """``x + drop_path(branch(norm(x)))``; the sum is the branch's own where nothing is dropped."""
    if drop_path.training and drop_path.p:
        return x + drop_path(branch(norm(x)))
    added: Tensor = branch(norm(x), add=x)
    return added


def drop_rates(last: float, count: int) -> list[float]:
    """Stochastic depth of ``count`` blocks, rising linearly from 0 to ``last``."""
    return [last * i / (count - 1) if count > 1 else 0.0 for i in range(count)]


def by_frame(tokens: Tensor) -> Tensor:
    """(B, F, J, C) to (B*F, J, C): one sequence of joints per frame."""
    return tokens.flatten(0, 1)


def by_joint(tokens: Tensor) -> Tensor:
    """(B, F, J, C) to (B*J, F, C): one sequence of frames per joint."""
    return tokens.transpose(1, 2).flatten(0, 1)


def from_frames(x: Tensor, frames: int) -> Tensor:
    """(B*F, J, C) to (B, F, J, C)."""
    return x.unflatten(0, (-1, frames))


def from_joints(x: Tensor, joints: int) -> Tensor:
    """(B*J, F, C) to (B, F, J, C)."""
    return x.unflatten(0, (-1, joints)).transpose(1, 2)
