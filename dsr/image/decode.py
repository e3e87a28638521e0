"""From an opened picture to upright 8-bit RGB, whole where it is small, in strips where it is large."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile

from dsr.errors import ImageError
from dsr.image.png_strips import can_strip, png_strips
from dsr.image.tiff_pages import grey_scale
from dsr.limits import check_time

NEUTRAL = (128, 128, 128)
"""Ground laid under transparent pixels: mid grey hides neither a dark nor a bright person."""
_STRIP_PIXELS = 2**20
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets a picture of each EXIF orientation but 1 upright."""
MOST_SCANNED = 1000.0
"""Megapixels times scans of a JPEG: every scan of a progressive one goes over all pixels, and takes a few bytes."""
_USUAL_SCANS = 20
_DECODER_BYTES_PER_PIXEL = {"WEBP": 16, "HEIF": 9, "AVIF": 10, "GIF": 5}
"""Measured peak of decoders that hold planes or canvases of their own besides the picture."""


@dataclass
class Decoded:
    """What a file held; width and height are of the full, upright picture."""

    rgb: np.ndarray
    width: int
    height: int
    orientation: int
    exif: Image.Exif
    differs: bool = False
    warnings: list[str] = field(default_factory=list)


def working_reduction(image: ImageFile.ImageFile, format_name: str, work_pixels: int) -> int:
    """Smallest whole number (for JPEG: power of two) that brings a picture to its working size.

    Args:
        image: opened picture.
        format_name: ``JPEG``, ...
        work_pixels: largest number of pixels of the working picture.

    Returns:
        n: one working pixel per n x n full pixels.
    """
    width, height = image.size
    reduction = 1
    while -(-width // reduction) * -(-height // reduction) > work_pixels:
        reduction = reduction * 2 if format_name == "JPEG" else reduction + 1
    return reduction


def decode(
    path: Path,
    image: ImageFile.ImageFile,
    format_name: str,
    stream: BinaryIO,
    reduction: int,
    max_memory_mb: float,
) -> Decoded:
    """Decode the first frame, reduced, as 8-bit RGB, and set it upright.

    Args:
        path: for messages.
        image: opened, not yet loaded picture.
        format_name: ``JPEG``, ...
        stream: the file's bytes, the one ``image`` reads from.
        reduction: see :func:`working_reduction`.
        max_memory_mb: refuse pictures whose decoder needs more megabytes.

    Returns:
        Upright pixels and what else the file says.

    Raises:
        ImageError: ``too_large`` beyond ``max_memory_mb`` or :data:`MOST_SCANNED`, ``unsupported`` for colour models
            without a meaning here.
    """
    warnings: list[str] = []
    differs = image.mode in ("CMYK", "YCbCr", "LAB")
    if format_name in ("GIF", "WEBP", "TIFF", "PNG", "AVIF", "HEIF") and getattr(image, "is_animated", False):
        frames = "pages" if format_name == "TIFF" else "pictures"
        which = "the first" if image.tell() == 0 else f"number {image.tell() + 1}, the first at full size,"
        warnings.append(f"The file holds several {frames}; only {which} is used.")
        differs = True
    width, height = image.size
    # Pillow turns TIFF upright while loading, libheif turns HEIF; the others are turned here.
    turned_on_load = format_name in ("TIFF", "HEIF")
    orientation = _orientation(image, format_name) if turned_on_load else 0
    strips = format_name == "PNG" and reduction > 1 and can_strip(stream)
    if not strips:
        _check_memory(path, image, format_name, orientation, max_memory_mb)
    if strips:
        exif = Image.Exif()  # filled from the strips, together with the last one
        rgb_image = _reduce_strips(png_strips(stream, _strip_rows(width, reduction), exif), (width, height), reduction)
    elif format_name == "JPEG":
        _check_scans(path, image, stream)
        inside = min(reduction, 8)
        if inside > 1:
            image.draft(None, (width // inside, height // inside))
        rgb_image = to_rgb(image)
        if reduction > inside:
            rgb_image = rgb_image.reduce(reduction // inside)
        exif = _exif(image)
    else:
        image.load()
        width, height = image.size
        scaled = _full_range(image, warnings)
        if reduction > 1:
            parts = _whole_in_strips(scaled, _strip_rows(scaled.width, reduction))
            rgb_image = _reduce_strips(parts, scaled.size, reduction)
        else:
            rgb_image = to_rgb(scaled)
        exif = _exif(image)
    if not turned_on_load:
        orientation = _valid_orientation(exif.get(0x0112))
        if orientation != 1:
            rgb_image = rgb_image.transpose(TRANSPOSE[orientation])
        if orientation >= 5:
            width, height = height, width
    return Decoded(np.array(rgb_image), width, height, orientation, exif, differs, warnings)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any 8-bit picture to RGB; transparency over :data:`NEUTRAL`.

    Args:
        image: any Pillow mode of 8 bits or less per channel.

    Returns:
        Picture of mode ``RGB``.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        if image.mode not in ("RGBA", "LA"):
            image = image.convert("RGBA")
        alpha = image.getchannel("A")
        if alpha.getextrema() == (255, 255):
            return image.convert("RGB")
        ground = Image.new("RGB", image.size, NEUTRAL)
        ground.paste(image.convert("RGB"), mask=alpha)
        return ground
    return image.convert("RGB")


def _full_range(image: Image.Image, warnings: list[str]) -> Image.Image:
    """16-bit, integer and float grey as 8-bit grey by scaling, never by clipping; other pictures unchanged."""
    if not (image.mode in ("I", "F") or image.mode.startswith("I;16")):
        return image
    values = np.asarray(image)
    scale = grey_scale(image)
    if scale is not None and image.mode == "I" and scale.bits == 32 and not scale.signed:
        values = values.view(np.uint32)  # Pillow takes them for signed
    if scale is not None and scale.white is not None and values.max(initial=0) <= scale.white:
        top = float(scale.white)
    elif scale is not None and scale.bits <= 16 and image.mode != "F":
        top = float((1 << (scale.bits - scale.signed)) - 1)
    elif image.mode.startswith("I;16"):
        top = 65535.0
    else:
        finite = values[np.isfinite(values)] if image.mode == "F" else values
        peak = float(finite.max()) if finite.size else 0.0
        top = next((limit for limit in (1.0, 255.0, 65535.0) if peak <= limit), peak)
        if image.mode == "I" and top == 1.0:
            top = 255.0
        if image.mode == "F" and top > 1.0:
            top = peak
        if top not in (1.0, 255.0, 65535.0):
            warnings.append(f"Pixel values reach {peak:.6g}; they were scaled so that this is white.")
    grey = np.empty(values.shape, np.uint8)
    rows = _strip_rows(values.shape[1], 1)
    for row in range(0, len(values), rows):
        check_time()
        piece = np.nan_to_num(values[row : row + rows].astype(np.float32), posinf=top, neginf=0.0)
        grey[row : row + rows] = np.clip(piece * (255.0 / top) + 0.5, 0, 255)
    if scale is not None and scale.inverted:
        np.subtract(255, grey, out=grey)
    return Image.fromarray(grey)


def _strip_rows(width: int, reduction: int) -> int:
    """Rows of a strip of about a million pixels, a multiple of the reduction."""
    return max(1, _STRIP_PIXELS // (width * reduction)) * reduction


def _whole_in_strips(image: Image.Image, rows: int) -> Iterator[Image.Image]:
    """Cut a loaded picture into strips, so that conversions never hold two large pictures."""
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        strip.info = image.info
        yield strip


def _reduce_strips(strips: Iterator[Image.Image], size: tuple[int, int], reduction: int) -> Image.Image:
    """Average n x n pixels of strips (their rows a multiple of n) into one RGB picture."""
    small = Image.new("RGB", (-(-size[0] // reduction), -(-size[1] // reduction)))
    top = 0
    for strip in strips:
        check_time()
        part = to_rgb(strip).reduce(reduction)
        small.paste(part, (0, top))
        top += part.height
    return small


def _check_memory(
    path: Path, image: ImageFile.ImageFile, format_name: str, orientation: int, max_memory_mb: float
) -> None:
    """Refuse pictures that this format's decoder can only hold as a whole, where that is too much."""
    width, height = image.size
    channel_bytes = 1 if image.mode in ("1", "L", "P") else 3 if image.mode.startswith("I;16") else 5
    per_pixel: float = _DECODER_BYTES_PER_PIXEL.get(format_name, channel_bytes)
    if format_name == "TIFF" and orientation != 1:
        per_pixel += channel_bytes
    if format_name == "JPEG":
        # a baseline JPEG is decoded at its reduced size, a progressive one keeps all its coefficients (2 bytes each)
        layers = getattr(image, "layer", [])
        area = max((h * v for _, h, v, _ in layers), default=1)
        progressive = image.info.get("progressive")
        per_pixel = 2 * sum(h * v for _, h, v, _ in layers) / area if progressive else 0.0
    if width * height * per_pixel > max_memory_mb * 2**20:
        kind = "progressive JPEG" if format_name == "JPEG" else format_name
        raise ImageError(
            f"{path} is {width} x {height} pixels, too many to decode a {kind} file within bounded memory: save it as "
            "a baseline JPEG.",
            "too_large",
        )


def _check_scans(path: Path, image: ImageFile.ImageFile, stream: BinaryIO) -> None:
    """Refuse JPEGs of so many scans that they would take minutes."""
    place = stream.tell()
    stream.seek(0)
    scans, before = 0, b""
    while piece := stream.read(2**20):
        scans += (before + piece).count(b"\xff\xda")  # inside the coded data 255 is followed by 0
        before = piece[-1:] if piece.endswith(b"\xff") else b""
    stream.seek(place)
    megapixels = image.width * image.height / 1e6
    if scans > _USUAL_SCANS and scans * megapixels > MOST_SCANNED:
        raise ImageError(
            f"{path} goes over its {megapixels:.0f} megapixels in {scans} scans, which would take minutes: save it as "
            "a baseline JPEG.",
            "too_large",
        )


def _orientation(image: ImageFile.ImageFile, format_name: str) -> int:
    """EXIF orientation as the file has it, for formats that are turned while loading."""
    if format_name == "HEIF":
        return _valid_orientation(image.info.get("original_orientation"))
    return _valid_orientation(_exif(image).get(0x0112))


def _exif(image: Image.Image) -> Image.Exif:
    """EXIF data, empty where it is damaged: that must not cost the picture."""
    try:
        return image.getexif()
    except Exception:  # Pillow raises anything here
        return Image.Exif()


def _valid_orientation(value: object) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
