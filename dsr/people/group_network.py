"""The network that proposes people in groups: where heads and trunks are in a picture, and whose hips are where.

A small fully convolutional network after CenterNet (Zhou et al., "Objects as Points", 2019): a map of head middles and
one of trunk middles, a quarter of the picture's size, and beside each the hips, the size and the direction of the body,
and its joints with how far off each may be (a Laplace distribution's scale, Kendall and Gal, 2017).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from dsr.people.keypoint_sets import GROUP_JOINTS

STRIDE = 4
"""Picture pixels per cell of the answer."""
STEP = 32
"""Sides of pictures are multiples of this."""
ANCHORS = 2
"""Heads and trunks."""
JOINTS = len(GROUP_JOINTS)
PLACE = 5
"""Beside each anchor: hips from the cell's middle in body sizes (u, v), log of the size over :data:`SIZE_PX`, and the
direction of the body (right, up), not of unit length."""
VALUES = PLACE + 3 * JOINTS
"""Then the joints from the cell's middle in body sizes (u and v of each), and the log of the scale of their errors."""
SCALE_LOG = (-5.0, 0.0)
"""Where that log ends."""
SIZE_PX = 64.0


def _convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class _Block(nn.Module):
    """Inverted residual: wider, 3 x 3 per channel, narrow again (Sandler et al., "MobileNetV2", 2018).

    Args:
        width: channels.
        size: of the kernel.
    """

    def __init__(self, width: int, size: int = 3) -> None:
        super().__init__()
        self.wide = _convolution(width, 2 * width, 1)
        self.deep = _convolution(2 * width, 2 * width, size, groups=2 * width)
        self.thin = _convolution(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        y = functional.relu(self.wide(x))
        y = functional.relu(self.deep(y))
        out: Tensor = x + self.thin(y)
        return out


class _Down(nn.Module):
    """Half the size, then blocks.

    Args:
        inputs: channels before.
        outputs: channels after.
        blocks: their number.
    """

    def __init__(self, inputs: int, outputs: int, blocks: int) -> None:
        super().__init__()
        self.smaller = _convolution(inputs, outputs, 3, 2)
        self.blocks = nn.Sequential(*(_Block(outputs) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H / 2, W / 2)."""
        out: Tensor = self.blocks(functional.relu(self.smaller(x)))
        return out


class GroupNetwork(nn.Module):
    """Heads and trunks of pictures, and the joints beside them.

    Args:
        widths: channels at a half, a quarter, ... of the size.
        blocks: residual blocks from a quarter of the size on.
        wide: channels on the way back up.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (16, 24, 48, 96, 160),
        blocks: tuple[int, ...] = (1, 1, 2, 3),
        wide: tuple[int, ...] = (40, 48, 80),
    ) -> None:
        super().__init__()
        self.stem = _convolution(3, widths[0], 3, 2)
        self.down = nn.ModuleList(_Down(a, b, n) for a, b, n in zip(widths, widths[1:], blocks, strict=False))
        self.side = nn.ModuleList(_convolution(a, b, 1) for a, b in zip(widths[1:-1], wide, strict=True))
        self.up = nn.ModuleList(_convolution(b, a, 1) for a, b in pairwise((*wide, widths[-1])))
        self.join = nn.ModuleList(_Block(width) for width in wide)
        self.last = _convolution(wide[0], 64, 3)
        self.out = nn.Conv2d(64, ANCHORS * (1 + VALUES), 1)
        bias = torch.zeros(ANCHORS * (1 + VALUES))
        bias[:ANCHORS] = -4.0
        bias[ANCHORS:].view(ANCHORS, VALUES)[:, -JOINTS:] = -1.5
        self.out.bias = nn.Parameter(bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits of heads and trunks, then the values of each, (B, 102, H / 4, W / 4), of (B, 3, H, W) in -1 to 1."""
        x = functional.relu(self.stem(pictures))
        levels = []
        for down in self.down:
            x = down(x)
            levels.append(x)
        steps = zip(reversed(self.up), reversed(self.side), reversed(self.join), reversed(levels[:-1]), strict=True)
        for up, side, join, before in steps:
            x = join(functional.relu(side(before) + functional.interpolate(up(x), scale_factor=2.0, mode="nearest")))
        out: Tensor = self.out(functional.relu(self.last(x)))
        return out
