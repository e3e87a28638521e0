"""Cameras of Human3.6M in the form that lifters' data sets use: where they stand, and their nine intrinsics."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from dsr.camera.lens import MIRRORED_SIGNS, project_screen
from dsr.errors import DatasetError
from dsr.files import read_json

_FEWEST_POINTS, _LEAST_SPREAD, _FITS = 12, 0.005, 4
_LARGEST_ERROR = 0.01
"""Of the picture's longer side: what joints may be away from their keypoints, in the median, by a fitted camera."""


@dataclass(frozen=True, eq=False)
class LabCamera:
    """A calibrated camera of a motion-capture lab.

    Attributes:
        orientation: (4,) unit quaternion w, x, y, z.
        translation_m: (3,) place in the world, metres.
        size: width and height of its pictures, pixels.
        intrinsic: (9,) focal lengths and centre, screen-normalised, three radial and two tangential coefficients; or
            None where only the place is known.
        name: for messages.
    """

    orientation: np.ndarray
    translation_m: np.ndarray
    size: tuple[int, int]
    intrinsic: np.ndarray | None = None
    name: str = "0"

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World (..., 3) to camera (..., 3) metres: ``q^-1 (X - t) q``."""
        return (points - self.translation_m) @ self._turn()

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`to_camera`."""
        return points @ self._turn().T + self.translation_m

    def project(self, points: np.ndarray, distortion: bool = True) -> np.ndarray:
        """Screen coordinates (..., 2) of points (..., 3) in the camera; the rays' slopes are kept within [-1, 1].

        Raises:
            DatasetError: if the camera's intrinsics are unknown.
        """
        if self.intrinsic is None:
            raise DatasetError(f"Camera {self.name} has no intrinsics: it cannot project.")
        camera, cast = torch.from_numpy(np.asarray(self.intrinsic, np.float64)), np.asarray(points, np.float64)
        return project_screen(torch.from_numpy(cast), camera, distortion).numpy()

    def matrix(self) -> np.ndarray | None:
        """(3, 3) intrinsics in pixels without distortion, or None where unknown."""
        if self.intrinsic is None:
            return None
        width, height = self.size
        fx, fy, cx, cy = self.intrinsic[:4] * width / 2
        return np.array([[fx, 0, cx + width / 2], [0, fy, cy + height / 2], [0, 0, 1]])

    def _turn(self) -> np.ndarray:
        """Columns are the camera's axes in the world, (3, 3)."""
        return Rotation.from_quat(np.roll(self.orientation, -1)).as_matrix()


def fitted_matrix(joints_m: np.ndarray, keypoints_px: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """The pinhole camera that sees joints where keypoints are: for files that hold both, but no calibration.

    Args:
        joints_m: (T, J, 3) in the camera; the unit does not matter.
        keypoints_px: (T, J, 2) pixels; rows of zeros and what is not finite are left out.
        size: width and height of the picture.

    Returns:
        (3, 3) intrinsics by least squares on ``u = fx X / Z + cx``, the worst points left out; None where no such
        camera explains the keypoints (joints relative to the root, say).
    """
    points, pixels = (np.asarray(part, np.float64).reshape(-1, part.shape[-1]) for part in (joints_m, keypoints_px))
    kept = np.isfinite(points).all(1) & np.isfinite(pixels).all(1) & (pixels != 0).any(1) & (points[:, 2] > 0)
    slopes, pixels = points[kept, :2] / points[kept, 2:], pixels[kept]
    if len(slopes) < _FEWEST_POINTS or (slopes.std(0) < _LEAST_SPREAD).any():
        return None
    lines, error = np.zeros((2, 2)), np.zeros(len(slopes))
    for _ in range(_FITS):
        used = error <= 3 * np.median(error)
        middle, centre = slopes[used].mean(0), pixels[used].mean(0)
        away = slopes[used] - middle
        focal = (away * (pixels[used] - centre)).sum(0) / np.square(away).sum(0).clip(1e-12)
        lines = np.stack((focal, centre - focal * middle))
        error = np.linalg.norm(slopes * lines[0] + lines[1] - pixels, axis=1)
    (fx, fy), (cx, cy) = lines
    fits = np.median(error) <= _LARGEST_ERROR * max(size) and 0.8 <= fx / max(fy, 1e-9) <= 1.25
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]) if fits else None


