"""PoseDA: skeleton lifters for cameras and people nobody labelled (ICCV 2023, arXiv 2303.16456).

Training poses are moved to where the target's people stand in their pictures (:func:`global_position_alignment`) and
varied (:class:`PoseAugmentor`); the lifter is then trained on their projections into the target's camera. Target data
are 2D keypoints alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.adaptation.alignment import AlignedPoses as AlignedPoses
    from dsr.adaptation.alignment import global_position_alignment as global_position_alignment
    from dsr.adaptation.augmentor import PoseAugmentor as PoseAugmentor
    from dsr.adaptation.parts import PARTS16 as PARTS16
    from dsr.adaptation.parts import PARTS17 as PARTS17

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "alignment": ("AlignedPoses", "global_position_alignment"),
        "augmentor": ("PoseAugmentor",),
        "parts": ("PARTS16", "PARTS17"),
    },
)
