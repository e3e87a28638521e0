# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the picture that is open in Blender as the photo: its file where it has one, else a copy in our folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from .. import compat
from ..core.messages import FitBodyError, sentence
from ..core.names import cut_name
from ..preferences import addon_preferences
from ..properties import panel_settings
from ..runs import addon_folder
from .base import AddonOperator

_FIELDS = {"IMAGE": "image", "SEQUENCE": "frames", "VIDEO": "video"}


class FITBODY_OT_use_active_image(AddonOperator, bpy.types.Operator):
    """Take the picture that is open in an Image Editor, or the one of the active object's material, as the photo"""

    bl_idname = "fitbody.use_active_image"
    bl_label = "Use Active Image"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Whether a picture is open."""
        return cls.poll_with_reason(
            active_image(context) is not None, sentence("Open a picture in an Image Editor first")
        )

    def run(self, context: Any) -> None:
        """Into the panel's field."""
        kind, path = file_of(active_image(context), context.scene)
        settings = panel_settings()
        settings.source = kind
        setattr(settings, _FIELDS[kind], str(path))
        self.inform(sentence("The photo is {path}", path=path))


def active_image(context: Any) -> Any | None:
    """The picture the user means: of this Image Editor, of another one, of the active material, or the only one."""
    for space in _spaces(context):
        if space.type == "IMAGE_EDITOR" and space.image is not None:
            return space.image
    material = getattr(context.active_object, "active_material", None)
    tree = material.node_tree if material is not None else None
    node = tree.nodes.active if tree is not None else None
    if node is not None and node.type == "TEX_IMAGE" and node.image is not None:
        return node.image
    images = [image for image in bpy.data.images if image.source != "VIEWER"]
    return images[0] if len(images) == 1 else None


def _spaces(context: Any) -> Iterator[Any]:
    """Where the pointer is, then this window's editors from the largest, then those of other windows."""
    if getattr(context, "space_data", None) is not None:
        yield context.space_data
    manager = context.window_manager
    windows = sorted(manager.windows, key=lambda window: window != context.window) if manager else []
    for window in windows:
        for area in sorted(window.screen.areas, key=lambda area: -area.width * area.height):
            yield area.spaces.active


def file_of(image: Any, scene: Any) -> tuple[str, Path]:
    """A file with the picture as it is seen now.

    Args:
        image: any image data-block; it is not changed.
        scene: whose colours a render is shown with.

    Returns:
        what the source is (``IMAGE``, ``SEQUENCE``, ``VIDEO``) and its path.

    Raises:
        FitBodyError: if there is nothing in it, or its file is gone.
    """
    path = Path(bpy.path.abspath(image.filepath, library=image.library)) if image.filepath else None
    if image.source == "MOVIE" and path is not None and path.is_file():
        return "VIDEO", path
    if image.source == "SEQUENCE" and path is not None and path.parent.is_dir():
        return "SEQUENCE", path.parent
    if image.type == "RENDER_RESULT":
        return "IMAGE", _render(image, scene)
    packed = bytes(image.packed_file.data) if image.packed_file and not image.is_dirty else b""
    if packed:  # with its EXIF data, which knows the focal length
        ending = path.suffix if path is not None else ""
        return "IMAGE", _keep(image.name, packed, ending or _suffix(packed))
    if image.source == "FILE" and not image.is_dirty:
        if path is None or not path.is_file():
            raise FitBodyError("photo_missing", photo=path or image.name)
        return "IMAGE", path
    return "IMAGE", _painted(image)


def _painted(image: Any) -> Path:
    """Pixels that are in no file: made, painted on, or shown by the compositor."""
    width, height = image.size
    pixels = np.empty(width * height * image.channels, np.float32)
    if not len(pixels) or len(image.pixels) != len(pixels):
        raise FitBodyError("no_pixels", photo=image.name)
    image.pixels.foreach_get(pixels)
    channels = pixels.reshape(-1, image.channels)
    full = np.ones((len(channels), 4), np.float32)
    full[:, :3] = channels[:, :3] if image.channels >= 3 else channels[:, :1]
    if image.is_float:  # linear light; a file of bytes holds it as screens show it
        light = np.clip(full[:, :3], 0.0, 1.0)
        full[:, :3] = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    copy = bpy.data.images.new("FitBody Copy", width, height, alpha=True)
    try:
        copy.pixels.foreach_set(full.ravel())
        part = addon_folder("pictures") / f"part-{os.getpid()}.png"
        copy.filepath_raw, copy.file_format = str(part), "PNG"
        copy.save()
    finally:
        bpy.data.images.remove(copy)
    return _keep(image.name, part.read_bytes(), ".png", part)


def _render(image: Any, scene: Any) -> Path:
    """The last render, with the colours it is shown in."""
    part = addon_folder("pictures") / f"part-{os.getpid()}.png"
    part.unlink(missing_ok=True)
    with contextlib.suppress(RuntimeError), compat.png_output(scene):
        image.save_render(str(part), scene=scene)
    if not part.is_file():
        raise FitBodyError("no_pixels", photo=image.name)
    return _keep(image.name, part.read_bytes(), ".png", part)


def _keep(name: str, content: bytes, suffix: str, part: Path | None = None) -> Path:
    """A file that is called after the picture and its content, so that the same picture is the same file again."""
    folder = addon_folder("pictures")
    digest = hashlib.sha256(content).hexdigest()[:10]
    stem = bpy.path.clean_name(cut_name(Path(name).stem))
    path = folder / f"{stem}-{digest}{suffix.lower()}"
    if part is not None:
        part.replace(path)
    elif not path.is_file():
        path.write_bytes(content)
    os.utime(path)
    used = {bpy.path.abspath(image.filepath) for image in bpy.data.images}
    by_age = sorted((p for p in folder.iterdir() if p.is_file()), key=lambda p: p.stat().st_mtime)
    for old in by_age[: -addon_preferences().keep_runs]:
        if old != path and str(old) not in used:
            old.unlink(missing_ok=True)
    return path


def _suffix(content: bytes) -> str:
    """Ending of a picture without a file name."""
    return ".jpg" if content.startswith(b"\xff\xd8") else ".png"


CLASSES = (FITBODY_OT_use_active_image,)
