"""The one reader of photographs: file in, upright RGB at a bounded working size out, or one clear :class:`ImageError`.

The file is read once, for its hash and its pixels. Large pictures are reduced by a whole number while they are decoded
(JPEG inside the decoder, PNG strip by strip), so that memory stays bounded; ``Photo.scale`` leads back to full size.
"""

from __future__ import annotations

import hashlib
import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from dsr.errors import DsrError, ImageError
from dsr.image import formats
from dsr.image.decode import decode, working_reduction
from dsr.image.focal import focal_from_file
from dsr.image.types import Photo
from dsr.limits import Limits, check_time, limits_in_force

WORK_PIXELS = 16_000_000
"""Most pixels of the picture that people are looked for in."""
_IN_MEMORY_BYTES = 64 * 2**20
"""Files up to this size are held in memory; larger ones are hashed in pieces and decoded from the open file."""


def read_photo(path: str | Path, limits: Limits | None = None, *, work_pixels: int = WORK_PIXELS) -> Photo:
    """Read a photograph.

    JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF, and HEIC where ``pillow-heif`` is installed; told apart by content, not by
    name. EXIF orientation is applied. 16-bit, integer and float pictures are scaled to 8 bit, alpha is laid over mid
    grey, of several frames or pages the first is taken; embedded colour profiles are not applied.

    Args:
        path: the file.
        limits: what it may cost; those in force (:mod:`dsr.limits`) where None.
        work_pixels: of the working picture; larger pictures are reduced by a whole number.

    Returns:
        The picture and what is known about it. ``photo.rgb`` is writable and contiguous.

    Raises:
        ImageError: with status ``unreadable`` (missing, a folder, no permission, empty, cut short, not a picture),
            ``unsupported`` (a known format that is not read here), ``too_small`` or ``too_large``.

    Example:
        >>> photo = read_photo("holiday.jpg")                         # doctest: +SKIP
        >>> photo.rgb.shape, (photo.width, photo.height), photo.scale  # doctest: +SKIP
        ((1080, 1920, 3), (1920, 1080), 1.0)
    """
    path = Path(path)
    limits = limits or limits_in_force()
    with _open_once(path, limits.max_file_mb) as (stream, sha256), _decoder_errors(path):
        head = stream.read(64)
        stream.seek(0)
        format_name = formats.sniff(head)
        if format_name is None or path.suffix.lower() in formats.RAW_SUFFIXES:
            what, status = formats.refusal(head if format_name is None else b"", path.suffix.lower())
            advice = "Check the file or leave it out."
            if status == "unsupported":
                advice = "Take pictures from it." if what == "a video" else "Save it as JPEG, PNG or TIFF."
            raise ImageError(f"{path} is {what}. {advice}", status)
        image = formats.open_picture(str(path), format_name, stream)
        _check_size(path, image.size, limits)
        reduction = working_reduction(image, format_name, work_pixels)
        decoded = decode(path, image, format_name, stream, reduction, limits.max_memory_mb)
    hint, warnings = focal_from_file(path, decoded.exif, decoded.width, decoded.height)
    warnings = decoded.warnings + warnings
    if reduction > 1:
        megapixels = decoded.width * decoded.height / 1e6
        warnings.append(f"The picture has {megapixels:.0f} megapixels and is worked on at 1/{reduction} of its size.")
    return Photo(
        path=path,
        rgb=decoded.rgb,
        width=decoded.width,
        height=decoded.height,
        scale=1.0 / reduction,
        sha256=sha256,
        format=format_name,
        orientation=decoded.orientation,
        upright_differs=decoded.differs or decoded.orientation != 1 or format_name not in formats.SAME_IN_BLENDER,
        hint=hint,
        warnings=tuple(warnings),
    )


@contextmanager
def _open_once(path: Path, max_mb: float) -> Iterator[tuple[BinaryIO, str]]:
    """Open a regular, non-empty file; its bytes as a stream and their sha256."""
    try:
        status = path.stat()
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(f"{path} is a folder, not a picture: name the pictures in it.")
        if not stat.S_ISREG(mode):
            raise ImageError(f"{path} is not a regular file.")
        if status.st_size > max_mb * 2**20:
            raise ImageError(
                f"{path} has {status.st_size / 2**20:.0f} MB, more than {max_mb:g}: save a smaller copy, or raise "
                "--max-file-mb.",
                "too_large",
            )
        file = path.open("rb")
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist: check the name.") from None
    except PermissionError:
        raise ImageError(f"{path} may not be read: give yourself permission to read it.") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from None
    with file:
        try:
            data = file.read(_IN_MEMORY_BYTES + 1)
            if not data:
                raise ImageError(f"{path} is empty (0 bytes): copy it again.")
            if len(data) <= _IN_MEMORY_BYTES:
                stream: BinaryIO = io.BytesIO(data)
                sha256 = hashlib.sha256(data).hexdigest()
            else:
                hasher = hashlib.sha256(data)
                del data
                while piece := file.read(2**20):
                    check_time()
                    hasher.update(piece)
                file.seek(0)
                stream, sha256 = file, hasher.hexdigest()
        except OSError as error:
            raise ImageError(f"{path} cannot be read: {error.strerror or error}.") from None
        yield stream, sha256


@contextmanager
def _decoder_errors(path: Path) -> Iterator[None]:
    """Decoders raise anything on damaged input: turn all of it into :class:`ImageError`."""
    try:
        yield
    except DsrError:
        raise
    except (MemoryError, Image.DecompressionBombError):
        raise ImageError(f"{path} does not fit into memory: save a smaller copy.", "too_large") from None
    except Exception as error:
        text = str(error)
        if "truncated" in text.lower() or isinstance(error, EOFError):
            raise ImageError(f"{path} is cut short ({text or 'it ends too early'}): copy it again.") from error
        if isinstance(error, UnidentifiedImageError | SyntaxError | NotImplementedError):
            raise ImageError(f"{path} is damaged or of an unknown variant ({text}): save it anew as JPEG.") from error
        raise ImageError(f"{path} cannot be decoded ({text or type(error).__name__}): save it anew as JPEG.") from error


def _check_size(path: Path, size: tuple[int, int], limits: Limits) -> None:
    """Refuse pictures outside the limits before anything is decoded."""
    width, height = size
    if min(width, height) < limits.min_side:
        raise ImageError(
            f"{path} is {width} x {height} pixels; at least {limits.min_side} on each side are needed.", "too_small"
        )
    if max(width, height) > limits.max_aspect * min(width, height):
        raise ImageError(
            f"{path} is {width} x {height} pixels: a strip more than {limits.max_aspect:g} times as long as wide is "
            "not looked through; cut the people out of it.",
            "too_large",
        )
    if width * height > 1e6 * limits.max_megapixels:
        raise ImageError(
            f"{path} is {width} x {height} pixels, more than {limits.max_megapixels:g} megapixels: save a smaller "
            "copy.",
            "too_large",
        )
