"""The published weights of every term, their sum, and when the semantic terms begin (DSR specification, section 7).

Imports no torch before a sum is made: ``dsr-train --help`` shows the fields and what stands below them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from dsr.errors import LossError

if TYPE_CHECKING:
    from torch import Tensor

TERMS = {
    "loss_keypoints": "keypoint_2d",
    "loss_keypoints_3d": "keypoint_3d",
    "loss_regr_pose": "pose",
    "loss_regr_betas": "betas",
    "loss_shape": "vertices",
    "loss_cam": "camera",
    "loss_dsr_mc": "dsr_mc",
    "loss_dsr_c": "dsr_c",
}
"""Logged name of each term (as published) -> its weight's field in :class:`LossWeights`."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms and the schedule of the semantic ones; the numbers are those of DSR's training.

    ``total = 60 * sum of weight * term``.
    """

    keypoint_2d: float = 5.0
    """Weight of the 2D keypoints."""
    keypoint_3d: float = 5.0
    """Weight of the 3D keypoints."""
    pose: float = 1.0
    """Weight of SMPL's rotations."""
    betas: float = 0.001
    """Weight of SMPL's shape."""
    vertices: float = 0.0
    """Weight of the vertices."""
    camera: float = 1.0
    """Weight of the term that keeps the camera's scale positive."""
    dsr_mc: float = 0.1
    """Weight of DSR-MC, the minimally clothed term."""
    dsr_c: float = 0.1
    """Weight of DSR-C, the clothed term."""
    total: float = 60.0
    """Factor on the sum of the weighted terms."""
    openpose: float = 0.0
    """Factor on the 25 OpenPose keypoints' confidence."""
    ground_truth: float = 1.0
    """Factor on the 24 data-set keypoints' confidence."""
    mc_variant: Literal["iou", "row_iou", "distance"] = "iou"
    """Form of DSR-MC."""
    c_variant: Literal["published", "inside"] = "published"
    """Form of DSR-C: published, or inside: tight at skin and shoes, inside the clothes elsewhere."""
    start_dsr: int = 2
    """The semantic terms count in epochs with a higher index than this (0 is the first); -1: always."""
    sigma: float = field(default=1e-5, metadata={"above": 0})
    """Softness of the rendered edges, squared normalised units."""
    gamma: float = field(default=1e-4, metadata={"above": 0})
    """Softness of the rendered occlusion; the published 1e-1 draws an X-ray picture."""
    compat: Literal["on", "off"] = "off"
    """The released formulae of the semantic terms, defects included."""

    def dsr_started(self, epoch: int) -> bool:
        """Whether the semantic terms count in an epoch (0 is the first) at all."""
        return (self.dsr_mc != 0 or self.dsr_c != 0) and epoch > self.start_dsr


PUBLISHED_TRAINING = LossWeights(mc_variant="row_iou", gamma=1e-1, compat="on")
"""The configuration DSR was trained with."""
PUBLISHED_DEFAULTS = LossWeights(
    dsr_mc=0.2, dsr_c=0.2, mc_variant="distance", start_dsr=-1, sigma=1e-7, gamma=1e-1, compat="on"
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
    import torch

    weights = weights or LossWeights()
    if not terms:
        raise LossError(f"terms is empty; give at least one of {', '.join(TERMS)}.")
    weighted: dict[str, Tensor] = {}
    for name, term in terms.items():
        if name not in TERMS:
            raise LossError(f"terms has {name!r}, which is no term of the loss; the names are {', '.join(TERMS)}.")
        if not isinstance(term, torch.Tensor) or term.numel() != 1:
            raise LossError(f"terms[{name!r}] must be a scalar tensor; reduce it over the batch first.")
        factor = getattr(weights, TERMS[name])
        if factor == 0 or (name.startswith("loss_dsr") and not dsr_started):
            weighted[name] = torch.zeros_like(term.detach()).reshape(())
        else:
            weighted[name] = factor * term.reshape(())
    return weights.total * torch.stack(list(weighted.values())).sum(), weighted
