# SPDX-License-Identifier: GPL-3.0-or-later
"""The skinned mesh: shape keys, weights, materials, texture coordinates, attributes."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import bmesh
import bpy
import numpy as np

from .. import compat
from ..core.body_model import BodyModel
from ..core.directions import KEY_NAMES
from ..core.face_parts import SKIN, Look, looks
from ..core.geometry import BODY_TO_BLENDER

MAX_SHAPES = 32
"""Shape keys per body; coefficients beyond go into the rest shape."""
CORRECTIVE = "Pose Corrective"
PART, UNCERTAINTY, INTERIOR = "body_part", "uncertainty_mm", "interior"
PART_NAMES, TEXTURE = "fitbody_parts", "fitbody_texture"
"""Custom properties of the mesh data: names of its parts; the material that its skin has instead of the plain one."""
GARMENT = "fitbody_garment"
"""Custom property of an object that is a garment on a body: its file."""


def shape_name(index: int) -> str:
    """Name of the key of a shape coefficient."""
    return f"Shape {index:02d}"


def new_mesh(body: BodyModel, name: str) -> Any:
    """The mesh of the average shape, without shape keys; weights come with :func:`add_weights`."""
    mesh = bpy.data.meshes.new(name)
    compat.fill_mesh(mesh, body.vertices @ BODY_TO_BLENDER.T, body.polygons)
    if body.uv is not None:
        layer = mesh.uv_layers.new(name="UVMap")
        compat.set_values(mesh, "UVMap", "vector", layer.data, "uv", body.uv.ravel())
    if body.part_ids is not None:
        mesh.attributes.new(PART, "INT", "FACE").data.foreach_set("value", body.part_ids)
        if body.part_names:
            mesh[PART_NAMES] = body.part_names
    if body.interior.any():
        mesh.attributes.new(INTERIOR, "INT", "FACE").data.foreach_set("value", body.interior.astype(np.int32))
    use_skin_materials(mesh)
    return mesh


def add_weights(mesh_object: Any, names: Sequence[str], weights: np.ndarray) -> None:
    """Vertex groups of these bones, with the weights (V, n)."""
    for name, column in zip(names, weights.T, strict=True):
        add = mesh_object.vertex_groups.new(name=name).add
        vertices = np.flatnonzero(column > 0)
        for vertex, weight in zip(vertices.tolist(), column[vertices].tolist(), strict=True):
            add((vertex,), weight, "REPLACE")


def add_shapes(mesh_object: Any, body: BodyModel, count: int) -> None:
    """Basis and ``count`` shape keys, one unit of each coefficient; values start at 0."""
    basis = np.ascontiguousarray(body.vertices @ BODY_TO_BLENDER.T, np.float32)
    mesh_object.shape_key_add(name="Basis", from_mix=False)
    for index in range(min(count, MAX_SHAPES)):
        key = mesh_object.shape_key_add(name=shape_name(index), from_mix=False)
        key.slider_min, key.slider_max = -10.0, 10.0
        moved = basis + (body.shapedirs[..., index] @ BODY_TO_BLENDER.T).astype(np.float32)
        key.data.foreach_set("co", moved.ravel())


def add_directions(mesh_object: Any, body: BodyModel) -> None:
    """A shape key per named direction, one spread of people each; values start at 0."""
    for direction, offset in zip(body.directions, body.direction_offsets, strict=True):
        add_key(mesh_object, KEY_NAMES[direction.name], offset, 0.0)


def add_expressions(mesh_object: Any, body: BodyModel) -> None:
    """A shape key per named facial expression; values start at 0."""
    for index, name in enumerate(body.expression_names, body.num_shapes):
        add_key(mesh_object, name, body.shapedirs[..., index], 0.0)


def set_expressions(mesh_object: Any, body: BodyModel, betas: np.ndarray) -> None:
    """Values of the keys of facial expressions from the coefficients of a fit; sliders run from 0 to 1."""
    keys = mesh_object.data.shape_keys.key_blocks
    values = np.zeros(len(body.expression_names))
    given = np.asarray(betas)[body.num_shapes :]
    values[: len(given)] = given
    for name, value in zip(body.expression_names, values.tolist(), strict=True):
        keys[name].slider_min, keys[name].slider_max = min(0.0, value), max(1.0, value)
        keys[name].value = value


def expression_keys(mesh_object: Any) -> list[Any]:
    """Shape keys of the facial expressions: those that are called as ARKit calls them, in camel case."""
    keys = mesh_object.data.shape_keys.key_blocks if mesh_object.data.shape_keys else ()
    return [key for key in keys if key.name.isalpha() and key.name[0].islower()]


def set_directions(mesh_object: Any, values: Mapping[str, float]) -> None:
    """Values of the keys of named directions, in spreads."""
    keys = mesh_object.data.shape_keys.key_blocks
    for name, value in values.items():
        if KEY_NAMES[name] in keys:
            keys[KEY_NAMES[name]].value = float(value)


def get_directions(mesh_object: Any, names: Iterable[str]) -> np.ndarray:
    """Values of the keys of these directions, in spreads; 0 where somebody removed the key."""
    keys = mesh_object.data.shape_keys.key_blocks if mesh_object.data.shape_keys else {}
    return np.array([keys[KEY_NAMES[name]].value if KEY_NAMES[name] in keys else 0.0 for name in names])


def set_shapes(mesh_object: Any, betas: np.ndarray) -> None:
    """Values of the shape keys."""
    keys = mesh_object.data.shape_keys.key_blocks
    for index, value in enumerate(np.asarray(betas)[:MAX_SHAPES]):
        if shape_name(index) in keys:
            keys[shape_name(index)].value = float(value)


def get_shapes(mesh_object: Any) -> np.ndarray:
    """Values of the shape keys (n,)."""
    keys = mesh_object.data.shape_keys.key_blocks if mesh_object.data.shape_keys else {}
    values = []
    while shape_name(len(values)) in keys:
        values.append(keys[shape_name(len(values))].value)
    return np.array(values)


def bake_rest(mesh_object: Any, offset: np.ndarray) -> None:
    """Add (V, 3) metres, files' axes, to the rest shape and every key."""
    delta = np.ascontiguousarray(offset @ BODY_TO_BLENDER.T, np.float32).ravel()
    for key in mesh_object.data.shape_keys.key_blocks:
        now = np.empty(delta.shape, np.float32)
        key.data.foreach_get("co", now)
        key.data.foreach_set("co", now + delta)


