"""UAO's single-frame lifter: 3D joints and how far each may be off (GUMLP of UAO-Pose3D, arXiv 2402.02339).

Specification: sections 2 to 5; state dict as published. The optimisation at test time is
:mod:`dsr.fitting.uncertainty`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dsr.fast_layers import can_derive
from dsr.lifting.base import WindowLifter
from dsr.lifting.transformer import DropPath, drop_rates
from dsr.lifting.uao_frozen import FrozenUAO
from dsr.tracks.skeleton import H36M17

WIDTH: Final = 512
"""Channels; fixed by the published encoder."""
_SYMMETRIC: Final = ((6, 3), (5, 2), (4, 1), (11, 14), (12, 15), (13, 16))
_CENTRE: Final = 7  # the spine: partitions are told by the distance to it
_EPS: Final = 1e-6


def joint_graph() -> Tensor:
    """The four fixed graphs, (4, 17, 17): itself, bones outward, bones inward, symmetric joints; columns sum to one."""
    joints = len(H36M17)
    bones, mirrored = np.zeros((joints, joints), np.float32), np.zeros((joints, joints), np.float32)
    for pairs, links in ((H36M17.bones, bones), (_SYMMETRIC, mirrored)):
        for one, other in pairs:
            links[one, other] = links[other, one] = 1.0
    itself = np.eye(joints, dtype=np.float32)
    distance = _distance(bones)
    outward, inward = distance[:, None] > distance[None], distance[:, None] < distance[None]
    normal = 1.0 / (itself + bones + mirrored).sum(0)
    graphs = np.stack([part * normal for part in (itself, bones * outward, bones * inward, mirrored)])
    return torch.tensor(graphs)


def _distance(bones: np.ndarray) -> np.ndarray:
    """Bones from each joint to the spine."""
    distance = np.full(len(bones), -1)
    reached = np.arange(len(bones)) == _CENTRE
    for steps in range(len(bones)):
        distance[reached & (distance < 0)] = steps
        reached = reached | (bones[reached].sum(0) > 0)
    return distance


class _Gated(nn.Module):
    """Linear layer, GELU, dropout."""

    def __init__(self, inputs: int, outputs: int, drop: float) -> None:
        super().__init__()
        self.linear = nn.Sequential(nn.Linear(inputs, outputs), nn.GELU(), nn.Dropout(drop))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        return y


class _ChannelMLP(nn.Module):
    def __init__(self, drop: float) -> None:
        super().__init__()
        self.linear_down = _Gated(WIDTH, WIDTH // 2, drop)
        self.linear_mid = _Gated(WIDTH // 2, WIDTH // 2, drop)
        self.linear_up = _Gated(WIDTH // 2, WIDTH, drop)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear_down(x)
        y: Tensor = self.linear_up(self.linear_mid(x) + x)
        return y


class _JointMLP(nn.Module):
    def __init__(self, joints: int, drop: float) -> None:
        super().__init__()
        self.linear_up1 = _Gated(joints, 3 * joints, drop)
        self.linear_up2 = _Gated(3 * joints, 6 * joints, drop)
        self.linear_mid = _Gated(6 * joints, 6 * joints, drop)
        self.linear_down1 = _Gated(6 * joints, 3 * joints, drop)
        self.linear_down2 = _Gated(3 * joints, joints, drop)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear_up2(self.linear_up1(x))
        y: Tensor = self.linear_down2(self.linear_down1(self.linear_mid(x) + x))
        return y


class _GraphConvolution(nn.Module):
    """One convolution per graph, summed; no activation."""

    adj: Tensor

    def __init__(self, graph: Tensor) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(WIDTH, WIDTH * len(graph), 1)
        # Checkpoints do not hold it.
        self.register_buffer("adj", graph, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 17, C) to (B, 17, C)."""
        # Joints are mixed before channels: the same sums over a quarter of the memory.
        mixed = torch.einsum("bvc,kvw->bwkc", x, self.adj)
        bias, graphs = self.conv1d.bias, (len(self.adj), WIDTH)
        assert bias is not None
        shift = torch.einsum("kc,kw->wc", bias.unflatten(0, graphs), self.adj.sum(1))
        kernel = self.conv1d.weight.squeeze(-1).unflatten(0, graphs).permute(1, 0, 2).flatten(1)
        return functional.linear(mixed.flatten(2), kernel) + shift


