# SPDX-License-Identifier: GPL-3.0-or-later
"""Every difference between Blender 3.4 and 5.x that matters here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np

LINEAR, CONSTANT = 1, 0
"""Keyframe interpolation as ``foreach_set`` takes it."""


def action_for(owner: Any, name: str) -> tuple[Any, Any]:
    """A new action on a data-block, and where its curves go.

    Args:
        owner: armature object, mesh object, shape keys or camera data.
        name: of the action.

    Returns:
        the action and the thing whose ``fcurves`` take curves (the action itself, or a channel bag since 4.4).
    """
    action = bpy.data.actions.new(name)
    animation = owner.animation_data_create()
    if not hasattr(action, "layers"):
        animation.action = action
        return action, action
    slot = action.slots.new(id_type=owner.id_type, name=owner.name)
    strip = action.layers.new("Layer").strips.new(type="KEYFRAME")
    animation.action = action
    animation.action_slot = slot
    return action, strip.channelbag(slot, ensure=True)


def share_action(owner: Any, other: Any) -> None:
    """Let a data-block move by another one's action."""
    animation, theirs = owner.animation_data_create(), other.animation_data
    animation.action = theirs.action
    if hasattr(theirs, "action_slot"):
        animation.action_slot = theirs.action_slot


def curves_of(owner: Any) -> list[Any]:
    """Curves of the action on a data-block, in both action systems."""
    animation = getattr(owner, "animation_data", None)
    action = animation.action if animation else None
    if action is None:
        return []
    if not hasattr(action, "layers"):
        return list(action.fcurves)
    curves = []
    for layer in action.layers:
        for strip in layer.strips:
            bag = strip.channelbag(animation.action_slot) if animation.action_slot else None
            curves += list(bag.fcurves) if bag else []
    return curves


def all_curves(action: Any) -> list[Any]:
    """Every curve of an action, whoever moves by it."""
    if not hasattr(action, "layers"):
        return list(action.fcurves)
    bags = [strip.channelbag(slot) for layer in action.layers for strip in layer.strips for slot in action.slots]
    return [curve for bag in bags if bag is not None for curve in bag.fcurves]


def scene_fps(scene: Any) -> float:
    """Frames per second of a scene."""
    return scene.render.fps / scene.render.fps_base


def set_fps(scene: Any, fps: float) -> None:
    """Give a scene a frame rate, also one that is no whole number."""
    whole = max(1, round(fps))
    scene.render.fps, scene.render.fps_base = whole, whole / fps


def new_curve(bag: Any, path: str, index: int, group: str, frames: np.ndarray, values: np.ndarray, kind: int) -> Any:
    """A curve with all its keys at once.

    Args:
        bag: from :func:`action_for`.
        path: data path.
        index: array index.
        group: name of the curve group, "" for none.
        frames: (T,) frames.
        values: (T,).
        kind: :data:`LINEAR` or :data:`CONSTANT`.
    """
    if isinstance(bag, bpy.types.Action):
        curve = bag.fcurves.new(path, index=index, action_group=group)
    else:
        try:
            curve = bag.fcurves.new(path, index=index, group_name=group)
        except TypeError:  # 4.4 and 4.5 name no group here
            curve = bag.fcurves.new(path, index=index)
    set_keys(curve, frames, values, kind)
    return curve


def set_keys(curve: Any, frames: np.ndarray, values: np.ndarray, kind: int = LINEAR) -> None:
    """Fill an empty curve."""
    curve.keyframe_points.add(len(frames))
    pairs = np.empty((len(frames), 2), np.float32)
    pairs[:, 0], pairs[:, 1] = frames, values
    curve.keyframe_points.foreach_set("co", pairs.ravel())
    curve.keyframe_points.foreach_set("interpolation", np.full(len(frames), kind, np.int32))
    curve.update()


