"""Data sets in PersPose's layout: one file of columns per set, pictures in a folder (specification, section 9).

3DPW, Human3.6M and BEDLAM come with SMPL, MPI-INF-3DHP with 17 joints, COCO with 17 keypoints. The published files are
joblib dictionaries; ``.npz`` with the same names does too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from dsr.datasets.joblib_file import open_table
from dsr.datasets.spin import GENDERS
from dsr.errors import DatasetError
from dsr.synthetic.records import PersonRecord

SUBJECT_HEIGHTS_M: Final = (1.7994, 1.8039, 1.7621, 1.6546, 1.6756, 1.6977, 1.7823, 1.7548)
"""Standing heights of MPI-INF-3DHP's subjects S1 to S8."""

TRAINING_FOLDERS: Final = {
    "h36m": "h36m",
    "coco": "coco",
    "3dhp": "3dhp",
    "3dpw": "3dpw",
    "bedlam-train": "bedlam",
    "bedlam-val": "bedlam",
}
"""PersPose's training sets and their folders."""

PICTURE_FOLDERS: Final = {"coco": "train2017", "3dhp": "mpi_inf_3dhp_train_set", "bedlam": "data"}
"""Where in a set's folder the published loaders look for its pictures."""

_SUFFIXES = (".pt", ".npz", ".joblib", ".pkl", ".pickle")
_LOOKED_AT = 100  # pictures of a table that are looked for before a run begins
_NUMBERS: Final[Mapping[str, tuple[int, ...] | None]] = {
    "bbox": (4,),
    "cam_intrinsics": (3, 3),
    "smpl_theta": None,
    "smpl_beta": None,
    "smpl_transl": (3,),
    "3dhp_j17": (17, 3),
    "coco_kp17": (17, 3),
}
_SMPL = ("smpl_theta", "smpl_beta", "smpl_transl")
_SUBJECT = re.compile(r"(?<![A-Za-z])S([1-8])(?!\d)")


class PersPoseSource:
    """One file of PersPose's layout.

    Args:
        path: ``file_name`` (N), ``bbox`` (N, 4: x, y, width, height) and of ``cam_intrinsics`` (N, 3, 3), ``gender``,
            ``smpl_theta`` (N, 24, 3), ``smpl_beta`` (N, 10 or 11), ``smpl_transl`` (N, 3), ``3dhp_j17`` (N, 17, 3) and
            ``coco_kp17`` (N, 17, 3) what the set has; other columns are not looked at.
        images: folder that ``file_name`` is relative to, or ``video_name`` / ``file_name``.
        name: of the data set; the file's stem where None. Names that begin with ``bedlam`` get BEDLAM's loss weight.

    Raises:
        DatasetError: naming the file and the column, if something is missing, misshapen or not to be read.
    """

    def __init__(self, path: str | Path, images: str | Path, *, name: str | None = None) -> None:
        self.path, self.images = Path(path), Path(images)
        self.name = name or self.path.stem
        self._table = open_table(self.path)
        self._length = self._table.check(_NUMBERS, ("file_name", "bbox"), "fiub")
        texts: Mapping[str, tuple[int, ...] | None] = {"file_name": (), "video_name": (), "gender": ()}
        self._table.check(texts, ("file_name",), "USfi")
        present = [key in self._table for key in _SMPL]
        if any(present) and not all(present):
            raise DatasetError(f"{self.path} has no '{_SMPL[present.index(False)]}'; {', '.join(_SMPL)} come together.")
        for key in _SMPL[:2] if all(present) else ():
            row = self._table.shape(key)[1:]
            if (row not in ((24, 3), (72,))) if key == "smpl_theta" else (len(row) != 1 or row[0] < 10):
                needed = "(N, 24, 3)" if key == "smpl_theta" else "(N, 10) or (N, 11)"
                raise DatasetError(f"{self.path}: '{key}' has shape {self._table.shape(key)}; {needed} is needed.")
        needs_camera = all(present) or "3dhp_j17" in self._table
        if needs_camera and "cam_intrinsics" not in self._table:
            raise DatasetError(f"{self.path} has no 'cam_intrinsics', but labels in the camera that need them.")

    def __len__(self) -> int:
        """Number of records."""
        return self._length

    def record(self, index: int, epoch: int = 0) -> PersonRecord:
        """One record; see :class:`~dsr.synthetic.records.RecordSource`. The picture itself is not opened.

        Raises:
            DatasetError: naming the file, the column and the row, where a value cannot be used.
        """
        if not 0 <= index < self._length:
            raise IndexError(f"record {index} of {self._length} in {self.path}")
        table = self._table
        x, y, width, height = table.numbers("bbox", index)
        if width <= 0 or height <= 0:
            raise DatasetError(f"{self.path}: 'bbox' has no area in row {index}; it is x, y, width, height.")
        name = table.name("file_name", index)
        video = table.text("video_name", index) if "video_name" in table else ""
        image = self.images / name
        if video and not image.is_file():
            image = self.images / table.name("video_name", index) / name
        record = PersonRecord(
            source=self.name,
            key=f"{video}/{name}#{index}" if video else f"{name}#{index}",
            image=image,
            box_px=np.array([x, y, x + width, y + height]),
        )
        if "gender" in table:
            record.gender = GENDERS.get(table.text("gender", index).lower(), "neutral")
        if "cam_intrinsics" in table:
            record.K = table.numbers("cam_intrinsics", index)
        if "smpl_theta" in table:
            record.pose_aa = table.numbers("smpl_theta", index).reshape(24, 3)
            record.betas, record.transl = table.numbers("smpl_beta", index), table.numbers("smpl_transl", index)
        if "3dhp_j17" in table:
            joints = table.numbers("3dhp_j17", index)
            record.joints_m["h36m17"] = np.concatenate([joints, np.ones((17, 1))], 1)
            subject = _SUBJECT.search(f"{video}/{name}")
            record.height_m = SUBJECT_HEIGHTS_M[int(subject[1]) - 1] if subject else None
        if "coco_kp17" in table:
            points = table.numbers("coco_kp17", index)
            record.keypoints_px["coco17"] = np.concatenate([points[:, :2], np.clip(points[:, 2:], 0, 1)], 1)
        return record


