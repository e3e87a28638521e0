"""Soft silhouettes against masks: overlap, containment and coverage, the plain parts of every silhouette term.

All take a rendered silhouette ``m`` in 0..1 (the renderer's alpha, or alpha times a probability), a mask ``t`` in 0..1
and a per-pixel weight ``w`` that is 0 where the picture cannot tell (another person in front, unknown labels). They
return one number per sample, (B,), are zero at a perfect prediction, and give finite losses and gradients for empty
masks and empty silhouettes. Sums run over all pixels of a sample.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsr._checks import check_values, companion, floating, reduce

TOLERANCE = 1e-3
"""By how much rounding may carry a rendered probability out of 0..1."""


def soft_iou(silhouette: Tensor, mask: Tensor, *, weight: Tensor | None = None, smooth: float = 1.0) -> Tensor:
    """Intersection over union of a soft silhouette and a mask.

    ``IoU = (sum w m t + s) / (sum w (m + t - m t) + s)``. ``smooth`` pixels s keep the gradient below 1/s where both
    are empty, which counts as a perfect match.

    Args:
        silhouette: (B, H, W), 0..1.
        mask: (B, H, W), 0..1 or bool.
        weight: (B, H, W), at least 0; 1 everywhere when not given.
        smooth: s, pixels, above 0.

    Returns:
        (B,), 0..1.

    Raises:
        LossError: if shapes or devices differ or a value is NaN or out of range; it names the argument.

    Example:
        >>> soft_iou(torch.ones(1, 2, 2), torch.tensor([[[1.0, 1.0], [1.0, 1.0]]]))
        tensor([1.])
    """
    m, t, w = prepare(silhouette, mask, weight)
    return overlap(m, t, w, smooth)


def iou_loss(
    silhouette: Tensor, mask: Tensor, *, weight: Tensor | None = None, smooth: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """``1 - IoU`` (see :func:`soft_iou`); 0 for samples whose mask is empty, which say nothing.

    Args:
        silhouette: (B, H, W), 0..1.
        mask: (B, H, W), 0..1 or bool.
        weight: (B, H, W), at least 0.
        smooth: pixels.
        reduction: "mean" over the batch or "none" (B,).

    Returns:
        A scalar, or (B,).

    Raises:
        LossError: as :func:`soft_iou`.
    """
    m, t, w = prepare(silhouette, mask, weight)
    return reduce(where_seen(1 - overlap(m, t, w, smooth), t, w), reduction)


def containment_loss(
    silhouette: Tensor,
    allowed: Tensor,
    *,
    distance: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """How much of a silhouette lies outside the region where it may be (a body stays inside its clothes).

    ``sum w m (1 - t) / A`` with A = sum w t, the seen area of the region; with a distance map
    ``sum w m d / A^(3/2)``. Both are free of units and of the picture's scale. A belongs to the picture, not to the
    prediction, so the loss cannot fall by rendering more (the published DistM can). Never asks the silhouette to fill
    the region: add :func:`coverage_loss` for that.

    Args:
        silhouette: (B, H, W), 0..1.
        allowed: (B, H, W), 0..1 or bool.
        distance: (B, H, W) pixels to the region, 0 inside, from :func:`dsr.clothing.distance_map`.
        weight: (B, H, W), at least 0.
        reduction: "mean" over the batch or "none" (B,).

    Returns:
        A scalar, or (B,); 0 for samples whose region is empty.

    Raises:
        LossError: as :func:`soft_iou`.
    """
    m, t, w = prepare(silhouette, allowed, weight)
    if distance is None:
        return reduce(where_seen(outside(m, t, w), t, w), reduction)
    d = companion("distance", distance, m, "B H W", sizes_of(m))
    check_values({"distance": (d, 0, torch.inf)})
    return reduce(where_seen(outside(m, t, w, d), t, w), reduction)


def coverage_loss(
    silhouette: Tensor, required: Tensor, *, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """How much of a region the silhouette leaves bare (skin in the picture must be covered by the body).

    ``1 - sum w m t / sum w t``.

    Args:
        silhouette: (B, H, W), 0..1.
        required: (B, H, W), 0..1 or bool.
        weight: (B, H, W), at least 0.
        reduction: "mean" over the batch or "none" (B,).

    Returns:
        A scalar, or (B,); 0 for samples whose region is empty.

    Raises:
        LossError: as :func:`soft_iou`.
    """
    m, t, w = prepare(silhouette, required, weight)
    return reduce(where_seen(bare(m, t, w), t, w), reduction)


def overlap(m: Tensor, t: Tensor, w: Tensor, smooth: float) -> Tensor:
    """Soft IoU per sample of checked arguments."""
    intersection = m * t
    return ((w * intersection).sum((1, 2)) + smooth) / ((w * (m + t - intersection)).sum((1, 2)) + smooth)


def outside(m: Tensor, t: Tensor, w: Tensor, d: Tensor | None = None) -> Tensor:
    """Containment per sample of checked arguments; areas below one pixel count as one."""
    area = (w * t).sum((1, 2)).clamp_min(1)
    if d is None:
        return (w * m * (1 - t)).sum((1, 2)) / area
    return (w * m * d).sum((1, 2)) / area**1.5


def bare(m: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """Uncovered share of the region per sample of checked arguments."""
    region = w * t
    area = region.sum((1, 2))
    return (region * (1 - m)).sum((1, 2)) / torch.where(area > 0, area, torch.ones_like(area))


def where_seen(loss: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """The loss of samples whose mask shows somewhere, 0 for the others."""
    return torch.where(((w * t) > 0).flatten(1).any(1), loss, torch.zeros_like(loss))


def prepare(
    silhouette: Tensor, mask: Tensor, weight: Tensor | None, names: tuple[str, str] = ("silhouette", "mask")
) -> tuple[Tensor, Tensor, Tensor]:
    """The three pictures of a silhouette term in one type, checked; a missing weight is 1."""
    sizes: dict[str, int] = {}
    m = floating(names[0], silhouette, "B H W", sizes)
    t = companion(names[1], mask, m, "B H W", sizes)
    ranges = {names[0]: (m, -TOLERANCE, 1 + TOLERANCE), names[1]: (t, 0.0, 1.0)}
    if weight is None:
        w = m.new_ones(()).expand(m.shape)
    else:
        w = companion("weight", weight, m, "B H W", sizes)
        ranges["weight"] = (w, 0.0, torch.inf)
    check_values(ranges)
    return m, t, w


def sizes_of(pictures: Tensor) -> dict[str, int]:
    """Sizes B, H, W of checked pictures, to hold other arguments against."""
    return {"B": pictures.shape[0], "H": pictures.shape[-2], "W": pictures.shape[-1]}
