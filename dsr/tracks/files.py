"""Lifters' data files as tracks: Human3.6M and HumanEva (VideoPose3D's form), MPI-INF-3DHP (P-STMO's form).

These npz files hold pickled dictionaries; they are read by :mod:`dsr.body.unpickle`, nothing in them is executed.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dsr.body.unpickle import read_pickle
from dsr.errors import BodyError, DatasetError, UsageError
from dsr.npz import ARCHIVE_DAMAGE, array_of, read_header
from dsr.tracks.cameras import LabCamera, fitted_matrix, read_cameras
from dsr.tracks.skeleton import HUMANEVA15
from dsr.tracks.track import PoseTrack

H36M_TRAIN = ("S1", "S5", "S6", "S7", "S8")
H36M_TEST = ("S9", "S11")
HUMANEVA_TRAIN = ("Train/S1", "Train/S2", "Train/S3")
HUMANEVA_TEST = ("Validate/S1", "Validate/S2", "Validate/S3")
H36M_KEPT = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""Joints of the 32 of ``data_3d_h36m.npz`` that lifters use."""

MPI_TO_H36M = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)
"""Joint of MPI-INF-3DHP at each place of Human3.6M's order."""

_MPI: dict[str, Any] = {"root": 14, "left": (5, 6, 7, 11, 12, 13), "right": (2, 3, 4, 8, 9, 10)}
_LARGEST = 16 << 30
_H36M_FPS, _HUMANEVA_FPS = 50.0, 60.0
_COCO_TO_HUMANEVA = (5, 7, 9, 6, 8, 10, 11, 13, 15, 12, 14, 16, 0)


def load_h36m(
    data_3d: str | Path,
    data_2d: str | Path,
    subjects: Collection[str] | None = None,
    cameras: str | Path | Mapping[str, Any] | None = None,
) -> list[PoseTrack]:
    """Tracks of Human3.6M: every action in every camera (KTPFormer specification, section 10).

    Args:
        data_3d: ``data_3d_h36m.npz``: ``positions_3d``, subject -> action -> (T, 32 or 17, 3) metres in the world.
        data_2d: ``data_2d_h36m_*.npz``: ``positions_2d``, subject -> action -> list over cameras of (T', 17, 2 or 3)
            pixels with T' >= T, and ``metadata`` with ``keypoints_symmetry``.
        subjects: those wanted (:data:`H36M_TRAIN`, :data:`H36M_TEST`); None for all that the 2D file has.
        cameras: as :func:`dsr.tracks.cameras.read_cameras` takes them; None for ``cameras_h36m.json``
            beside ``data_3d``.

    Raises:
        DatasetError: naming the file and the entry that is missing or does not fit.
    """
    world = _table(data_3d, "positions_3d")
    arrays = read_object_npz(data_2d)
    left, right = _symmetry(data_2d, arrays)
    tracks = []
    for subject, action, index, view, joints, keypoints in _lab_views(
        data_3d, world, data_2d, arrays, subjects, cameras, "h36m", (17, 32)
    ):
        joints = joints[:, H36M_KEPT] if joints.shape[1] == 32 else joints
        name = f"{subject} {action} camera {index}"
        tracks.append(_lab_track(data_2d, name, subject, action, view, joints, keypoints, left, right, _H36M_FPS))
    return tracks


