"""Global position alignment: source poses moved to where the target's people stand in their pictures (PoseDA, GPA).

Specification: section 3. It has no parameter to learn; only the position changes, not pose, size or orientation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dsr.camera.lens import project_screen
from dsr.errors import UsageError

NEAREST_M, FARTHEST_M = 0.5, 20.0
SMALLEST = 0.02
"""Target people smaller than this on the screen (half-sum of their box's sides) say nothing about a depth."""


@dataclass(frozen=True, eq=False)
class AlignedPoses:
    """What alignment gives.

    Attributes:
        poses_m: (N, J, 3) metres in the target's camera.
        screen: (N, J, 2) their projection there.
        valid: (N,) bool: the target person was usable and the projection reached no limit.
        pair: (N,) int64, which target row each source pose was placed by.
    """

    poses_m: Tensor
    screen: Tensor
    valid: Tensor
    pair: Tensor


@torch.no_grad()
def global_position_alignment(
    source_m: Tensor,
    target_screen: Tensor,
    intrinsic: Tensor,
    *,
    pair: Tensor | None = None,
    generator: torch.Generator | None = None,
    distortion: bool = False,
    extent: float = 1.0,
) -> AlignedPoses:
    """Every source pose to the place and at the size on the screen of a target person drawn at random.

    Args:
        source_m: (N, J, 3) metres, anywhere; the root is joint 0.
        target_screen: (M, J, 2) 2D poses of the target, screen-normalised by the width on both axes; NaN or rows of
            zeros where joints are missing make that person unusable.
        intrinsic: (9,) or (M, 9) of the target's camera (:func:`~dsr.camera.lens.screen_intrinsic`), any focal length;
            one camera for all, or one a person. One that is not finite or not positive makes its person unusable.
        pair: (N,) target row of each source pose; by default a random one, each row about equally often.
        generator: of the pairs.
        distortion: project with the lens's coefficients.
        extent: how far out of the picture's middle a target joint may lie, in half-widths; what lies beyond is out of
            the picture. Portrait pictures reach their height over their width.

    Returns:
        The poses, their projections and which of them to train on.

    Raises:
        UsageError: if shapes do not fit, or there is no target.
    """
    fits = source_m.dim() == 3 and target_screen.dim() == 3 and source_m.shape[1] == target_screen.shape[1]
    if not fits or source_m.shape[2] != 3 or target_screen.shape[2] != 2:
        raise UsageError(f"Poses {tuple(source_m.shape)} and 2D poses {tuple(target_screen.shape)} do not fit.")
    if not len(target_screen):
        raise UsageError("There is no target person to align to.")
    if pair is None:
        pair = pairs(len(source_m), len(target_screen), generator).to(source_m.device)
    camera = intrinsic.to(source_m).expand(len(target_screen), 9)[pair]
    seen = camera.isfinite().all(-1) & (camera[:, :2] > 0).all(-1)
    whole = source_m.isfinite().all(-1).all(-1)
    camera, source_m = torch.where(seen[:, None], camera, 1.0), torch.where(whole[:, None, None], source_m, 0.0)
    target = target_screen.to(source_m)[pair]
    focal, centre = camera[:, :2], camera[:, 2:4]
    size = (target.amax(1) - target.amin(1)).sum(-1) / 2
    spread = (source_m.amax(1) - source_m.amin(1))[:, :2]
    usable = _usable(target, size, extent) & seen & whole
    # z = (fx dx + fy dy) / (2 s): at that depth the pose fills the target's box.
    depth = (focal * spread).sum(-1) / (2 * size.clamp_min(1e-6))
    inside = (depth >= NEAREST_M) & (depth <= FARTHEST_M)
    depth = torch.where(usable, depth, depth.new_tensor(NEAREST_M)).clamp(NEAREST_M, FARTHEST_M)
    slope = torch.where(usable[:, None], (target[:, 0] - centre) / focal, 0.0)
    root = torch.cat((slope * depth[:, None], depth[:, None]), -1)
    placed = source_m - source_m[:, :1] + root[:, None]
    steep = (placed[..., :2].abs() >= placed[..., 2:]).any(-1).any(-1)
    screen = project_screen(placed, camera, distortion)
    return AlignedPoses(placed, screen, usable & inside & ~steep, pair)


def pairs(count: int, targets: int, generator: torch.Generator | None = None) -> Tensor:
    """(count,) target rows: permutations of all of them, one after another, so that each comes about equally often."""
    rounds = -(-count // targets)
    return torch.cat([torch.randperm(targets, generator=generator) for _ in range(rounds)])[:count]


def usable_targets(screen: Tensor, extent: float = 1.0) -> Tensor:
    """(M,) bool: which 2D poses (M, J, 2) of a target can place anybody: all joints there, in the picture, not tiny."""
    return _usable(screen, (screen.amax(1) - screen.amin(1)).sum(-1) / 2, extent)


def _usable(target: Tensor, size: Tensor, extent: float) -> Tensor:
    there = target.isfinite().all(-1).all(-1) & (target != 0).any(-1).all(-1)
    inside = (target[..., 0].abs() <= 1).all(-1) & (target[..., 1].abs() <= max(extent, 1.0)).all(-1)
    return there & inside & (size.nan_to_num(0.0) >= SMALLEST)
