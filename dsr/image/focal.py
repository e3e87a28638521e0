"""The focal length of a photograph in pixels, and where it was found.

Precedence: flag > sidecar > file name > EXIF > default. Rules:

* ``focal35`` and EXIF's FocalLengthIn35mmFilm compare picture diagonals: ``f = f35 / 43.27 mm * diagonal``
  (CIPA DCG-001), so that a picture means the same lens whichever way it was held and whatever its aspect ratio.
* EXIF's FocalLength with the focal plane's resolution: millimetres times sensor pixels per millimetre, scaled where
  the picture was resized after capture.
* Cropping changes no focal length in pixels: where EXIF's size at capture has another shape, its diagonal counts.
* ``name_32_f35.jpg``: 32 mm with 36 mm along the picture's width, PersPose's own rule (specification section 2.2).
* default: the picture's diagonal, a field of view of 53 degrees across it (CLIFF, arXiv 2208.00571); the scene's
  straight lines may tell better later (:mod:`dsr.camera.scene_lines`).
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from PIL import Image

from dsr.errors import CameraError, UsageError
from dsr.image.sidecar import find_sidecar, read_sidecar
from dsr.image.types import FocalHint, Photo

DIAGONAL_35MM = math.hypot(36.0, 24.0)
"""Diagonal of the 35 mm film frame, 43.27 mm."""
PLAUSIBLE = (0.1, 200.0)
"""Focal lengths in picture diagonals that a photograph can have: 157 degrees to 0.3 degrees across the diagonal."""

_EXIF_IFD = 0x8769
_FOCAL_LENGTH, _FOCAL_35 = 0x920A, 0xA405
_PIXEL_X, _PIXEL_Y = 0xA002, 0xA003
_PLANE_X_RESOLUTION, _PLANE_UNIT = 0xA20E, 0xA210
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
_SENSOR_MM = (2.0, 70.0)
_SAME_SHAPE = 0.02
"""By so much the proportions of a picture and its size at capture may differ: rounding."""
_NAME = re.compile(r"_([^_]*)_f35$", re.IGNORECASE)


def resolve_focal(
    photo: Photo, focal: float | None = None, focal35: float | None = None, fov: float | None = None
) -> FocalHint:
    """Focal length of a photograph: a flag, else its sidecar, file name or EXIF data, else the default.

    A sidecar is ``<stem>.camera.json`` or ``<file name>.camera.json`` beside the picture (:mod:`dsr.image.sidecar`).

    Args:
        photo: result of :func:`dsr.image.read_photo`.
        focal: focal length in pixels of the full, upright picture.
        focal35: 35 mm equivalent in millimetres, by the diagonal.
        fov: horizontal field of view in degrees.

    Returns:
        Focal length, its source and a sentence on how it was worked out.

    Raises:
        UsageError: if more than one of the three flags is given.
        CameraError: if a flag or a sidecar gives a value that no photograph can have.
    """
    given = {name: value for name, value in (("focal", focal), ("focal35", focal35), ("fov", fov)) if value is not None}
    if len(given) > 1:
        raise UsageError(f"Give one of --{' and --'.join(given)}, not {len(given)} of them.")
    for name, value in given.items():
        keys = {"focal": "focal_px", "focal35": "focal35_mm", "fov": "fov_deg"}
        pixels, detail = focal_pixels(keys[name], value, photo.width, photo.height, f"--{name}")
        return FocalHint(pixels, "flag", detail)
    sidecar = find_sidecar(photo.path)
    if sidecar is not None:
        camera = read_sidecar(sidecar).of_size(photo.width, photo.height, str(sidecar))
        pixels, detail = focal_pixels(camera.key, camera.value, photo.width, photo.height, f"{sidecar}: {camera.key}")
        return FocalHint(pixels, "sidecar", f"{detail} ({sidecar.name})", camera.principal_px)
    if photo.hint is not None:
        return photo.hint
    diagonal = math.hypot(photo.width, photo.height)
    return FocalHint(diagonal, "default", "unknown lens: the picture's diagonal, 53 degrees across it")


def focal_pixels(key: str, value: float, width: int, height: int, where: str) -> tuple[float, str]:
    """Turn a focal length, a 35 mm equivalent or a field of view into pixels.

    Args:
        key: ``focal_px`` (or ``K``), ``focal35_mm`` or ``fov_deg``.
        value: the number, in the key's unit.
        width: width of the full, upright picture in pixels.
        height: its height.
        where: what gave the number, for messages.

    Returns:
        Focal length in pixels and how it was worked out.

    Raises:
        CameraError: if no photograph can have it.
    """
    diagonal = math.hypot(width, height)
    if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
        raise CameraError(f"{where} must be a positive number, got {value}.")
    if key == "focal35_mm":
        pixels = focal_from_35mm(value, width, height)
        detail = f"{value:g} mm (35 mm equivalent) by the diagonal"
    elif key == "fov_deg":
        if value >= 180:
            raise CameraError(f"{where} must be below 180 degrees, got {value:g}.")
        half = math.tan(math.radians(value) / 2.0)
        pixels = width / (2.0 * half) if half > 1e-12 else math.inf
        detail = f"horizontal field of view of {value:g} degrees"
    else:
        pixels, detail = float(value), f"{value:g} pixels as given"
    if not _plausible(pixels, diagonal):
        hint = f" Did you mean --focal35 {value:g}?" if where == "--focal" and 5 <= value <= 1000 else ""
        raise CameraError(
            f"{where} = {value:g} means a focal length of {pixels:.4g} pixels for a picture of {width} x {height}, "
            f"which no photograph has.{hint}"
        )
    return pixels, detail


def focal_from_35mm(focal35_mm: float, width: int, height: int) -> float:
    """Focal length in pixels of a 35 mm equivalent, by the diagonal; width and height in pixels of the full picture."""
    return focal35_mm / DIAGONAL_35MM * math.hypot(width, height)


def focal_from_file(path: Path, exif: Image.Exif, width: int, height: int) -> tuple[FocalHint | None, list[str]]:
    """Focal length from a picture's name, else from its EXIF data.

    Args:
        path: the picture's name is looked at, not its content.
        exif: its EXIF data.
        width: width of the full, upright picture in pixels.
        height: its height.

    Returns:
        The focal length or None, and warnings about values that were ignored.
    """
    warnings: list[str] = []
    diagonal = math.hypot(width, height)
    match = _NAME.search(path.stem)
    if match:
        value = _number(match.group(1))
        if value is not None and _plausible(value / 36.0 * width, diagonal):
            detail = f"{value:g} mm in the file name, 36 mm along the width"
            return FocalHint(value / 36.0 * width, "name", detail), warnings
        warnings.append(f"The file name ends in _f35, but {match.group(1)!r} is not a focal length; it is ignored.")
    try:
        details = exif.get_ifd(_EXIF_IFD)
    except Exception:  # Pillow raises anything on damaged EXIF data, which must not cost the picture
        warnings.append("The EXIF data is damaged and ignored.")
        return None, warnings
    captured, cropped = _captured(details, width, height)
    said = (
        [
            f"The picture was cropped after capture (from {captured[0]:g} x {captured[1]:g}): the lens's centre is not "
            "known and taken to be in the middle."
        ]
        if cropped
        else []
    )
    if _FOCAL_35 in details:
        value = _number(details[_FOCAL_35])
        pixels = math.inf if value is None else focal_from_35mm(value, *(captured if cropped else (width, height)))
        if value is not None and _plausible(pixels, diagonal):
            of_what = f" of the captured {captured[0]:g} x {captured[1]:g}" if cropped else ""
            detail = f"EXIF 35 mm equivalent of {value:g} mm by the diagonal{of_what}"
            return FocalHint(pixels, "exif", detail), warnings + said
        if details[_FOCAL_35] != 0:  # the standard's word for "unknown"
            warnings.append(f"EXIF's 35 mm equivalent of {details[_FOCAL_35]} mm cannot be; it is ignored.")
    if _FOCAL_LENGTH in details and _PLANE_X_RESOLUTION in details:
        hint = _from_sensor(details, width, height, None if cropped else captured)
        if hint is not None:
            return hint, warnings + said
        warnings.append("EXIF gives a focal length and a sensor resolution that cannot be; they are ignored.")
    elif _FOCAL_LENGTH in details and _number(details[_FOCAL_LENGTH]) is None and details[_FOCAL_LENGTH] != 0:
        warnings.append(f"EXIF gives a focal length of {details[_FOCAL_LENGTH]} mm, which cannot be; it is ignored.")
    return None, warnings


def _captured(details: dict[int, object], width: int, height: int) -> tuple[tuple[float, float], bool]:
    """Longer and shorter side at capture, as far as EXIF says, and whether the picture was cropped since.

    The same shape in another size was resized. Another shape was cropped, if it fits into what was captured; if it does
    not, EXIF's size is of something else.
    """
    now = float(max(width, height)), float(min(width, height))
    sides = _number(details.get(_PIXEL_X)), _number(details.get(_PIXEL_Y))
    if sides[0] is None or sides[1] is None:
        return now, False
    then = max(sides[0], sides[1]), min(sides[0], sides[1])
    if abs(now[0] * then[1] - then[0] * now[1]) < _SAME_SHAPE * now[0] * then[1]:
        return then, False
    return (then, True) if now[0] <= then[0] + 1 and now[1] <= then[1] + 1 else (now, False)


def _from_sensor(
    details: dict[int, object], width: int, height: int, resized_from: tuple[float, float] | None
) -> FocalHint | None:
    """FocalLength (mm) times sensor pixels per mm, scaled by later resizing; None where the numbers cannot be."""
    focal_mm = _number(details[_FOCAL_LENGTH])
    resolution = _number(details[_PLANE_X_RESOLUTION])
    unit = details.get(_PLANE_UNIT, 2)
    unit_mm = _UNIT_MM.get(unit) if isinstance(unit, int) else None
    if focal_mm is None or resolution is None or unit_mm is None:
        return None
    per_mm = resolution / unit_mm
    long_now = float(max(width, height))
    captured = _captured(details, width, height)[0][0]
    resized = 1.0 if resized_from is None else long_now / resized_from[0]
    if not captured / _SENSOR_MM[1] <= per_mm <= captured / _SENSOR_MM[0]:
        return None
    pixels = focal_mm * per_mm * resized
    if not _plausible(pixels, math.hypot(width, height)):
        return None
    note = f", resized by {resized:.3g} since" if abs(resized - 1) > 1e-3 else ""
    return FocalHint(pixels, "exif", f"EXIF focal length of {focal_mm:g} mm on {per_mm:.4g} pixels per mm{note}")


def _number(value: object) -> float | None:
    """A positive, finite number, or None."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _plausible(pixels: float, diagonal: float) -> bool:
    return PLAUSIBLE[0] * diagonal <= pixels <= PLAUSIBLE[1] * diagonal
