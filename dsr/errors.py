"""The project's exceptions: every message says what happened, to which file, and what to do next."""

from __future__ import annotations

import traceback


class DsrError(Exception):
    """Base of everything this package raises on purpose; safe to show to a user as it is."""


class UsageError(DsrError):
    """An option or argument cannot be used as given (exit code 2)."""


class ImageError(DsrError):
    """A picture cannot be used.

    Args:
        message: one sentence for the user, naming the file and the next step.
        status: the word that goes into the report: ``unreadable``, ``unsupported``, ``too_small`` or ``too_large``.
    """

    def __init__(self, message: str, status: str = "unreadable") -> None:
        super().__init__(message)
        self.status = status


class TimeLimitError(DsrError):
    """An input takes longer than it may."""

    status = "too_slow"


class CameraError(DsrError):
    """Intrinsics or a camera hint make no sense (a focal length of zero, say)."""


class BodyError(DsrError):
    """A body-model file is missing, of the wrong kind, or not safe to read."""


class CheckpointError(DsrError):
    """A file of network weights cannot be read, or does not fit the network; the message names file and entry."""


class DetectionError(DsrError):
    """Imported detections (OpenPose, COCO, boxes) cannot be read."""


class FittingError(DsrError):
    """A fit could not be computed from the keypoints given."""


class LossError(DsrError):
    """A loss or a target was asked for with tensors it cannot use; the message names the argument."""


class RenderError(DsrError):
    """A renderer was given an argument or setting it cannot use; the message names it."""


class ExportError(DsrError):
    """A result cannot be written in the wanted format or place."""


class ResultError(DsrError):
    """A saved FitResult cannot be read, or not be saved under that name."""


class DatasetError(DsrError):
    """A data-set file (BVH, mhclo, npz) cannot be read."""


class TrainingError(DsrError):
    """A training run cannot begin, go on or be resumed; the message names the step, the term or the file."""


class MissingExtraError(DsrError):
    """An optional package is needed; the message names the extra to install."""


def error_sentence(error: BaseException) -> str:
    """What to tell a user about an error that nobody expected.

    Args:
        error: the system's (a file that cannot be read, too little memory) or anybody's, which is then a defect.

    Returns:
        A sentence or two; of a defect with the place where it happened, for a report.
    """
    if isinstance(error, OSError):
        file = f"{error.filename}: " if error.filename else ""
        return f"{file}{error.strerror or error or type(error).__name__}."
    if isinstance(error, MemoryError):
        return "the memory is too small for it; use fewer --jobs or smaller pictures."
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"unexpected {type(error).__name__}: {error}{place}. This is a defect; please report it."