def add_key(mesh_object: Any, name: str, offset: np.ndarray, value: float) -> Any:
    """A further key that adds (V, 3) metres, files' axes, to the rest shape."""
    keys = mesh_object.data.shape_keys
    basis = np.empty(len(mesh_object.data.vertices) * 3, np.float32)
    keys.key_blocks[0].data.foreach_get("co", basis)
    key = mesh_object.shape_key_add(name=name, from_mix=False)
    key.slider_min, key.slider_max = -10.0, 10.0
    key.data.foreach_set("co", basis + (offset @ BODY_TO_BLENDER.T).astype(np.float32).ravel())
    key.value = value
    return key


def delete_vertices(mesh: Any, gone: Iterable[int]) -> None:
    """Remove vertices, with the faces at them, from a mesh; shape keys and weights stay right."""
    edited = bmesh.new()
    try:
        edited.from_mesh(mesh)
        edited.verts.ensure_lookup_table()
        bmesh.ops.delete(edited, geom=[edited.verts[index] for index in gone], context="VERTS")
        edited.to_mesh(mesh)
    finally:
        edited.free()
    mesh.update()


def set_uncertainty(mesh: Any, body: BodyModel, uncertainty_mm: np.ndarray) -> None:
    """Per-joint uncertainty (J,) in millimetres as a vertex attribute, spread with the skin weights."""
    known = np.nan_to_num(np.asarray(uncertainty_mm, np.float64))
    values = (body.weights @ known).astype(np.float32)
    attribute = mesh.attributes.get(UNCERTAINTY) or mesh.attributes.new(UNCERTAINTY, "FLOAT", "POINT")
    attribute.data.foreach_set("value", values)


