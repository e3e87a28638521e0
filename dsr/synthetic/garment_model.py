"""A garment of MakeHuman's format as a model of its own: skinned, with the body's shape directions, for other programs.

The file is an NPZ without pickled objects, axes and metres as the body's: ``places (N, 3)`` on the mean body in T-pose,
``shapedirs (N, 3, B)`` per coefficient, ``weights (N, J)`` with ``joint_names``, ``polygons (P, 4)`` (a triangle's last
corner is -1), ``uv (T, 2)`` and ``polygons_uv (P, 4)`` (empty where there are none), ``hidden`` (the body's covered
vertices), ``direction_names`` and ``direction_offsets (D, N, 3)`` per spread of people, ``expression_names`` (of the
last coefficients), ``name``, ``colour (3,)`` linear 0 to 1 and ``texture`` (a path, or empty).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsr.body import BodyAsset, load_asset
from dsr.errors import DatasetError
from dsr.files import write_atomic
from dsr.synthetic.base_mesh import BaseMesh
from dsr.synthetic.garment_files import file_beside
from dsr.synthetic.mhclo import Garment, load_garment

ENDING = ".mhclo"


def garment_model(path: Path, body: BodyAsset) -> dict[str, np.ndarray]:
    """Everything about a garment on a body, by the names of the file's arrays.

    Args:
        path: of the ``.mhclo`` file.
        body: one of the open bodies.

    Raises:
        DatasetError: if it is no readable garment, or the body is another one.
    """
    if path.suffix.lower() != ENDING:
        raise DatasetError(f"{path}: is no garment; choose a {ENDING} file of MakeHuman.")
    # the light body lacks vertices that garments hang on
    mesh = BaseMesh(load_asset("open") if body.name == "open-light" else body)
    bound = mesh.bind(load_garment(path))
    garment = bound.garment
    shapedirs = mesh.directions(bound, body.num_betas).astype(np.float32)
    polygons, polygons_uv = merge_triangles(garment.faces, garment.faces_uv)
    directions, spreads = _directions(body)
    assert body.base_index is not None
    covered = np.isin(body.base_index, garment.delete_vertices)
    return {
        "places": bound.places.astype(np.float32),
        "shapedirs": shapedirs,
        "weights": bound.weights.astype(np.float32),
        "joint_names": np.array(body.joint_names),
        "polygons": polygons,
        "uv": garment.uv.astype(np.float32),
        "polygons_uv": polygons_uv,
        "hidden": np.flatnonzero(covered).astype(np.int32),
        "direction_names": np.array(body.direction_names, dtype=str),
        "direction_offsets": np.einsum("nkb,db->dnk", shapedirs[..., : directions.shape[1]], directions * spreads),
        "expression_names": np.array(body.expression_names, dtype=str),
        "name": np.array(garment.name),
        "colour": np.array(garment.colour, np.float32),
        "texture": np.array(_texture(path, garment)),
    }


def write_garment(path: Path, body: BodyAsset, out: Path) -> None:
    """Write :func:`garment_model` to a file.

    Raises:
        DatasetError: as there.
        OSError: if it cannot be written.
    """
    arrays = garment_model(path, body)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # numpy would add an ending to a name
            np.savez(file, **arrays)

    write_atomic(out, write)


def merge_triangles(faces: np.ndarray, faces_uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The quads that triangles (F, 3) were cut from, one behind the other, and what stays a triangle.

    Returns:
        Corners (P, 4), the last of a triangle -1, and their texture coordinates likewise, (0, 4) where there are none.
    """
    follows = (faces[:-1, 0] == faces[1:, 0]) & (faces[:-1, 2] == faces[1:, 1]) if len(faces) else np.zeros(0, bool)
    firsts: list[int] = []
    joined: list[bool] = []
    face = 0
    while face < len(faces):
        pair = face < len(follows) and bool(follows[face])
        firsts.append(face)
        joined.append(pair)
        face += 2 if pair else 1
    first, quad = np.array(firsts, np.int64), np.array(joined, bool)

    def corners(triangles: np.ndarray) -> np.ndarray:
        merged = np.full((len(first), 4), -1, np.int32)
        merged[:, :3] = triangles[first]
        merged[quad, 3] = triangles[first[quad] + 1, 2]
        return merged

    return corners(faces), corners(faces_uv) if len(faces_uv) == len(faces) else np.zeros((0, 4), np.int32)


def _directions(body: BodyAsset) -> tuple[np.ndarray, np.ndarray]:
    if body.directions is None or body.direction_spreads is None:
        return np.zeros((0, 0), np.float32), np.zeros((0, 1), np.float32)
    return body.directions.astype(np.float32), body.direction_spreads.astype(np.float32)[:, None]


def _texture(path: Path, garment: Garment) -> str:
    """Path of the picture that the material names, "" where there is none."""
    name = (garment.material or {}).get("diffuseTexture", "")
    if not name:
        return ""
    picture = file_beside(path, name)
    return str(picture) if picture.is_file() else ""
