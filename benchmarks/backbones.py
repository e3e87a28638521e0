"""The backbones of DSR's network beside torchvision's definitions: python benchmarks/backbones.py.

Needs torchvision (``pip install torchvision``), which the project itself does not. For every backbone that torchvision
has: numbers of parameters without the classifier, whether names of entries agree, and the greatest difference of the
feature maps of random crops, with the same random weights and batch norms that do something, beside the greatest value.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
import torchvision
from _clock import say
from torch import Tensor, nn

from dsr.regressors.dsr.backbones import BACKBONES, build_backbone

CLASSIFIERS = ("fc.", "classifier.")


def features(model: Any, x: Tensor) -> Tensor:
    """The feature map of torchvision's model before the pooling."""
    if hasattr(model, "features"):
        found: Tensor = model.features(x)
        return found
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        x = stage(x)
    return x


@torch.no_grad()
def compare(name: str, side: int) -> str:
    """One line of the table."""
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)(weights=None).eval()
    for part in theirs.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            part.running_var.uniform_(0.8, 1.2)  # type: ignore[union-attr]
            nn.init.uniform_(part.weight, 0.6, 0.9)
            nn.init.normal_(part.bias, 0, 0.1)
    ours = build_backbone(name).eval()
    state = {key: value for key, value in theirs.state_dict().items() if not key.startswith(CLASSIFIERS)}
    ours.load_state_dict(state)  # strict: the names agree
    x = torch.randn(2, 3, side, side)
    wanted, found = features(theirs, x), ours(x)
    counts = [
        sum(p.numel() for key, p in model.named_parameters() if not key.startswith(CLASSIFIERS))
        for model in (theirs, ours)
    ]
    difference, greatest = float((found - wanted).abs().max()), float(wanted.abs().max())
    return f"{name:20}{counts[0]:>12}{counts[1]:>12}{difference:>12.1e}{greatest:>10.2f}{difference / greatest:>12.1e}"


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=224, help="of the crops, pixels")
    arguments = parser.parse_args()
    say(f"torch {torch.__version__}, torchvision {torchvision.__version__}")
    say(f"{'backbone':20}{'torchvision':>12}{'ours':>12}{'differs':>12}{'up to':>10}{'relative':>12}")
    for name in sorted(BACKBONES):
        if hasattr(torchvision.models, name):
            say(compare(name, arguments.side))


if __name__ == "__main__":
    main()
