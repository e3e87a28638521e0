"""2D-to-3D skeleton lifters: tracks of 2D keypoints in, 3D joints relative to the pelvis out.

All lifters here take (B, F, J, 2 or 3) screen-normalised keypoints (:func:`normalise_screen`) of Human3.6M's 17 joints
and give (B, F or fewer, J, 3) metres in the camera, relative to the pelvis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

_PUBLIC = {
    "build_lifter": "registry",
    "detector_to_h36m17": "keypoints",
    "LiftedSequence": "inference",
    "lift_sequence": "inference",
    "load_lifter": "shipped",
    "load_shipped": "shipped",
    "save_lifter": "shipped",
    "LIFTERS": "registry",
    "H36M17": "skeleton",
    "Skeleton": "skeleton",
    "normalise_screen": "skeleton",
    "unnormalise_screen": "skeleton",
    "mirror": "skeleton",
    "SequenceLifter": "staged",
    "WindowLifter": "staged",
    "FramePruning": "hourglass",
    "select_frames": "hourglass",
}

__all__ = ["H36M17", "LIFTERS", "FramePruning", "LiftedSequence", "SequenceLifter", "Skeleton", "WindowLifter",
           "build_lifter", "detector_to_h36m17", "lift_sequence", "load_lifter", "load_shipped", "mirror",
           "normalise_screen", "save_lifter", "select_frames", "unnormalise_screen"]

if TYPE_CHECKING:
    from dsr.lifting.hourglass import FramePruning, select_frames
    from dsr.lifting.inference import LiftedSequence, lift_sequence
    from dsr.lifting.keypoints import detector_to_h36m17
    from dsr.lifting.registry import LIFTERS, build_lifter
    from dsr.lifting.shipped import load_lifter, load_shipped, save_lifter
    from dsr.lifting.skeleton import H36M17, Skeleton, mirror, normalise_screen, unnormalise_screen
    from dsr.lifting.staged import SequenceLifter, WindowLifter

__getattr__, __dir__ = attach(__name__, _PUBLIC)
