"""Reading photographs: any common format, upright, at a bounded size, with what the file says about its lens.

Pixels are those of the full, upright picture (u right, v down, centres at +0.5) unless a name says otherwise.
"""

from __future__ import annotations

from dsr.image.focal import resolve_focal
from dsr.image.formats import PICTURE_SUFFIXES
from dsr.image.reader import ReadLimits, read_photo
from dsr.image.types import FocalHint, Photo

__all__ = ["PICTURE_SUFFIXES", "FocalHint", "Photo", "ReadLimits", "read_photo", "resolve_focal"]
