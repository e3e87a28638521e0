# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the body model's file that lies beside the results: mesh, skinning, shape directions."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from .directions import Direction, read_directions
from .messages import FitBodyError, sentence
from .names import joint_names


@dataclass(frozen=True, eq=False)
class BodyModel:
    """A body model as Blender needs it; axes of the files (y up, facing +z), metres.

    Attributes:
        name: short name.
        vertices: (V, 3) float64 rest vertices of the average shape.
        shapedirs: (V, 3, B) float32 metres per unit of beta.
        posedirs: (V, 3, 9 (J-1)) float32 or None.
        weights: (V, J) float32.
        parents: (J,) root -1, parents before children.
        polygons: (P, k) int32 corners; quads (k = 4) where the file has them, else triangles.
        uv: (P, k, 2) float32 per corner, or None.
        part_ids: (P,) int32 body part of every polygon, or None.
        part_names: names of the parts.
        interior: (P,) bool, mouth cavity, eyeballs.
        names: J bone names.
        joints: (J, 3) rest joints of the average shape.
        jointdirs: (J, 3, B) metres per unit of beta.
        licence: one line.
        directions: named directions of the shape; none in files of earlier versions.
        expression_names: of the last of the B coefficients, where they are named facial expressions.
    """

    name: str
    vertices: np.ndarray = field(repr=False)
    shapedirs: np.ndarray = field(repr=False)
    posedirs: np.ndarray | None = field(repr=False)
    weights: np.ndarray = field(repr=False)
    parents: np.ndarray = field(repr=False)
    polygons: np.ndarray = field(repr=False)
    uv: np.ndarray | None = field(repr=False)
    part_ids: np.ndarray | None = field(repr=False)
    part_names: list[str] = field(repr=False)
    interior: np.ndarray = field(repr=False)
    names: list[str] = field(repr=False)
    joints: np.ndarray = field(repr=False)
    jointdirs: np.ndarray = field(repr=False)
    licence: str = ""
    directions: list[Direction] = field(default_factory=list, repr=False)
    expression_names: list[str] = field(default_factory=list, repr=False)

    @property
    def root(self) -> int:
        """Index of the root joint."""
        return int(np.flatnonzero(self.parents < 0)[0])

    @property
    def num_shapes(self) -> int:
        """How many coefficients come before the named expressions."""
        return self.shapedirs.shape[2] - len(self.expression_names)

    @cached_property
    def direction_offsets(self) -> np.ndarray:
        """(D, V, 3) float32 metres that one spread of each named direction moves the rest vertices by."""
        spreads = np.array([direction.spread * direction.betas for direction in self.directions], np.float32)
        moved = spreads.reshape(-1, self.shapedirs.shape[2]) @ self.shapedirs.reshape(-1, self.shapedirs.shape[2]).T
        return moved.reshape(-1, *self.vertices.shape)

    def shaped_vertices(self, betas: np.ndarray) -> np.ndarray:
        """Rest vertices (V, 3) of a shape (n,), n <= B."""
        betas = np.asarray(betas, np.float64)
        return self.vertices + self.shapedirs[..., : len(betas)] @ betas

    def shaped_joints(self, betas: np.ndarray) -> np.ndarray:
        """Rest joints (J, 3) of a shape (n,), n <= B."""
        betas = np.asarray(betas, np.float64)
        return self.joints + self.jointdirs[..., : len(betas)] @ betas

    def corrective(self, rotations: np.ndarray) -> np.ndarray | None:
        """What a pose adds to the rest vertices.

        Args:
            rotations: (J, 3, 3) local rotations.

        Returns:
            (V, 3) metres, or None where the model has no pose correctives.
        """
        if self.posedirs is None:
            return None
        others = np.delete(rotations, self.root, axis=0)
        return self.posedirs @ (others - np.eye(3)).reshape(-1)


_CACHE: dict[tuple[str, int, int], BodyModel] = {}


def read_body_model(path: Path, sha256: str = "") -> BodyModel:
    """Read a body model's NPZ file; kept in memory until another one is read.

    Args:
        path: of the file; every run's folder has a copy.
        sha256: what the result says is in it, "" where nothing is known: copies of a file are read once.

    Raises:
        FitBodyError: if it is missing or no body model.
    """
    try:
        status = Path(path).stat()
    except OSError:
        raise FitBodyError("model_missing", detail=sentence("{path}; keep it beside the result", path=path)) from None
    key = (sha256, status.st_size, 0) if sha256 else (str(path), status.st_size, status.st_mtime_ns)
    if key not in _CACHE:
        body = _read(Path(path))
        _CACHE.clear()
        _CACHE[key] = body
    return _CACHE[key]


