# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives a body a height, a mass or a girth: the likeliest change of its shape coefficients does it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import tape
from . import armature as arm
from . import measurements, shape
from . import mesh as msh

KEPT = ("Height", "Mass")
"""Measures that stay as they are while another one is set."""


def set_size(armature: Any, name: str, value: float) -> bool:
    """Set one measure; height and mass stay, if it is neither, and joints and feet follow as with the sliders.

    Args:
        armature: of a body.
        name: a measure of :func:`measurements.measured`, but the arm span.
        value: centimetres, kilograms.

    Returns:
        False where the armature is no body of ours, cannot be edited now, or has no such measure.
    """
    body = shape.body_objects(armature)
    if body is None or (ruler := measurements.tape_for(body[1])) is None:
        return False
    mesh_object = body[1]
    sizes = measurements.measured(mesh_object)
    free = free_shapes(armature, mesh_object)
    if name not in sizes or not free:
        return False
    targets = {kept: sizes[kept] for kept in KEPT if kept != name} | {name: value}
    betas, named = msh.get_shapes(mesh_object), msh.get_directions(mesh_object, arm.direction_spreads(armature))

    def moved(change: np.ndarray) -> np.ndarray:
        result = betas.copy()
        result[free] += change
        return result

    def levels(change: np.ndarray) -> tuple[float, float]:
        return measurements.levels(armature, arm.joints_for(armature, moved(change), named))

    offsets = _offsets(mesh_object, free)
    change = tape.solve(ruler, targets, shape.shaped_rest(mesh_object), offsets, levels)
    armature.dsr_fit_body.set_quietly(moved(change), shape.get_directions(armature, mesh_object))
    return shape.set_shape(armature, moved(change))


def free_shapes(armature: Any, mesh_object: Any) -> list[int]:
    """Coefficients that may change: those that adults differ by."""
    count = len(msh.get_shapes(mesh_object))
    return [index for index in armature.data.get(arm.ADULT_SHAPES, range(10)) if index < count]


def _offsets(mesh_object: Any, free: list[int]) -> np.ndarray:
    """(V, 3, n) what one unit of each coefficient adds to the rest vertices, Blender's rest axes."""
    blocks = mesh_object.data.shape_keys.key_blocks
    basis = np.empty(len(mesh_object.data.vertices) * 3, np.float32)
    moved = np.empty((len(free), basis.size), np.float32)
    blocks[0].data.foreach_get("co", basis)
    for row, index in enumerate(free):
        blocks[msh.shape_name(index)].data.foreach_get("co", moved[row])
    return np.moveaxis((moved - basis).reshape(len(free), -1, 3).astype(np.float64), 0, 2)
