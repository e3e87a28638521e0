"""Backbones of DSR's network by name, and ImageNet weights to start them from.

ResNet, ResNeXt, Wide ResNet and MobileNetV2 have torchvision's entry names, HRNet those of its classification code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from dsr.errors import CheckpointError, UsageError
from dsr.regressors.dsr.mobilenet import MobileNetV2
from dsr.regressors.dsr.resnet import ARCHITECTURES, Bottleneck, ResNet
from dsr.regressors.perspose.hrnet import HRNet

_HRNETS: Final = {"hrnet_w32": 32, "hrnet_w48": 48}
BACKBONES: Final = (*ARCHITECTURES, MobileNetV2.name, *_HRNETS)
"""Names :func:`build_backbone` takes."""


class HRNetFeatures(HRNet):
    """HRNet's vector as a feature map of one place, for heads that average over places.

    Attributes:
        channels: 2048.
    """

    def __init__(self, name: str) -> None:
        super().__init__(_HRNETS[name], initialisation="kaiming")
        self.name, self.channels = name, self.features

    def forward(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """Features (B, 2048, 1, 1) of normalised pictures (B, 3, S, S), S a multiple of 32."""
        return super().forward(image)[1][:, :, None, None]


def build_backbone(name: str) -> Any:
    """A backbone with random weights: pictures (B, 3, S, S) to features (B, ``channels``, h, w).

    Args:
        name: one of :data:`BACKBONES`.

    Raises:
        UsageError: if there is no such backbone.

    Example:
        >>> build_backbone("mobilenet_v2").channels
        1280
    """
    if name == MobileNetV2.name:
        return MobileNetV2()
    if name in _HRNETS:
        return HRNetFeatures(name)
    if name not in ARCHITECTURES:
        raise UsageError(f"There is no backbone {name!r}; choose one of {', '.join(BACKBONES)}.")
    return ResNet(name)


def backbone_of(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Which backbone a file holds, by the shapes of its entries under the backbone's own names; None if none."""
    if "features.0.0.weight" in shapes:
        return MobileNetV2.name
    width = shapes.get("stage2.0.branches.0.0.conv1.weight", (0,))[0]
    if width:
        return next((name for name, known in _HRNETS.items() if known == width), None)
    counts = tuple(
        sum(re.fullmatch(rf"layer{stage}\.(\d+)\.conv1\.weight", key) is not None for key in shapes)
        for stage in range(1, 5)
    )
    middle = shapes.get("layer1.0.conv2.weight", (0, 0))
    groups = middle[0] // middle[1] if middle[1] else 1
    for name, one in ARCHITECTURES.items():
        deep = one.block is Bottleneck
        size = (one.groups, one.groups * one.group_width) if deep else (1, 64)
        if one.counts == counts and deep == ("layer1.0.conv3.weight" in shapes) and size == (groups, middle[0]):
            return name
    return None


def load_imagenet_weights(backbone: nn.Module, source: str | Path | Mapping[str, Tensor]) -> None:
    """Fill a backbone with ImageNet weights, a file the user has; nothing is downloaded.

    Args:
        backbone: the network to fill.
        source: torchvision's file for the same architecture (``resnet50-19c8e357.pth``, say, or safetensors), HRNet's
            of its classification code, or its entries. The classifier is left out; counters that old files lack stay
            as they are.

    Raises:
        CheckpointError: if the file cannot be read, an entry is missing, or a shape differs.
    """
    from dsr.checkpoints.load import check_entries, read_state_dict

    where = "the given weights" if not isinstance(source, (str, Path)) else str(source)
    weights = {
        re.sub(r"^final_layer\.", "final_feat_layer.", key): value
        for key, value in read_state_dict(source).items()
        if not key.startswith(("fc.", "classifier."))
    }
    needed = backbone.state_dict()
    for key, value in needed.items():
        if key.endswith("num_batches_tracked"):
            weights.setdefault(key, value)
    first, name = next(iter(needed)), str(backbone.name)
    if first not in weights:
        raise CheckpointError(
            f"{where} holds no ImageNet weights of a {name}: there is no entry {first}; give the published file of it."
        )
    backbone.load_state_dict(check_entries(needed, weights, where, name))
