# SPDX-License-Identifier: GPL-3.0-or-later
"""Shape sliders of a body, on its armature: named directions and the coefficients behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bpy
import numpy as np
from bpy.props import FloatProperty, FloatVectorProperty

from .builders import gestures, shape, sizes
from .builders.measurements import measured_once
from .builders.mesh import MAX_SHAPES
from .core.directions import KEY_NAMES

_quiet = False


def _shape_changed(self: BodySettings, context: Any) -> None:
    if not _quiet:
        shape.set_shape(self.id_data, np.array(self.shape))


def _direction_changed(self: BodySettings, context: Any) -> None:
    if not _quiet:
        shape.set_directions(self.id_data, {name: getattr(self, name) for name in KEY_NAMES})


def _slider(name: str, description: str, reach: float) -> Any:
    """A slider of a named direction, 0 as fitted."""
    return FloatProperty(
        name=name,
        description=description,
        default=0.0,
        min=-2 * reach,
        max=2 * reach,
        soft_min=-reach,
        soft_max=reach,
        precision=1,
        options=set(),
        update=_direction_changed,
    )


GESTURES = ("jaw", "gaze_down", "gaze_left", "left_fist", "right_fist")
"""Properties that move bones of face and hands."""
SIZES = {
    "Height": "height_cm",
    "Mass": "mass_kg",
    "Chest": "chest_cm",
    "Waist": "waist_cm",
    "Hips": "hips_cm",
}
"""Measures that can be set, and their properties."""


def _size(name: str, label: str, description: str, least: float, most: float) -> Any:
    """A field with a measure of the body; a number typed into it changes the shape."""

    def get(self: BodySettings) -> float:
        body = shape.body_objects(self.id_data)
        return measured_once(body[1]).get(name, 0.0) if body is not None else 0.0

    def set_value(self: BodySettings, value: float) -> None:
        sizes.set_size(self.id_data, name, min(max(value, least), most))

    return FloatProperty(
        name=label, description=description, precision=1, step=100, options=set(), get=get, set=set_value
    )


def _gesture(name: str, description: str, low: float, high: float, get: Any, put: Any) -> Any:
    """A slider that reads and writes pose bones."""

    def read(self: BodySettings) -> float:
        return float(get(self.id_data))

    def write(self: BodySettings, value: float) -> None:
        put(self.id_data, min(max(value, low), high))

    return FloatProperty(
        name=name, description=description, soft_min=low, soft_max=high, precision=2, options=set(), get=read, set=write
    )


class BodySettings(bpy.types.PropertyGroup):
    """Of one body."""

    jaw: _gesture("Jaw", "How far the mouth is open, degrees", -5.0, 35.0, gestures.jaw_deg, gestures.set_jaw)
    gaze_down: _gesture(
        "Look Down",
        "How far the eyes look down, degrees",
        -35.0,
        35.0,
        gestures.gaze_down,
        gestures.set_gaze_down,
    )
    gaze_left: _gesture(
        "Look Left",
        "How far the eyes look to the body's left, degrees",
        -35.0,
        35.0,
        gestures.gaze_left,
        gestures.set_gaze_left,
    )
    left_fist: _gesture(
        "Left Fist",
        "How far the left hand is closed",
        0.0,
        1.0,
        gestures.left_fist,
        gestures.set_left_fist,
    )
    right_fist: _gesture(
        "Right Fist",
        "How far the right hand is closed",
        0.0,
        1.0,
        gestures.right_fist,
        gestures.set_right_fist,
    )

    height_cm: _size("Height", "Height in cm", "Type a height; the mass stays", 50.0, 250.0)
    mass_kg: _size("Mass", "Mass in kg", "Type a mass; the height stays", 10.0, 300.0)
    chest_cm: _size("Chest", "Chest in cm", "Type a girth; height and mass stay", 40.0, 200.0)
    waist_cm: _size("Waist", "Waist in cm", "Type a girth; height and mass stay", 35.0, 200.0)
    hips_cm: _size("Hips", "Hips in cm", "Type a girth; height and mass stay", 40.0, 200.0)
    height: _slider("Height (cm)", "Taller than fitted, and as much heavier as taller people are", 25.0)
    mass: _slider("Mass (kg)", "Heavier than fitted, as tall as before", 40.0)
    muscle: _slider("Muscle", "More muscle and less fat at the same height and mass; 1 is one standard deviation", 4.0)
    age: _slider("Age (years)", "Older than fitted at the same height and mass", 40.0)
    sex: _slider("Sex (man to woman)", "2 leads from the average man to the average woman of that height and mass", 2.5)
    leg_length: _slider("Leg Length (cm)", "Longer legs at the same height and mass", 9.0)
    shoulder_breadth: _slider("Shoulders (cm)", "Broader shoulders at the same height and mass", 4.0)
    hip_breadth: _slider("Hip Width (cm)", "Broader hips at the same height and mass", 5.0)
    shape: FloatVectorProperty(
        name="Shape",
        description="Shape coefficients; joints follow the surface, the pelvis stays where it is",
        size=MAX_SHAPES,
        default=(0.0,) * MAX_SHAPES,
        min=-10.0,
        max=10.0,
        soft_min=-5.0,
        soft_max=5.0,
        step=5,
        precision=2,
        options=set(),
        update=_shape_changed,
    )

    def set_quietly(self, betas: Any, directions: Mapping[str, float] | None = None) -> None:
        """Move the sliders without moving the body.

        Args:
            betas: (n,) shape coefficients.
            directions: units by name; those left out are 0.
        """
        global _quiet
        values = np.zeros(MAX_SHAPES)
        values[: min(len(betas), MAX_SHAPES)] = np.asarray(betas)[:MAX_SHAPES]
        _quiet = True
        try:
            self.shape = values.tolist()
            for name in KEY_NAMES:
                setattr(self, name, (directions or {}).get(name, 0.0))
        finally:
            _quiet = False


CLASSES = (BodySettings,)
