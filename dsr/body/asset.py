"""BodyAsset: one body model as plain numpy arrays. Needs no torch.

Rest pose: T-pose, y up, facing +z, metres.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.errors import BodyError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CHILD_BETA = 10
"""Which beta of an open body leads to a child: +1 is six years old. The others are components of adults."""


@dataclass(frozen=True, eq=False)
class BodyAsset:
    """A body model: mesh, shape directions, skinning and keypoint regressors.

    Attributes:
        v_template: (V, 3) float32 rest vertices, metres.
        shapedirs: (V, 3, B) float32 metres per unit of beta.
        weights: (V, J) float32 skinning weights, rows sum to 1.
        parents: (J,) int64, root -1.
        faces: (F, 3) int32.
        J_regressor: (J, V) sparse: rest joints from rest vertices.
        posedirs: (V, 3, 9 (J-1)) float32 pose correctives, or None.
        uv: (T, 2) float32 texture coordinates, or None.
        faces_uv: (F, 3) int32 indices into ``uv``, or None.
        quads: (Q, 4) int32 the faces as polygons: triangles 2q and 2q + 1 are the corners (0, 1, 2) and (0, 2, 3) of
            quad q. None where the model has triangles only.
        quads_uv: (Q, 4) int32 indices into ``uv``, or None.
        part_ids: (F,) int32 index into ``part_names``.
        interior: (F,) bool, True for mouth cavity, eyeballs and the like.
        base_index: (V,) int64 MakeHuman base-mesh vertex of every vertex, or None.
        keypoint_regressors: per keypoint set a sparse (K, V) matrix.
        tape: sparse (K, V) points that :mod:`dsr.body.tape` measures at, or None.
        tape_names: their K names; points of one ring share a name.
        sex_mean: (2, n) mean of the first n betas over men and over women, or None.
        sex_cov: (2, n, n) their covariances, or None.
        directions: (D, n) change of the first n betas per unit of every named direction, or None
            (:mod:`dsr.body.directions`).
        direction_names: names of the D directions.
        direction_units: their units.
        direction_spreads: (D,) by how much people differ along each, in its unit, or None.
        joint_names: names of the J joints.
        part_names: names of the parts.
        num_expressions: how many of the last betas are facial expression (SMPL-X, open-x).
        expression_names: their names, or none.
        name: short name of the model.
        licence: one line.
        sha256: hex digest of the file.
        path: where it was read from, or None.
    """

    v_template: np.ndarray = field(repr=False)
    shapedirs: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    parents: np.ndarray = field(repr=False)
    faces: np.ndarray = field(repr=False)
    J_regressor: csr_matrix = field(repr=False)
    posedirs: np.ndarray | None = field(default=None, repr=False)
    uv: np.ndarray | None = field(default=None, repr=False)
    faces_uv: np.ndarray | None = field(default=None, repr=False)
    quads: np.ndarray | None = field(default=None, repr=False)
    quads_uv: np.ndarray | None = field(default=None, repr=False)
    part_ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32), repr=False)
    interior: np.ndarray = field(default_factory=lambda: np.zeros(0, bool), repr=False)
    base_index: np.ndarray | None = field(default=None, repr=False)
    keypoint_regressors: dict[str, csr_matrix] = field(default_factory=dict, repr=False)
    tape: csr_matrix | None = field(default=None, repr=False)
    tape_names: tuple[str, ...] = field(default=(), repr=False)
    sex_mean: np.ndarray | None = field(default=None, repr=False)
    sex_cov: np.ndarray | None = field(default=None, repr=False)
    directions: np.ndarray | None = field(default=None, repr=False)
    direction_names: tuple[str, ...] = field(default=(), repr=False)
    direction_units: tuple[str, ...] = field(default=(), repr=False)
    direction_spreads: np.ndarray | None = field(default=None, repr=False)
    joint_names: tuple[str, ...] = field(default=(), repr=False)
    part_names: tuple[str, ...] = field(default=(), repr=False)
    num_expressions: int = 0
    expression_names: tuple[str, ...] = ()
    name: str = "body"
    licence: str = ""
    sha256: str = ""
    path: Path | None = None

    @property
    def num_vertices(self) -> int:
        """Number of vertices V."""
        return int(self.v_template.shape[0])

    @property
    def num_joints(self) -> int:
        """Number of joints J."""
        return int(self.parents.shape[0])

    @property
    def num_betas(self) -> int:
        """Number of shape coefficients B."""
        return int(self.shapedirs.shape[2])

    @property
    def num_shapes(self) -> int:
        """How many of the betas, the first ones, are shape; the others are facial expression."""
        return self.num_betas - self.num_expressions

    @property
    def child_beta(self) -> int | None:
        """Which beta leads to a child; None for bodies that have none."""
        has_one = self.name.startswith("open") and self.num_shapes > CHILD_BETA
        return CHILD_BETA if has_one else None

    def keypoint_regressor(self, name: str) -> csr_matrix:
        """Sparse (K, V) regressor of a keypoint set.

        Raises:
            BodyError: if the asset has none of that name.
        """
        if name not in self.keypoint_regressors:
            known = ", ".join(sorted(self.keypoint_regressors)) or "none"
            raise BodyError(f"Body {self.name} has no regressor for {name!r} keypoints (it has: {known}).")
        return self.keypoint_regressors[name]

    def check(self) -> BodyAsset:
        """The asset itself, after checking that its arrays fit together.

        Raises:
            BodyError: naming the file and the first array that does not fit.
        """
        where = self.path or self.name
        v, j, f = self.num_vertices, len(self.parents), len(self.faces)
        n = 0 if self.sex_mean is None else self.sex_mean.shape[-1]
        named = len(self.direction_names)
        shapes: dict[str, tuple[Any, tuple[int | None, ...]]] = {
            "v_template": (self.v_template, (v, 3)),
            "shapedirs": (self.shapedirs, (v, 3, None)),
            "weights": (self.weights, (v, j)),
            "f": (self.faces, (f, 3)),
            "J_regressor": (self.J_regressor, (j, v)),
            "posedirs": (self.posedirs, (v, 3, 9 * (j - 1))),
            "part_ids": (self.part_ids, (f,)),
            "interior": (self.interior, (f,)),
            "f_uv": (self.faces_uv, (f, 3)),
            "quads": (self.quads, (f // 2, 4)),
            "quads_uv": (self.quads_uv, (f // 2, 4)),
            "base_index": (self.base_index, (v,)),
            "tape": (self.tape, (len(self.tape_names), v)),
            "sex_mean": (self.sex_mean, (2, n)),
            "sex_cov": (self.sex_cov, (2, n, n)),
            "directions": (self.directions, (named, None)),
            "direction_units": (np.array(self.direction_units), (named,)),
            "direction_spreads": (self.direction_spreads, (named,)),
            **{f"kp_{k}": (m, (None, v)) for k, m in self.keypoint_regressors.items()},
        }
        for key, (array, expected) in shapes.items():
            if array is None:
                continue
            sizes = zip(array.shape, expected, strict=False)
            if len(array.shape) != len(expected) or any(need not in (None, size) for size, need in sizes):
                shown = ", ".join("any" if need is None else str(need) for need in expected)
                raise BodyError(f"{where}: {key} has shape {tuple(array.shape)} where ({shown}) is needed.")
        for key in ("v_template", "shapedirs", "weights"):
            if not np.isfinite(getattr(self, key)).all():
                raise BodyError(f"{where}: {key} holds numbers that are not finite.")
        if f and not (self.faces.min() >= 0 and self.faces.max() < v):
            raise BodyError(f"{where}: faces point at vertices that do not exist.")
        for key, quads, faces in (("quads", self.quads, self.faces), ("quads_uv", self.quads_uv, self.faces_uv)):
            if quads is not None and (faces is None or not np.array_equal(split_quads(quads), faces)):
                raise BodyError(f"{where}: the triangles are not those of {key}.")
        if np.abs(self.weights.sum(1) - 1).max(initial=0) > 1e-3:
            raise BodyError(f"{where}: skinning weights do not sum to 1.")
        if self.expression_names and len(self.expression_names) != self.num_expressions:
            raise BodyError(
                f"{where}: {len(self.expression_names)} names for {self.num_expressions} facial expressions."
            )
        if n > self.num_betas:
            raise BodyError(f"{where}: sex_mean speaks of {n} betas where there are {self.num_betas}.")
        if self.directions is not None and self.directions.shape[1] > self.num_betas:
            raise BodyError(
                f"{where}: directions change {self.directions.shape[1]} betas where there are {self.num_betas}."
            )
        tree_levels(self.parents, str(where))
        return self


def split_quads(quads: np.ndarray) -> np.ndarray:
    """Triangles (2 Q, 3) of quads (Q, 4): corners (0, 1, 2) and (0, 2, 3) of each."""
    return quads[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3)


def tree_levels(parents: np.ndarray, where: str = "body") -> list[np.ndarray]:
    """Joints by distance from the root: the first array holds the root, the next its children, and so on.

    Args:
        parents: (J,) parent of every joint, root -1, in any order.
        where: file or name for the error message.

    Raises:
        BodyError: if the joints are not one tree.
    """
    levels = [np.flatnonzero(parents < 0)]
    if len(levels[0]) != 1:
        raise BodyError(f"{where}: the kinematic tree has {len(levels[0])} roots where 1 is needed.")
    seen = 1
    while len(children := np.flatnonzero(np.isin(parents, levels[-1]))):
        levels.append(children)
        seen += len(children)
    if seen != len(parents):
        raise BodyError(f"{where}: the kinematic tree has joints that do not hang on the root.")
    return levels


def clean_parents(row: np.ndarray) -> np.ndarray:
    """Parents as int64 with root -1; the official files write the root as 4294967295 or as itself."""
    parents = np.asarray(row).astype(np.int64)
    outside = (parents < 0) | (parents >= len(parents)) | (parents == np.arange(len(parents)))
    return np.where(outside, -1, parents)
