"""DSR-C, the clothed loss of Differentiable Semantic Rendering (Dwivedi et al., ICCV 2021, arXiv 2110.03480).

As published (DSR specification, sections 6.3 and 10, appendix D), released code included, and in a form of ours that
keeps the body inside its clothes.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from dsr._checks import check_device, check_shape, check_values, companion, floating, reduce
from dsr.clothing.labels import CLOTHED_CLASSES, LOOSE_CLASSES, check_labels
from dsr.clothing.targets import class_weights
from dsr.errors import LossError
from dsr.losses.silhouette import TOLERANCE

ClothedVariant = Literal["published", "inside"]
CLASSES = len(CLOTHED_CLASSES)
LOOSE = 0.1
"""Share of a bare pixel's cost that a pixel of cloth costs where the body does not reach it (``inside``)."""
_SMALLEST = 0.02
"""People who show on less than this share of the picture count as if they showed on so much (``inside``)."""
_LOOSE_CLASSES = [name in LOOSE_CLASSES for name in CLOTHED_CLASSES]


def dsr_c_loss(
    rendered: Tensor,
    target: Tensor,
    *,
    alpha: Tensor | None = None,
    class_weights: Tensor | None = None,
    weight: Tensor | None = None,
    eps: float = 1e-3,
    variant: ClothedVariant = "published",
    loose: float = LOOSE,
    reduction: str = "mean",
    compat: bool = False,
) -> Tensor:
    """DSR-C: every pixel shows the class that the body renders there; outside the body it is background.

    With p the rendered probabilities, A the silhouette, y the label and log*(q) = -log((q + eps) / (1 + eps)), which is
    0 at 1 and bounded (6.9 for eps = 1e-3: labels are never all right), as is its gradient:

    * ``published`` (specification, appendix D): q_0 = (1 - A) + A p_0, q_k = A p_k, divided by their sum; the mean of
      log*(q_y) with weights class_weights[y] * weight. Such weights make a pixel of cloth outside of the body cost
      n_background / n_cloth times what a pixel of background under it costs, so that the body swells over its clothes;
    * ``inside``: the body is tight where skin or shoes show and inside its clothes elsewhere. What a covered pixel
      shows and whether it is covered are two questions. What: the mean of sg(A) log*(p_y) over the person's pixels with
      weights class_weights[y] * weight, where sg has no gradient: neither covering a pixel nor leaving it bare makes it
      cheaper. Whether: (sum over background of log*(1 - A + A p_0) + sum over the person of l_y log*(A)) / n with the
      number of the person's pixels n, l = 1 for arms and legs and ``loose`` for cloth and head (hair, hats). An edge
      that settles there leaves the share loose / (1 + loose) of the cloth's outlines inside of it: a quantile of how
      far cloth stands off. Samples without a class of the person that has a weight have loss 0.

    ``compat=True`` (section 6.3): the rendered probabilities are taken as logits, -log(softmax(p)[y]), background is
    the prior's background column only, and alpha, weight and variant are not used. The cost of a pixel then stays
    between 1.27 and 2.27 whatever is rendered.

    Args:
        rendered: (B, 8, H, W) rendered probability of each class, 0..1, in the order of
            :data:`~dsr.clothing.labels.CLOTHED_CLASSES`; with ``compat`` also (B, 8, C, H, W) colour channels.
        target: (B, H, W) integer classes 0..7, -1 where unknown.
        alpha: (B, H, W) soft silhouette; when not given, ``rendered`` is taken as already multiplied by it, and what
            its channels lack of 1 is background.
        class_weights: (B, 8) at least 0; computed from ``target`` when not given.
        weight: (B, H, W) at least 0; 0 where the picture cannot tell.
        eps: smallest probability.
        variant: see above.
        loose: of ``inside``, 0 to 1.
        reduction: "mean" over all B samples or "none" (B,).
        compat: the released formula.

    Returns:
        A scalar, or (B,); 0 for samples without weight (the released code gives NaN).

    Raises:
        LossError: if shapes or devices do not fit, or values are NaN or out of range; it names the argument.

    Example:
        >>> arm = torch.zeros(1, 8, 20, 20); arm[:, 4] = 1
        >>> dsr_c_loss(arm, torch.full((1, 20, 20), 4))
        tensor(0.)
    """
    if variant not in ("published", "inside"):
        raise LossError(f"variant must be 'published' or 'inside', not {variant!r}.")
    if not 0 <= loose <= 1:
        raise LossError(f"loose must lie between 0 and 1, not {loose:g}.")
    sizes: dict[str, int] = {}
    if compat:
        if alpha is not None or weight is not None:
            raise LossError("alpha and weight have no place in the published loss; leave them out, or compat.")
        colours = isinstance(rendered, Tensor) and rendered.ndim == 5
        p = floating("rendered", rendered, f"B {CLASSES} C H W" if colours else f"B {CLASSES} H W", sizes)
        p = p.mean(2) if colours else p
    else:
        p = floating("rendered", rendered, f"B {CLASSES} H W", sizes)
    check_shape("target", target, "B H W", sizes)
    check_device("target", target, p)
    y = check_labels("target", target, CLASSES - 1)
    known, index = y >= 0, y.clamp_min(0)
    per_class = _default_weights(y, compat) if class_weights is None else class_weights
    per_class = companion("class_weights", per_class, p, f"B {CLASSES}", sizes)
    ranges = {
        "rendered": (p, -torch.inf, torch.inf) if compat else (p, -TOLERANCE, 1 + TOLERANCE),
        "class_weights": (per_class, 0, torch.inf),
    }
    w = per_class.gather(1, index.flatten(1)).view(index.shape) * known
    if weight is not None:
        pixel = companion("weight", weight, p, "B H W", sizes)
        ranges["weight"] = (pixel, 0, torch.inf)
        w = w * pixel
    if alpha is not None:
        alpha = companion("alpha", alpha, p, "B H W", sizes)
        ranges["alpha"] = (alpha, -TOLERANCE, 1 + TOLERANCE)
    check_values(ranges)
    if variant == "inside" and not compat:
        pixel = known.to(p) if weight is None else known * pixel
        return reduce(_inside(p, index, alpha, w, pixel, eps, loose), reduction)
    cost = cross_entropy(p, index, reduction="none") if compat else _log(_share(p, index, alpha, eps), eps)
    return reduce(_per_weight(w * cost, w), reduction)