def load_humaneva(
    data_3d: str | Path,
    data_2d: str | Path,
    subjects: Collection[str] | None = None,
    cameras: str | Path | Mapping[str, Any] | None = None,
) -> list[PoseTrack]:
    """Tracks of HumanEva-I with 15 joints (GLA-GCN specification, sections 2 and 8).

    Tables of this data set are by action and subject: the tracks' actions are ``Walking/S1 ...``.

    Args:
        data_3d: ``data_3d_humaneva15.npz``: "Train/S1" or "Validate/S1" -> action -> (T, 15, 3) metres in the world.
        data_2d: ``data_2d_humaneva15_*.npz`` -> the same -> list over cameras of (T', 15 or 17, 2 or 3) pixels; 17 are
            COCO's keypoints, of which the 15 are made (hips' and shoulders' middle, the nose for the head).
        subjects: those wanted (:data:`HUMANEVA_TRAIN`, :data:`HUMANEVA_TEST`); None for all that the 2D file has.
        cameras: as for :func:`load_h36m`, by "S1"; None for ``cameras_humaneva15.json`` beside ``data_3d``.

    Raises:
        DatasetError: naming the file and the entry that is missing or does not fit.
    """
    world, arrays = _table(data_3d, "positions_3d"), read_object_npz(data_2d)
    tracks = []
    for subject, action, index, view, joints, keypoints in _lab_views(
        data_3d, world, data_2d, arrays, subjects, cameras, "humaneva15", (15,)
    ):
        name = f"{subject} {action} camera {index}"
        seen = _numbers(data_2d, name, keypoints, (2, 3), (15, 17))
        if seen.shape[1] == 17:
            middles = (seen[:, 11:13].mean(1), seen[:, 5:7].mean(1))
            seen = np.concatenate((np.stack(middles, 1), seen[:, list(_COCO_TO_HUMANEVA)]), 1)
        first, _, rest = action.partition(" ")
        person = subject.rpartition("/")[2]
        shown = f"{first}/{person} {rest}".strip()
        sides = HUMANEVA15.left, HUMANEVA15.right
        tracks.append(_lab_track(data_2d, name, subject, shown, view, joints, seen, *sides, _HUMANEVA_FPS, 15))
    return tracks


def _lab_views(
    data_3d: str | Path,
    world: dict[str, Any],
    data_2d: str | Path,
    arrays: dict[str, Any],
    subjects: Collection[str] | None,
    cameras: str | Path | Mapping[str, Any] | None,
    data_set: str,
    joint_counts: Collection[int],
) -> Iterator[tuple[str, str, int, LabCamera, np.ndarray, Any]]:
    """Subject, action, camera's number, camera, joints (T, J, 3) in the world and keypoints of every view."""
    seen = _table(data_2d, "positions_2d", arrays)
    cameras = Path(data_3d).with_name(f"cameras_{data_set}.json") if cameras is None else cameras
    if isinstance(cameras, Path) and not cameras.is_file():
        raise DatasetError(
            f"{cameras} is missing: the calibrations of the data set's cameras belong there, subject -> "
            "list of cameras with orientation (w, x, y, z), translation (mm), focal_length, center, ...; "
            "python -m dsr.tracks.camera_table makes it from VideoPose3D's h36m_dataset.py or humaneva_dataset.py."
        )
    chosen = list(seen if subjects is None else subjects)
    calibrations = read_cameras(cameras, {subject.rpartition("/")[2] for subject in chosen})
    for subject in chosen:
        lists, poses = _entry(data_2d, seen, subject), _entry(data_3d, world, subject)
        views = calibrations.get(subject.rpartition("/")[2])
        if views is None:
            raise DatasetError(f"{cameras} has no cameras of {subject}; see docs/lifters.md for what belongs there.")
        for action, several in lists.items():
            if action not in poses:
                raise DatasetError(f"{data_3d} has no action {action!r} of {subject}, which {data_2d} has.")
            joints = _numbers(data_3d, f"{subject} {action}", poses[action], (3,), joint_counts)
            if not isinstance(several, (list, tuple, np.ndarray)) or len(several) > len(views):
                raise DatasetError(f"{data_2d}: {subject} {action} needs one array for each of {len(views)} cameras.")
            for index, (view, keypoints) in enumerate(zip(views, several, strict=False)):
                yield subject, action, index, view, joints, keypoints


