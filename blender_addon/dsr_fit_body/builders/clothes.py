# SPDX-License-Identifier: GPL-3.0-or-later
"""Clothes, hair and shoes on a body: its bones move them, its shape keys drive theirs, the skin below is hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np

from .. import compat
from ..core.directions import KEY_NAMES
from ..core.face_parts import SKIN, Look
from ..core.garment import Garment
from ..core.geometry import BODY_TO_BLENDER
from . import armature as arm
from . import ground, motion, shape, twist
from . import mesh as msh
from .scene import remove_unused

HIDDEN = "Below "
"""How the vertex group and the modifier of a body begin that hide its skin below a garment."""
_LEAST_M = 2e-5
"""A shape key that moves no vertex further is left out."""
_PALETTE = ((0.05, 0.08, 0.16), (0.28, 0.04, 0.04), (0.12, 0.14, 0.10), (0.35, 0.33, 0.30), (0.02, 0.02, 0.02))
_WHITE = 0.95
"""Colours from here on stand for the picture that is missing."""
_HAIR = (0.06, 0.03, 0.015)
_HAIR_WORDS = ("hair", "brow", "lash", "beard", "ponytail", "braid", "afro", "bob0", "long0", "short0")


def wear(armature: Any, mesh_object: Any, garment: Garment, file: str) -> Any:
    """Put a garment on a body; one of the same file takes the place of the earlier one.

    Args:
        armature: of the body.
        mesh_object: of the body.
        garment: made for its body model.
        file: of the garment.

    Returns:
        The garment's object, a child of the armature.
    """
    for worn in worn_by(armature):
        if worn.get(msh.GARMENT) == file:
            take_off(worn)
    name = f"{armature.name} {garment.name}"
    item = bpy.data.objects.new(name, _mesh(garment, name, file))
    item[msh.GARMENT] = file
    for collection in mesh_object.users_collection:
        collection.objects.link(item)
    item.parent = armature
    _add_weights(item, garment, dict(zip(map(str, armature.data[arm.BONES]), arm.bone_names(armature), strict=True)))
    item.modifiers.new("Armature", "ARMATURE").object = armature
    _add_keys(item, mesh_object, garment, np.array(armature.get("fitbody_betas", [])))
    if twist.has_twist(armature):
        twist.share_weights(armature, item)
    _hide_below(mesh_object, item, garment)
    _share_presence(item, mesh_object)
    _stand_on_soles(armature, mesh_object)
    return item


def worn_by(armature: Any) -> list[Any]:
    """Garments on a body, by name."""
    return sorted((c for c in armature.children if msh.GARMENT in c), key=lambda item: item.name)


def take_off(item: Any) -> None:
    """Remove a garment; the skin below it is seen again."""
    armature = item.parent
    body = shape.body_objects(armature)
    if body is not None:
        modifier = body[1].modifiers.get(HIDDEN + item.name)
        group = body[1].vertex_groups.get(HIDDEN + item.name)
        if modifier is not None:
            body[1].modifiers.remove(modifier)
        if group is not None:
            body[1].vertex_groups.remove(group)
    data = item.data
    bpy.data.objects.remove(item)
    remove_unused([data])
    if body is not None:
        _stand_on_soles(*body)


def use_skin(mesh: Any, name: str, colour: tuple[float, float, float], picture: Path | None, pack: bool) -> None:
    """Give the skin of a body a picture on MakeHuman's UV map, or a plain colour.

    Args:
        mesh: mesh data.
        name: of the material.
        colour: linear RGB.
        picture: or None.
        pack: keep it in the .blend file.

    Raises:
        RuntimeError: if Blender cannot read the picture.
    """
    if picture is not None:
        image = bpy.data.images.load(str(picture), check_existing=True)
        if pack and image.packed_file is None:
            image.pack()
        mesh[msh.TEXTURE] = msh.picture_material(f"FitBody Skin {name}", image)
    else:
        plain = SKIN.colour if min(colour) > _WHITE else colour
        mesh[msh.TEXTURE] = msh.plain_material(Look(f"FitBody Skin {name}", plain))
    msh.use_skin_materials(mesh)


def _mesh(garment: Garment, name: str, file: str) -> Any:
    mesh = bpy.data.meshes.new(name)
    polygons = [[corner for corner in row if corner >= 0] for row in garment.polygons.tolist()]
    mesh.from_pydata((garment.places @ BODY_TO_BLENDER.T).tolist(), [], polygons)
    mesh.polygons.foreach_set("use_smooth", np.ones(len(mesh.polygons), bool))
    if garment.uv is not None:
        layer = mesh.uv_layers.new(name="UVMap")
        layer.data.foreach_set("uv", garment.uv[garment.polygons >= 0].astype(np.float32).ravel())
    mesh.materials.append(_material(garment, file))
    mesh.update()
    return mesh


def _material(garment: Garment, file: str) -> Any:
    name = f"FitBody {garment.name}"
    if garment.texture:
        try:
            return msh.picture_material(name, bpy.data.images.load(garment.texture, check_existing=True))
        except RuntimeError:
            pass  # a picture that Blender cannot read: plain
    colour = garment.colour
    if min(colour) > _WHITE:
        hair = any(word in file.lower() for word in _HAIR_WORDS)
        colour = _HAIR if hair else _PALETTE[sum(garment.name.encode()) % len(_PALETTE)]
    return msh.plain_material(Look(name, colour, 0.8))


def _add_weights(item: Any, garment: Garment, bones: dict[str, str]) -> None:
    for joint, name in enumerate(garment.joint_names):
        values = garment.weights[:, joint]
        vertices = np.flatnonzero(values > 1e-4)
        if len(vertices) and name in bones:
            add = item.vertex_groups.new(name=bones[name]).add
            for vertex in vertices.tolist():
                add((vertex,), float(values[vertex]), "REPLACE")


def _add_keys(item: Any, mesh_object: Any, garment: Garment, betas: np.ndarray) -> None:
    """A key for every one of the body's that moves the garment, driven by it; what has no key goes into the rest."""
    rest = np.zeros(garment.num_shapes)
    count = min(len(betas), garment.num_shapes)
    rest[:count] = betas[:count]
    rest[: msh.MAX_SHAPES] = 0
    basis = ((garment.places + garment.shapedirs[..., : garment.num_shapes] @ rest) @ BODY_TO_BLENDER.T).astype(
        np.float32
    )
    item.data.vertices.foreach_set("co", basis.ravel())
    item.shape_key_add(name="Basis", from_mix=False)
    offsets = {msh.shape_name(k): garment.shapedirs[..., k] for k in range(min(garment.num_shapes, msh.MAX_SHAPES))}
    offsets |= {KEY_NAMES[name]: offset for name, offset in garment.direction_offsets.items() if name in KEY_NAMES}
    first = garment.num_shapes
    offsets |= {name: garment.shapedirs[..., first + k] for k, name in enumerate(garment.expression_names)}
    keys = mesh_object.data.shape_keys
    for key in keys.key_blocks[1:]:
        offset = offsets.get(key.name)
        if offset is None or np.abs(offset).max() < _LEAST_M:
            continue
        own = item.shape_key_add(name=key.name, from_mix=False)
        own.slider_min, own.slider_max = key.slider_min, key.slider_max
        own.data.foreach_set("co", (basis + (offset @ BODY_TO_BLENDER.T).astype(np.float32)).ravel())
        driver = own.driver_add("value").driver
        driver.type = "AVERAGE"  # of one value: no Python, which artists may have turned off
        variable = driver.variables.new()
        variable.name = "body"
        target = variable.targets[0]
        target.id_type, target.id = "KEY", keys
        target.data_path = f'key_blocks["{bpy.utils.escape_identifier(key.name)}"].value'


