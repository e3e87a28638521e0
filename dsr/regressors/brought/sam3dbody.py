"""Results of SAM 3D Body: what it said of the people of a picture, from files. Its weights are not needed.

A file holds one person (``bbox`` (4,)) or several (``bbox`` (n, 4)), as plain arrays of an ``.npz`` or lists of a JSON
file; a JSON file may also be a list of people. Pickles are programs and are not read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.body.mhr import KEYPOINTS, blazepose_of_keypoints
from dsr.errors import CheckpointError, DsrError, UsageError
from dsr.files import file_sha256, read_json
from dsr.npz import read_npz
from dsr.people.candidates import box_iou

if TYPE_CHECKING:
    from dsr.image.types import Photo
    from dsr.people.types import Detection

SIGMA_M = 0.035
"""How far its joints are off after a similarity alignment: 30 to 40 mm on public benchmarks."""
_SAME_BOX = 0.3
_KEYS = ("bbox", "pred_keypoints_3d")


@dataclass(frozen=True)
class SamPerson:
    """One person: box (4,) pixels and MHR70 keypoints (70, 3), metres, camera axes."""

    box_px: np.ndarray
    points_m: np.ndarray


class Sam3dBodyResults:
    """Results in a file of one picture, or in a folder with ``NAME.npz``, ``NAME_0.npz``, ... or ``NAME.json``.

    Args:
        path: the file or folder.

    Raises:
        UsageError: if there is nothing of the kind.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir() and not [*path.glob("*.npz"), *path.glob("*.json")]:
            raise UsageError(f"--regressor sam3dbody:{path}: the folder holds no .npz or .json results.")
        if path.is_file() and path.suffix.lower() not in (".npz", ".json"):
            raise UsageError(
                f"--regressor sam3dbody:{path}: give .npz or .json files of plain arrays; pickles are programs and are "
                "not read. In Python: numpy.savez('NAME.npz', **result)."
            )
        self.path = path
        self._read: list[Path] = []

    def record(self) -> dict[str, str]:
        """What a result says about it; the hash is that of the picture's only file, or of all of theirs together."""
        from hashlib import sha256

        hashes = [file_sha256(file) for file in self._read]
        together = hashes[0] if len(hashes) == 1 else sha256(" ".join(hashes).encode()).hexdigest()
        return {"name": "sam3dbody", "checkpoint": str(self.path), "sha256": together, "body": "mhr"}

    def __call__(
        self, photo: Photo, K: np.ndarray, detections: list[Detection], warnings: list[str]
    ) -> list[Detection]:
        """People with its 3D keypoints, see :class:`~dsr.regressors.brought.loading.BroughtKeypoints`.

        Raises:
            CheckpointError: if a file is damaged or lacks what it should hold.
        """
        from scipy.optimize import linear_sum_assignment

        self._read = self._files(photo.path)
        people = [person for file in self._read for person in read_people(file)]
        if not people:
            warnings.append(f"SAM 3D Body has no result for {photo.path.name} in {self.path}; fitted without it.")
            return detections
        overlap = np.stack([box_iou(d.box_px, np.stack([p.box_px for p in people])) for d in detections])
        told = list(detections)
        for row, column in zip(*linear_sum_assignment(-overlap), strict=True):
            if overlap[row, column] >= _SAME_BOX and told[row].keypoint_set == "blazepose33":
                place, sigma = blazepose_of_keypoints(people[column].points_m, SIGMA_M)
                told[row] = replace(told[row], world_m=place, world_sigma_m=sigma)
        left = sum(a is b for a, b in zip(told, detections, strict=True))
        if left:
            warnings.append(f"SAM 3D Body has no result for {left} of {len(told)} people; they are fitted without it.")
        return told

    def _files(self, picture: Path) -> list[Path]:
        """The files of one picture."""
        if self.path.is_file():
            return [self.path]
        stem = picture.stem
        found = [self.path / f"{stem}{end}" for end in (".npz", ".json")]
        numbered = [f for f in self.path.glob("*.npz") if f.stem.rpartition("_")[0] == stem]
        numbered = sorted((f for f in numbered if f.stem.rpartition("_")[2].isdigit()), key=_number)
        return [file for file in found if file.is_file()] or numbered


def read_people(file: Path) -> list[SamPerson]:
    """The people of one file.

    Raises:
        CheckpointError: if it is damaged or lacks what it should hold.
    """
    try:
        if file.suffix.lower() == ".npz":
            entries: list[Any] = [read_npz(file, keys=_KEYS)]
        else:
            data = read_json(file)
            entries = data if isinstance(data, list) else [data]
        return [person for entry in entries for person in _people(entry)]
    except (DsrError, OSError, ValueError, TypeError, KeyError) as error:
        kind = "" if not isinstance(error, KeyError) else "it lacks "
        raise CheckpointError(
            f"{file} is no result of SAM 3D Body: {kind}{str(error) or type(error).__name__}. Expected plain arrays "
            f"bbox (4,) and pred_keypoints_3d ({KEYPOINTS}, 3), or the same of several people."
        ) from error


def _people(entry: Any) -> list[SamPerson]:
    boxes = np.asarray(entry["bbox"], np.float64).reshape(-1, 4)
    points = np.asarray(entry["pred_keypoints_3d"], np.float64).reshape(-1, KEYPOINTS, 3)
    if len(boxes) != len(points):
        raise ValueError(f"{len(boxes)} boxes and keypoints of {len(points)} people")
    if not (np.isfinite(boxes).all() and np.isfinite(points).all()):
        raise ValueError("a number is not finite")
    return [SamPerson(box, place) for box, place in zip(boxes, points, strict=True)]


def _number(file: Path) -> int:
    return int(file.stem.rpartition("_")[2])
