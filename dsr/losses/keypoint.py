"""Keypoint losses of DSR's training: squared errors weighted by confidence (DSR specification, section 6.1).

What the confidence or the mask leaves out may hold anything, NaN included: it reaches neither the loss nor a gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsr._checks import check_device, check_shape, check_values, companion, floating

OPENPOSE_JOINTS = 25
"""The first 25 of DSR's 49 joints come from OpenPose, the other 24 from the data set."""
HIPS = (2, 3)
"""Right and left hip among the data sets' 24 joints."""


def keypoint_2d_loss(predicted: Tensor, target: Tensor, confidence: Tensor) -> Tensor:
    """Mean over B x K x 2 of confidence * (predicted - target)^2; published weight 5.

    The mean counts all keypoints, those without confidence too, as published.

    Args:
        predicted: (B, K, 2), any unit; published with -1..1 across the crop.
        target: (B, K, 2), the same unit.
        confidence: (B, K), at least 0; see :func:`source_confidence` for DSR's 49 joints.

    Returns:
        A scalar, in the unit squared.

    Raises:
        LossError: if shapes or devices differ, or a value that counts is NaN; it names the argument.
    """
    sizes: dict[str, int] = {}
    p = floating("predicted", predicted, "B K 2", sizes)
    t = companion("target", target, p, "B K 2", sizes)
    c = companion("confidence", confidence, p, "B K", sizes)
    return _weighted(p, t, c).sum() / max(p.numel(), 1)


def keypoint_3d_loss(
    predicted: Tensor,
    target: Tensor,
    confidence: Tensor,
    has_3d: Tensor | None = None,
    *,
    root: tuple[int, ...] = HIPS,
) -> Tensor:
    """Mean over n x K x 3 of confidence * squared difference, both relative to their root; published weight 5.

    Args:
        predicted: (B, K, 3) metres; published with joints 25..48 of the 49.
        target: (B, K, 3) metres.
        confidence: (B, K), at least 0.
        has_3d: (B,) bool, the n samples that have a 3D truth; all when not given.
        root: joints whose mean is the root of a sample; published: both hips, which must be known.

    Returns:
        A scalar, square metres; 0 when n is 0.

    Raises:
        LossError: as :func:`keypoint_2d_loss`.
    """
    sizes: dict[str, int] = {}
    p = floating("predicted", predicted, "B K 3", sizes)
    t = companion("target", target, p, "B K 3", sizes)
    c = companion("confidence", confidence, p, "B K", sizes)
    has = chosen_samples("has_3d", has_3d, p)
    joints = list(root)
    counts = torch.where(has[:, None], c, torch.zeros_like(c))
    seen = counts.any(1)[:, None, None]
    t = t - torch.where(seen, t[:, joints].mean(1, keepdim=True), torch.zeros_like(t[:, :1]))
    p = p - torch.where(seen, p[:, joints].mean(1, keepdim=True), torch.zeros_like(p[:, :1]))
    return _weighted(p, t, counts).sum() / (has.sum().clamp_min(1) * max(p[0].numel() if len(p) else 1, 1))


def source_confidence(confidence: Tensor, *, openpose: float = 0.0, ground_truth: float = 1.0) -> Tensor:
    """Confidence of DSR's 49 joints, weighted by source: 25 from OpenPose (0 as published), 24 from the data set (1).

    Args:
        confidence: (B, 49).
        openpose: factor for joints 0..24.
        ground_truth: factor for joints 25..48.

    Returns:
        (B, 49).
    """
    c = floating("confidence", confidence, "B 49", {})
    factors = c.new_full((49,), ground_truth)
    factors[:OPENPOSE_JOINTS] = openpose
    return torch.where(factors > 0, c * factors, torch.zeros_like(c))


def chosen_samples(name: str, chosen: Tensor | None, like: Tensor) -> Tensor:
    """A mask over samples (B,) as bool; all when not given."""
    if chosen is None:
        return torch.ones(len(like), dtype=torch.bool, device=like.device)
    check_shape(name, chosen, "B", {"B": len(like)})
    check_device(name, chosen, like)
    return chosen.to(torch.bool)


def _weighted(p: Tensor, t: Tensor, c: Tensor) -> Tensor:
    """Confidence times squared difference, 0 where the confidence is 0."""
    counts = (c != 0).unsqueeze(-1)
    p = torch.where(counts, p, torch.zeros_like(p))
    t = torch.where(counts, t, torch.zeros_like(t))
    check_values(
        {"confidence": (c, 0, torch.inf), "predicted": (p, -torch.inf, torch.inf), "target": (t, -torch.inf, torch.inf)}
    )
    return c.unsqueeze(-1) * (p - t) ** 2
