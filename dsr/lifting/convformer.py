"""ConvFormer: attention whose queries, keys and values come from several convolutions (arXiv 2304.02147).

There is no released code: this is the reading of the paper fixed by the specification, sections 2 and 3, whose
parameter counts agree with the published ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dsr.fast_layers import can_derive, derived, linear
from dsr.lifting.base import WindowLifter
from dsr.lifting.transformer import DropPath, drop_rates


class DynamicConvolution(nn.Module):
    """Convolutions of several sizes, mixed by weights that are positive and sum to one (softmax of ``eta``).

    The slid axis is the last one, the channels the one before; the length is kept by zero padding.
    """

    def __init__(self, channels: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.channels, self.kernels = channels, tuple(kernels)
        self.convs = nn.ModuleList(nn.Conv1d(channels, channels, k, padding=k // 2) for k in kernels)
        self.eta = nn.Parameter(torch.zeros(len(kernels)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, L) to the same shape."""
        kernel, bias = self.merged()
        return functional.conv1d(x, kernel, bias, padding=max(self.kernels) // 2)

    def merged(self) -> tuple[Tensor, Tensor]:
        """Kernel (channels, channels, widest size) and bias (channels,) of the mixture."""
        # Convolution is linear: the weighted sum of the results is one convolution with the weighted sum of kernels.
        weights, widest = self.eta.softmax(0), max(self.kernels)
        padded = [functional.pad(conv.weight, [(widest - k) // 2] * 2) for conv, k in self._sized()]
        kernel = torch.einsum("n,noik->oik", weights, torch.stack(padded))
        kernel = kernel.view(self.channels, self.channels, widest)  # ONNX forgets an einsum's shape
        bias = weights @ torch.stack([conv.bias for conv, _ in self._sized()])
        return kernel, bias

    def _sized(self) -> list[tuple[Any, int]]:
        return list(zip(self.convs, self.kernels, strict=True))


class ConvolutionalAttention(nn.Module):
    """Dynamic multi-headed convolutional self-attention (DMHCSA; specification, 2.4).

    Args:
        channels: of the convolutions: features (spatial) or frames (temporal).
        kernels: odd sizes.
        heads: split the feature axis.
        over_tokens: spatial blocks convolve along the tokens with features as channels; temporal blocks along the
            features with tokens (frames) as channels.
        drop: dropout on queries, keys and values.
    """

    def __init__(self, channels: int, kernels: Sequence[int], heads: int, over_tokens: bool, drop: float) -> None:
        super().__init__()
        if any(k < 1 or k % 2 == 0 for k in kernels):
            raise ValueError(f"Kernel sizes must be odd, got {tuple(kernels)}.")
        self.heads, self.over_tokens = heads, over_tokens
        self.q = DynamicConvolution(channels, kernels)
        self.k = DynamicConvolution(channels, kernels)
        self.v = DynamicConvolution(channels, kernels)
        self.proj = nn.Conv1d(channels, channels, 1)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, f) to the same shape."""
        q, k, v = (self._split(part) for part in self._queries_keys_values(x))
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)
        return self._slide(mixed, self.proj)

    def _queries_keys_values(self, x: Tensor) -> list[Tensor]:
        convs = (self.q, self.k, self.v)
        if self.training or not can_derive(x):
            return [self.drop(self._slide(x, conv)) for conv in convs]
        parameters = [p for conv in convs for p in conv.parameters()]
        kernel, bias = derived(
            self, "qkv", parameters, lambda: [torch.cat(w) for w in zip(*(c.merged() for c in convs), strict=True)]
        )
        x = x.transpose(1, 2) if self.over_tokens else x
        parts = functional.conv1d(x, kernel, bias, padding=kernel.shape[-1] // 2).chunk(3, 1)
        return [part.transpose(1, 2) for part in parts] if self.over_tokens else list(parts)

    def _slide(self, x: Tensor, layer: nn.Module) -> Tensor:
        return layer(x.transpose(1, 2)).transpose(1, 2) if self.over_tokens else layer(x)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class ConvBlock(nn.Module):
    """Pre-norm block of convolutional attention and a two-layer MLP of ratio 2."""

    def __init__(
        self,
        features: int,
        channels: int,
        kernels: Sequence[int],
        heads: int,
        over_tokens: bool,
        drop: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.n1 = nn.LayerNorm(features)
        self.at = ConvolutionalAttention(channels, kernels, heads, over_tokens, drop)
        self.n2 = nn.LayerNorm(features)
        self.ff = nn.Sequential(nn.Linear(features, 2 * features), nn.GELU(), nn.Linear(2 * features, features))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, features) to the same shape."""
        x = x + self.drop_path(self.at(self.n1(x)))
        if self.drop_path.training and self.drop_path.p:
            return x + self.drop_path(self.ff(self.n2(x)))
        mlp: Any = self.ff
        return linear(linear(self.n2(x), mlp[0], gelu=True), mlp[2], add=x)


class ConvFormer(WindowLifter):
    """The published network: 2 spatial and 2 temporal blocks, width 32, kernels (7, 7, 7), 8 heads; centre frame out.

    Args:
        frames: T; 9, 27, 81, 143 and 243 are published.
        width: d, features per joint.
        spatial_blocks: number of blocks over joints.
        temporal_blocks: number of blocks over frames.
        heads: must divide d and J d.
        kernels: sizes of the convolutions.
        drop: dropout on queries, keys and values.
        drop_path: stochastic depth of the last block of each stack.
        joints: J.
        inputs: channels per keypoint.
    """

    centre_only = True

    def __init__(
        self,
        frames: int = 143,
        width: int = 32,
        spatial_blocks: int = 2,
        temporal_blocks: int = 2,
        heads: int = 8,
        kernels: Sequence[int] = (7, 7, 7),
        drop: float = 0.2,
        drop_path: float = 0.2,
        joints: int = 17,
        inputs: int = 2,
    ) -> None:
        super().__init__(frames, inputs, joints)
        flat = joints * width
        if width % heads or flat % heads:
            raise ValueError(f"{heads} heads do not divide {width} and {flat} features.")
        self.emb = nn.Linear(inputs, width)
        self.ps = nn.Parameter(torch.zeros(1, joints, width))
        self.pt = nn.Parameter(torch.zeros(1, frames, flat))
        self.sb = nn.ModuleList(
            ConvBlock(width, width, kernels, heads, True, drop, p) for p in drop_rates(drop_path, spatial_blocks)
        )
        self.tb = nn.ModuleList(
            ConvBlock(flat, frames, kernels, heads, False, drop, p) for p in drop_rates(drop_path, temporal_blocks)
        )
        self.ns, self.nt, self.nh = nn.LayerNorm(width), nn.LayerNorm(flat), nn.LayerNorm(flat)
        self.head = nn.Linear(flat, 3 * joints)
        self.pool = nn.Conv1d(frames, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, J, inputs) to (B, 1, J, 3), metres: the centre frame."""
        tokens = (self.emb(self.enter(x)) + self.ps).flatten(0, 1)
        for block in self.sb:
            tokens = block(tokens)
        rows = self.ns(tokens).unflatten(0, (-1, self.frames)).flatten(2) + self.pt
        for block in self.tb:
            rows = block(rows)
        return self.pool(self.head(self.nh(self.nt(rows)))).unflatten(-1, (self.joints, 3))