def load_mpi_inf_3dhp(
    path: str | Path, order: str = "h36m17", sequences: Collection[str] | None = None, fps: float = 25.0
) -> list[PoseTrack]:
    """Tracks of MPI-INF-3DHP from P-STMO's ``data_train_3dhp.npz`` or ``data_test_3dhp.npz``.

    The files hold no cameras: ``K`` is the one that sees the joints where their keypoints are, None where none does.

    Args:
        path: the file; ``data`` is "S1 Seq1" -> [{camera: {data_2d, data_3d}}, fps], or TS1 to TS6 ->
            {data_2d, data_3d, valid}; pixels and millimetres.
        order: "h36m17" puts the joints in Human3.6M's order (neck for thorax, head for neck/nose); "mpi" keeps theirs,
            with the pelvis at 14.
        sequences: names of those wanted; None for all.
        fps: where the file does not say.

    Raises:
        DatasetError: naming the file and the entry that is missing or does not fit.
        UsageError: for an unknown order.
    """
    if order not in ("h36m17", "mpi"):
        raise UsageError(f"Unknown joint order {order!r}; choose h36m17 or mpi.")
    data = _table(path, "data")
    tracks = []
    for name in data if sequences is None else sequences:
        entry = data.get(name)
        views: Mapping[Any, Any]
        if isinstance(entry, Mapping):
            views, rate = {"0": entry}, fps
        elif isinstance(entry, (list, tuple, np.ndarray)) and len(entry) and isinstance(entry[0], Mapping):
            views, rate = entry[0], _rate(entry[1:], fps)
        else:
            raise DatasetError(f"{path}: sequence {name!r} is missing or holds no cameras.")
        for camera, arrays in views.items():
            tracks.append(_mpi_track(path, str(name), str(camera), arrays, rate, order))
    return tracks


def read_object_npz(path: str | Path) -> dict[str, Any]:
    """What an npz file of pickled dictionaries holds, by name; arrays, lists, tables, numbers and text only.

    Raises:
        DatasetError: if the file is missing, damaged, unreasonably large, or names anything but plain data.
    """
    result: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.filename.endswith(".npy"):
                    continue
                if info.file_size > _LARGEST:
                    raise DatasetError(f"{path}: '{info.filename[:-4]}' claims more than {_LARGEST >> 30} GiB.")
                data = archive.read(info)
                stream = io.BytesIO(data)
                if read_header(stream, info.filename[:-4])[2].hasobject:
                    value = read_pickle(stream, f"{path} ('{info.filename[:-4]}')")
                else:
                    value = array_of(data, info.filename[:-4])
                result[info.filename[:-4]] = value.item() if getattr(value, "shape", None) == () else value
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist: check the name.") from None
    except BodyError as error:
        raise DatasetError(str(error)) from error
    except (*ARCHIVE_DAMAGE, MemoryError) as error:
        raise DatasetError(f"{path} is damaged or no npz file ({error}): copy it again.") from error
    return result


def _table(path: str | Path, key: str, arrays: dict[str, Any] | None = None) -> dict[str, Any]:
    """A dictionary of an npz file."""
    arrays = read_object_npz(path) if arrays is None else arrays
    value = arrays.get(key)
    if not isinstance(value, dict) or not value:
        raise DatasetError(f"{path} has no table '{key}'; it holds {', '.join(arrays) or 'nothing'}.")
    return value


def _entry(path: str | Path, table: dict[str, Any], subject: str) -> dict[str, Any]:
    value = table.get(subject)
    if not isinstance(value, dict):
        raise DatasetError(f"{path} has no subject {subject}; it has {', '.join(map(str, table))}.")
    return value


def _numbers(path: str | Path, name: str, value: Any, last: Collection[int], joints: Collection[int]) -> np.ndarray:
    """A finite array (T, J, d) with J and d among those allowed."""
    array = np.asarray(value)
    fits = array.ndim == 3 and array.dtype.kind in "fiu" and len(array) > 0
    if not fits or array.shape[1] not in joints or array.shape[2] not in last:
        raise DatasetError(
            f"{path}: {name} has shape {array.shape} ({array.dtype}); frames x {min(joints)} joints x "
            f"{min(last)} numbers are needed."
        )
    if not np.isfinite(array).all():
        frame = int(np.argmin(np.isfinite(array).all((1, 2))))
        raise DatasetError(f"{path}: {name} is not finite in frame {frame}.")
    return array


