"""SimpleBaseline: fully connected layers from 2D to 3D joints of a single frame (Martinez et al., ICCV 2017).

One of the lifters PoseDA is measured with, in PoseAug's form: two residual stages of 1024 channels, the root forced to
zero (PoseDA specification, section 5).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsr.lifting.base import WindowLifter
from dsr.tracks.skeleton import H36M17


class SimpleBaseline(WindowLifter):
    """The published network.

    Args:
        frames: 1.
        width: channels.
        depth: residual stages.
        drop: dropout.
        inputs: channels per keypoint.
        joints: 17; PoseDA's tables have 16.
    """

    free: Tensor

    def __init__(
        self,
        frames: int = 1,
        width: int = 1024,
        depth: int = 2,
        drop: float = 0.25,
        inputs: int = 2,
        joints: int = len(H36M17),
    ) -> None:
        if frames != 1:
            raise ValueError(f"it lifts single frames (frames=1), got {frames}")
        if not (isinstance(width, int) and width > 0 and isinstance(depth, int) and depth > 0):
            raise ValueError(f"width and depth are whole numbers from 1 on, got {width!r} and {depth!r}")
        super().__init__(frames, inputs, joints)
        self.w1, self.batch_norm1 = nn.Linear(inputs * joints, width), nn.BatchNorm1d(width)
        self.linear_stages = nn.ModuleList(_Residual(width, drop) for _ in range(depth))
        self.w2 = nn.Linear(width, 3 * joints)
        self.relu, self.dropout = nn.ReLU(), nn.Dropout(drop)
        free = torch.ones(joints, 1)
        free[0] = 0
        self.register_buffer("free", free, persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, J, inputs) to (B, 1, J, 3), metres relative to the root."""
        y = self.enter(x).flatten(1)
        y = self.dropout(self.relu(self.batch_norm1(self.w1(y))))
        for stage in self.linear_stages:
            y = stage(y)
        pose: Tensor = self.w2(y).unflatten(1, (1, self.joints, 3)) * self.free
        return pose


class _Residual(nn.Module):
    def __init__(self, width: int, drop: float) -> None:
        super().__init__()
        self.w1, self.batch_norm1 = nn.Linear(width, width), nn.BatchNorm1d(width)
        self.w2, self.batch_norm2 = nn.Linear(width, width), nn.BatchNorm1d(width)
        self.relu, self.dropout = nn.ReLU(), nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width) to (B, width)."""
        y = self.dropout(self.relu(self.batch_norm1(self.w1(x))))
        out: Tensor = x + self.dropout(self.relu(self.batch_norm2(self.w2(y))))
        return out
