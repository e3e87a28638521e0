"""From keypoints to bodies: closed-form inverse kinematics, then robust optimisation with a learned pose prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

__all__ = [
    "FitWeights",
    "KeypointModel",
    "PosePrior",
    "SemanticWeights",
    "describe_people",
    "fit_people",
    "refine_semantic",
]

_HOME = {
    "FitWeights": "solver",
    "KeypointModel": "keypoint_model",
    "PosePrior": "prior",
    "SemanticWeights": "semantic",
    "describe_people": "fit",
    "fit_people": "fit",
    "refine_semantic": "semantic",
}

if TYPE_CHECKING:
    from dsr.fitting.fit import describe_people, fit_people
    from dsr.fitting.keypoint_model import KeypointModel
    from dsr.fitting.prior import PosePrior
    from dsr.fitting.semantic import SemanticWeights, refine_semantic
    from dsr.fitting.solver import FitWeights

__getattr__, __dir__ = attach(__name__, _HOME)
