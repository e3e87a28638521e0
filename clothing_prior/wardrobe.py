"""MakeHuman's CC0 garments on the open body: what each part of them is called, and where it lies on any shape and pose.

Axes as the body's: y up, facing +z, metres. Garments are bound to MakeHuman's base mesh, whose helper surfaces come
with the open body (``DSR_OPEN_HELPERS.npz``).
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from dsr.body import BodyAsset, load_asset
from dsr.body.asset_file import find_open
from dsr.body.numpy_lbs import rodrigues
from dsr.clothing.labels import LABELS
from dsr.errors import DatasetError
from dsr.npz import read_npz
from dsr.synthetic.mhclo import Garment, assemble_base, load_garment

_SUIT_M = 1.34
"""The suits reach from ankle to collar: so far on the default body."""


@dataclass(frozen=True)
class Piece:
    """A garment ready to be worn.

    Attributes:
        garment: its binding.
        weights: (N, 24) skinning weights.
        faces: (F, 3) triangles that are worn.
        labels: (F,) label id of each, left and right told apart.
        hidden: (D,) base-mesh vertices hidden under it.
        hidden_labels: (D,) label of the part that hides each.
    """

    garment: Garment
    weights: np.ndarray
    faces: np.ndarray
    labels: np.ndarray
    hidden: np.ndarray
    hidden_labels: np.ndarray

    def part(self, *names: str) -> Piece:
        """Only the triangles of some labels."""
        ids = [LABELS.index(name) for name in names]
        kept, below = np.isin(self.labels, ids), np.isin(self.hidden_labels, ids)
        return replace(
            self,
            faces=self.faces[kept],
            labels=self.labels[kept],
            hidden=self.hidden[below],
            hidden_labels=self.hidden_labels[below],
        )


@dataclass(frozen=True)
class DressedBody:
    """A posed body and the clothes on it, pelvis near the origin.

    Attributes:
        vertices: (V, 3) metres.
        cloth: (N, 3) vertices of all garments.
        faces: (F, 3) triangles of all garments, indices into ``cloth``.
        labels: (F,) their labels.
        joints: (F,) joint that moves each triangle most.
        hidden: (V,) bool, body vertices on a garment's hide list.
    """

    vertices: np.ndarray
    cloth: np.ndarray
    faces: np.ndarray
    labels: np.ndarray
    joints: np.ndarray
    hidden: np.ndarray


class Wardrobe:
    """The open body with its helper vertices, and the garments of a folder.

    Args:
        folder: the unpacked MakeHuman assets, or their ``.tar.xz`` unpacked by :func:`unpack`.

    Raises:
        DatasetError: if there are no garments.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = {file.stem: file for file in sorted(folder.rglob("*.mhclo"))}
        if not self.files:
            raise DatasetError(f"{folder}: holds no .mhclo garments; give the folder of the MakeHuman CC0 assets.")
        self.body: BodyAsset = load_asset("open")
        helpers = read_npz(find_open("open").with_name("DSR_OPEN_HELPERS.npz"))
        if self.body.base_index is None:
            raise DatasetError("the open body lacks its base-mesh indices; reinstall the package.")
        self._index: np.ndarray = self.body.base_index
        self._helper_index, self._helper_template = helpers["base_index"], helpers["v_template"]
        self._helper_dirs, self._rest = helpers["shapedirs"], helpers["rest_vertices"]
        self._template = self._base(self.body.v_template, self._helper_template)
        self._weights = self._base(self.body.weights, helpers["weights"])

    def _base(self, body: np.ndarray, helpers: np.ndarray) -> np.ndarray:
        return assemble_base(body, self._index, helpers, self._helper_index)

    @lru_cache(maxsize=64)  # noqa: B019 - one wardrobe lives as long as the command
    def piece(self, name: str) -> Piece:
        """A garment by the name of its file.

        Raises:
            DatasetError: if it is not there or not readable.
        """
        if name not in self.files:
            raise DatasetError(f"{self.folder}: there is no garment {name}.mhclo; the set of CC0 assets is incomplete.")
        present = np.isfinite(self._template).all(axis=1)
        garment = load_garment(self.files[name]).rebound(self._rest, present).turned(self._rest, self._template)
        placed = garment.fit(self._template)
        faces, labels = label_faces(name, garment, placed)
        hidden = garment.delete_vertices[present[garment.delete_vertices]]
        above = cKDTree(placed[faces].mean(1)).query(self._template[hidden])[1] if len(hidden) else hidden
        return Piece(garment, garment.skinning(self._weights), faces, labels, hidden, labels[above])

    def dress(self, pieces: list[Piece], betas: np.ndarray, turns: np.ndarray) -> DressedBody:
        """Shape, dress and pose the body.

        Args:
            pieces: what is worn.
            betas: (B,).
            turns: (24, 3) axis-angle of the joints, radians; the first is the global orientation.
        """
        shaped = self.body.v_template + self.body.shapedirs[..., : len(betas)] @ betas
        base = self._base(shaped, self._helper_template + self._helper_dirs[..., : len(betas)] @ betas)
        transforms = joint_transforms(self.body, shaped, turns)
        cloth, faces, labels, joints = [], [], [], []
        hidden = np.zeros(len(self._template), bool)
        count = 0
        for piece in pieces:
            placed = piece.garment.fit(base)
            cloth.append(skin(placed, piece.weights, transforms))
            faces.append(piece.faces + count)
            labels.append(piece.labels)
            joints.append(piece.weights[piece.faces].sum(1).argmax(1))
            count += len(placed)
            hidden[piece.hidden] = True
        return DressedBody(
            skin(shaped, self.body.weights.astype(np.float64), transforms),
            np.concatenate(cloth) if cloth else np.zeros((0, 3)),
            np.concatenate(faces) if faces else np.zeros((0, 3), np.int64),
            np.concatenate(labels) if labels else np.zeros(0, np.int64),
            np.concatenate(joints) if joints else np.zeros(0, np.int64),
            hidden[self._index],
        )


