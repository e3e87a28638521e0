"""Camera sidecars: a small JSON file beside a picture that says what lens took it.

``photo.jpg.camera.json``, else ``photo.camera.json``, beside ``photo.jpg`` holds one object with exactly one of

* ``"focal_px"``: focal length in pixels of the full, upright picture,
* ``"focal35_mm"``: 35 mm equivalent in millimetres, by the diagonal,
* ``"fov_deg"``: horizontal field of view in degrees,
* ``"K"``: 3 x 3 intrinsics of the full, upright picture, square pixels, pixel centres at +0.5;

and, where ``focal_px`` or ``K`` are of another size of the picture, that size in ``"width"`` and ``"height"``. Other
keys are left to the user.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from dsr.errors import CameraError
from dsr.files import read_json

KEYS = ("focal_px", "focal35_mm", "fov_deg", "K")
_SAME_SHAPE = 0.02
"""By so much the proportions of two sizes of a picture may differ: rounding, an odd line cut off."""


@dataclass(frozen=True)
class SidecarCamera:
    """What a sidecar says.

    Attributes:
        key: ``focal_px``, ``focal35_mm``, ``fov_deg`` or ``K``.
        value: the number in the key's unit; for ``K`` the focal length in pixels.
        principal_px: principal point (u, v) in pixels where a K was given, else None.
        size: width and height of the picture that ``focal_px`` and ``K`` are of, where the sidecar states it.
    """

    key: str
    value: float
    principal_px: tuple[float, float] | None = None
    size: tuple[float, float] | None = None

    def of_size(self, width: int, height: int, where: str) -> SidecarCamera:
        """The same camera for a picture of this size, where it is the stated one scaled.

        Args:
            width: of the full, upright picture in pixels.
            height: its height.
            where: the file, for messages.

        Raises:
            CameraError: if the stated size has other proportions, or K's centre is that of another size.
        """
        if self.size is not None and self.key in ("focal_px", "K"):
            across, down = width / self.size[0], height / self.size[1]
            if abs(math.log(across / down)) > _SAME_SHAPE:
                raise CameraError(
                    f"The camera sidecar {where} is for a picture of {self.size[0]:g} x {self.size[1]:g}, this one is "
                    f"{width} x {height}: it was cropped or turned; give {self.key} of this picture."
                )
            centre = None if self.principal_px is None else (across * self.principal_px[0], down * self.principal_px[1])
            return replace(self, value=self.value * (across + down) / 2, principal_px=centre, size=(width, height))
        if self.principal_px is not None and self.size is None:
            across, down = 2 * self.principal_px[0] / width, 2 * self.principal_px[1] / height
            if min(across, down) > 0 and not 0.8 < across < 1.25 and abs(math.log(across / down)) < _SAME_SHAPE:
                raise CameraError(
                    f"K in the camera sidecar {where} has its centre at {self.principal_px[0]:g}, "
                    f"{self.principal_px[1]:g}, the middle of a picture of {across * width:.0f} x {down * height:.0f}; "
                    f'this one is {width} x {height}. State the size that K is of in "width" and "height", also '
                    "where it is this picture's own."
                )
        return self


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
        content = read_json(path)
    except OSError as error:
        raise CameraError(f"The camera sidecar {path} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        raise CameraError(f"The camera sidecar {path} is not valid JSON ({error}).") from None
    keys = [key for key in KEYS if isinstance(content, dict) and key in content]
    if len(keys) != 1:
        number = "none" if not keys else " and ".join(keys)
        raise CameraError(f"The camera sidecar {path} must hold exactly one of {', '.join(KEYS)}; it holds {number}.")
    key = keys[0]
    size = _size(path, content)
    if key == "K":
        return replace(_from_intrinsics(path, content["K"]), size=size)
    value = content[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CameraError(f"The camera sidecar {path} must give {key} as a number, got {value!r}.")
    return SidecarCamera(key, _float(value), size=size)


def _size(path: Path, content: dict[str, object]) -> tuple[float, float] | None:
    """The picture size that a sidecar states, or None."""
    values = [content[name] for name in ("width", "height") if name in content]
    if not values:
        return None
    numbers = [_float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) != 2 or not all(math.isfinite(v) and v > 0 for v in numbers):
        raise CameraError(f'The camera sidecar {path} must give "width" and "height" as two positive numbers.')
    return numbers[0], numbers[1]


def _float(value: float) -> float:
    """A number as a float; one with more digits than a float has room for is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _from_intrinsics(path: Path, K: object) -> SidecarCamera:
    """Check a 3 x 3 matrix with equal focal lengths and no skew."""
    try:
        rows = [[_float(value) for value in row] for row in K]  # type: ignore[attr-defined]
        (fx, skew, cu), (zero, fy, cv), last = rows
    except (TypeError, ValueError):
        raise CameraError(f"The camera sidecar {path} must give K as 3 rows of 3 numbers.") from None
    if not all(math.isfinite(value) for row in rows for value in row) or last != [0.0, 0.0, 1.0] or zero or skew:
        raise CameraError(f"K in the camera sidecar {path} must be [[f, 0, cx], [0, f, cy], [0, 0, 1]].")
    if fx <= 0 or abs(fx - fy) > 0.01 * fx:
        raise CameraError(f"K in the camera sidecar {path} must have equal, positive focal lengths, got {fx} and {fy}.")
    return SidecarCamera("K", (fx + fy) / 2.0, (cu, cv))
