"""Losses: Differentiable Semantic Rendering (minimally clothed, clothed), silhouettes, keypoints, parameters; PersPose.

Everything is torch, batched and differentiable, on CPU and CUDA; rendered pictures come in as tensors, so no renderer
is imported. The corrected forms are the default; ``compat=True`` gives the released ones. Sources: Dwivedi et al.,
ICCV 2021 (arXiv 2110.03480), and the DSR specification. Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

_PUBLIC = {
    "CLASS_MIRROR": "labels",
    "CLOTHED_CLASSES": "labels",
    "IGNORE": "labels",
    "LABELS": "labels",
    "LABEL_MIRROR": "labels",
    "LABEL_TO_CLASS": "labels",
    "MINIMALLY_CLOTHED": "labels",
    "PALETTE_RGB": "labels",
    "SKIN": "labels",
    "keep_window": "labels",
    "keypoint_window": "labels",
    "label_ids": "labels",
    "label_mask": "labels",
    "labels_to_palette": "labels",
    "merge_labels": "labels",
    "mirror_labels": "labels",
    "palette_to_labels": "labels",
    "ClothedTarget": "targets",
    "MinimallyClothedTarget": "targets",
    "class_weights": "targets",
    "clothed_attributes": "targets",
    "clothed_target": "targets",
    "distance_map": "targets",
    "minimally_clothed_attributes": "targets",
    "minimally_clothed_target": "targets",
    "semantic_attributes": "targets",
    "containment_loss": "silhouette",
    "coverage_loss": "silhouette",
    "iou_loss": "silhouette",
    "soft_iou": "silhouette",
    "SemanticLosses": "semantic",
    "dsr_c_loss": "clothed",
    "dsr_mc_loss": "semantic",
    "semantic_losses": "semantic",
    "keypoint_2d_loss": "keypoint",
    "keypoint_3d_loss": "keypoint",
    "source_confidence": "keypoint",
    "betas_loss": "parameter",
    "camera_scale_loss": "parameter",
    "pose_loss": "parameter",
    "vertex_loss": "parameter",
    "LossWeights": "weights",
    "PUBLISHED_DEFAULTS": "weights",
    "PUBLISHED_TRAINING": "weights",
    "TERMS": "weights",
    "weighted_total": "weights",
    "PERSPOSE_WEIGHTS": "perspose_weights",
    "PersPoseOutputs": "perspose",
    "perspose_losses": "perspose",
    "perspose_body_errors": "perspose_metrics",
    "perspose_errors": "perspose_metrics",
}

__all__ = [
    "CLASS_MIRROR",
    "CLOTHED_CLASSES",
    "IGNORE",
    "LABELS",
    "LABEL_MIRROR",
    "LABEL_TO_CLASS",
    "MINIMALLY_CLOTHED",
    "PALETTE_RGB",
    "PERSPOSE_WEIGHTS",
    "PUBLISHED_DEFAULTS",
    "PUBLISHED_TRAINING",
    "SKIN",
    "TERMS",
    "ClothedTarget",
    "LossWeights",
    "MinimallyClothedTarget",
    "PersPoseOutputs",
    "SemanticLosses",
    "betas_loss",
    "camera_scale_loss",
    "class_weights",
    "clothed_attributes",
    "clothed_target",
    "containment_loss",
    "coverage_loss",
    "distance_map",
    "dsr_c_loss",
    "dsr_mc_loss",
    "iou_loss",
    "keep_window",
    "keypoint_2d_loss",
    "keypoint_3d_loss",
    "keypoint_window",
    "label_ids",
    "label_mask",
    "labels_to_palette",
    "merge_labels",
    "minimally_clothed_attributes",
    "minimally_clothed_target",
    "mirror_labels",
    "palette_to_labels",
    "perspose_body_errors",
    "perspose_errors",
    "perspose_losses",
    "pose_loss",
    "semantic_attributes",
    "semantic_losses",
    "soft_iou",
    "source_confidence",
    "vertex_loss",
    "weighted_total",
]

if TYPE_CHECKING:
    from dsr.losses.clothed import dsr_c_loss
    from dsr.losses.keypoint import keypoint_2d_loss, keypoint_3d_loss, source_confidence
    from dsr.losses.labels import (
        CLASS_MIRROR,
        CLOTHED_CLASSES,
        IGNORE,
        LABEL_MIRROR,
        LABEL_TO_CLASS,
        LABELS,
        MINIMALLY_CLOTHED,
        PALETTE_RGB,
        SKIN,
        keep_window,
        keypoint_window,
        label_ids,
        label_mask,
        labels_to_palette,
        merge_labels,
        mirror_labels,
        palette_to_labels,
    )
    from dsr.losses.parameter import betas_loss, camera_scale_loss, pose_loss, vertex_loss
    from dsr.losses.perspose import PersPoseOutputs, perspose_losses
    from dsr.losses.perspose_metrics import perspose_body_errors, perspose_errors
    from dsr.losses.perspose_weights import PERSPOSE_WEIGHTS
    from dsr.losses.semantic import SemanticLosses, dsr_mc_loss, semantic_losses
    from dsr.losses.silhouette import containment_loss, coverage_loss, iou_loss, soft_iou
    from dsr.losses.targets import (
        ClothedTarget,
        MinimallyClothedTarget,
        class_weights,
        clothed_attributes,
        clothed_target,
        distance_map,
        minimally_clothed_attributes,
        minimally_clothed_target,
        semantic_attributes,
    )
    from dsr.losses.weights import PUBLISHED_DEFAULTS, PUBLISHED_TRAINING, TERMS, LossWeights, weighted_total

__getattr__, __dir__ = attach(__name__, _PUBLIC)
