"""Which picture formats are read, and how a file is opened without Pillow's global registry.

A file's first bytes decide, never its name. Only the plug-ins named here ever see a file; opening them directly also
leaves Pillow's process-wide decompression-bomb limit alone: our own limits (:mod:`dsr.limits`) apply before any pixel
is decoded.
"""

from __future__ import annotations

from importlib import import_module
from typing import BinaryIO

from PIL import ImageFile, features

from dsr.errors import ImageError
from dsr.extras import install_hint
from dsr.image.tiff_pages import refuse_odd_planes, seek_full_page

PICTURE_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".tif",
        ".tiff",
        ".bmp",
        ".dib",
        ".gif",
        ".heic",
        ".heif",
        ".hif",
        ".avif",
    }
)
"""Lower-case suffixes under which pictures that :func:`dsr.image.read_photo` reads are usually found."""

SAME_IN_BLENDER = frozenset({"JPEG", "PNG", "TIFF", "BMP", "WEBP"})
"""Formats that Blender shows with the same pixels, orientation and colour model apart."""

RAW_SUFFIXES = frozenset(
    {
        ".dng",
        ".cr2",
        ".cr3",
        ".crw",
        ".nef",
        ".nrw",
        ".arw",
        ".srf",
        ".sr2",
        ".orf",
        ".rw2",
        ".raf",
        ".pef",
        ".raw",
        ".3fr",
        ".iiq",
    }
)
"""Camera raw files: many begin like a TIFF whose first page is a thumbnail."""

_PLUGINS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),  # not its MPO variant, which only adds gain maps and depth
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIF": ("pillow_heif", "HeifImageFile"),
}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2"}
_KNOWN_OTHERS = (
    (0, b"8BPS", "a Photoshop document"),
    (0, b"%PDF", "a PDF document"),
    (0, b"%!PS", "a PostScript document"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"\0\0\1\0", "an icon file"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (0, b"FUJIFILMCCD-RAW", "a camera raw file"),
    (4, b"ftyp", "a video"),
)


def sniff(head: bytes) -> str | None:
    """Name of the format by the first bytes of a file, or None where they are not those of a picture we read.

    Args:
        head: at least the first 32 bytes.

    Returns:
        ``JPEG``, ``PNG``, ``GIF``, ``BMP``, ``TIFF``, ``WEBP``, ``HEIF``, ``AVIF`` or None.
    """
    if head[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if head[:2] == b"BM" and len(head) >= 26:
        return "BMP"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        if head[8:12] in (b"avif", b"avis"):
            return "AVIF"
        if head[8:12] in _HEIF_BRANDS:
            return "AVIF" if b"avif" in head[16:32] else "HEIF"
    return None


def refusal(head: bytes, suffix: str) -> tuple[str, str]:
    """Why a file without a known beginning is not read: what it seems to be, and the status word."""
    for offset, magic, what in _KNOWN_OTHERS:
        if head[offset : offset + len(magic)] == magic:
            return what, "unsupported"
    if suffix in RAW_SUFFIXES:
        return "a camera raw file", "unsupported"
    if head and all(byte in b"\t\n\r\f" or byte >= 32 for byte in head):
        return "text, not a picture", "unreadable"
    return "not a picture, or its beginning is damaged", "unreadable"


def open_picture(name: str, format_name: str, stream: BinaryIO) -> ImageFile.ImageFile:
    """Open a picture with the one plug-in for its format; nothing is decoded yet.

    Args:
        name: the file as the user knows it, for messages.
        format_name: result of :func:`sniff`.
        stream: the file's bytes.

    Returns:
        Pillow's picture, first frame; of a TIFF the first page at full size.

    Raises:
        ImageError: ``unsupported`` where an optional package is missing, or the plug-in would garble the picture.
    """
    if format_name == "AVIF" and not features.check("avif"):
        raise ImageError(f"{name} is an AVIF picture, which this Pillow cannot read: save it as JPEG.", "unsupported")
    module, plugin = _PLUGINS[format_name]
    try:
        opener: type[ImageFile.ImageFile] = getattr(import_module(module), plugin)
    except ImportError:
        raise ImageError(
            f"{name} is a HEIC/HEIF picture and its reader is not installed: save it as JPEG, or install the reader "
            f"with: {install_hint('heic')}",
            "unsupported",
        ) from None
    image = opener(stream)
    if format_name == "TIFF":
        seek_full_page(image)
        refuse_odd_planes(name, image)
    return image