def flip_intrinsic(intrinsic: np.ndarray, flip: np.ndarray | bool = True) -> np.ndarray:
    """Intrinsics (..., 9) of mirrored pictures: the centre's x and the first tangential coefficient change sign.

    Args:
        intrinsic: as :attr:`LabCamera.intrinsic`.
        flip: (...) which of them to mirror.
    """
    return intrinsic * np.where(np.asarray(flip)[..., None], MIRRORED_SIGNS, 1.0)


def read_cameras(
    cameras: str | Path | Mapping[str, Any], subjects: Collection[str] | None = None
) -> dict[str, list[LabCamera]]:
    """Calibrations by subject.

    Args:
        cameras: a JSON file, or what it holds: subject -> list of cameras with ``orientation`` (w, x, y, z) and
            ``translation`` (millimetres), and where known ``focal_length``, ``center`` (pixels),
            ``radial_distortion``, ``tangential_distortion``, ``res_w``, ``res_h`` and ``id``
            (docs/lifters.md has an example; :mod:`dsr.tracks.camera_table` makes the file of VideoPose3D's table).
        subjects: those wanted; entries of others are not looked at.

    Raises:
        DatasetError: if the file cannot be read or a camera lacks an entry.
    """
    where = "the cameras" if isinstance(cameras, Mapping) else str(cameras)
    if not isinstance(cameras, Mapping):
        try:
            cameras = read_json(Path(cameras))
        except FileNotFoundError:
            raise DatasetError(f"{where} does not exist: check the name.") from None
        except (OSError, ValueError) as error:
            raise DatasetError(f"{where} is no JSON file of cameras ({error}).") from error
    if not isinstance(cameras, Mapping):
        raise DatasetError(f"{where} holds no cameras: subject -> list of cameras is needed.")
    result = {}
    for subject, several in cameras.items():
        if subjects is not None and subject not in subjects:
            continue
        if not isinstance(several, (list, tuple)):
            raise DatasetError(f"{where}: {subject} needs a list of cameras.")
        result[str(subject)] = [_camera(where, str(subject), i, entry) for i, entry in enumerate(several)]
    return result


def _camera(where: str, subject: str, index: int, entry: Any) -> LabCamera:
    """One entry; cameras 0 and 3 of Human3.6M are 1002 pixels high, if the file does not say."""
    if not isinstance(entry, Mapping):
        raise DatasetError(f"{where}: camera {index} of {subject} is no table of entries.")

    def numbers(key: str, count: int) -> np.ndarray:
        try:
            values = np.asarray(entry[key], np.float64)
        except KeyError:
            raise DatasetError(f"{where}: camera {index} of {subject} has no '{key}'.") from None
        except (TypeError, ValueError):
            values = np.zeros(0)
        if values.shape != (count,) or not np.isfinite(values).all():
            raise DatasetError(f"{where}: '{key}' of camera {index} of {subject} must be {count} numbers.")
        return values

    orientation = numbers("orientation", 4)
    if not 0.9 < np.linalg.norm(orientation) < 1.1:
        raise DatasetError(f"{where}: the orientation of camera {index} of {subject} is no unit quaternion.")
    try:
        width, height = int(entry.get("res_w", 1000)), int(entry.get("res_h", 1002 if index in (0, 3) else 1000))
    except (TypeError, ValueError):
        width = height = 0
    if min(width, height) < 1:
        raise DatasetError(f"{where}: camera {index} of {subject} has no picture size.")
    intrinsic = None
    if "focal_length" in entry:
        intrinsic = np.concatenate(
            [
                numbers("focal_length", 2) * 2 / width,
                numbers("center", 2) * 2 / width - [1, height / width],
                numbers("radial_distortion", 3),
                numbers("tangential_distortion", 2),
            ]
        )
    name = str(entry.get("id", index))
    return LabCamera(orientation, numbers("translation", 3) / 1000, (width, height), intrinsic, name)
