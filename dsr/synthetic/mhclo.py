"""MakeHuman garments: a ``.mhclo`` binding, its ``.obj`` mesh and ``.mhmat`` material, fitted to any shape of the body.

Every garment vertex is a weighted sum of three vertices of the MakeHuman base mesh (19 158 vertices, helper surfaces
included) plus an offset scaled by the size of the body part, or it is one base vertex. Offsets are axis-aligned in
MakeHuman's rest pose; :meth:`Garment.turned` carries them over to another rest pose, such as the open body's T-pose.
Axes: y up, facing +z. Units are those of the base vertices given to :meth:`Garment.fit`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dsr.errors import DatasetError
from dsr.synthetic.garment_files import file_beside, read_material, read_obj, read_text

BASE_VERTICES = 19158
"""Vertices of the MakeHuman base mesh (hm08) that the indices of a ``.mhclo`` refer to."""

_AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Garment:
    """A garment mesh and how it hangs on the MakeHuman base mesh.

    Attributes:
        name: name in the file, or the file's stem.
        indices: (N, 3) base-mesh vertices each garment vertex is bound to (three times the same for a single binding).
        weights: (N, 3) their weights, summing to 1; may be negative where the garment vertex lies outside the triangle.
        offsets: (N, 3) added after the weighted sum, in units of the scale measured on the body.
        scale_rules: per axis x, y, z the two base vertices whose distance along that axis is measured and the divisor,
            or None where the file has no rule (then the offset is taken as decimetres and turned into metres).
        delete_vertices: (D,) base-mesh vertices hidden under the garment.
        faces: (F, 3) triangles of the garment.
        uv: (T, 2) texture coordinates, empty where the mesh has none.
        faces_uv: (F, 3) indices into ``uv``, empty where the mesh has none.
        turns: (N, 3, 3) rotation of each offset from MakeHuman's rest pose into the pose of the base vertices, or None.
        colour: (3,) diffuse colour of the material, 0 to 1.
        material: keys and values of the ``.mhmat`` file as text.
        tags: the file's tags.
        z_depth: drawing depth, larger lies further outside.
    """

    name: str
    indices: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray
    scale_rules: tuple[tuple[int, int, float] | None, ...]
    delete_vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    faces_uv: np.ndarray
    turns: np.ndarray | None = None
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    material: dict[str, str] | None = None
    tags: tuple[str, ...] = ()
    z_depth: int = 50

    @property
    def used_vertices(self) -> np.ndarray:
        """Base-mesh vertices that :meth:`fit` needs, sorted, shape (U,)."""
        rules = [index for rule in self.scale_rules if rule is not None for index in rule[:2]]
        return np.unique(np.concatenate([self.indices.ravel(), np.asarray(rules, dtype=np.int64)]))

    def scale(self, base_vertices: np.ndarray) -> np.ndarray:
        """Size of the body part along x, y, z in units of the garment's offsets, shape (3,)."""
        sizes = [0.1, 0.1, 0.1]
        for axis, rule in enumerate(self.scale_rules):
            if rule is not None:
                first, second, divisor = rule
                sizes[axis] = abs(float(base_vertices[first, axis] - base_vertices[second, axis])) / divisor
        return np.asarray(sizes, dtype=np.float64)

    def fit(self, base_vertices: np.ndarray) -> np.ndarray:
        """Place the garment on a body.

        Args:
            base_vertices: (19158, 3) base mesh in its rest pose (:func:`assemble_base`), NaN where it has no vertex.

        Returns:
            Garment vertices, (N, 3) float64, in the units of ``base_vertices``.

        Raises:
            DatasetError: if the base mesh is too short or lacks vertices the garment is bound to.
        """
        base = np.asarray(base_vertices, dtype=np.float64)
        if base.ndim != 2 or base.shape[1] != 3 or base.shape[0] <= int(self.used_vertices.max(initial=0)):
            raise DatasetError(
                f"Garment {self.name}: needs the MakeHuman base mesh as (19158, 3) vertices, got shape {base.shape}; "
                "build it with dsr.synthetic.mhclo.assemble_base."
            )
        missing = int(np.isnan(base[self.used_vertices]).any(axis=1).sum())
        if missing:
            raise DatasetError(
                f"Garment {self.name}: {missing} base-mesh vertices it is bound to are not part of this body; give the "
                "helper vertices to assemble_base, or bind the garment to the skin first with Garment.rebound."
            )
        offsets = self.offsets * self.scale(base)
        if self.turns is not None:
            offsets = np.einsum("nij,nj->ni", self.turns, offsets)
        return np.einsum("nk,nkd->nd", self.weights, base[self.indices]) + offsets

    def skinning(self, base_weights: np.ndarray) -> np.ndarray:
        """Skinning weights interpolated from the body.

        Args:
            base_weights: (19158, J) weights of the base mesh.

        Returns:
            (N, J) float64, not negative, rows sum to 1.
        """
        positive = np.clip(self.weights, 0.0, None)
        positive /= positive.sum(axis=1, keepdims=True)
        known = np.nan_to_num(np.asarray(base_weights, dtype=np.float64))
        weights = np.einsum("nk,nkj->nj", positive, known[self.indices])
        total = weights.sum(axis=1, keepdims=True)
        if (total <= 0).any():
            raise DatasetError(f"Garment {self.name}: the body has no skinning weights where the garment is bound.")
        return np.asarray(weights / total)

    def turned(self, rest_vertices: np.ndarray, posed_vertices: np.ndarray, neighbours: int = 16) -> Garment:
        """The same garment with its offsets turned from one rest pose into another.

        Args:
            rest_vertices: (19158, 3) base mesh in MakeHuman's own rest pose.
            posed_vertices: (19158, 3) the same shape in the pose that :meth:`fit` will see; NaN where missing.
            neighbours: how many surrounding vertices decide the local rotation.

        Returns:
            A garment whose ``turns`` are set.
        """
        from scipy.spatial import cKDTree

        present = np.flatnonzero(np.isfinite(posed_vertices).all(axis=1))
        rest, posed = np.asarray(rest_vertices, np.float64)[present], np.asarray(posed_vertices, np.float64)[present]
        anchors = np.einsum("nk,nkd->nd", self.weights, np.asarray(rest_vertices, np.float64)[self.indices])
        _, near = cKDTree(rest).query(anchors, k=neighbours)
        return replace(self, turns=_kabsch(rest[near], posed[near]))

    def rebound(self, rest_vertices: np.ndarray, available: np.ndarray) -> Garment:
        """Bind to existing vertices what is bound to missing ones (helper surfaces that a body does not carry).

        Each such garment vertex is placed on the default base mesh and bound to the nearest available vertices there.

        Args:
            rest_vertices: (19158, 3) default base mesh in MakeHuman's rest pose, helpers included.
            available: (19158,) True for the vertices the body has.

        Returns:
            A garment that needs available vertices only (the scale rules must already do so).
        """
        from scipy.spatial import cKDTree

        rest = np.asarray(rest_vertices, dtype=np.float64)
        lost = ~available[self.indices].all(axis=1)
        if not lost.any():
            return self
        placed = replace(self, turns=None).fit(rest)[lost]
        present = np.flatnonzero(available)
        distance, near = cKDTree(rest[present]).query(placed, k=3)
        closeness = 1.0 / np.maximum(distance, 1e-9)
        indices, weights, offsets = self.indices.copy(), self.weights.copy(), self.offsets.copy()
        indices[lost] = present[near]
        weights[lost] = closeness / closeness.sum(axis=1, keepdims=True)
        residual = placed - np.einsum("nk,nkd->nd", weights[lost], rest[indices[lost]])
        offsets[lost] = residual / np.maximum(self.scale(rest), 1e-12)
        return replace(self, indices=indices, weights=weights, offsets=offsets, turns=None)


