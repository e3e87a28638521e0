"""From a photograph to posed, shaped, rigged bodies.

``import dsr`` is cheap: torch and everything heavy is imported when a name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

__version__ = "0.1.0"

_PUBLIC = {
    "FitOptions": "options",
    "FitResult": "result",
    "PersonResult": "result",
    "load_result": "result",
    "fit_images": "pipeline",
    "SequenceOptions": "sequences",
    "SequenceResult": "sequence_result",
    "TrackResult": "sequence_result",
    "fit_sequence": "sequences",
    "Body": "body",
    "BodyOutput": "body",
    "load_body": "body",
    "load_checkpoint": "regressors.checkpoint",
}

__all__ = ["Body", "BodyOutput", "FitOptions", "FitResult", "PersonResult", "SequenceOptions", "SequenceResult",
           "TrackResult", "__version__", "fit_images", "fit_sequence", "load_body", "load_checkpoint", "load_result"]

if TYPE_CHECKING:
    from dsr.body import Body, BodyOutput, load_body
    from dsr.options import FitOptions
    from dsr.pipeline import fit_images
    from dsr.regressors.checkpoint import load_checkpoint
    from dsr.result import FitResult, PersonResult, load_result
    from dsr.sequence_result import SequenceResult, TrackResult
    from dsr.sequences import SequenceOptions, fit_sequence

__getattr__, __dir__ = attach(__name__, _PUBLIC)
