"""Local pose augmentation: networks that bend, stretch and turn poses (PoseDA's LPA on PoseAug's operations).

PoseDA published no code of it. Ours is PoseAug without its translation, which global position alignment supplants, and
without its feedback from the lifter, which PoseDA does not have (specification, section 4). It begins near the poses as
they are: with PoseAug's last layers bones are bent by 50 degrees at first, and few steps do not unlearn that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn

from dsr.adaptation.bones import bone_lengths, change_lengths, from_bones, to_bones, turn, unit
from dsr.adaptation.parts import BodyParts, parts_of
from dsr.errors import UsageError

LARGEST_RATIO: Final = 0.2
LARGEST_TILT: Final = math.radians(20.0)
_HALF_TURN: Final = 3.1415  # as released
_RATIOS: Final = 9
_FIRST: Final = 0.1
"""Factor on the last layers' first weights."""


class PoseGenerator(nn.Module):
    """Pose and noise to parameters of one operation.

    Args:
        inputs: length of what it sees.
        outputs: parameters.
        width: of the hidden layers; 256 as released.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 256) -> None:
        super().__init__()
        self.w1 = nn.Linear(inputs, width)
        self.batch_norm1 = nn.BatchNorm1d(width)
        self.linear_stages = nn.ModuleList(_Stage(width) for _ in range(2))
        self.w2 = nn.Linear(width, outputs)
        self.relu = nn.LeakyReLU()
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)
        with torch.no_grad():
            self.w2.weight.mul_(_FIRST)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) to (N, outputs)."""
        y = self.relu(self.batch_norm1(self.w1(x)))
        for stage in self.linear_stages:
            y = stage(y)
        out: Tensor = self.w2(y)
        return out


class _Stage(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.w1, self.batch_norm1 = nn.Linear(width, width), nn.BatchNorm1d(width)
        self.w2, self.batch_norm2 = nn.Linear(width, width), nn.BatchNorm1d(width)
        self.relu = nn.LeakyReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, width) to (N, width)."""
        y = self.relu(self.batch_norm1(self.w1(x)))
        out: Tensor = self.relu(self.batch_norm2(self.w2(y)))
        return out


@dataclass(frozen=True)
class AugmentedPoses:
    """What :class:`PoseAugmentor` made of poses.

    Attributes:
        poses_m: (N, J, 3) metres relative to the root: bent, stretched and turned.
        bent_m: (N, J, 3) after bending alone: what the discriminator of parts judges.
        stretched_m: (N, J, 3) before the turn.
        bend: (N, J - 1) 1 - cosine of the angle by which each bone was bent.
        ratio: (N, 9) by how much bones were stretched.
        axis_angle: (N, 3) radians of the last turn where it is free, yaw and tilts (y, x, z) where it is limited.
    """

    poses_m: Tensor
    bent_m: Tensor
    stretched_m: Tensor
    bend: Tensor
    ratio: Tensor
    axis_angle: Tensor


class PoseAugmentor(nn.Module):
    """Three generators after one another: bone angles, bone lengths, orientation.

    Args:
        joints: 16 (PoseDA's) or 17 (Human3.6M's).
        width: of the networks.
        rotation: ``limited``: any yaw, at most 20 degrees of tilt. ``free``: any axis, as in PoseAug, which without a
            discriminator of 2D poses gives people upside down.

    Example:
        >>> PoseAugmentor(16, width=8).eval()(torch.zeros(2, 16, 3)).poses_m.shape
        torch.Size([2, 16, 3])
    """

    def __init__(self, joints: int = 16, width: int = 256, rotation: Literal["limited", "free"] = "limited") -> None:
        super().__init__()
        if rotation not in ("limited", "free"):
            raise UsageError(f"rotation is limited or free, got {rotation!r}.")
        self.parts: BodyParts = parts_of(joints)
        self.rotation = rotation
        pose = 3 * joints
        self.angles = PoseGenerator(2 * pose, 3 * self.parts.bones, width)
        self.lengths = PoseGenerator(2 * pose + self.parts.bones, _RATIOS, width)
        self.orientation = PoseGenerator(2 * pose, 3, width)

    def forward(self, poses: Tensor, noise: Tensor | None = None) -> AugmentedPoses:
        """Other poses.

        Args:
            poses: (N, J, 3) metres; the root's place does not matter. In training mode N is at least 2, since batch
                norm needs a batch.
            noise: (N, 3, 3 J) normal noise of the three networks; by default fresh.

        Raises:
            UsageError: if shapes do not fit.
        """
        if poses.dim() != 3 or poses.shape[1:] != (self.parts.joints, 3):
            raise UsageError(f"Poses are (N, {self.parts.joints}, 3) here, got {tuple(poses.shape)}.")
        if self.training and len(poses) < 2:
            raise UsageError("One pose alone cannot be augmented in training: batch norm needs two or more.")
        if noise is None:
            noise = torch.randn(len(poses), 3, 3 * self.parts.joints, device=poses.device, dtype=poses.dtype)
        relative = poses - poses[:, :1]
        flat = relative.flatten(1)
        bent, bend = self.bend(relative, self.angles(torch.cat((flat, noise[:, 0]), 1)))
        lengths = bone_lengths(to_bones(relative, self.parts))[..., 0]
        ratio = self.ratios(self.lengths(torch.cat((flat, lengths, noise[:, 1]), 1)))
        stretched = change_lengths(bent, ratio, self.parts)
        angle = self.turns(self.orientation(torch.cat((flat, noise[:, 2]), 1)))
        return AugmentedPoses(self.turned(stretched, angle), bent, stretched, bend, ratio, angle)

    def bend(self, poses: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
        """Bones in new directions at their lengths, and 1 - cosine of the angle of each.

        Args:
            poses: (N, J, 3).
            output: (N, 3 (J - 1)) added to the bones' unit vectors; the trunk's count as zero.
        """
        free = torch.ones(self.parts.bones, 1, device=poses.device, dtype=poses.dtype)
        free[list(self.parts.keep_direction)] = 0
        bones = to_bones(poses, self.parts)
        before = unit(bones)
        after = unit(before + output.unflatten(1, (self.parts.bones, 3)) * free)
        bent = from_bones(after * bone_lengths(bones), self.parts) + poses[:, :1]
        return bent, 1.0 - (before * after).sum(-1)

    def ratios(self, output: Tensor) -> Tensor:
        """(N, 9) within 0.2; that of the upper trunk is 0."""
        free = torch.ones(_RATIOS, device=output.device, dtype=output.dtype)
        free[self.parts.fixed_ratio] = 0
        return LARGEST_RATIO * torch.tanh(output) * free

    def turns(self, output: Tensor) -> Tensor:
        """Angles (N, 3) of the last turn, as in :class:`AugmentedPoses`, of the network's output."""
        if self.rotation == "free":
            return _HALF_TURN * torch.tanh(output)
        return torch.cat((_HALF_TURN * torch.tanh(output[:, :1]), LARGEST_TILT * torch.tanh(output[:, 1:])), 1)

    def turned(self, poses: Tensor, angle: Tensor) -> Tensor:
        """Poses (N, J, 3) turned about their root by angles (N, 3)."""
        if self.rotation == "free":
            return turn(poses, angle)
        yaw, tilts = angle[:, :1], angle[:, 1:]
        zero = torch.zeros_like(yaw)
        upright = turn(poses, torch.cat((zero, yaw, zero), 1))
        return turn(upright, torch.cat((tilts[:, :1], zero, tilts[:, 1:]), 1))
