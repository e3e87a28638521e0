"""HRNet with the classification head: four resolutions kept side by side and exchanged (Sun et al., CVPR 2019).

PersPose's backbone (specification 5.2). Names of the parameters are those of the official pose and classification
code, so their published weights load. The finest map has a quarter of the picture's side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from torch import Tensor, nn

from dsr.errors import UsageError
from dsr.fast_layers import ConvolutionSteps, convolution
from dsr.regressors.dsr.resnet import BasicBlock, Bottleneck

STAGE1_CHANNELS = 256
"""Channels of the first stage's output, where PersPose adds its perspective encoding."""
STRIDE = 32
"""The picture's side must be a multiple of this: the coarsest branch has 1/32 of it."""


class HRNet(nn.Module):
    """Picture to a fine feature map and one vector.

    Args:
        width: channels of the finest branch, W in HRNet-W48; branch i has ``width * 2**i``.
        modules: exchange modules of stages 2, 3 and 4.
        blocks: residual blocks per branch of a module.
        head_planes: planes of the classification head's finest bottleneck; the vector has 64 times as many entries.
        initialisation: ``published`` draws convolutions from N(0, 0.001), ``kaiming`` by their fan-out, which trains
            faster where no pretrained weights follow.

    Attributes:
        channels: of the finest map.
        features: entries of the vector.

    Raises:
        UsageError: if an argument is not positive, or the initialisation is unknown.

    Example:
        >>> import torch
        >>> network = HRNet(width=8, modules=(1, 1, 1), blocks=1, head_planes=4)
        >>> fine, vector = network(torch.zeros(2, 3, 64, 64))
        >>> tuple(fine.shape), tuple(vector.shape)
        ((2, 8, 16, 16), (2, 256))
    """

    def __init__(
        self,
        width: int = 48,
        *,
        modules: Sequence[int] = (1, 4, 3),
        blocks: int = 4,
        head_planes: int = 32,
        initialisation: Literal["published", "kaiming"] = "published",
    ) -> None:
        super().__init__()
        if min(width, blocks, head_planes, *modules) < 1 or len(modules) != 3:
            raise UsageError(
                f"HRNet needs positive sizes and three module counts, got width {width}, modules {tuple(modules)}, "
                f"blocks {blocks}, head_planes {head_planes}."
            )
        widths = [width * 2**i for i in range(4)]
        self.channels, self.features = width, 64 * head_planes
        self.conv1 = nn.Conv2d(3, 64, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(_widen(64, 64), *(Bottleneck(STAGE1_CHANNELS, 64) for _ in range(3)))
        self.transition1 = _transition([STAGE1_CHANNELS], widths[:2])
        self.stage2 = nn.Sequential(*(ExchangeModule(widths[:2], blocks) for _ in range(modules[0])))
        self.transition2 = _transition(widths[:2], widths[:3])
        self.stage3 = nn.Sequential(*(ExchangeModule(widths[:3], blocks) for _ in range(modules[1])))
        self.transition3 = _transition(widths[:3], widths)
        self.stage4 = nn.Sequential(*(ExchangeModule(widths, blocks) for _ in range(modules[2])))
        planes = [head_planes * 2**i for i in range(4)]
        self.incre_modules = nn.ModuleList(nn.Sequential(_widen(w, p)) for w, p in zip(widths, planes, strict=True))
        self.downsamp_modules = nn.ModuleList(_conv(4 * p, 8 * p, 3, 2, bias=True) for p in planes[:-1])
        self.final_feat_layer = _conv(4 * planes[3], self.features, 1, bias=True)
        self._initialise(initialisation)

    def forward(self, image: Tensor, encoding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Features of a batch of pictures.

        Args:
            image: (B, 3, S, S), normalised, S a multiple of 32.
            encoding: (B, 256, S / 4, S / 4) added to the first stage's output, or None.

        Returns:
            The finest map (B, width, S / 4, S / 4) and the pooled vector (B, features).

        Raises:
            UsageError: if the picture has another shape.
        """
        if image.dim() != 4 or image.shape[1] != 3 or image.shape[2] % STRIDE or image.shape[3] % STRIDE:
            raise UsageError(
                f"HRNet takes pictures (B, 3, H, W) whose sides are multiples of {STRIDE}, got {tuple(image.shape)}."
            )
        x = convolution(image, self.conv1, self.bn1, relu=True)
        x = self.layer1(convolution(x, self.conv2, self.bn2, relu=True))
        if encoding is not None:
            x = x + encoding
        branches = [x]
        for transition, stage in (
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            branches = [step(branches[min(i, len(branches) - 1)]) for i, step in enumerate(transition)]
            branches = stage(branches)
        pooled = self.incre_modules[0](branches[0])
        for widen, halve, branch in zip(self.incre_modules[1:], self.downsamp_modules, branches[1:], strict=True):
            pooled = widen(branch) + halve(pooled)
        return branches[0], self.final_feat_layer(pooled).mean((2, 3))

    def _initialise(self, how: str) -> None:
        if how not in ("published", "kaiming"):
            raise UsageError(f"The initialisation is published or kaiming, not {how!r}.")
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if how == "published":
                    nn.init.normal_(module.weight, std=0.001)
                else:
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


class ExchangeModule(nn.Module):
    """Residual blocks on every branch, then every branch receives the sum of all, resampled to its resolution.

    Args:
        widths: channels of the branches, fine to coarse.
        blocks: residual blocks per branch.
    """

    def __init__(self, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(w, w) for _ in range(blocks))) for w in widths)
        count = len(widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_resample(widths, source, target) for source in range(count)) for target in range(count)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """Branches in, branches out, same shapes."""
        branched = [steps(x) for steps, x in zip(self.branches, branches, strict=True)]
        fused = []
        for target, sources in enumerate(self.fuse_layers):
            total = branched[target]
            for source, step in enumerate(cast(nn.ModuleList, sources)):
                if source != target:
                    total = step(branched[source], add=total)
            fused.append(self.relu(total))
        return fused


def _resample(widths: Sequence[int], source: int, target: int) -> nn.Module:
    """One branch brought to the channels and resolution of another."""
    if source == target:
        return nn.Identity()
    if source > target:
        return ConvolutionSteps(
            nn.Conv2d(widths[source], widths[target], 1, bias=False),
            nn.BatchNorm2d(widths[target]),
            nn.Upsample(scale_factor=2 ** (source - target), mode="nearest"),
        )
    last = target - source - 1
    return ConvolutionSteps(
        *(
            _conv(widths[source], widths[target] if step == last else widths[source], 3, 2, relu=step != last)
            for step in range(last + 1)
        )
    )


def _transition(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    """Steps to the branches of the next stage; a branch that is new comes from the coarsest one, at half its size."""
    steps: list[nn.Module] = []
    for i, channels in enumerate(after):
        if i >= len(before):
            steps.append(nn.Sequential(_conv(before[-1], channels, 3, 2)))
        else:
            steps.append(nn.Identity() if before[i] == channels else _conv(before[i], channels, 3))
    return nn.ModuleList(steps)


def _widen(inputs: int, planes: int) -> Bottleneck:
    """A bottleneck whose shortcut brings the channels to four times the planes."""
    return Bottleneck(inputs, planes, downsample=_conv(inputs, 4 * planes, 1, relu=False))


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, *, bias: bool = False, relu: bool = True
) -> ConvolutionSteps:
    """Convolution, batch normalisation and, mostly, a ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias),
        nn.BatchNorm2d(outputs),
    ]
    return ConvolutionSteps(*layers, nn.ReLU(inplace=True)) if relu else ConvolutionSteps(*layers)
