"""From keypoints to bodies: closed-form inverse kinematics, then robust optimisation with a learned pose prior."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["FitWeights", "KeypointModel", "PosePrior", "SemanticWeights", "fit_people", "refine_semantic"]

_HOME = {
    "FitWeights": "solver",
    "KeypointModel": "keypoint_model",
    "PosePrior": "prior",
    "SemanticWeights": "semantic",
    "fit_people": "fit",
    "refine_semantic": "semantic",
}

if TYPE_CHECKING:
    from dsr.fitting.fit import fit_people
    from dsr.fitting.keypoint_model import KeypointModel
    from dsr.fitting.prior import PosePrior
    from dsr.fitting.semantic import SemanticWeights, refine_semantic
    from dsr.fitting.solver import FitWeights


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"dsr.fitting.{_HOME[name]}"), name)
    raise AttributeError(f"module 'dsr.fitting' has no attribute {name!r}")
