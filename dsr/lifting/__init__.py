"""2D-to-3D skeleton lifters: tracks of 2D keypoints in, 3D joints relative to the pelvis out.

All lifters here take (B, F, J, 2 or 3) screen-normalised keypoints (:func:`normalise_screen`) of Human3.6M's 17 joints
and give (B, F or fewer, J, 3) metres in the camera, relative to the pelvis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.lifting.base import SequenceLifter as SequenceLifter
    from dsr.lifting.base import WindowLifter as WindowLifter
    from dsr.lifting.hourglass import select_frames as select_frames
    from dsr.lifting.inference import LiftedSequence as LiftedSequence
    from dsr.lifting.inference import lift_sequence as lift_sequence
    from dsr.lifting.registry import LIFTERS as LIFTERS
    from dsr.lifting.registry import build_lifter as build_lifter
    from dsr.lifting.shipped import load_lifter as load_lifter
    from dsr.lifting.shipped import load_shipped as load_shipped
    from dsr.lifting.shipped import save_lifter as save_lifter

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "base": ("SequenceLifter", "WindowLifter"),
        "hourglass": ("select_frames",),
        "inference": ("LiftedSequence", "lift_sequence"),
        "registry": ("LIFTERS", "build_lifter"),
        "shipped": ("load_lifter", "load_shipped", "save_lifter"),
    },
)