def _read(path: Path) -> BodyModel:
    try:
        with np.load(path, allow_pickle=False) as data:
            keys = [key for key in data.files if not key.startswith("kp_")]
            arrays = {key: data[key] for key in keys}
        return _body(arrays)
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        detail = sentence("{path} is not a body model ({error})", path=path, error=error)
        raise FitBodyError("model_missing", detail=detail) from error


def _body(arrays: dict[str, np.ndarray]) -> BodyModel:
    vertices = arrays["v_template"].astype(np.float64)
    shapedirs = arrays["shapedirs"].astype(np.float32, copy=False)  # numpy multiplies the file's half floats slowly
    weights, faces = arrays["weights"], arrays["f"].astype(np.int32)
    parents = arrays["kintree_table"][0].astype(np.int64)
    parents[(parents < 0) | (parents >= len(parents))] = -1  # SMPL's own files say 2**32 - 1 for none
    count = len(vertices)
    if shapedirs.shape[:2] != (count, 3) or weights.shape != (count, len(parents)):
        raise ValueError(f"shapedirs {shapedirs.shape} and weights {weights.shape} do not fit {count} vertices")
    if len(faces) and not 0 <= faces.min() <= faces.max() < count:
        raise ValueError("faces point at vertices that do not exist")
    if not (parents < np.arange(len(parents))).all() or (parents < 0).sum() != 1:
        raise ValueError("the joints are no tree with parents before children")
    polygons, corners_uv, first = _polygons(arrays, faces)
    uv = None
    if "uv" in arrays and len(arrays["uv"]) and corners_uv is not None:
        uv = arrays["uv"].astype(np.float32)[corners_uv]
    parts = arrays.get("part_ids")
    interior = arrays.get("interior", np.zeros(0, bool))
    names = _texts(arrays, "joint_names")
    return BodyModel(
        name=(_texts(arrays, "name") or ["body"])[0],
        vertices=vertices,
        shapedirs=shapedirs,
        posedirs=arrays.get("posedirs"),
        weights=weights,
        parents=parents,
        polygons=polygons,
        uv=uv,
        part_ids=parts.astype(np.int32)[first] if parts is not None and len(parts) == len(faces) else None,
        part_names=_texts(arrays, "part_names"),
        interior=interior.astype(bool)[first] if len(interior) == len(faces) else np.zeros(len(polygons), bool),
        names=joint_names(names, len(parents)),
        joints=_regress(arrays, vertices),
        jointdirs=_regress(arrays, shapedirs.astype(np.float64)),
        licence=(_texts(arrays, "licence") or [""])[0],
        directions=read_directions(arrays, shapedirs.shape[2]),
        expression_names=_texts(arrays, "expression_names"),
    )


def _polygons(arrays: dict[str, np.ndarray], faces: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Corners (P, k), their texture coordinates (P, k) or None, and the first triangle (P,) of every polygon.

    Quad q is the triangles 2q and 2q + 1, its corners (0, 1, 2) and (0, 2, 3). Older files have no quads.
    """
    if "quads" not in arrays:
        return faces, arrays.get("f_uv", arrays["f"]), np.arange(len(faces))
    quads = arrays["quads"].astype(np.int32)
    if not np.array_equal(quads[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3), faces):
        raise ValueError("the triangles are not those of the quads")
    return quads, arrays.get("quads_uv"), np.arange(0, len(faces), 2)


def _texts(arrays: dict[str, np.ndarray], key: str) -> list[str]:
    return [str(text) for text in np.atleast_1d(arrays[key])] if key in arrays else []


def _regress(arrays: dict[str, np.ndarray], values: np.ndarray) -> np.ndarray:
    """Joint regressor (J, V), dense or as row, column, value, times values (V, ...)."""
    if "J_regressor" in arrays:
        return np.tensordot(arrays["J_regressor"].astype(np.float64), values, axes=1)
    row, col, val = (arrays[f"J_regressor_{part}"] for part in ("row", "col", "val"))
    out = np.zeros((int(arrays["J_regressor_shape"][0]), *values.shape[1:]))
    np.add.at(out, row, val.astype(np.float64).reshape(-1, *[1] * (values.ndim - 1)) * values[col])
    return out
