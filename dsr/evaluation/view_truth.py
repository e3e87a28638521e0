"""Photographs with 3D truth: a folder of pictures with ``truth.json``.

``truth.json`` holds ``views``, each with ``file``, ``person``, ``K``, ``joints_px`` (J, 2) pixels and ``joints_cam_mm``
(J, 3) millimetres in the view's camera, and ``joint_order``: the names of the J joints, such as ``R hip``. A joint that
is not known is null. Several views may be of one file: several people in one picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsr.errors import DatasetError
from dsr.evaluation.posture import LIMB12_NAMES
from dsr.files import read_json

VIEW_TRUTH_FILE = "truth.json"
_DEFAULT_ORDER = (
    "R hip", "R knee", "R ankle", "L hip", "L knee", "L ankle",
    "L shoulder", "L elbow", "L wrist", "R shoulder", "R elbow", "R wrist",
)  # fmt: skip
_FEWEST_JOINTS = 4
"""A similarity transform of fewer points says nothing."""


@dataclass(frozen=True, eq=False)
class TrueView:
    """One person in one photograph whose limb joints are known.

    Attributes:
        path: the picture.
        person: who it is; figures are also given by person.
        instant: name of the moment, "" where not given.
        K: (3, 3) intrinsics, pixels.
        joints_m: (12, 3) in the order of :data:`~dsr.evaluation.posture.LIMB12_NAMES`, metres, camera frame; NaN where
            not known.
        joints_px: (12, 2) pixels.
    """

    path: Path
    person: str
    instant: str
    K: np.ndarray
    joints_m: np.ndarray
    joints_px: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """(12,) True for joints whose place and pixel are known."""
        return np.asarray(np.isfinite(self.joints_m).all(1) & np.isfinite(self.joints_px).all(1))

    @property
    def box_px(self) -> np.ndarray:
        """(4,) x0, y0, x1, y1 around the person: the joints, and what they say of head, hands and feet."""
        points = self.joints_px
        shoulders, hips = points[0:2].mean(0), points[6:8].mean(0)
        with_head = np.vstack([points, shoulders + 0.6 * (shoulders - hips)])
        low, high = np.nanmin(with_head, axis=0), np.nanmax(with_head, axis=0)
        margin = 0.06 * float((high - low).max())
        return np.concatenate([low - margin, high + margin])


def load_views(folder: str | Path) -> list[TrueView]:
    """All views of a folder, in the order of its ``truth.json``.

    Raises:
        DatasetError: if the file is missing or broken, or a picture is missing.
    """
    file, data = Path(folder) / VIEW_TRUTH_FILE, _read(folder)
    order = _order(data.get("joint_order", list(_DEFAULT_ORDER)), file)
    return [_view(row, order, file, number) for number, row in enumerate(data["views"])]


def view_rows(folder: str | Path) -> list[dict[str, Any]]:
    """The entries of a folder's ``truth.json`` as they stand there, in the order of :func:`load_views`.

    Raises:
        DatasetError: if the file is missing or broken.
    """
    return [row if isinstance(row, dict) else {} for row in _read(folder)["views"]]


def _read(folder: str | Path) -> dict[str, Any]:
    """The file's contents, with a list ``views`` that is not empty."""
    file = Path(folder) / VIEW_TRUTH_FILE
    try:
        data = read_json(file)
    except OSError as error:
        raise DatasetError(
            f"{file}: cannot be read ({error.strerror or error}); name a folder of photographs with their "
            f"{VIEW_TRUTH_FILE} (docs/benchmarks.md says what stands in it)."
        ) from error
    except ValueError as error:
        raise DatasetError(f"{file}: not valid JSON ({error}).") from error
    rows = data.get("views") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not rows:
        raise DatasetError(f"{file}: no list 'views' with entries; is it the truth of photographs with 3D joints?")
    return dict(data)


def _order(names: Any, file: Path) -> list[int]:
    """Where each of the twelve joints stands in the file's lists."""
    plain = [_plain_name(name) for name in names] if isinstance(names, list) else []
    missing = [name for name in LIMB12_NAMES if name not in plain]
    if missing:
        raise DatasetError(f"{file}: joint_order lacks {', '.join(missing)}.")
    return [plain.index(name) for name in LIMB12_NAMES]


def _plain_name(name: Any) -> str:
    """``R hip`` as ``right_hip``."""
    words = str(name).lower().replace("_", " ").split()
    return "_".join({"r": "right", "l": "left"}.get(word, word) for word in words)


def _view(row: Any, order: list[int], file: Path, number: int) -> TrueView:
    where = f"{file}, view {number}"
    try:
        name = str(row["file"])
        K = np.array(row["K"], np.float64)
        joints_m = np.array(row["joints_cam_mm"], np.float64)[order] / 1000
        joints_px = np.array(row["joints_px"], np.float64)[order]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DatasetError(
            f"{where}: needs file, K, joints_px and joints_cam_mm as docs/benchmarks.md says "
            f"({type(error).__name__}: {error})."
        ) from error
    if K.shape != (3, 3) or not np.isfinite(K).all() or not (K[0, 0] > 0 and K[1, 1] > 0):
        raise DatasetError(f"{where} ({name}): K is no 3 x 3 matrix of finite numbers with positive focal lengths.")
    if joints_m.shape != (12, 3) or joints_px.shape != (12, 2):
        raise DatasetError(f"{where} ({name}): joints_cam_mm must be three and joints_px two numbers per joint.")
    view = TrueView(file.parent / name, str(row.get("person", "")), str(row.get("instant", "")), K, joints_m, joints_px)
    if view.known.sum() < _FEWEST_JOINTS:
        raise DatasetError(f"{where} ({name}): fewer than {_FEWEST_JOINTS} joints are known.")
    if (view.joints_m[view.known, 2] <= 0).any():
        raise DatasetError(f"{where} ({name}): a joint lies behind the camera; joints_cam_mm has z forward.")
    if not view.path.is_file():
        raise DatasetError(f"{where}: the picture {view.path} is missing.")
    return view
