"""What TIFF files need besides their plug-in: the page with the picture, and what its numbers mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageFile

from dsr.errors import ImageError

_MOST_PAGES = 32
"""So many pages are looked at for the one at full size."""
_NEW_SUBFILE, _SUBFILE, _BITS, _PHOTOMETRIC, _SAMPLES, _PLANES = 254, 255, 258, 262, 277, 284
_MOST_VALUE, _SAMPLE_FORMAT = 281, 339
_SAME_SHAPE = 0.02
_LARGER = 1.5


@dataclass(frozen=True)
class GreyScale:
    """How the numbers of a grey picture are meant.

    Attributes:
        bits: per pixel.
        signed: whether they can be negative; those are black.
        inverted: whether 0 is white.
        white: the largest value, where the file gives one.
    """

    bits: int
    signed: bool = False
    inverted: bool = False
    white: int | None = None


def seek_full_page(image: ImageFile.ImageFile) -> None:
    """Turn to the first page at full size: not a thumbnail or a mask, whether the file calls it so or not.

    Args:
        image: opened TIFF, at its first page.
    """
    sizes: list[tuple[int, int]] = []
    whole: list[bool] = []
    for page in range(_MOST_PAGES):
        try:
            image.seek(page)
        except (EOFError, OSError, SyntaxError, ValueError, KeyError, TypeError):
            break
        sizes.append(image.size)
        whole.append(not _is_part(image))
    first = whole.index(True) if any(whole) else 0
    chosen = first
    for page, (width, height) in enumerate(sizes):
        of_one_shape = abs(width * sizes[first][1] - height * sizes[first][0]) <= _SAME_SHAPE * width * sizes[first][1]
        if whole[page] and of_one_shape and width >= _LARGER * sizes[chosen][0]:
            chosen = page  # the first one is its thumbnail, without saying so
    image.seek(chosen)


def refuse_odd_planes(name: str, image: Image.Image) -> None:
    """Refuse what the plug-in would garble: planes of more than 8 bits, one after the other.

    Raises:
        ImageError: ``unsupported``.
    """
    tags = _tags(image)
    if _first(tags, _PLANES, 1) == 2 and _first(tags, _SAMPLES, 1) > 1 and _first(tags, _BITS, 1) > 8:
        raise ImageError(
            f"{name} is a TIFF with a plane of {_first(tags, _BITS, 1)} bits per colour, which is not read: save it "
            "with interleaved colours, or as JPEG or PNG.",
            "unsupported",
        )


def grey_scale(image: Image.Image) -> GreyScale | None:
    """What the file says about the numbers of a grey picture; None for other formats."""
    tags = _tags(image)
    if not tags:
        return None
    white = _first(tags, _MOST_VALUE, 0)
    bits = _first(tags, _BITS, 16)
    signed = _first(tags, _SAMPLE_FORMAT, 1) == 2
    return GreyScale(bits, signed, _first(tags, _PHOTOMETRIC, 1) == 0, white if 1 < white < 1 << bits else None)


def _is_part(image: Image.Image) -> bool:
    """Whether a page says that it is a smaller copy or a mask of another one."""
    tags = _tags(image)
    return bool(_first(tags, _NEW_SUBFILE, 0) & 0b101) or _first(tags, _SUBFILE, 1) == 2


def _tags(image: Image.Image) -> Any:
    return getattr(image, "tag_v2", {})


def _first(tags: Any, tag: int, default: int) -> int:
    """The (first) whole number of a tag."""
    value = tags.get(tag, default)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else default
