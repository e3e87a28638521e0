"""One person in one picture, as every data set here gives it: what is known is set, what is not is None.

A source yields records; a view (:mod:`dsr.datasets.dsr_view`, :mod:`dsr.datasets.perspose_view`) crops, augments and
turns a record into the tensors one network trains on, with masks for what the record lacks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np


@dataclass
class PersonRecord:
    """One person in one picture.

    Attributes:
        source: name of the data set.
        key: picture (and frame, and person) for messages and results; unique within the source.
        image: path of the picture, or (H, W, 3) uint8 RGB where it was made in memory.
        box_px: (4,) x0, y0, x1, y1 of the person in the picture.
        centre_px: (2,) middle of the published crop; by default that of the box.
        scale: side of the published crop / 200 px; by default from the box.
        K: (3, 3) intrinsics, None where unknown.
        gender: ``neutral``, ``male`` or ``female``.
        pose_aa: (24, 3) SMPL pose in axis-angle, 0 is the global orientation in the camera.
        betas: (nb,) shape of the model that ``shape_of`` names.
        transl: (3,) metres, camera.
        joints_m: named joint sets, each (K, 4): x, y, z in metres and confidence; relative to the root or in the
            camera (``smpl24`` and ``h36m17``: in the camera).
        keypoints_px: named keypoint sets, each (K, 3): u, v in picture pixels and confidence 0 to 1. The sets are
            ``openpose25``, ``spin24`` (SPIN's 24 "GT" joints), ``coco17``, ``smpl24``, ``h36m17``.
        labels: path of a Graphonomy palette PNG of the picture's size, (H, W) integer label ids, or None.
        mask: (H, W) bool mask of the person, or None.
        height_m: standing height, None where unknown.
        shape_of: whose coefficients ``betas`` are: ``smpl``, or ``open`` for the open body of made-up people. They
            mean nothing to the other one; the pose means the same to both.
    """

    source: str
    key: str
    image: Path | np.ndarray
    box_px: np.ndarray
    centre_px: np.ndarray | None = None
    scale: float | None = None
    K: np.ndarray | None = None
    gender: str = "neutral"
    pose_aa: np.ndarray | None = None
    betas: np.ndarray | None = None
    transl: np.ndarray | None = None
    joints_m: dict[str, np.ndarray] = field(default_factory=dict)
    keypoints_px: dict[str, np.ndarray] = field(default_factory=dict)
    labels: Path | np.ndarray | None = None
    mask: np.ndarray | None = None
    height_m: float | None = None
    shape_of: Literal["smpl", "open"] = "smpl"


class RecordSource(Protocol):
    """A data set: a sequence of records, read from disk (or made) when asked for; safe to use in worker processes."""

    name: str

    def __len__(self) -> int:
        """Number of records."""
        ...

    def record(self, index: int, epoch: int = 0) -> PersonRecord:
        """One record.

        Args:
            index: 0 to ``len(self) - 1``.
            epoch: sources that make their records give others in every epoch; the rest ignore it.

        Raises:
            DatasetError: naming the file and what is wrong with it.
        """
        ...
