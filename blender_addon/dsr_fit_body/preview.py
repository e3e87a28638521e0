# SPDX-License-Identifier: GPL-3.0-or-later
"""Small pictures of what is chosen and of what is listed, for the panel: read by a timer, never while drawing."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews

from .core.result import first_frame
from .session import redraw

RECHECK_S = 2.0
"""Seconds after which the file's date is looked at again; it may lie on a slow drive."""
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
        self._requested: tuple[Path | None, str] = (None, "IMAGE")
        self._current: tuple[Path | None, str] = (None, "IMAGE")
        self._key: _Key | None = None
        self._checked_at = 0.0
        self._timer = self.read  # Blender knows a timer by its function object

    def icon_of(self, path: Path | None, kind: str) -> int:
        """Number of the picture's icon, 0 while there is none. For drawing: no file is touched.

        Args:
            path: a photo, a clip or a folder of frames.
            kind: ``IMAGE``, ``SEQUENCE`` or ``VIDEO``.
        """
        self._requested = (path, kind)
        current = self._requested == self._current
        look = not current or (path is not None and time.monotonic() - self._checked_at > RECHECK_S)
        if look and not bpy.app.timers.is_registered(self._timer):
            bpy.app.timers.register(self._timer, first_interval=0.02)
        return self.icon if current else 0

    def read(self) -> None:
        """Check what was requested last, and read it where it is another file or has changed."""
        path, kind = self._current = self._requested
        self._checked_at = time.monotonic()
        key = _key(path)
        if key == self._key:
            return
        self.icon, self.size, self._key = 0, (0, 0), key
        if self._pictures is None:
            self._pictures = bpy.utils.previews.new()
        self._pictures.clear()
        with contextlib.suppress(OSError, RuntimeError, KeyError, ValueError):
            picture = first_frame(path) if key and path.is_dir() else path
            if key and picture is not None:
                self.reads += 1
                small = self._pictures.load(str(picture), str(picture), "MOVIE" if kind == "VIDEO" else "IMAGE")
                self.size = tuple(small.image_size)
                self.icon = small.icon_id if min(self.size) > 0 else 0
        redraw()

    def close(self) -> None:
        """Give the picture back to Blender."""
        if bpy.app.timers.is_registered(self._timer):
            bpy.app.timers.unregister(self._timer)
        if self._pictures is not None:
            bpy.utils.previews.remove(self._pictures)
        self._pictures = self._key = None
        self._current = self._requested = (None, "IMAGE")
        self.icon, self.size = 0, (0, 0)


def _key(path: Path | None) -> _Key | None:
    """What must be the same for a picture to be the same."""
    try:
        status = path.stat() if path is not None else None
    except (OSError, ValueError):
        return None
    return None if status is None else (str(path), status.st_mtime_ns, status.st_size)


class Thumbnails:
    """Small pictures of many photos, each read once; one after the other, so that the interface goes on.

    Attributes:
        icons: number of the picture by path, 0 where it cannot be shown.
    """

    MOST = 96
    """Pictures that are held; then all are dropped and read again as they are drawn."""

    def __init__(self) -> None:
        self.icons: dict[str, int] = {}
        self._waiting: dict[str, None] = {}
        self._pictures: Any = None
        self._timer = self.read  # Blender knows a timer by its function object

    def icon_of(self, path: str) -> int:
        """Number of a picture's icon, 0 while there is none. For drawing: no file is touched.

        Args:
            path: a photo, a clip or a folder of frames.
        """
        if path and path not in self.icons:
            self._waiting[path] = None
            if not bpy.app.timers.is_registered(self._timer):
                bpy.app.timers.register(self._timer, first_interval=0.02)
        return self.icons.get(path, 0)

    def read(self) -> float | None:
        """The next picture that was asked for; for Blender's timer."""
        if not self._waiting:
            return None
        path = next(iter(self._waiting))
        del self._waiting[path]
        if self._pictures is None:
            self._pictures = bpy.utils.previews.new()
        if len(self.icons) >= self.MOST:
            self._pictures.clear()
            self.icons.clear()
        self.icons[path] = 0
        with contextlib.suppress(OSError, RuntimeError, KeyError, ValueError):
            file = Path(path)
            picture = first_frame(file) if file.is_dir() else file
            if picture is not None and picture.is_file():
                movie = picture.suffix.lower() in bpy.path.extensions_movie
                small = self._pictures.load(path, str(picture), "MOVIE" if movie else "IMAGE")
                self.icons[path] = small.icon_id if min(small.image_size) > 0 else 0
        redraw()
        return 0.02 if self._waiting else None

    def close(self) -> None:
        """Give the pictures back to Blender."""
        if bpy.app.timers.is_registered(self._timer):
            bpy.app.timers.unregister(self._timer)
        if self._pictures is not None:
            bpy.utils.previews.remove(self._pictures)
        self._pictures = None
        self.icons.clear()
        self._waiting.clear()


PREVIEW, THUMBNAILS = Preview(), Thumbnails()


def unregister() -> None:
    """Nothing of ours stays with Blender."""
    PREVIEW.close()
    THUMBNAILS.close()
