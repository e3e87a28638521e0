"""Evaluation: error metrics, in the units of what they are given; published protocols; the generated benchmark.

Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

__all__ = [
    "PROTOCOLS", "DatasetReport", "Predictions", "Protocol", "auc", "evaluate_predictions", "evaluate_synthetic",
    "find_protocol", "load_predictions", "mask_iou", "mpjpe", "pa_mpjpe", "pck", "pck_2d", "per_joint",
    "predict_source", "procrustes_align", "pve", "save_predictions",
]  # fmt: skip

_HOME = {
    **dict.fromkeys(("mpjpe", "pa_mpjpe", "procrustes_align", "pve"), "metrics"),
    **dict.fromkeys(("auc", "pck", "per_joint"), "shares"),
    **dict.fromkeys(("mask_iou", "pck_2d"), "image_metrics"),
    **dict.fromkeys(("PROTOCOLS", "Protocol", "find_protocol"), "protocols"),
    **dict.fromkeys(("Predictions", "load_predictions", "predict_source", "save_predictions"), "predictions"),
    **dict.fromkeys(("DatasetReport", "evaluate_predictions"), "datasets"),
    "evaluate_synthetic": "synthetic",
}

if TYPE_CHECKING:
    from .datasets import DatasetReport, evaluate_predictions
    from .image_metrics import mask_iou, pck_2d
    from .metrics import mpjpe, pa_mpjpe, procrustes_align, pve
    from .predictions import Predictions, load_predictions, predict_source, save_predictions
    from .protocols import PROTOCOLS, Protocol, find_protocol
    from .shares import auc, pck, per_joint
    from .synthetic import evaluate_synthetic

__getattr__, __dir__ = attach(__name__, _HOME)