class _Block(nn.Module):
    def __init__(self, graph: Tensor, drop_path: float, channel_drop: float, joint_drop: float) -> None:
        super().__init__()
        joints = graph.shape[-1]
        self.norm1 = nn.LayerNorm(joints, eps=_EPS)
        self.gcn1 = _GraphConvolution(graph)
        self.norm2 = nn.LayerNorm(WIDTH, eps=_EPS)
        self.channel_mlp = _ChannelMLP(channel_drop)
        self.norm3 = nn.LayerNorm(joints, eps=_EPS)
        self.spatial_mlp = _JointMLP(joints, joint_drop)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 17, C) to (B, 17, C)."""
        x = x + self.drop_path(self.gcn1(self.norm1(x.transpose(1, 2)).transpose(1, 2)))
        by_channel = self.channel_mlp(self.norm2(x))
        by_joint = self.spatial_mlp(self.norm3(x.transpose(1, 2))).transpose(1, 2)
        y: Tensor = x + self.drop_path(by_channel + by_joint)
        return y


class _Blocks(nn.Module):
    def __init__(self, graph: Tensor, layers: int, drop_path: float, channel_drop: float, joint_drop: float) -> None:
        super().__init__()
        rates = drop_rates(drop_path, layers)
        self.blocks = nn.ModuleList(_Block(graph, rate, channel_drop, joint_drop) for rate in rates)
        self.norm_mu = nn.LayerNorm(WIDTH, eps=_EPS)
        self.norm_s = nn.LayerNorm(WIDTH, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 17, C) to (B, 17, C)."""
        for block in self.blocks:
            x = block(x)
        return x


class _TwoLinear(nn.Module):
    """Two linear layers with nothing between, as published."""

    def __init__(self, inputs: int, middle: int, outputs: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, middle)
        self.fc5 = nn.Linear(middle, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc5(self.fc1(x))
        return y


class UAO(WindowLifter):
    """The published GUMLP: one frame of 17 joints in, mean positions and log-scales out.

    Args:
        frames: 1.
        layers: blocks.
        width: 512, which the published encoder fixes.
        drop: dropout of the channel MLP.
        joint_drop: dropout of the joint MLP.
        drop_path: stochastic depth of the last block; it rises from 0 in the first.
        inputs: 2, (u, v).
    """

    def __init__(
        self,
        frames: int = 1,
        layers: int = 3,
        width: int = WIDTH,
        drop: float = 0.1,
        joint_drop: float = 0.05,
        drop_path: float = 0.2,
        inputs: int = 2,
    ) -> None:
        if frames != 1 or width != WIDTH:
            raise ValueError(f"it lifts single frames (frames=1) with {WIDTH} channels, got {frames} and {width}")
        if not isinstance(layers, int) or layers < 1:
            raise ValueError(f"layers is a whole number from 1 on, got {layers!r}")
        super().__init__(frames, inputs, len(H36M17))
        self.layers = layers
        self.encoder = _TwoLinear(inputs, 64, WIDTH)
        self.GCN_MLP = _Blocks(joint_graph(), layers, drop_path, drop, joint_drop)
        self.pred_mu = _TwoLinear(WIDTH, WIDTH // 2, 3)
        self.pred_s = _TwoLinear(WIDTH, WIDTH // 2, 1)

    def with_uncertainty(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Positions, and the logarithm of how far they are off.

        Args:
            x: (B, 1, 17, 2) screen-normalised keypoints.

        Returns:
            (B, 1, 17, 3) metres relative to the pelvis, whose own row is not forced to zero, and (B, 1, 17, 1) s:
            exp(s) is the expected distance from the truth in metres.

        Raises:
            UsageError: if the input has another shape.
        """
        x = self.enter(x)[:, 0]
        if can_derive(x) and not self.training:
            mean, scale = FrozenUAO(self).forward(x, keep=False)
        else:
            tokens = self.GCN_MLP(self.encoder(x))
            mean, scale = self.pred_mu(self.GCN_MLP.norm_mu(tokens)), self.pred_s(self.GCN_MLP.norm_s(tokens))
        return mean[:, None], scale[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 17, 2) to (B, 1, 17, 3), metres: positions alone."""
        return self.with_uncertainty(x)[0]
