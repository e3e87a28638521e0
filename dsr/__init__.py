"""From a photograph to posed, shaped, rigged bodies.

``import dsr`` is cheap: torch and everything heavy is imported when a name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.body import Body as Body
    from dsr.body import BodyOutput as BodyOutput
    from dsr.body import load_body as load_body
    from dsr.checkpoints import load_checkpoint as load_checkpoint
    from dsr.limits import Limits as Limits
    from dsr.options import FitOptions as FitOptions
    from dsr.options import SequenceOptions as SequenceOptions
    from dsr.pipeline import fit_images as fit_images
    from dsr.pipeline import fit_sequence as fit_sequence
    from dsr.results import FitResult as FitResult
    from dsr.results import PersonResult as PersonResult
    from dsr.results import SequenceResult as SequenceResult
    from dsr.results import TrackResult as TrackResult
    from dsr.results import load_result as load_result

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "body": ("Body", "BodyOutput", "load_body"),
        "checkpoints": ("load_checkpoint",),
        "limits": ("Limits",),
        "options": ("FitOptions", "SequenceOptions"),
        "pipeline": ("fit_images", "fit_sequence"),
        "results": ("FitResult", "PersonResult", "SequenceResult", "TrackResult", "load_result"),
    },
)
