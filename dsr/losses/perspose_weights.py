"""Names and published weights of PersPose's twelve terms (specification, section 7); no torch, for configurations."""

from __future__ import annotations

TERMS = (
    "uv",
    "uv_keypoints",
    "uv_joints17",
    "depth",
    "depth_joints17",
    "scale",
    "scale_joints17",
    "xyz",
    "height",
    "twist",
    "betas",
    "leaf",
)
"""Names of the terms, in the published order."""
PERSPOSE_WEIGHTS: dict[str, tuple[float, ...]] = {
    "3dpw": (1, 1, 1, 1, 0.5, 1, 0.5, 0, 0, 0.1, 0.01, 0.01),
    "w-be-3dpw": (1, 1, 1, 1, 0.5, 1, 0.5, 0, 0, 0.1, 0.01, 0.01),
    "3dhp": (1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0, 0, 0.1, 0.01, 0.01),
    "h36m": (1, 1, 1, 1, 0.5, 1, 0.5, 0, 0, 10, 0.01, 0.01),
    "w-be-3dhp": (1, 1, 1, 1, 1, 1, 1, 0, 0, 0.1, 0.01, 0.01),
    "default": (1, 1, 1, 1, 1, 1, 1, 0, 0, 0.1, 0.01, 0.01),
}
"""Weights of the twelve :data:`TERMS` by configuration."""
