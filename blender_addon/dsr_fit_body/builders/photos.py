# SPDX-License-Identifier: GPL-3.0-or-later
"""The photos of a scene: one of them is to be seen at a time, with its bodies, its camera, its rate and frames."""

from __future__ import annotations

from typing import Any

import bpy

from .. import compat
from . import camera as cam
from .motion import FPS

RUN, IMAGE = "fitbody_run", "fitbody_image"
"""Custom properties of a photo's collection: the JSON file, the photo."""
RANGE, RESIDUAL = "fitbody_range", "fitbody_residual_px"
"""Custom properties of a photo's collection: first and last frame of a clip; how far bodies are from the keypoints."""


def photos() -> list[Any]:
    """Collections of photos in the file; whose bodies fit worst come first."""
    found = [c for c in bpy.data.collections if c.library is None and RUN in c]
    return sorted(found, key=lambda c: -float(c.get(RESIDUAL, 0.0)))


def of_file(path: Any) -> list[Any]:
    """Collections of one photo, by the photo's path."""
    names = {str(path), str(path.resolve())}
    return [c for c in bpy.data.collections if c.library is None and c.get(IMAGE) in names]


def residuals_px() -> dict[str, float]:
    """How far bodies are from the keypoints, by the photo's path; photos whose bodies fit worst come first."""
    return {str(c.get(IMAGE, "")): float(c[RESIDUAL]) for c in photos() if RESIDUAL in c}


def photo_of(item: Any) -> Any | None:
    """The photo's collection that an object is in."""
    collections = list(item.users_collection) if item is not None else []
    return next((c for c in collections if RUN in c), None)


def camera_of(collection: Any) -> Any | None:
    """The camera of a photo."""
    return next((item for item in collection.objects if item.type == "CAMERA" and cam.SIZE in item), None)


def is_shown(collection: Any) -> bool:
    """Whether a photo's bodies are to be seen."""
    return not collection.hide_viewport


def show(collection: Any, alone: bool = True, time: bool = True) -> None:
    """Show a photo's bodies.

    Args:
        collection: of the photo.
        alone: hide those of other photos, in the view and in renders.
        time: give the scene the clip's rate and frames.
    """
    collection.hide_viewport = collection.hide_render = False
    for other in photos() if alone else ():
        if other != collection:
            other.hide_viewport = other.hide_render = True
    scene = bpy.context.scene
    if time and FPS in collection:
        compat.set_fps(scene, float(collection[FPS]))
        scene.frame_start, scene.frame_end = (int(frame) for frame in collection[RANGE])
