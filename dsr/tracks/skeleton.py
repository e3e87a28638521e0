"""Skeletons of the lifters, screen normalisation and mirroring.

Joints are those of Human3.6M in the order of the lifting literature (``h36m17`` of :mod:`dsr.body.joints`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from dsr.body.joints import H36M17_PARENTS
from dsr.errors import UsageError


@dataclass(frozen=True)
class Skeleton:
    """A joint set of the lifters.

    Attributes:
        parents: parent of every joint, -1 for the root.
        left: joints of the left side.
        right: their partners, in the same order.
        joint_weights: weight of every joint in the weighted losses (KTPFormer specification, section 8).
    """

    parents: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    joint_weights: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.parents)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(child, parent) of every bone."""
        return tuple((child, parent) for child, parent in enumerate(self.parents) if parent >= 0)

    @property
    def mirror_order(self) -> tuple[int, ...]:
        """Joint that stands at each place after left and right are exchanged."""
        order = list(range(len(self)))
        for left, right in zip(self.left, self.right, strict=True):
            order[left], order[right] = right, left
        return tuple(order)


H36M17: Final = Skeleton(
    parents=H36M17_PARENTS,
    left=(4, 5, 6, 11, 12, 13),
    right=(1, 2, 3, 14, 15, 16),
    joint_weights=(1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4),
)
HUMANEVA15: Final = Skeleton(
    parents=(-1, 0, 1, 2, 3, 1, 5, 6, 0, 8, 9, 0, 11, 12, 1),
    left=(2, 3, 4, 8, 9, 10),
    right=(5, 6, 7, 11, 12, 13),
    joint_weights=(1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4),
)
POSEAUG16: Final = Skeleton(
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 8, 10, 11, 8, 13, 14),
    left=(4, 5, 6, 10, 11, 12),
    right=(1, 2, 3, 13, 14, 15),
    joint_weights=(1,) * 16,
)
"""Human3.6M's joints without neck/nose, as PoseAug and PoseDA have them."""


def normalise_screen(pixels: Tensor, width: float, height: float) -> Tensor:
    """Pixels to the lifters' screen coordinates: ``2u/w - 1``, ``2v/w - h/w`` (aspect kept).

    Args:
        pixels: (..., 2).
        width: of the picture, pixels.
        height: of the picture, pixels.

    Raises:
        UsageError: if the picture has no area.
    """
    _check_size(width, height)
    return pixels * (2.0 / width) - pixels.new_tensor([1.0, height / width])


def unnormalise_screen(screen: Tensor, width: float, height: float) -> Tensor:
    """The inverse of :func:`normalise_screen`."""
    _check_size(width, height)
    return (screen + screen.new_tensor([1.0, height / width])) * (width / 2.0)


def rescale_people(windows: Tensor) -> Tensor:
    """People of every window brought to one size on the screen, where they are: size says little about their pose.

    Args:
        windows: (B, F, J, 2 or more) screen coordinates; further entries stay.

    Returns:
        The same shape; distances to the centre of the window's people divided by the root mean square distance of
        the joints to the centre of their frame.
    """
    screen = windows[..., :2]
    centre = screen.mean((1, 2), keepdim=True)
    spread = (screen - screen.mean(2, keepdim=True)).square().mean((1, 2, 3), keepdim=True).sqrt()
    return torch.cat(((screen - centre) / spread.clamp_min(1e-6) + centre, windows[..., 2:]), -1)


def skeleton_of(joints: int) -> Skeleton:
    """The lifters' skeleton of so many joints: HumanEva's of 15, PoseAug's of 16, else Human3.6M's."""
    return {len(HUMANEVA15): HUMANEVA15, len(POSEAUG16): POSEAUG16}.get(joints, H36M17)


def mirror(joints: Tensor, skeleton: Skeleton | None = None) -> Tensor:
    """Mirrored joints: x negated, left and right exchanged.

    Args:
        joints: (..., J, 2 or more), x first; further entries (depth, confidence) stay.
        skeleton: which joints are partners; by default by their number (:func:`skeleton_of`).
    """
    skeleton = skeleton or skeleton_of(joints.shape[-2])
    order = torch.tensor(skeleton.mirror_order, device=joints.device)
    swapped = joints.index_select(-2, order)
    return torch.cat((-swapped[..., :1], swapped[..., 1:]), -1)


def _check_size(width: float, height: float) -> None:
    if not (width > 0 and height > 0):
        raise UsageError(f"A picture of {width:g}x{height:g} pixels has no screen coordinates.")
