"""Materials of a body: skin, and a colour for every part of the face where the body model names such parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset


@dataclass(frozen=True)
class Material:
    """A plain material.

    Attributes:
        name: in the file.
        colour: (3,) base colour, linear RGB.
        roughness: 0 to 1.
        thin: its surfaces have no inside, both sides show.
    """

    name: str
    colour: tuple[float, float, float]
    roughness: float
    thin: bool = False


SKIN = Material("skin", (0.8, 0.62, 0.53), 0.6)
INTERIOR = Material("interior", (0.55, 0.3, 0.28), 0.6)
FACE = {
    material.name: material
    for material in (
        Material("eye", (0.88, 0.87, 0.84), 0.2),
        Material("iris", (0.13, 0.065, 0.03), 0.2),
        Material("pupil", (0.005, 0.005, 0.005), 0.1),
        Material("lashes", (0.03, 0.02, 0.015), 0.8, thin=True),
        Material("teeth", (0.87, 0.83, 0.74), 0.3, thin=True),
        Material("tongue", (0.6, 0.25, 0.23), 0.4),
        Material("mouth", (0.45, 0.17, 0.15), 0.5),
    )
}
"""Parts are ``left_eye``, ``upper_teeth`` and so on; their last word is the material."""


def face_materials(asset: BodyAsset) -> tuple[list[Material], np.ndarray]:
    """Materials of a body and which of them its triangles have.

    Args:
        asset: the body. Where it names no parts of the face, ``interior`` faces have one material for all of them.

    Returns:
        The materials that occur, and (F,) int32 indices into them.
    """
    materials = [SKIN, INTERIOR, *FACE.values()]
    index = np.zeros(len(asset.faces), np.int32)
    parts = [name.rsplit("_", 1)[-1] for name in asset.part_names]
    if any(part in FACE for part in parts) and len(asset.part_ids) == len(asset.faces):
        of_part = [materials.index(FACE.get(part, SKIN)) for part in parts]
        index = np.array(of_part, np.int32)[asset.part_ids]
    elif len(asset.interior) == len(asset.faces):
        index[asset.interior] = 1
    used, index = np.unique(index, return_inverse=True)
    return [materials[k] for k in used], index.reshape(-1).astype(np.int32)


def polygons(asset: BodyAsset) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """What a format with polygons writes: quads where the body has them, else triangles.

    Args:
        asset: the body.

    Returns:
        (P, k) vertices of the polygons, (P, k) indices into ``uv`` or None, and (P,) the first triangle of each.
    """
    count = len(asset.faces)
    if asset.quads is None:
        return asset.faces, asset.faces_uv if asset.uv is not None else None, np.arange(count)
    return asset.quads, asset.quads_uv if asset.uv is not None else None, np.arange(0, count, 2)