def fill_mesh(mesh: Any, vertices: np.ndarray, polygons: np.ndarray) -> None:
    """Vertices (V, 3) and polygons (P, k) of k corners each into an empty mesh; edges are worked out."""
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", np.ascontiguousarray(vertices, np.float32).ravel())
    mesh.loops.add(polygons.size)
    corners = np.ascontiguousarray(polygons, np.int32).ravel()
    set_values(mesh, ".corner_vert", "value", mesh.loops, "vertex_index", corners)
    count, sides = polygons.shape
    mesh.polygons.add(count)
    mesh.polygons.foreach_set("loop_start", np.arange(0, polygons.size, sides, dtype=np.int32))
    if bpy.app.version < (3, 6, 0):
        mesh.polygons.foreach_set("loop_total", np.full(count, sides, np.int32))
    mesh.update(calc_edges=True)
    if hasattr(mesh, "shade_smooth"):
        mesh.shade_smooth()
    else:
        mesh.polygons.foreach_set("use_smooth", np.ones(count, bool))


def set_values(mesh: Any, attribute: str, name: str, items: Any, item_name: str, values: np.ndarray) -> None:
    """Values of a mesh through its attribute, where Blender copies memory, else item by item (3.4 has no such ones).

    Args:
        mesh: mesh data.
        attribute: its name in newer Blenders.
        name: of the attribute's field.
        items: the collection for older ones.
        item_name: of its field.
        values: flat.
    """
    layer = mesh.attributes.get(attribute)
    if layer is not None:
        layer.data.foreach_set(name, values)
    else:
        items.foreach_set(item_name, values)


def principled(material: Any) -> Any:
    """The Principled node of a material with nodes; found by type, names are translated."""
    if not material.use_nodes:
        material.use_nodes = True
    return next((node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED"), None)


def units_per_metre(scene: Any) -> float:
    """Blender units of a metre; 1 where the scene has no units."""
    units = scene.unit_settings
    return 1.0 if units.system == "NONE" else 1.0 / units.scale_length


def user_folder(package: str) -> Path:
    """Where this add-on may write."""
    if hasattr(bpy.utils, "extension_path_user") and package.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(package, create=True))
    return Path(bpy.utils.user_resource("DATAFILES", path=package.rpartition(".")[2], create=True))


@contextmanager
def png_output(scene: Any) -> Iterator[None]:
    """For a moment a scene saves renders as plain PNG, whatever it is set to (before 5.0 there is no media type)."""
    settings = scene.render.image_settings
    png_settings = {"media_type": "IMAGE", "file_format": "PNG", "color_mode": "RGB", "color_depth": "8"}
    png_settings = {name: value for name, value in png_settings.items() if hasattr(settings, name)}
    before = {name: getattr(settings, name) for name in png_settings}
    try:
        for name, value in png_settings.items():
            setattr(settings, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)


def has_operator(name: str) -> bool:
    """Whether Blender was built with an operator (``wm.usd_export``); ``hasattr`` always says yes."""
    group, _, operator = name.partition(".")
    try:
        getattr(getattr(bpy.ops, group), operator).get_rna_type()
    except (AttributeError, KeyError, RuntimeError):
        return False
    return True


def draw_progress(layout: Any, fraction: float, text: str) -> None:
    """A progress bar, or a line of text before 4.0."""
    if hasattr(layout, "progress"):
        layout.progress(factor=fraction, text=text)
    else:
        layout.label(text=f"{round(100 * fraction)} %  {text}", icon="TIME")


def interface_window() -> Any:
    """A window to run operators in from a timer, or None in the background."""
    manager = bpy.context.window_manager
    return manager.windows[0] if manager and len(manager.windows) else None


def renew_context() -> None:
    """Let ``bpy.context`` belong to a scene that is there; for Blender 3.

    Reading ``bpy.context.layer_collection``, as Rigify does, there makes the scene the owner of ``bpy.context`` itself,
    also when that scene is gone: the next ``bpy.context.window.scene = ...``, which the glTF exporter begins with,
    writes to freed memory, and Blender dies some time after. Reading it again is the cure.
    """
    if bpy.app.version < (4, 0, 0):
        _ = bpy.context.layer_collection
