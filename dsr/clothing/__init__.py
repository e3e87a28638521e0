"""Clothing: label vocabulary, the prior of labels on the body, and what the DSR losses compare with (their targets).

Everything is torch, batched, on CPU and CUDA. Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.clothing.labels import IGNORE as IGNORE
    from dsr.clothing.labels import LABEL_MIRROR as LABEL_MIRROR
    from dsr.clothing.labels import LABELS as LABELS
    from dsr.clothing.labels import PALETTE_RGB as PALETTE_RGB
    from dsr.clothing.labels import keep_window as keep_window
    from dsr.clothing.labels import keypoint_window as keypoint_window
    from dsr.clothing.labels import merge_labels as merge_labels
    from dsr.clothing.labels import mirror_labels as mirror_labels
    from dsr.clothing.labels import palette_to_labels as palette_to_labels
    from dsr.clothing.prior import ClothingPrior as ClothingPrior
    from dsr.clothing.prior import load_clothing_prior as load_clothing_prior
    from dsr.clothing.targets import ClothedTarget as ClothedTarget
    from dsr.clothing.targets import MinimallyClothedTarget as MinimallyClothedTarget
    from dsr.clothing.targets import class_weights as class_weights
    from dsr.clothing.targets import clothed_attributes as clothed_attributes
    from dsr.clothing.targets import clothed_target as clothed_target
    from dsr.clothing.targets import distance_map as distance_map
    from dsr.clothing.targets import minimally_clothed_target as minimally_clothed_target
    from dsr.clothing.targets import semantic_attributes as semantic_attributes

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "labels": (
            "IGNORE",
            "LABELS",
            "LABEL_MIRROR",
            "PALETTE_RGB",
            "keep_window",
            "keypoint_window",
            "merge_labels",
            "mirror_labels",
            "palette_to_labels",
        ),
        "prior": ("ClothingPrior", "load_clothing_prior"),
        "targets": (
            "ClothedTarget",
            "MinimallyClothedTarget",
            "class_weights",
            "clothed_attributes",
            "clothed_target",
            "distance_map",
            "minimally_clothed_target",
            "semantic_attributes",
        ),
    },
)
