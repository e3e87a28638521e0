"""The two losses of Differentiable Semantic Rendering (Dwivedi et al., ICCV 2021, arXiv 2110.03480): DSR-MC and DSR-C.

Both compare what the body renders, coloured with the semantic prior, with the picture's clothing labels. The default
is the corrected form; ``compat=True`` computes what the released code computes, defects included (DSR specification,
sections 6.2 to 6.4 and 10). Pictures are (B, H, W): any size, rows downwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dsr._checks import check_device, check_shape, check_values, companion, floating, reduce
from dsr.clothing.labels import MINIMALLY_CLOTHED
from dsr.clothing.targets import ClothedTarget, MinimallyClothedTarget, distance_map
from dsr.errors import LossError
from dsr.losses.clothed import CLASSES, ClothedVariant, dsr_c_loss
from dsr.losses.silhouette import TOLERANCE, bare, outside, overlap, prepare, sizes_of, where_seen

Variant = Literal["iou", "row_iou", "distance"]


@dataclass(frozen=True)
class SemanticLosses:
    """Both losses of a batch, each a scalar or (B,); not yet weighted."""

    mc: Tensor
    c: Tensor


def dsr_mc_loss(
    rendered: Tensor,
    target: Tensor,
    *,
    alpha: Tensor | None = None,
    distance: Tensor | None = None,
    valid: Tensor | None = None,
    weight: Tensor | None = None,
    variant: Variant = "iou",
    reduction: str = "mean",
    compat: bool = False,
) -> Tensor:
    """DSR-MC: where the picture shows skin and shoes, the body must render skin and shoes, tightly.

    With m = alpha * rendered, t = target, d = distance, w = weight, and A = sum w t:

    * ``iou``: 1 - (sum w m t + 1) / (sum w (m + t - m t) + 1), over the whole picture;
    * ``row_iou``: the same per row, mean over the rows (rows where both are empty match perfectly);
    * ``distance``: sum w m d / A^(3/2) + 1 - sum w m t / A: rendered mass by its distance to the mask, plus the
      share of the mask that stays bare.

    ``compat=True`` (specification section 6.2; alpha and weight are not used there):

    * ``row_iou``, published as nIOU: 1 - mean over rows of (sum m t) / (sum (m + t - m t) + 1e-6); empty rows count
      as missed, so that a perfect prediction still costs their share;
    * ``distance``, published as DistM: sum M d / ((sum M)^(3/2) + 1e-6) over three equal channels. It falls when
      more is rendered, never asks for coverage, and its gradient explodes when nothing is rendered;
    * ``iou``: the image-wide IoU with 1e-6 in the denominator.

    The published "baseline" mode is ``row_iou`` with the alpha image given as ``rendered``.

    Args:
        rendered: (B, H, W) rendered probability of the valid minimally clothed labels, 0..1; with ``compat`` also
            (B, C, H, W) colour channels.
        target: (B, H, W) mask of those labels, 0..1 or bool.
        alpha: (B, H, W) soft silhouette by which ``rendered`` is multiplied; not given where the renderer has done so.
        distance: (B, H, W) pixels to the mask, with ``compat`` also (B, H, W, 3); computed from ``target`` on the CPU
            when the variant needs it and it is not given.
        valid: (B, 5) or (B,) bool: samples with nothing valid have loss 0. By default those with an empty mask, with
            ``compat`` none.
        weight: (B, H, W) at least 0; 0 where the picture cannot tell.
        variant: see above.
        reduction: "mean" over all B samples, skipped ones included (as published), or "none" (B,).
        compat: the released formulae.

    Returns:
        A scalar, or (B,).

    Raises:
        LossError: if shapes, devices or the variant do not fit, or values are NaN or out of range; it names the
            argument.

    Example:
        >>> target = torch.zeros(1, 4, 4); target[:, 1:3] = 1
        >>> dsr_mc_loss(target, target)
        tensor(0.)
    """
    if variant not in ("iou", "row_iou", "distance"):
        raise LossError(f"variant must be 'iou', 'row_iou' or 'distance', not {variant!r}.")
    if compat:
        if alpha is not None or weight is not None:
            raise LossError("alpha and weight have no place in the published loss; leave them out, or compat.")
        loss = _published_mc(rendered, target, distance, variant)
        return reduce(_keep_valid(loss, valid), reduction)
    m, t, w = prepare(rendered, target, weight, ("rendered", "target"))
    if alpha is not None:
        a = companion("alpha", alpha, m, "B H W", sizes_of(m))
        check_values({"alpha": (a, -TOLERANCE, 1 + TOLERANCE)})
        m = m * a
    if variant == "iou":
        loss = 1 - overlap(m, t, w, 1.0)
    elif variant == "row_iou":
        m_rows, t_rows, w_rows = (x.flatten(0, 1).unsqueeze(1) for x in (m, t, w))
        loss = 1 - overlap(m_rows, t_rows, w_rows, 1.0).view(m.shape[:2]).mean(1)
    else:
        d = distance_map(target) if distance is None else distance
        d = companion("distance", d, m, "B H W", sizes_of(m))
        check_values({"distance": (d, 0, torch.inf)})
        loss = outside(m, t, w, d) + bare(m, t, w)
    return reduce(_keep_valid(where_seen(loss, t, w), valid), reduction)


def semantic_losses(
    rendered: Tensor,
    tight: MinimallyClothedTarget,
    clothed: ClothedTarget,
    *,
    alpha: Tensor | None = None,
    weight: Tensor | None = None,
    variant: Variant = "iou",
    c_variant: ClothedVariant = "published",
    reduction: str = "mean",
    compat: bool = False,
) -> SemanticLosses:
    """DSR-MC and DSR-C of one nine-channel render (attributes from :func:`dsr.clothing.semantic_attributes`).

    Each loss skips the samples that tell it nothing. ``compat=True`` skips both where no minimally clothed label is
    valid or no class has a weight (specification section 6.4).

    Args:
        rendered: (B, 9, H, W): channel 0 for DSR-MC, channels 1..8 for DSR-C; with ``compat`` also (B, 9, C, H, W).
        tight: from :func:`dsr.clothing.minimally_clothed_target`.
        clothed: from :func:`dsr.clothing.clothed_target`.
        alpha: (B, H, W) soft silhouette.
        weight: (B, H, W) at least 0; 0 where the picture cannot tell.
        variant: of :func:`dsr_mc_loss`.
        c_variant: of :func:`dsr_c_loss`.
        reduction: "mean" over all B samples or "none" (B,).
        compat: the released formulae.

    Returns:
        Both losses.

    Raises:
        LossError: as the two losses.
    """
    if not isinstance(rendered, Tensor) or rendered.ndim not in ((4, 5) if compat else (4,)):
        check_shape("rendered", rendered, f"B {CLASSES + 1} H W", {})
    check_shape("rendered", rendered.flatten(2), f"B {CLASSES + 1} N", {})
    if not compat:
        if weight is not None:
            check_shape("weight", weight, "B H W", sizes_of(rendered))
        weight = tight.known if weight is None else weight * tight.known.to(weight)
    first, others = rendered.split([1, CLASSES], 1)  # one gradient for both, where slices would make two
    mc = dsr_mc_loss(
        first.squeeze(1),
        tight.mask,
        alpha=alpha,
        valid=tight.valid,
        weight=weight,
        variant=variant,
        distance=tight.distance if variant == "distance" else None,
        reduction="none",
        compat=compat,
    )
    c = dsr_c_loss(
        others,
        clothed.classes,
        alpha=alpha,
        class_weights=clothed.weights,
        weight=weight,
        variant=c_variant,
        reduction="none",
        compat=compat,
    )
    if compat:
        keep = tight.valid.any(1) & (clothed.weights > 0).any(1)
        mc, c = _keep_valid(mc, keep), _keep_valid(c, keep)
    return SemanticLosses(reduce(mc, reduction), reduce(c, reduction))


def _published_mc(rendered: Tensor, target: Tensor, distance: Tensor | None, variant: Variant) -> Tensor:
    """The released DSR-MC per sample, in float64 as there (specification section 6.2)."""
    sizes: dict[str, int] = {}
    shape = "B C H W" if isinstance(rendered, Tensor) and rendered.ndim == 4 else "B H W"
    channels = floating("rendered", rendered, shape, sizes)
    t = companion("target", target, channels, "B H W", sizes).double()
    dtype, channels = channels.dtype, channels.double()
    check_values({"rendered": (channels, -torch.inf, torch.inf), "target": (t, 0, 1)})
    if variant == "distance":
        if channels.ndim == 3:
            channels = channels.unsqueeze(1).expand(-1, 3, -1, -1)
        d = distance_map(target, compat=True) if distance is None else distance
        if isinstance(d, Tensor) and d.ndim == 4:
            d = companion("distance", d, channels, "B H W 3", {**sizes_of(channels)}).movedim(-1, 1)
        else:
            d = companion("distance", d, channels, "B H W", {**sizes_of(channels)}).unsqueeze(1)
        check_values({"distance": (d, 0, torch.inf)})
        return ((channels * d).sum((1, 2, 3)) / (channels.sum((1, 2, 3)) ** 1.5 + 1e-6)).to(dtype)
    m = channels if channels.ndim == 3 else channels.mean(1)
    axes = (2,) if variant == "row_iou" else (1, 2)
    ratio = (m * t).sum(axes) / ((m + t - m * t).sum(axes) + 1e-6)
    return (1 - (ratio.mean(1) if variant == "row_iou" else ratio)).to(dtype)


def _keep_valid(loss: Tensor, valid: Tensor | None) -> Tensor:
    """0 for samples in which nothing is valid."""
    if valid is None:
        return loss
    sizes = {"B": len(loss)}
    if isinstance(valid, Tensor) and valid.ndim == 2:
        check_shape("valid", valid, f"B {len(MINIMALLY_CLOTHED)}", sizes)
        valid = valid.to(torch.bool).any(1)
    check_shape("valid", valid, "B", sizes)
    check_device("valid", valid, loss)
    return torch.where(valid.to(torch.bool), loss, torch.zeros_like(loss))