def open_perspose_set(root: str | Path, name: str) -> PersPoseSource:
    """One of PersPose's training sets: the only table of its folder that has ``train`` (or ``val``) in its name.

    Args:
        root: folder with ``h36m``, ``coco``, ``3dhp``, ``3dpw`` and ``bedlam``; ``file_name`` is looked for in
            :data:`PICTURE_FOLDERS` of these, in ``images``, or in the folder itself, the first that there is. A
            hundred pictures of the table must be there.
        name: a key of :data:`TRAINING_FOLDERS`.

    Raises:
        DatasetError: if the set is unknown, there is no such table or several, it does not fit, or pictures are
            missing, naming the first.
    """
    if name not in TRAINING_FOLDERS:
        raise DatasetError(f"There is no data set {name!r} of PersPose; choose from {', '.join(TRAINING_FOLDERS)}.")
    folder = Path(root) / TRAINING_FOLDERS[name]
    word = "val" if name.endswith("val") else "train"
    tables = sorted(p for p in folder.glob(f"*{word}*") if p.suffix in _SUFFIXES) if folder.is_dir() else []
    if len(tables) != 1:
        lies = f"{', '.join(p.name for p in tables)} lie" if tables else "none lies"
        raise DatasetError(f"{folder}: {name} needs one table of columns with '{word}' in its name, and {lies} there.")
    inside = [folder / sub for sub in (PICTURE_FOLDERS.get(folder.name), "images") if sub]
    images = next((path for path in inside if path.is_dir()), folder)
    source = PersPoseSource(tables[0], images, name=name)
    rows = np.unique(np.linspace(0, max(0, len(source) - 1), min(len(source), _LOOKED_AT)).astype(int))
    pictures = [Path(str(source.record(int(row)).image)) for row in rows]
    missing = [image for image in pictures if not image.is_file()]
    if missing:
        raise DatasetError(
            f"{missing[0]} is missing, as are {len(missing) - 1} more of {len(rows)} pictures of {tables[0].name} that "
            f"were looked for: put them below {images}."
        )
    return source
