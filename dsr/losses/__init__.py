"""Losses: Differentiable Semantic Rendering (minimally clothed, clothed), silhouettes, keypoints, parameters; PersPose.

Everything is torch, batched and differentiable, on CPU and CUDA; rendered pictures come in as tensors, so no renderer
is imported. The corrected forms are the default; ``compat=True`` gives the released ones. Sources: Dwivedi et al.,
ICCV 2021 (arXiv 2110.03480), and the DSR specification. Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.losses.clothed import dsr_c_loss as dsr_c_loss
    from dsr.losses.keypoint import keypoint_2d_loss as keypoint_2d_loss
    from dsr.losses.keypoint import keypoint_3d_loss as keypoint_3d_loss
    from dsr.losses.keypoint import source_confidence as source_confidence
    from dsr.losses.parameter import betas_loss as betas_loss
    from dsr.losses.parameter import camera_scale_loss as camera_scale_loss
    from dsr.losses.parameter import pose_loss as pose_loss
    from dsr.losses.parameter import vertex_loss as vertex_loss
    from dsr.losses.perspose import PersPoseOutputs as PersPoseOutputs
    from dsr.losses.perspose import perspose_losses as perspose_losses
    from dsr.losses.perspose_weights import PERSPOSE_WEIGHTS as PERSPOSE_WEIGHTS
    from dsr.losses.semantic import SemanticLosses as SemanticLosses
    from dsr.losses.semantic import dsr_mc_loss as dsr_mc_loss
    from dsr.losses.semantic import semantic_losses as semantic_losses
    from dsr.losses.silhouette import containment_loss as containment_loss
    from dsr.losses.silhouette import coverage_loss as coverage_loss
    from dsr.losses.silhouette import iou_loss as iou_loss
    from dsr.losses.silhouette import soft_iou as soft_iou
    from dsr.losses.weights import PUBLISHED_DEFAULTS as PUBLISHED_DEFAULTS
    from dsr.losses.weights import PUBLISHED_TRAINING as PUBLISHED_TRAINING
    from dsr.losses.weights import TERMS as TERMS
    from dsr.losses.weights import LossWeights as LossWeights
    from dsr.losses.weights import weighted_total as weighted_total

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "clothed": ("dsr_c_loss",),
        "keypoint": ("keypoint_2d_loss", "keypoint_3d_loss", "source_confidence"),
        "parameter": ("betas_loss", "camera_scale_loss", "pose_loss", "vertex_loss"),
        "perspose": ("PersPoseOutputs", "perspose_losses"),
        "perspose_weights": ("PERSPOSE_WEIGHTS",),
        "semantic": ("SemanticLosses", "dsr_mc_loss", "semantic_losses"),
        "silhouette": ("containment_loss", "coverage_loss", "iou_loss", "soft_iou"),
        "weights": ("PUBLISHED_DEFAULTS", "PUBLISHED_TRAINING", "TERMS", "LossWeights", "weighted_total"),
    },
)
