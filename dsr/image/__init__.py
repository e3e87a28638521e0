"""Reading photographs: any common format, upright, at a bounded size, with what the file says about its lens.

Pixels are those of the full, upright picture (u right, v down, centres at +0.5) unless a name says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.image.focal import resolve_focal as resolve_focal
    from dsr.image.formats import PICTURE_SUFFIXES as PICTURE_SUFFIXES
    from dsr.image.reader import read_photo as read_photo
    from dsr.image.types import FocalHint as FocalHint
    from dsr.image.types import Photo as Photo

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "focal": ("resolve_focal",),
        "formats": ("PICTURE_SUFFIXES",),
        "reader": ("read_photo",),
        "types": ("FocalHint", "Photo"),
    },
)
