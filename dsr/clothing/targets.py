"""From label maps to what the DSR losses compare with: masks, distance maps, merged classes and class weights.

DSR specification, section 4.2. Made once per picture, without gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from dsr._checks import check_shape, check_values
from dsr.clothing.labels import (
    CLOTHED_CLASSES,
    LABEL_TO_CLASS,
    LABELS,
    MINIMALLY_CLOTHED,
    check_labels,
    label_ids,
    merge_labels,
)

MIN_PIXELS: Final = 60
"""A label or class counts with more pixels than this, in maps of 224x224 pixels (specification section 4.2)."""


@dataclass(frozen=True)
class MinimallyClothedTarget:
    """What DSR-MC compares with.

    Attributes:
        mask: (B, H, W) float32, 1 where a valid minimally clothed label shows.
        distance: (B, H, W) float32 pixels to the mask, 0 inside; (B, H, W, 3) with ``compat``.
        valid: (B, 5) bool, which of :data:`~dsr.clothing.labels.MINIMALLY_CLOTHED` show in the picture.
        counts: (B, 5) int64 pixels of each, valid or not.
        known: (B, H, W) float32, 0 where the label map is unknown: a per-pixel weight for the losses.
    """

    mask: Tensor
    distance: Tensor
    valid: Tensor
    counts: Tensor
    known: Tensor


@dataclass(frozen=True)
class ClothedTarget:
    """What DSR-C compares with.

    Attributes:
        classes: (B, H, W) int64, 0..7 in the order of :data:`~dsr.clothing.labels.CLOTHED_CLASSES`, -1 where unknown.
        weights: (B, 8) float32 class weights.
        counts: (B, 8) int64 pixels of each class.
    """

    classes: Tensor
    weights: Tensor
    counts: Tensor


def minimally_clothed_target(
    labels: Tensor, *, min_pixels: int = MIN_PIXELS, compat: bool = False
) -> MinimallyClothedTarget:
    """Mask, distance map and valid labels of DSR-MC (specification section 4.2, 2 and 3).

    Args:
        labels: (B, H, W) label ids, -1 where unknown.
        min_pixels: a label is valid with more pixels than this.
        compat: see :func:`distance_map`; the rest is the same.

    Returns:
        The target, on the device of ``labels``.

    Raises:
        LossError: if ``labels`` is no integer map of ids -1..19.
    """
    labels = check_labels("labels", labels)
    counts = _count(labels, len(LABELS))[:, label_ids(MINIMALLY_CLOTHED)]
    valid = counts > min_pixels
    keeps = torch.zeros(len(labels), len(LABELS) + 1, dtype=torch.bool, device=labels.device)
    keeps[:, label_ids(MINIMALLY_CLOTHED)] = valid
    flat = labels.flatten(1)
    mask = keeps.gather(1, torch.where(flat < 0, len(LABELS), flat)).view_as(labels)
    return MinimallyClothedTarget(mask.float(), distance_map(mask, compat=compat), valid, counts, (labels >= 0).float())


def clothed_target(labels: Tensor, *, min_pixels: int = MIN_PIXELS, compat: bool = False) -> ClothedTarget:
    """Merged classes and class weights of DSR-C (specification section 4.2, 4 and 5).

    Args:
        labels: (B, H, W) label ids, -1 where unknown.
        min_pixels: a class has a weight with more pixels than this.
        compat: as published: unknown pixels are background, and see :func:`class_weights`.

    Returns:
        The target, on the device of ``labels``.

    Raises:
        LossError: if ``labels`` is no integer map of ids -1..19.
    """
    classes = merge_labels(labels)
    counts = _count(classes, len(CLOTHED_CLASSES))
    weights = class_weights(counts, min_pixels=min_pixels, compat=compat)
    return ClothedTarget(classes.clamp_min(0) if compat else classes, weights, counts)


def class_weights(counts: Tensor, *, min_pixels: int = MIN_PIXELS, compat: bool = False) -> Tensor:
    """Weights that give every class of a picture the same say: ``w_k = m / n_k``, with m the rarest kept class.

    Args:
        counts: (B, C) pixels per class.
        min_pixels: classes with more pixels than this are kept; the others weigh 0.
        compat: as published: a class of exactly ``min_pixels`` sets m although its own weight is 0.

    Returns:
        (B, C) float32; all zeros where no class is kept.
    """
    check_shape("counts", counts, "B C", {})
    check_values({"counts": (counts, 0, torch.inf)})
    counts = counts.double()
    kept = counts > min_pixels
    candidates = counts >= min_pixels if compat else kept
    rarest = torch.where(candidates, counts, torch.inf).amin(1, keepdim=True)
    return torch.where(kept, rarest / counts.clamp_min(1), torch.zeros_like(counts)).float()


def distance_map(mask: Tensor, *, compat: bool = False) -> Tensor:
    """Distance of every pixel to the nearest pixel of a mask, 0 inside, by SciPy's exact Euclidean transform (CPU).

    Args:
        mask: (B, H, W) bool, or numbers that count where they are above 0.5.
        compat: as published: the transform of the mask repeated over three channels, which for an empty mask gives
            meaningless numbers that differ between channels. Otherwise an empty mask has distance 0 everywhere.

    Returns:
        (B, H, W) float32 pixels, (B, H, W, 3) with ``compat``; on the device of ``mask``.
    """
    from scipy.ndimage import distance_transform_edt

    check_shape("mask", mask, "B H W", {})
    outside = (mask if mask.dtype == torch.bool else mask > 0.5).cpu().numpy() == 0
    if compat:
        volumes = [distance_transform_edt(np.repeat(sample[..., None], 3, -1)) for sample in outside]
        shape: tuple[int, ...] = (*mask.shape, 3)
    else:
        volumes = [np.zeros(s.shape) if s.all() else distance_transform_edt(s) for s in outside]
        shape = tuple(mask.shape)
    distances = np.stack(volumes) if volumes else np.zeros(shape)
    return torch.from_numpy(distances.astype(np.float32)).to(mask.device)


def clothed_attributes(prior: Tensor) -> Tensor:
    """Probability of the eight DSR-C classes per face: sums of the members' columns (specification section 3.4).

    Args:
        prior: (F, 20) probability of each label, per face (as published) or per vertex.

    Returns:
        (F, 8).

    Raises:
        LossError: if the shape is another or a number is no probability.
    """
    prior = _check_prior(prior)
    classes = torch.tensor(LABEL_TO_CLASS, device=prior.device)
    return prior.new_zeros(len(prior), len(CLOTHED_CLASSES)).index_add(1, classes, prior)


def minimally_clothed_attributes(prior: Tensor, valid: Tensor) -> Tensor:
    """Probability per face of the minimally clothed labels that show in each picture (specification section 3.4).

    Args:
        prior: (F, 20) as in :func:`clothed_attributes`.
        valid: (B, 5) from :class:`MinimallyClothedTarget`.

    Returns:
        (B, F); 0 where no label is valid.
    """
    prior = _check_prior(prior)
    check_shape("valid", valid, f"B {len(MINIMALLY_CLOTHED)}", {})
    return valid.to(prior) @ prior[:, label_ids(MINIMALLY_CLOTHED)].T


def semantic_attributes(prior: Tensor, valid: Tensor) -> Tensor:
    """The nine channels to render in one pass: channel 0 for DSR-MC, channels 1..8 the classes of DSR-C.

    Args:
        prior: (F, 20) as in :func:`clothed_attributes`.
        valid: (B, 5) from :class:`MinimallyClothedTarget`.

    Returns:
        (B, F, 9) face attributes for the semantic renderer (vertex attributes if the prior is per vertex).
    """
    tight = minimally_clothed_attributes(prior, valid)
    return torch.cat([tight.unsqueeze(-1), clothed_attributes(prior).expand(len(tight), -1, -1)], -1)


def _check_prior(prior: Tensor) -> Tensor:
    check_shape("prior", prior, f"F {len(LABELS)}", {})
    check_values({"prior": (prior, 0, 1 + 1e-4)})
    return prior if prior.dtype == torch.float64 else prior.float()


def _count(ids: Tensor, number: int) -> Tensor:
    """Pixels of each id, (B, number) int64; unknown pixels are not counted."""
    flat = torch.where(ids < 0, number, ids).flatten(1)
    counts = torch.zeros(len(ids), number + 1, dtype=torch.int64, device=ids.device)
    return counts.scatter_add_(1, flat, torch.ones_like(flat))[:, :number]
