"""Evaluation: error metrics, in the units of what they are given; published protocols; the generated benchmark.

Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.evaluation.datasets import DatasetReport as DatasetReport
    from dsr.evaluation.datasets import evaluate_predictions as evaluate_predictions
    from dsr.evaluation.image_metrics import mask_iou as mask_iou
    from dsr.evaluation.image_metrics import pck_2d as pck_2d
    from dsr.evaluation.metrics import mpjpe as mpjpe
    from dsr.evaluation.metrics import pa_mpjpe as pa_mpjpe
    from dsr.evaluation.metrics import procrustes_align as procrustes_align
    from dsr.evaluation.metrics import pve as pve
    from dsr.evaluation.pck_auc import auc as auc
    from dsr.evaluation.pck_auc import pck as pck
    from dsr.evaluation.pck_auc import per_joint as per_joint
    from dsr.evaluation.perspose import perspose_body_errors as perspose_body_errors
    from dsr.evaluation.perspose import perspose_errors as perspose_errors
    from dsr.evaluation.predictions import Predictions as Predictions
    from dsr.evaluation.predictions import load_predictions as load_predictions
    from dsr.evaluation.predictions import predict_source as predict_source
    from dsr.evaluation.predictions import save_predictions as save_predictions
    from dsr.evaluation.protocols import PROTOCOLS as PROTOCOLS
    from dsr.evaluation.protocols import Protocol as Protocol
    from dsr.evaluation.protocols import find_protocol as find_protocol
    from dsr.evaluation.synthetic import evaluate_synthetic as evaluate_synthetic

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "datasets": (
            "DatasetReport",
            "evaluate_predictions",
        ),
        "image_metrics": (
            "mask_iou",
            "pck_2d",
        ),
        "metrics": (
            "mpjpe",
            "pa_mpjpe",
            "procrustes_align",
            "pve",
        ),
        "pck_auc": (
            "auc",
            "pck",
            "per_joint",
        ),
        "perspose": (
            "perspose_body_errors",
            "perspose_errors",
        ),
        "predictions": (
            "Predictions",
            "load_predictions",
            "predict_source",
            "save_predictions",
        ),
        "protocols": (
            "PROTOCOLS",
            "Protocol",
            "find_protocol",
        ),
        "synthetic": ("evaluate_synthetic",),
    },
)
