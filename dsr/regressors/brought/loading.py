"""What ``--regressor`` names beside networks of this package."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from dsr.errors import UsageError
from dsr.image.types import Photo
from dsr.options import split_regressor
from dsr.people.types import Detection


class BroughtKeypoints(Protocol):
    """Something that knows 3D keypoints of people who were found."""

    def __call__(
        self, photo: Photo, K: np.ndarray, detections: list[Detection], warnings: list[str]
    ) -> list[Detection]:
        """The same people with its 3D keypoints in place of the detector's; who it does not know comes back as before.

        Args:
            photo: the picture.
            K: (3, 3) intrinsics of the full picture, pixels.
            detections: at least one person.
            warnings: sentences for the user are added.
        """
        ...

    def record(self) -> dict[str, str]:
        """What a result says about it."""
        ...


def load_brought(name: str) -> BroughtKeypoints:
    """What ``instanthmr:FILE.onnx`` or ``sam3dbody:PATH`` names.

    Raises:
        UsageError: if the name cannot be meant, or there is no such file.
        CheckpointError: if the file is something else, or is not trusted.
        MissingExtraError: if its packages are not installed.
    """
    parsed = split_regressor(name)
    if parsed is not None and parsed[0] == "instanthmr":
        from dsr.regressors.brought.instanthmr import InstantHmr

        return InstantHmr(parsed[1])
    if parsed is not None and parsed[0] == "sam3dbody":
        from dsr.regressors.brought.sam3dbody import Sam3dBodyResults

        return Sam3dBodyResults(parsed[1])
    raise UsageError(f"--regressor {name} gives no 3D keypoints; use instanthmr:FILE.onnx or sam3dbody:PATH.")