def plain_material(look: Look) -> Any:
    """A material of this name, made if it is not there; one that is there stays as the artist left it."""
    material = bpy.data.materials.get(look.name)
    if material is None:
        material = bpy.data.materials.new(look.name)
        material.diffuse_color = (*look.colour, 1.0)
        node = compat.principled(material)
        if node is not None:
            node.inputs["Base Color"].default_value = (*look.colour, 1.0)
            node.inputs["Roughness"].default_value = look.roughness
    return material


def use_texture(mesh: Any, picture: Path, name: str, pack: bool) -> None:
    """Give the skin the person's own look; nothing where the picture cannot be read or the body has no UV map.

    Args:
        mesh: mesh data with its skin materials.
        picture: on the body's UV map.
        name: of the image and of the material.
        pack: keep the picture in the .blend file.
    """
    if not mesh.uv_layers:
        return
    try:
        image = bpy.data.images.load(str(picture))
    except RuntimeError:
        return
    image.name = name
    if pack:
        image.pack()
    mesh[TEXTURE] = picture_material(f"{SKIN.name} {image.name}", image)
    use_skin_materials(mesh)


def picture_material(name: str, image: Any) -> Any:
    """A new material with a picture on the UV map."""
    material = bpy.data.materials.new(name)
    material.diffuse_color = (*SKIN.colour, 1.0)
    principled = compat.principled(material)
    if principled is not None:
        node = material.node_tree.nodes.new("ShaderNodeTexImage")
        node.image, node.location = image, (principled.location.x - 320, principled.location.y)
        material.node_tree.links.new(node.outputs["Color"], principled.inputs["Base Color"])
        principled.inputs["Roughness"].default_value = SKIN.roughness
        material.node_tree.nodes.active = node  # what the solid view's texture colour shows
    return material


def use_part_materials(mesh: Any, part_names: list[str]) -> bool:
    """One material per body part instead of skin; False where the mesh knows no parts.

    Args:
        mesh: mesh data.
        part_names: for meshes of earlier versions, which do not name their parts.
    """
    parts = _face_values(mesh, PART)
    if parts is None:
        return False
    names = [str(name) for name in mesh.get(PART_NAMES, part_names)]
    mesh.materials.clear()
    for index in range(max(int(parts.max(initial=0)) + 1, len(names))):
        name = names[index] if index < len(names) else f"part {index}"
        colour = colorsys.hsv_to_rgb((index * 0.381966) % 1.0, 0.45, 0.85)
        mesh.materials.append(plain_material(Look(f"FitBody {name}", colour)))
    mesh.polygons.foreach_set("material_index", parts)
    mesh.update()
    return True


def use_skin_materials(mesh: Any) -> None:
    """The materials of a new body: skin, and those of the face's parts, or one for everything inside."""
    inside = _face_values(mesh, INTERIOR)
    inside = np.zeros(len(mesh.polygons), np.int32) if inside is None else inside
    names = [str(name) for name in mesh.get(PART_NAMES, ())]
    materials, index = looks(names, _face_values(mesh, PART), inside)
    own = mesh.get(TEXTURE)
    mesh.materials.clear()
    for look in materials:
        mesh.materials.append(plain_material(look) if look != SKIN or own is None else own)
    mesh.polygons.foreach_set("material_index", index)
    mesh.update()


def _face_values(mesh: Any, name: str) -> np.ndarray | None:
    """(P,) int32 values of a face attribute, or None."""
    if name not in mesh.attributes:
        return None
    values = np.empty(len(mesh.polygons), np.int32)
    mesh.attributes[name].data.foreach_get("value", values)
    return values
