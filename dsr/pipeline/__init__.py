"""Inputs to results to an output folder, for pictures and clips alike.

A clip is an input: a video file, or a folder whose pictures are its frames. A track is one person through a clip. What
is fitted to a picture is a person, what is fitted to a track is that person through time; a picture has a
:class:`~dsr.results.picture.FitResult`, a clip a :class:`~dsr.results.clip.SequenceResult`.

Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.pipeline.clip_fitter import SequenceFitter as SequenceFitter
    from dsr.pipeline.clip_fitter import fit_sequence as fit_sequence
    from dsr.pipeline.output_folder import OutputFolder as OutputFolder
    from dsr.pipeline.output_options import OutputOptions as OutputOptions
    from dsr.pipeline.picture_fitter import Fitter as Fitter
    from dsr.pipeline.picture_fitter import fit_images as fit_images

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "clip_fitter": (
            "SequenceFitter",
            "fit_sequence",
        ),
        "output_folder": ("OutputFolder",),
        "output_options": ("OutputOptions",),
        "picture_fitter": (
            "Fitter",
            "fit_images",
        ),
    },
)