def _hide_below(mesh_object: Any, item: Any, garment: Garment) -> None:
    """The skin that the garment covers would show through it."""
    vertices = garment.hidden[garment.hidden < len(mesh_object.data.vertices)]
    if not len(vertices):
        return
    group = mesh_object.vertex_groups.new(name=HIDDEN + item.name)
    group.add(vertices.tolist(), 1.0, "REPLACE")
    modifier = mesh_object.modifiers.new(HIDDEN + item.name, "MASK")
    modifier.vertex_group, modifier.invert_vertex_group = group.name, True
    modifier.show_expanded = False


def _share_presence(item: Any, mesh_object: Any) -> None:
    """Where a clip's body is hidden for a while, its clothes are."""
    animation = mesh_object.animation_data
    if animation is not None and animation.action is not None:
        motion.add_mask(item)
        compat.share_action(item, mesh_object)


def _stand_on_soles(armature: Any, mesh_object: Any) -> None:
    """The photo's lowest point, shoes or feet, at the ground again, where it was placed there."""
    root = armature.parent
    if root is None or not root.get(ground.GROUNDED):
        return
    bpy.context.view_layer.update()
    bodies = [body[1] for a in root.children if (body := shape.body_objects(a)) and a.type == "ARMATURE"]
    ground.place_on_ground(root, bodies or [mesh_object])


def drop_hidden_skin(mesh_object: Any) -> None:
    """Remove from a mesh what its garments cover, and the modifiers that hid it: other programs know no such ones."""
    masks = [m for m in mesh_object.modifiers if m.type == "MASK" and m.name.startswith(HIDDEN)]
    groups = [mesh_object.vertex_groups[m.vertex_group] for m in masks if m.vertex_group in mesh_object.vertex_groups]
    indices = {group.index for group in groups}
    for modifier in masks:
        mesh_object.modifiers.remove(modifier)
    if indices:
        gone = {v.index for v in mesh_object.data.vertices if any(g.group in indices for g in v.groups)}
        msh.delete_vertices(mesh_object.data, gone)
    for group in groups:
        mesh_object.vertex_groups.remove(group)
