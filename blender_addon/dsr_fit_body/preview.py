# SPDX-License-Identifier: GPL-3.0-or-later
"""A small picture of what is chosen, for the panel: read once per file and date, by a timer, never while drawing."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews

from .core.result import first_frame
from .session import redraw

_Key = tuple[str, int, int]


class Preview:
    """Holds one picture at most.

    Attributes:
        icon: number of the picture that was read last, 0 where it cannot be shown and without an interface.
        size: its width and height as it was made small, pixels; (0, 0) where it cannot be shown.
        reads: how often a picture was read.
    """

    def __init__(self) -> None:
        self.icon = self.reads = 0
        self.size = (0, 0)
        self._pictures: Any = None
        self._kind = "IMAGE"
        self._shown: _Key | None = None
        self._wanted: _Key | None = None
        self._timer = self.read  # Blender knows a timer by its function object

    def icon_of(self, path: Path | None, kind: str) -> int:
        """Number of the picture's icon, 0 while there is none. Costs a look at the file's date.

        Args:
            path: a photo, a clip or a folder of frames.
            kind: ``IMAGE``, ``SEQUENCE`` or ``VIDEO``.
        """
        self._wanted, self._kind = _key(path), kind
        if self._wanted == self._shown:
            return self.icon
        if not bpy.app.timers.is_registered(self._timer):
            bpy.app.timers.register(self._timer, first_interval=0.02)
        return 0

    def read(self) -> None:
        """Read what was asked for last."""
        key = self._wanted
        if key == self._shown:
            return
        self.icon, self.size, self._shown = 0, (0, 0), key
        if self._pictures is None:
            self._pictures = bpy.utils.previews.new()
        self._pictures.clear()
        path = Path(key[0]) if key else None
        if path is not None and path.is_dir():
            path = first_frame(path)
        if path is not None:
            self.reads += 1
            with contextlib.suppress(OSError, RuntimeError, KeyError):
                picture = self._pictures.load(str(path), str(path), "MOVIE" if self._kind == "VIDEO" else "IMAGE")
                self.size = tuple(picture.image_size)
                self.icon = picture.icon_id if min(self.size) > 0 else 0
        redraw()

    def close(self) -> None:
        """Give the picture back to Blender."""
        if bpy.app.timers.is_registered(self._timer):
            bpy.app.timers.unregister(self._timer)
        if self._pictures is not None:
            bpy.utils.previews.remove(self._pictures)
        self._pictures = self._shown = self._wanted = None
        self.icon, self.size = 0, (0, 0)


def _key(path: Path | None) -> _Key | None:
    """What must be the same for a picture to be the same."""
    try:
        status = path.stat() if path is not None else None
    except (OSError, ValueError):
        return None
    return None if status is None else (str(path), status.st_mtime_ns, status.st_size)


PREVIEW = Preview()


def unregister() -> None:
    """Nothing of ours stays with Blender."""
    PREVIEW.close()
