"""ResNet feature extractors (He et al., CVPR 2016) with torchvision's entry names, without pooling and classifier.

Bottlenecks carry the stride on their 3x3 convolution ("v1.5"), as in torchvision and in DSR (specification, 2.1).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from dsr.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


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
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolutions and a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 4 planes, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


ARCHITECTURES: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    "resnet10": (BasicBlock, (1, 1, 1, 1)),
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
    "resnet152": (Bottleneck, (3, 8, 36, 3)),
}
"""Kind of block and number of blocks of the four stages."""


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
        block, counts = ARCHITECTURES[name]
        self.name = name
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _stage(block, 64, 64, counts[0], 1)
        self.layer2 = _stage(block, 64 * block.expansion, 128, counts[1], 2)
        self.layer3 = _stage(block, 128 * block.expansion, 256, counts[2], 2)
        self.layer4 = _stage(block, 256 * block.expansion, 512, counts[3], 2)
        self.channels = 512 * block.expansion
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        """Features (B, channels, S / 32, S / 32) of normalised pictures (B, 3, S, S)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features


def _stage(
    block: type[BasicBlock] | type[Bottleneck], inputs: int, planes: int, count: int, stride: int
) -> nn.Sequential:
    outputs = planes * block.expansion
    downsample = None
    if stride != 1 or inputs != outputs:
        downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    first = block(inputs, planes, stride, downsample)
    return nn.Sequential(first, *(block(outputs, planes) for _ in range(1, count)))


def load_imagenet_weights(backbone: ResNet, source: str | Path | Mapping[str, Tensor]) -> None:
    """Fill a backbone with torchvision's ImageNet weights, a file the user has; nothing is downloaded.

    Args:
        backbone: the network to fill.
        source: torchvision's file for the same architecture (``resnet50-19c8e357.pth``, say, or safetensors), or its
            entries. The classifier ``fc.*`` is left out; counters that old files lack stay as they are.

    Raises:
        CheckpointError: if the file cannot be read, an entry is missing, or a shape differs.
    """
    from dsr.checkpoints.load import check_entries, read_state_dict

    where = "the given weights" if not isinstance(source, (str, Path)) else str(source)
    entries = read_state_dict(source)
    weights = {key: value for key, value in entries.items() if not key.startswith("fc.")}
    needed = backbone.state_dict()
    for key, value in needed.items():
        if key.endswith("num_batches_tracked"):
            weights.setdefault(key, value)
    if "conv1.weight" not in weights:
        raise CheckpointError(
            f"{where} holds no ImageNet weights of a ResNet: there is no entry conv1.weight; give torchvision's file "
            f"for {backbone.name}."
        )
    backbone.load_state_dict(check_entries(needed, weights, where, backbone.name))
