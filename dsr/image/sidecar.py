"""Camera sidecars: a small JSON file beside a picture that says what lens took it.

``photo.jpg.camera.json``, else ``photo.camera.json``, beside ``photo.jpg`` holds one object with exactly one of

* ``"focal_px"``: focal length in pixels of the full, upright picture,
* ``"focal35_mm"``: 35 mm equivalent in millimetres, by the diagonal,
* ``"fov_deg"``: horizontal field of view in degrees,
* ``"K"``: 3 x 3 intrinsics of the full, upright picture, square pixels, pixel centres at +0.5;

other keys are left to the user.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from dsr.errors import CameraError

KEYS = ("focal_px", "focal35_mm", "fov_deg", "K")


@dataclass(frozen=True)
class SidecarCamera:
    """What a sidecar says.

    Attributes:
        key: ``focal_px``, ``focal35_mm``, ``fov_deg`` or ``K``.
        value: the number in the key's unit; for ``K`` the focal length in pixels.
        principal_px: principal point (u, v) in pixels where a K was given, else None.
    """

    key: str
    value: float
    principal_px: tuple[float, float] | None = None


def find_sidecar(picture: Path) -> Path | None:
    """The sidecar beside a picture, or None.

    Args:
        picture: path of the picture.

    Returns:
        ``<file name>.camera.json`` if there is one, else ``<stem>.camera.json``.
    """
    for name in (f"{picture.name}.camera.json", f"{picture.stem}.camera.json"):
        candidate = picture.with_name(name)
        try:
            if candidate.is_file():
                return candidate
        except OSError:  # the picture's name leaves no room for the suffix
            continue
    return None


def read_sidecar(path: Path) -> SidecarCamera:
    """Read a camera sidecar.

    Args:
        path: the JSON file.

    Returns:
        What it says.

    Raises:
        CameraError: if it cannot be read, is not such a JSON object, or its values cannot be.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CameraError(f"The camera sidecar {path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        raise CameraError(f"The camera sidecar {path} is not valid JSON ({error}).") from None
    keys = [key for key in KEYS if isinstance(content, dict) and key in content]
    if len(keys) != 1:
        number = "none" if not keys else " and ".join(keys)
        raise CameraError(f"The camera sidecar {path} must hold exactly one of {', '.join(KEYS)}; it holds {number}.")
    key = keys[0]
    if key == "K":
        return _from_intrinsics(path, content["K"])
    value = content[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CameraError(f"The camera sidecar {path} must give {key} as a number, got {value!r}.")
    return SidecarCamera(key, float(value))


def _from_intrinsics(path: Path, K: object) -> SidecarCamera:
    """Check a 3 x 3 matrix with equal focal lengths and no skew."""
    try:
        rows = [[float(value) for value in row] for row in K]  # type: ignore[attr-defined]
        (fx, skew, cu), (zero, fy, cv), last = rows
    except (TypeError, ValueError):
        raise CameraError(f"The camera sidecar {path} must give K as 3 rows of 3 numbers.") from None
    if not all(math.isfinite(value) for row in rows for value in row) or last != [0.0, 0.0, 1.0] or zero or skew:
        raise CameraError(f"K in the camera sidecar {path} must be [[f, 0, cx], [0, f, cy], [0, 0, 1]].")
    if fx <= 0 or abs(fx - fy) > 0.01 * fx:
        raise CameraError(f"K in the camera sidecar {path} must have equal, positive focal lengths, got {fx} and {fy}.")
    return SidecarCamera("K", (fx + fy) / 2.0, (cu, cv))
