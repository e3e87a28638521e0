"""Inputs to results to an output folder, for pictures and clips alike.

Clip = input; track = one person through it. Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.pipeline.clip_fitter import SequenceFitter as SequenceFitter
    from dsr.pipeline.clip_fitter import SequenceOptions as SequenceOptions
    from dsr.pipeline.clip_fitter import fit_sequence as fit_sequence
    from dsr.pipeline.pictures import Fitter as Fitter
    from dsr.pipeline.pictures import fit_images as fit_images

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "clip_fitter": (
            "SequenceFitter",
            "SequenceOptions",
            "fit_sequence",
        ),
        "pictures": (
            "Fitter",
            "fit_images",
        ),
    },
)
