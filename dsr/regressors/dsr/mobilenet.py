"""MobileNetV2 (Sandler et al., CVPR 2018) as features, with torchvision's entry names, without classifier."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from dsr.fast_layers import ConvolutionSteps

_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, number of blocks and stride of the first one (the paper's table 2)."""


class InvertedResidual(nn.Module):
    """Widening 1x1, 3x3 within channels, narrowing 1x1 convolution, and a shortcut where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        steps: list[nn.Module] = [] if expansion == 1 else [_step(inputs, wide, 1)]
        steps += [_step(wide, wide, 3, stride, wide), nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = ConvolutionSteps(*steps)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        result: Tensor = self.conv(x, x if self.shortcut else None)
        return result


class MobileNetV2(nn.Module):
    """Feature map of a picture, 1/32 of its size.

    Attributes:
        channels: 1280.

    Example:
        >>> import torch
        >>> MobileNetV2()(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 1280, 2, 2])
    """

    name = "mobilenet_v2"
    channels = 1280

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = [_step(3, 32, 3, 2)]
        inputs = 32
        for expansion, outputs, count, stride in _STAGES:
            for i in range(count):
                parts.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, expansion))
                inputs = outputs
        self.features = nn.Sequential(*parts, _step(inputs, self.channels, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, image: Tensor) -> Tensor:
        """Features (B, 1280, S / 32, S / 32) of normalised pictures (B, 3, S, S)."""
        features: Tensor = self.features(image)
        return features


def _step(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> Any:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return ConvolutionSteps(conv, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))
