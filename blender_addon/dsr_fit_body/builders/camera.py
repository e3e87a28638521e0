# SPDX-License-Identifier: GPL-3.0-or-later
"""The camera that sees what the photo's camera saw, with the photo behind the bodies."""

from __future__ import annotations

import math
import re
from typing import Any

import bpy
import numpy as np

from .. import compat
from ..core.geometry import SENSOR_MM, lens_from_intrinsics
from ..core.messages import Sentence, sentence
from ..core.result import Result

CLIP_START = 0.05
SIZE = "dsr_size"
"""Custom property of the camera object: width and height of its photo in pixels."""


def new_camera(result: Result, name: str, collection: Any, start: int) -> Any:
    """A camera at the origin that looks along +y and projects as ``K`` does."""
    data = bpy.data.cameras.new(name)
    camera = bpy.data.objects.new(name, data)
    collection.objects.link(camera)
    camera.rotation_mode = "XYZ"
    camera.rotation_euler = (math.pi / 2, 0.0, 0.0)
    camera[SIZE] = list(result.size)
    data.sensor_fit, data.sensor_width = "HORIZONTAL", SENSOR_MM
    matrices = result.K if result.K.ndim == 3 else result.K[None]
    _set_lens(data, matrices[0], result.size)
    data.clip_end = max(100.0, 4 * max((float(np.max(p.transl[:, 2])) for p in result.people), default=10.0))
    data.clip_start = CLIP_START
    scale_clip(data, compat.units_per_metre(bpy.context.scene))
    if len(matrices) > 1 and np.abs(matrices - matrices[0]).max() > 1e-6:
        _animate(data, matrices, result.size, start, f"{name} Lens")
    return camera


def scale_clip(data: Any, units: float) -> None:
    """Clip distances in metres to a scene's units; a camera's own scale does not change them."""
    data.clip_start, data.clip_end = data.clip_start * units, data.clip_end * units


def add_photo(camera: Any, result: Result, opacity: float, pack: bool, start: int) -> Any | None:
    """Show the photo or clip behind the bodies.

    Returns:
        the image, or None where the file is gone or Blender cannot read it.
    """
    if result.background is None:
        return None
    try:
        image = bpy.data.images.load(str(result.background), check_existing=True)
    except RuntimeError:
        return None
    if result.background_kind == "SEQUENCE":
        image.source = "SEQUENCE"
    elif result.background_kind == "MOVIE":
        image.source = "MOVIE"
    if pack and image.source == "FILE" and not image.packed_file:
        image.pack()
    background = camera.data.background_images.new()
    background.image = image
    background.alpha = opacity
    background.display_depth = "BACK"
    if image.source != "FILE":
        user = background.image_user
        user.frame_start, user.frame_duration = start, result.num_frames
        user.frame_offset = _first_number(result.background.stem) - 1 if image.source == "SEQUENCE" else 0
        user.use_auto_refresh = True
    camera.data.show_background_images = True
    fit_photo(camera)
    return image


def fit_photo(camera: Any) -> None:
    """Make the photo as wide as the camera's frame, which is as wide as what the camera sees, whatever its height is.

    The frame has the shape of the scene's renders: that of the photo, or what the artist set.
    """
    render = bpy.context.scene.render
    frame = render.resolution_x * render.pixel_aspect_x / (render.resolution_y * render.pixel_aspect_y)
    for background in camera.data.background_images:
        if SIZE in camera:
            width, height = camera[SIZE]
            # of the same shape a smaller copy, rounded to pixels, is stretched back
            same = abs(frame * height / width - 1.0) < 0.01
            background.frame_method = "STRETCH" if same else "CROP" if frame * height > width else "FIT"


def clear_view(camera: Any, nearest: float, ours: set[Any]) -> Sentence | None:
    """Let the camera look past things it stands in or over, as the cube of a new file; nothing else is changed.

    Args:
        camera: of a photo, at its place.
        nearest: depth of the nearest body, metres.
        ours: objects that are not looked at.

    Returns:
        a sentence, or None where the view is free.
    """
    back = np.array(camera.matrix_world.inverted())
    names, beyond = [], CLIP_START
    for item in bpy.context.view_layer.objects:
        if item in ours or item.type != "MESH" or not item.visible_get():
            continue
        corners = np.c_[np.array(item.bound_box), np.ones(8)] @ (back @ np.array(item.matrix_world)).T
        low, high = corners[:, :3].min(axis=0), corners[:, :3].max(axis=0)
        reach = (high - low) / 2  # on the ground the camera is higher than in the middle of it
        around = (low - reach <= 0).all() and (high + reach >= 0).all()
        depth = -float(low[2])
        if around and depth < nearest:  # something further out is a room or a sky
            names.append(item.name)
            beyond = max(beyond, min(depth + 0.01, 0.95 * nearest))
    if not names:
        return None
    camera.data.clip_start = beyond * compat.units_per_metre(bpy.context.scene)
    return sentence(
        'The photo\'s camera stands at "{name}": its clip start looks past it; hide or delete it', name=names[0]
    )


def _first_number(stem: str) -> int:
    """The number at the end of a frame's name."""
    digits = re.search(r"(\d+)\D*$", stem)
    return int(digits.group(1)) if digits else 1


def use_camera(scene: Any, camera: Any, set_size: bool) -> None:
    """Make it the scene's camera, with the photo's size for rendering."""
    scene.camera = camera
    if set_size and SIZE in camera:
        width, height = (int(value) for value in camera[SIZE])
        render = scene.render
        render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
        render.pixel_aspect_x = render.pixel_aspect_y = 1.0
    fit_photo(camera)


def look_through(camera: Any) -> bool:
    """Turn the 3D view to the camera; False where there is no view (in the background)."""
    window = compat.interface_window()
    if window is None:
        return False
    fit_photo(camera)
    areas = [area for area in window.screen.areas if area.type == "VIEW_3D"]
    if not areas:
        return False
    area = max(areas, key=lambda a: a.width * a.height)
    space = area.spaces.active
    if camera != bpy.context.scene.camera:  # the artist's stays the scene's
        space.use_local_camera, space.camera = True, camera
    space.region_3d.view_perspective = "CAMERA"
    space.overlay.show_overlays = True
    region = next((r for r in area.regions if r.type == "WINDOW"), None)
    if region is not None:
        with bpy.context.temp_override(window=window, area=area, region=region):
            if bpy.ops.view3d.view_center_camera.poll():
                bpy.ops.view3d.view_center_camera()
    return True


def _set_lens(data: Any, K: np.ndarray, size: tuple[int, int]) -> None:
    lens = lens_from_intrinsics(K, size)
    data.lens, data.shift_x, data.shift_y = lens.lens, lens.shift_x, lens.shift_y


def _animate(data: Any, matrices: np.ndarray, size: tuple[int, int], start: int, name: str) -> None:
    lenses = [lens_from_intrinsics(K, size) for K in matrices]
    _, bag = compat.action_for(data, name)
    frames = start + np.arange(len(lenses))
    for path in ("lens", "shift_x", "shift_y"):
        values = np.array([getattr(lens, path) for lens in lenses])
        compat.new_curve(bag, path, 0, "", frames, values, compat.LINEAR)
