"""The published weights of every term, their sum, and when the semantic terms begin (DSR specification, section 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dsr.errors import LossError

TERMS = {
    "loss_keypoints": "keypoint_2d", "loss_keypoints_3d": "keypoint_3d", "loss_regr_pose": "pose",
    "loss_regr_betas": "betas", "loss_shape": "vertices", "loss_cam": "camera", "loss_dsr_mc": "dsr_mc",
    "loss_dsr_c": "dsr_c",
}  # fmt: skip
"""Logged name of each term (as published) -> its weight's field in :class:`LossWeights`."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms and the schedule of the semantic ones; the numbers are those of DSR's training.

    ``total = 60 * sum of weight * term``.
    """

    keypoint_2d: float = 5.0
    keypoint_3d: float = 5.0
    pose: float = 1.0
    betas: float = 0.001
    vertices: float = 0.0
    camera: float = 1.0
    dsr_mc: float = 0.1
    dsr_c: float = 0.1
    total: float = 60.0
    openpose: float = 0.0
    """Factor on the confidence of the 25 OpenPose joints."""
    ground_truth: float = 1.0
    """Factor on the confidence of the 24 data-set joints."""
    mc_variant: Literal["iou", "row_iou", "distance"] = "iou"
    """Variant of :func:`dsr.losses.dsr_mc_loss`."""
    start_dsr: int = 2
    """The semantic terms count in epochs with a higher index than this; -1: always."""
    sigma: float = 1e-5
    """Softness of edges the semantic terms are rendered with, squared normalised units."""
    gamma: float = 1e-4
    """Softness of occlusion they are rendered with (corrected; 1e-1 as published draws an X-ray picture)."""
    compat: bool = False
    """The released formulae of the semantic terms."""

    def dsr_started(self, epoch: int) -> bool:
        """Whether the semantic terms count in an epoch (0 is the first) at all."""
        return (self.dsr_mc != 0 or self.dsr_c != 0) and epoch > self.start_dsr


PUBLISHED_TRAINING = LossWeights(mc_variant="row_iou", gamma=1e-1, compat=True)
"""The configuration DSR was trained with."""
PUBLISHED_DEFAULTS = LossWeights(
    dsr_mc=0.2, dsr_c=0.2, mc_variant="distance", start_dsr=-1, sigma=1e-7, gamma=1e-1, compat=True
)
"""The defaults of the released code."""


def weighted_total(
    terms: Mapping[str, Tensor], weights: LossWeights | None = None, *, dsr_started: bool = True
) -> tuple[Tensor, dict[str, Tensor]]:
    """Sum the terms of a training step.

    A term of weight 0 is left out of the graph, so that its NaN cannot spoil the sum.

    Args:
        terms: unweighted scalars under the names of :data:`TERMS`; those that are missing count as 0.
        weights: the weights; :class:`LossWeights` by default.
        dsr_started: False leaves the semantic terms out (:meth:`LossWeights.dsr_started`).

    Returns:
        The total, and every term after its own weight but before the common factor (as published logs show them).

    Raises:
        LossError: if there is no term, a name is unknown or a term is no scalar.
    """
    weights = weights or LossWeights()
    if not terms:
        raise LossError(f"terms is empty; give at least one of {', '.join(TERMS)}.")
    weighted: dict[str, Tensor] = {}
    for name, term in terms.items():
        if name not in TERMS:
            raise LossError(f"terms has {name!r}, which is no term of the loss; the names are {', '.join(TERMS)}.")
        if not isinstance(term, Tensor) or term.numel() != 1:
            raise LossError(f"terms[{name!r}] must be a scalar tensor; reduce it over the batch first.")
        factor = getattr(weights, TERMS[name])
        if factor == 0 or (name.startswith("loss_dsr") and not dsr_started):
            weighted[name] = torch.zeros_like(term.detach()).reshape(())
        else:
            weighted[name] = factor * term.reshape(())
    return weights.total * torch.stack(list(weighted.values())).sum(), weighted