def unpack(path: Path, target: Path) -> Path:
    """The garment folder: as it is, or the archive in it (or given itself) unpacked into ``target``.

    Raises:
        DatasetError: if there is neither, or the archive is damaged.
    """
    if path.is_dir():
        archives = sorted(path.glob("*.tar.xz"))
        if any(path.rglob("*.mhclo")) or not archives:
            return path
        path = archives[0]
    if not path.is_file():
        raise DatasetError(f"{path}: no MakeHuman assets there; give their folder or archive.")
    try:
        with tarfile.open(path) as archive:
            archive.extractall(target, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DatasetError(
            f"{path}: cannot be unpacked ({error}); is it the archive of the MakeHuman assets?"
        ) from error
    return target


def label_faces(name: str, garment: Garment, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The worn triangles of a garment (F, 3) and their labels (F,), by where its pieces lie on the default body.

    Args:
        name: of the file: ``shoes``, hair and hats are known by it; everything else is a suit of top and bottom.
        garment: the garment.
        rest: (N, 3) its vertices on the default body in T-pose, metres.
    """
    faces, middle = garment.faces, rest[garment.faces].mean(1)
    left = middle[:, 0] > 0
    family = "shoes" if name.startswith("shoes") else "hat" if name.startswith("fedora") else ""
    if family == "shoes":
        piece = components(faces, len(rest))
        socks = np.zeros(len(rest), bool)
        for number in range(piece.max() + 1):
            mine = piece == number
            # every pair comes with the same socks, two pieces of 144 vertices that reach over the ankle
            socks[mine] = mine.sum() == 144 and rest[mine, 1].max() > rest[:, 1].min() + 0.16
        sides = np.where(left, LABELS.index("leftShoe"), LABELS.index("rightShoe"))
        return faces, np.where(socks[faces].any(1), LABELS.index("socks"), sides)
    if family == "hat":
        return faces, np.full(len(faces), LABELS.index("hat"))
    if rest[:, 1].min() > 0.2:
        return faces, np.full(len(faces), LABELS.index("hair"))
    labels = np.full(len(faces), LABELS.index("coat" if name in COATS else "upperclothes"))
    lower = LABELS.index("skirt" if name in SKIRTS else "pants")
    piece = components(faces, len(rest))
    if piece.max() == 0 or name == "male_elegantsuit01":  # sewn together: its texture has an island per part
        islands = components(garment.faces_uv, len(garment.uv))
        piece = np.zeros(len(rest), np.int64)
        piece[faces.ravel()] = islands[garment.faces_uv.ravel()]
    scale, top = float(np.ptp(rest[:, 1])) / _SUIT_M, rest[:, 1].max()
    bottom = np.zeros(len(rest), bool)
    for number in np.unique(piece):
        mine = piece == number
        low, high = (top - rest[mine, 1].max()) / scale, (top - rest[mine, 1].min()) / scale
        bottom[mine] = low > 0.38 or (high > 1.1 and low < 0.3)  # the second is a bib
    labels[bottom[faces].all(1)] = lower
    return faces, labels


COATS = ("male_casualsuit05", "male_elegantsuit01")
"""Suits whose upper part is a jacket."""
SKIRTS = ("female_elegantsuit01",)
"""Suits whose lower part is a skirt."""


def components(faces: np.ndarray, count: int) -> np.ndarray:
    """Number of the connected piece of every vertex, (count,)."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1])


def joint_transforms(body: BodyAsset, shaped: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """(24, 3, 4) rigid motions of the joints of a shaped body (V, 3), float64."""
    joints = np.asarray(body.J_regressor @ shaped, np.float64)
    turned = rodrigues(turns)
    world = np.zeros((len(joints), 3, 4))
    for j, parent in enumerate(body.parents):
        if parent < 0:
            world[j, :, :3], world[j, :, 3] = turned[j], joints[j]
        else:
            world[j, :, :3] = world[parent, :, :3] @ turned[j]
            world[j, :, 3] = world[parent, :, :3] @ (joints[j] - joints[parent]) + world[parent, :, 3]
    world[:, :, 3] -= np.einsum("jab,jb->ja", world[:, :, :3], joints)
    return world


def skin(rest: np.ndarray, weights: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Linear blend skinning, (N, 3) float64."""
    blend = (weights @ transforms.reshape(len(transforms), 12)).reshape(-1, 3, 4)
    return np.asarray(np.einsum("nab,nb->na", blend[:, :, :3], rest) + blend[:, :, 3])
