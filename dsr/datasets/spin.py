"""Data sets in SPIN's npz layout, EFT's pseudo ground truth included (DSR specification, sections 9.2 and 9.3).

Human3.6M, MPI-INF-3DHP, 3DPW and COCO come as one npz of columns beside a folder of pictures; the Graphonomy label maps
lie in ``grph_sequences`` of that folder, under the pictures' names with ``.png``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from dsr.camera.network_input import CROP_MARGIN
from dsr.datasets.table_file import NpzTable
from dsr.errors import DatasetError
from dsr.synthetic.records import PersonRecord

LABEL_FOLDER: Final = "grph_sequences"
TRAINING_FILES: Final = {
    "h36m": "h36m_train.npz",
    "coco": "coco_2014_train.npz",
    "mpi-inf-3dhp": "mpi_inf_3dhp_train.npz",
    "3dpw": "3dpw_train.npz",
}
"""DSR's training files in ``dataset_extras``."""
PICTURE_FOLDERS: Final = {"h36m": "h36m", "coco": "coco", "mpi-inf-3dhp": "mpi_inf_3dhp", "3dpw": "3dpw"}
"""Their pictures in ``dataset_folders``."""

_NUMBERS: Final[Mapping[str, tuple[int, ...]]] = {
    "center": (2,),
    "scale": (),
    "pose": (72,),
    "shape": (10,),
    "has_smpl": (),
    "S": (24, 4),
    "part": (24, 3),
    "openpose": (25, 3),
}
GENDERS = {"m": "male", "male": "male", "f": "female", "female": "female"}


class SpinSource:
    """One npz of SPIN's layout.

    Opening reads the headers only; columns are memory-mapped (or read, where compressed) when first needed, and a copy
    sent to a worker carries none of them.

    Args:
        npz: the file: ``imgname`` (N), ``center`` (N, 2) and ``scale`` (N), and of ``pose`` (N, 72), ``shape`` (N, 10),
            ``has_smpl`` (N), ``S`` (N, 24, 4), ``part`` (N, 24, 3), ``openpose`` (N, 25, 3), ``gender`` and
            ``maskname`` (N) what it has.
        images: folder that ``imgname`` is relative to.
        name: of the data set; the file's stem where None.
        labels: folder of the label maps; ``grph_sequences`` in ``images`` where None. Records whose map is missing
            have none (the view marks them: ``has_labels`` False).
        masks: folder that ``maskname`` is relative to; masks are not read where None.

    Raises:
        DatasetError: naming the file and the key, if something is missing, misshapen or not to be read.
    """

    def __init__(
        self,
        npz: str | Path,
        images: str | Path,
        *,
        name: str | None = None,
        labels: str | Path | None = None,
        masks: str | Path | None = None,
    ) -> None:
        self.path, self.images = Path(npz), Path(images)
        self.name = name or self.path.stem
        self.labels = self.images / LABEL_FOLDER if labels is None else Path(labels)
        self.masks = None if masks is None else Path(masks)
        self._table = NpzTable(self.path)
        self._length = self._table.check(_NUMBERS, ("imgname", "center", "scale"), "fiub")
        text: dict[str, tuple[int, ...] | None] = {"imgname": (), "maskname": ()}
        self._table.check(text, ("imgname",), "US")
        self._table.check({"gender": ()}, ("imgname",), "USfi")
        if ("pose" in self._table) != ("shape" in self._table):
            lacks = "shape" if "pose" in self._table else "pose"
            raise DatasetError(f"{self.path} has no '{lacks}'; SMPL's pose and shape come together.")
        if self.masks is not None and "maskname" not in self._table:
            raise DatasetError(f"{self.path} has no 'maskname', but a folder of masks was given.")

    def __len__(self) -> int:
        """Number of records."""
        return self._length

    def record(self, index: int, epoch: int = 0) -> PersonRecord:
        """One record; see :class:`~dsr.synthetic.records.RecordSource`. The picture itself is not opened.

        Raises:
            DatasetError: naming the file, the key and the row, where a number is not finite or a name leads elsewhere.
        """
        if not 0 <= index < self._length:
            raise IndexError(f"record {index} of {self._length} in {self.path}")
        name = self._table.name("imgname", index)
        centre, scale = self._table.numbers("center", index), float(self._table.numbers("scale", index))
        if scale <= 0:
            raise DatasetError(f"{self.path}: 'scale' is {scale:g} in row {index}; it must be positive.")
        half = 100 * scale / CROP_MARGIN
        record = PersonRecord(
            source=self.name,
            key=f"{name}#{index}",
            image=self.images / name,
            box_px=np.concatenate([centre - half, centre + half]),
            centre_px=centre,
            scale=scale,
            gender=self._gender(index),
        )
        known = "has_smpl" not in self._table or bool(self._table.numbers("has_smpl", index))
        if "pose" in self._table and known:
            record.pose_aa = self._table.numbers("pose", index).reshape(24, 3)
            record.betas = self._table.numbers("shape", index)
        if "S" in self._table:
            record.joints_m["spin24"] = self._table.numbers("S", index)
        for key, keypoints in (("openpose", "openpose25"), ("part", "spin24")):
            if key in self._table:
                record.keypoints_px[keypoints] = self._table.numbers(key, index)
        label = self.labels / name.with_suffix(".png")
        record.labels = label if label.is_file() else None
        if self.masks is not None:
            record.mask = _read_mask(self.masks / self._table.name("maskname", index))
        return record

    def _gender(self, index: int) -> str:
        if "gender" not in self._table:
            return "neutral"
        return GENDERS.get(self._table.text("gender", index).lower(), "neutral")


def _read_mask(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as opened:
            return np.asarray(opened.convert("L")) > 0
    except Exception as error:
        raise DatasetError(f"{path}, a person's mask, cannot be read ({error}): make it again.") from error
