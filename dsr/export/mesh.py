"""Posed meshes as OBJ (with its MTL) and PLY: y up, metres, vertices in the order of the body asset; no camera.

Written here because trimesh writes triangles only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsr.export.materials import SKIN, face_materials, polygons
from dsr.export.rig import Frame, rig_person, vertex_normals

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.results.picture import PersonResult


def ply_bytes(person: PersonResult, asset: BodyAsset, frame: Frame = "camera") -> bytes:
    """The posed mesh of a person as a binary PLY file: places, normals, polygons.

    Args:
        person: the fit.
        asset: the body it was fitted with.
        frame: ``camera`` or ``body``.

    Raises:
        ExportError: if the person does not belong to the body or is not finite.
    """
    vertices = rig_person(person, asset, frame).vertices
    corners, _, _ = polygons(asset)
    rows = np.empty(len(corners), [("count", "u1"), ("corners", "<i4", corners.shape[1])])
    rows["count"], rows["corners"] = corners.shape[1], corners
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *(f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")),
        f"element face {len(corners)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    points = np.hstack([vertices, vertex_normals(vertices, asset)]).astype("<f4")
    return "".join(f"{line}\n" for line in header).encode() + points.tobytes() + rows.tobytes()


def obj_bytes(person: PersonResult, asset: BodyAsset, frame: Frame = "camera", *, materials: str) -> bytes:
    """The posed mesh of a person as an OBJ file: places, texture coordinates, normals, polygons by material.

    Args:
        person: the fit.
        asset: the body it was fitted with.
        frame: ``camera`` or ``body``.
        materials: file name of :func:`mtl_bytes`, in the same folder.

    Raises:
        ExportError: if the person does not belong to the body or is not finite.
    """
    vertices = rig_person(person, asset, frame).vertices
    corners, corners_uv, first = polygons(asset)
    kinds, kind_of_face = face_materials(asset)
    kind = kind_of_face[first]
    lines = [
        f"mtllib {materials}\no {person.id}\n",
        _lines("v", vertices),
        _lines("vn", vertex_normals(vertices, asset)),
    ]
    numbers = [corners, corners]
    if corners_uv is not None and asset.uv is not None:
        lines.append(_lines("vt", asset.uv))
        numbers.insert(1, corners_uv)
    corner = "/".join(["%d"] * 2) if len(numbers) == 3 else "%d/"
    row = "f" + f" {corner}/%d" * corners.shape[1] + "\n"
    table = np.stack(numbers, axis=2) + 1
    for k, material in enumerate(kinds):
        chosen = table[kind == k]
        lines += [f"usemtl {material.name}\ns 1\n", row * len(chosen) % tuple(chosen.ravel().tolist())]
    return "".join(lines).encode()


def mtl_bytes(asset: BodyAsset, texture: str = "") -> bytes:
    """The materials of a body as an MTL file.

    Args:
        asset: the body.
        texture: file name of the skin's picture, in the same folder; "" for a plain colour.
    """
    text = ""
    for material in face_materials(asset)[0]:
        textured = bool(texture) and material == SKIN
        colour = " ".join(f"{value:.4f}" for value in ((1.0, 1.0, 1.0) if textured else material.colour))
        shine = 1000.0 * (1.0 - material.roughness) ** 2  # how Blender and others turn one into the other
        text += f"newmtl {material.name}\nKd {colour}\nKs 0.5000 0.5000 0.5000\nNs {shine:.2f}\nd 1.0\nillum 2\n"
        text += f"map_Kd {texture}\n\n" if textured else "\n"
    return text.encode()


def _lines(kind: str, values: np.ndarray) -> str:
    """One line per row of (N, n) numbers."""
    row = kind + " %.6f" * values.shape[1] + "\n"
    return row * len(values) % tuple(np.asarray(values, float).ravel().tolist())