def _symmetry(path: str | Path, arrays: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Left and right joints from the metadata."""
    metadata = arrays.get("metadata")
    if not isinstance(metadata, dict) or "keypoints_symmetry" not in metadata:
        raise DatasetError(f"{path} has no 'metadata' with 'keypoints_symmetry' (left and right joints).")
    try:
        left, right = (tuple(int(j) for j in side) for side in metadata["keypoints_symmetry"])
        count = int(metadata.get("num_joints", 17))
    except (TypeError, ValueError):
        raise DatasetError(f"{path}: 'keypoints_symmetry' must be the lists of left and of right joints.") from None
    if count != 17:
        raise DatasetError(f"{path} has {count} keypoints; the lifters of Human3.6M take 17.")
    if len(left) != len(right) or len({*left, *right}) != 2 * len(left) or not {*left, *right} <= set(range(17)):
        raise DatasetError(f"{path}: 'keypoints_symmetry' names joints twice, unpaired or beyond the 17.")
    return left, right


def _lab_track(
    path: str | Path,
    name: str,
    subject: str,
    action: str,
    view: LabCamera,
    joints: np.ndarray,
    keypoints: Any,
    left: tuple[int, ...],
    right: tuple[int, ...],
    fps: float,
    count: int = 17,
) -> PoseTrack:
    """One action in one camera; the keypoints are cut to the length of the motion capture."""
    array = _numbers(path, name, keypoints, (2, 3), (count,))
    if len(array) < len(joints):
        raise DatasetError(f"{path}: {name} has {len(array)} frames of keypoints for {len(joints)} of 3D joints.")
    array = array[: len(joints)].astype(np.float32)
    return PoseTrack(
        name=name,
        subject=subject,
        action=action,
        camera=view.name,
        fps=fps,
        keypoints_px=array[..., :2],
        joints_m=view.to_camera(joints).astype(np.float32),
        size=view.size,
        K=view.matrix(),
        intrinsic=view.intrinsic,
        confidence=array[..., 2] if array.shape[2] == 3 else None,
        left=left,
        right=right,
    )


def _mpi_track(path: str | Path, name: str, camera: str, arrays: Any, fps: float, order: str) -> PoseTrack:
    """One sequence in one camera."""
    label = f"{name} camera {camera}"
    if not isinstance(arrays, Mapping) or not {"data_2d", "data_3d"} <= set(arrays):
        raise DatasetError(f"{path}: {label} lacks 'data_2d' or 'data_3d'.")
    keypoints = _numbers(path, f"{label} data_2d", arrays["data_2d"], (2,), (17,))
    joints = _numbers(path, f"{label} data_3d", arrays["data_3d"], (3,), (17,))
    valid = None
    if "valid" in arrays:
        valid = np.asarray(arrays["valid"]).reshape(-1) != 0
    if len(keypoints) != len(joints) or (valid is not None and len(valid) != len(joints)):
        raise DatasetError(f"{path}: {label} has {len(keypoints)} frames of keypoints for {len(joints)} of 3D joints.")
    chosen = list(MPI_TO_H36M) if order == "h36m17" else list(range(17))
    subject = name.split()[0]
    size = (1920, 1080) if subject in ("TS5", "TS6") else (2048, 2048)
    return PoseTrack(
        name=label,
        subject=subject,
        action=name,
        camera=camera,
        fps=fps,
        keypoints_px=keypoints[:, chosen].astype(np.float32),
        joints_m=(joints[:, chosen] / 1000).astype(np.float32),
        size=size,
        K=fitted_matrix(joints, keypoints, size),
        valid=valid,
        **({} if order == "h36m17" else _MPI),
    )


def _rate(rest: Any, fps: float) -> float:
    """The file's frames per second, or the fallback."""
    try:
        rate = float(np.asarray(rest[0]).reshape(-1)[0])
    except (IndexError, TypeError, ValueError):
        return fps
    return rate if np.isfinite(rate) and rate > 0 else fps
