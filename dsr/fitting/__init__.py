"""From keypoints to bodies: closed-form inverse kinematics, then robust optimisation with a learned pose prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.fitting.floor import find_clip_floor as find_clip_floor
    from dsr.fitting.floor import find_floor as find_floor
    from dsr.fitting.gravity import find_gravity as find_gravity
    from dsr.fitting.gravity import find_stances as find_stances
    from dsr.fitting.keypoint_model import KeypointModel as KeypointModel
    from dsr.fitting.picture import fit_people as fit_people
    from dsr.fitting.picture_result import describe_people as describe_people
    from dsr.fitting.semantic import SemanticWeights as SemanticWeights
    from dsr.fitting.semantic import refine_semantic as refine_semantic
    from dsr.fitting.solver import FitWeights as FitWeights
    from dsr.fitting.uncertainty import OptimisedPoses as OptimisedPoses
    from dsr.fitting.uncertainty import UncertaintySettings as UncertaintySettings
    from dsr.fitting.uncertainty import optimise_poses as optimise_poses

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "floor": ("find_clip_floor", "find_floor"),
        "gravity": ("find_gravity", "find_stances"),
        "keypoint_model": ("KeypointModel",),
        "picture": ("fit_people",),
        "picture_result": ("describe_people",),
        "semantic": (
            "SemanticWeights",
            "refine_semantic",
        ),
        "solver": ("FitWeights",),
        "uncertainty": ("OptimisedPoses", "UncertaintySettings", "optimise_poses"),
    },
)