def assemble_base(
    body_vertices: np.ndarray,
    base_index: np.ndarray,
    helper_vertices: np.ndarray | None = None,
    helper_index: np.ndarray | None = None,
) -> np.ndarray:
    """Put body (and helper) values at their places of the MakeHuman base mesh.

    Args:
        body_vertices: (V, D) values per body vertex: positions (D = 3), or skinning weights (D = J).
        base_index: (V,) base-mesh index of every body vertex.
        helper_vertices: (H, D) the same for helper vertices, optional.
        helper_index: (H,) their base-mesh indices.

    Returns:
        (19158, D) float64, NaN where neither has a vertex.
    """
    base = np.full((BASE_VERTICES, body_vertices.shape[1]), np.nan)
    base[np.asarray(base_index)] = body_vertices
    if helper_vertices is not None and helper_index is not None:
        base[np.asarray(helper_index)] = helper_vertices
    return base


def load_garment(path: str | Path) -> Garment:
    """Read a ``.mhclo`` file with the ``.obj`` it names and, if there, its ``.mhmat`` material.

    Args:
        path: the ``.mhclo`` file, or a folder that holds exactly one.

    Returns:
        The garment, ready for :meth:`Garment.fit`.

    Raises:
        DatasetError: if a file is missing or does not follow the format.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob("*.mhclo"))
        if len(files) != 1:
            raise DatasetError(f"{path}: expected one .mhclo file in this folder, found {len(files)}; name the file.")
        path = files[0]
    text = read_text(path)
    header, bindings, deleted = _parse_mhclo(text, path)
    indices = np.array([row[0] for row in bindings], dtype=np.int64).reshape(-1, 3)
    numbers = np.array([row[1] for row in bindings], dtype=np.float64).reshape(-1, 6)
    outside = indices[(indices < 0) | (indices >= BASE_VERTICES)]
    if outside.size:
        raise DatasetError(f"{path}: refers to base-mesh vertex {outside[0]}, the base mesh has {BASE_VERTICES}.")
    if not np.isfinite(numbers).all():
        raise DatasetError(f"{path}: a weight or an offset is not a number.")
    obj_path = file_beside(path, header.get("obj_file", path.with_suffix(".obj").name))
    vertices, faces, uv, faces_uv = read_obj(obj_path)
    if vertices != len(indices):
        raise DatasetError(f"{path}: binds {len(indices)} vertices, {obj_path.name} has {vertices}; they do not match.")
    material, colour = read_material(file_beside(path, header["material"]) if "material" in header else None)
    return Garment(
        name=header.get("name", path.stem),
        indices=indices,
        weights=numbers[:, :3],
        offsets=numbers[:, 3:],
        scale_rules=tuple(_scale_rule(header, f"{axis}_scale", path) for axis in _AXES),
        delete_vertices=deleted,
        faces=faces,
        uv=uv,
        faces_uv=faces_uv,
        colour=colour,
        material=material,
        tags=tuple(header.get("tag", "").split("\n")) if header.get("tag") else (),
        z_depth=_z_depth(header, path),
    )


def _z_depth(header: dict[str, str], path: Path) -> int:
    try:
        return int(float(header.get("z_depth", "50")))
    except (ValueError, OverflowError) as error:
        raise DatasetError(f"{path}: z_depth should be a number, found {header['z_depth'][:40]!r}.") from error


def _kabsch(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Best rotations of (N, K, 3) point sets, (N, 3, 3): ``target ~ R @ source`` after centring."""
    source = source - source.mean(axis=1, keepdims=True)
    target = target - target.mean(axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(np.einsum("nki,nkj->nij", target, source))
    flip = np.ones((len(u), 3))
    flip[:, 2] = np.sign(np.linalg.det(u @ vt))
    return np.asarray((u * flip[:, None, :]) @ vt)


def _parse_mhclo(text: str, path: Path) -> tuple[dict[str, str], list[tuple[list[int], list[float]]], np.ndarray]:
    header: dict[str, str] = {}
    bindings: list[tuple[list[int], list[float]]] = []
    deleted: list[str] = []
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        numeric = words[0].lstrip("-").isdigit() or words[0] == "-"
        if not numeric:
            key = words[0]
            section = key if key in ("verts", "delete_verts", "weights") else section
            value = " ".join(words[1:])
            header[key] = f"{header[key]}\n{value}" if key == "tag" and key in header else value
        elif section == "verts":
            try:
                bindings.append(_binding(words))
            except ValueError as error:
                raise DatasetError(f"{path}, line {number}: not a vertex binding: {line.strip()[:60]!r}.") from error
        elif section == "delete_verts":
            deleted.extend(words)
    if not bindings:
        raise DatasetError(f"{path}: no vertex bindings found; is it a MakeHuman .mhclo file?")
    try:
        return header, bindings, _ranges(deleted)
    except ValueError as error:
        raise DatasetError(
            f"{path}: the delete_verts section holds something else than vertices of the base mesh."
        ) from error


def _binding(words: list[str]) -> tuple[list[int], list[float]]:
    if any(len(word) > 12 for word in words[:3] if word.lstrip("-").isdigit()):
        raise ValueError("an index of more digits than any mesh has")
    if len(words) == 1:
        return [int(words[0])] * 3, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    if len(words) not in (6, 9):
        raise ValueError("three indices, three weights and optionally three offsets expected")
    numbers = [float(word) for word in words[3:]]
    return [int(word) for word in words[:3]], numbers + [0.0] * (6 - len(numbers))


def _ranges(words: list[str]) -> np.ndarray:
    indices: list[int] = []
    position = 0
    while position < len(words):
        first = int(words[position])
        last = first
        if position + 2 < len(words) and words[position + 1] == "-":
            last = int(words[position + 2])
            position += 2
        if not 0 <= first <= last < BASE_VERTICES:
            raise ValueError(f"vertices {first} to {last}")
        indices.extend(range(first, last + 1))
        position += 1
    return np.unique(np.asarray(indices, dtype=np.int64))


def _scale_rule(header: dict[str, str], key: str, path: Path) -> tuple[int, int, float] | None:
    if key not in header:
        return None
    try:
        first, second, divisor = header[key].split()[:3]
        rule = (int(first), int(second), float(divisor))
    except ValueError as error:
        raise DatasetError(f"{path}: {key} should be two vertices and a number, found {header[key]!r}.") from error
    if rule[2] <= 0 or min(rule[:2]) < 0 or max(rule[:2]) >= BASE_VERTICES:
        raise DatasetError(f"{path}: {key} should name two base-mesh vertices and a divisor, found {header[key]!r}.")
    return rule
