"""The project's exceptions: every message says what happened, to which file, and what to do next."""

from __future__ import annotations


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