def _inside(p: Tensor, y: Tensor, alpha: Tensor | None, w: Tensor, pixel: Tensor, eps: float, loose: float) -> Tensor:
    """The variant ``inside`` per sample: what covered pixels of the person show, and whether they are covered."""
    drawn = p.sum(1)
    covered = drawn.clamp(0, 1) if alpha is None else alpha.clamp(0, 1)
    chosen = p.gather(1, y.unsqueeze(1)).squeeze(1) / drawn.clamp_min(eps)
    background = p[:, 0] if alpha is None else p[:, 0] * covered
    person = y > 0
    labels = w * person
    what = _per_weight(labels * covered.detach() * _log(chosen, eps), labels)
    share = torch.where(torch.tensor(_LOOSE_CLASSES, device=y.device)[y], loose, 1.0)
    cost = torch.where(person, share * _log(covered, eps), _log((1 - covered + background).clamp_max(1), eps))
    number = (pixel * person).sum((1, 2)).clamp_min(_SMALLEST * person[0].numel())
    whether = (pixel * cost).sum((1, 2)) / number
    return torch.where((labels > 0).flatten(1).any(1), what + whether, torch.zeros_like(what))


def _log(probability: Tensor, eps: float) -> Tensor:
    """-log, 0 at 1 and bounded at 0."""
    return -torch.log((probability.clamp_min(0) + eps) / (1 + eps))


def _per_weight(weighted: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean per sample; 0 where there is no weight."""
    total = weights.sum((1, 2))
    return weighted.sum((1, 2)) / torch.where(total > 0, total, torch.ones_like(total))


def _share(p: Tensor, y: Tensor, alpha: Tensor | None, eps: float) -> Tensor:
    """Probability of the label, background included."""
    chosen = p.gather(1, y.unsqueeze(1)).squeeze(1)
    drawn = p.sum(1)
    if alpha is None:
        empty = (1 - drawn).clamp_min(0)
    else:
        chosen, drawn, empty = chosen * alpha, drawn * alpha, 1 - alpha
    chosen = torch.where(y == 0, chosen + empty, chosen)
    return chosen / (drawn + empty).clamp_min(eps)


def _default_weights(y: Tensor, compat: bool) -> Tensor:
    counts = torch.stack([(y == k).sum((1, 2)) for k in range(CLASSES)], -1)
    return class_weights(counts, compat=compat)
