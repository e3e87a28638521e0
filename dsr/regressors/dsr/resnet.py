"""ResNet, ResNeXt and Wide ResNet (He et al., CVPR 2016), torchvision's entry names, without pooling and classifier.

Bottlenecks carry the stride on their 3x3 convolution ("v1.5"), as in torchvision and in DSR (specification, 2.1).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from dsr.errors import UsageError
from dsr.fast_layers import ConvolutionSteps, convolution


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, planes, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = convolution(x, self.conv1, self.bn1, relu=True)
        return convolution(x, self.conv2, self.bn2, add=shortcut, relu=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolutions and a shortcut."""

    expansion = 4

    def __init__(
        self,
        inputs: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        group_width: int = 64,
    ) -> None:
        super().__init__()
        width = planes * group_width // 64 * groups
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 4 planes, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = convolution(x, self.conv1, self.bn1, relu=True)
        x = convolution(x, self.conv2, self.bn2, relu=True)
        return convolution(x, self.conv3, self.bn3, add=shortcut, relu=True)


class Architecture(NamedTuple):
    """What tells the ResNets apart.

    Attributes:
        block: kind of block.
        counts: blocks of the four stages.
        groups: of the bottlenecks' 3x3 convolutions (ResNeXt).
        group_width: channels of a group where a stage has 64 planes (Wide ResNet: 128).
    """

    block: type[BasicBlock] | type[Bottleneck]
    counts: tuple[int, int, int, int]
    groups: int = 1
    group_width: int = 64


ARCHITECTURES: dict[str, Architecture] = {
    "resnet10": Architecture(BasicBlock, (1, 1, 1, 1)),
    "resnet18": Architecture(BasicBlock, (2, 2, 2, 2)),
    "resnet34": Architecture(BasicBlock, (3, 4, 6, 3)),
    "resnet50": Architecture(Bottleneck, (3, 4, 6, 3)),
    "resnet101": Architecture(Bottleneck, (3, 4, 23, 3)),
    "resnet152": Architecture(Bottleneck, (3, 8, 36, 3)),
    "resnext50_32x4d": Architecture(Bottleneck, (3, 4, 6, 3), 32, 4),
    "resnext101_32x8d": Architecture(Bottleneck, (3, 4, 23, 3), 32, 8),
    "wide_resnet50_2": Architecture(Bottleneck, (3, 4, 6, 3), 1, 128),
    "wide_resnet101_2": Architecture(Bottleneck, (3, 4, 23, 3), 1, 128),
}
"""By torchvision's names (resnet10 is ours)."""


class ResNet(nn.Module):
    """Feature map of a picture, 1/32 of its size.

    Args:
        name: a key of :data:`ARCHITECTURES`.

    Attributes:
        channels: of the feature map: 512, or 2048 from resnet50 on.

    Raises:
        UsageError: if there is no such architecture.

    Example:
        >>> import torch
        >>> ResNet("resnet18")(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 512, 2, 2])
    """

    def __init__(self, name: str = "resnet50") -> None:
        super().__init__()
        if name not in ARCHITECTURES:
            raise UsageError(f"There is no backbone {name!r}; choose one of {', '.join(ARCHITECTURES)}.")
        kind = ARCHITECTURES[name]
        expansion = kind.block.expansion
        self.name = name
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _stage(kind, 64, 64, 0, 1)
        self.layer2 = _stage(kind, 64 * expansion, 128, 1, 2)
        self.layer3 = _stage(kind, 128 * expansion, 256, 2, 2)
        self.layer4 = _stage(kind, 256 * expansion, 512, 3, 2)
        self.channels = 512 * expansion
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        """Features (B, channels, S / 32, S / 32) of normalised pictures (B, 3, S, S)."""
        x = self.maxpool(convolution(image, self.conv1, self.bn1, relu=True))
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features


def _stage(kind: Architecture, inputs: int, planes: int, index: int, stride: int) -> nn.Sequential:
    outputs = planes * kind.block.expansion
    wide = kind.block is Bottleneck
    grouping: dict[str, Any] = {"groups": kind.groups, "group_width": kind.group_width} if wide else {}
    downsample = None
    if stride != 1 or inputs != outputs:
        downsample = ConvolutionSteps(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    first = kind.block(inputs, planes, stride, downsample, **grouping)
    return nn.Sequential(first, *(kind.block(outputs, planes, **grouping) for _ in range(1, kind.counts[index])))
