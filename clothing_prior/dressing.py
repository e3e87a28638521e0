"""Garments of the wardrobe with their labels, and bodies of any shape and pose that wear them.

Axes as the body's: y up, facing +z, metres. Where garments hang is the wardrobe's matter
(:class:`dsr.synthetic.wardrobe.Wardrobe`, here by the exact rule).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from dsr.body import BodyAsset
from dsr.body.numpy_lbs import rodrigues
from dsr.clothing.labels import LABELS
from dsr.synthetic.mhclo import Garment
from dsr.synthetic.wardrobe import BOTTOM, HAIR_STYLES, SOCK, BoundGarment, Wardrobe, garment_parts, suit_parts


@dataclass(frozen=True)
class WornPiece:
    """A garment, or part of one, with its labels.

    Attributes:
        bound: the garment on the open body.
        faces: (F, 3) triangles that are worn.
        labels: (F,) label id of each, left and right told apart.
        hidden: (D,) base-mesh vertices hidden under it.
        hidden_labels: (D,) label of the part that hides each.
    """

    bound: BoundGarment
    faces: np.ndarray
    labels: np.ndarray
    hidden: np.ndarray
    hidden_labels: np.ndarray

    def part(self, *names: str) -> WornPiece:
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


def labelled_piece(wardrobe: Wardrobe, name: str) -> WornPiece:
    """A garment by the name of its file.

    Raises:
        DatasetError: if it is not there or not readable.
    """
    bound = wardrobe.garment(name)
    faces, labels = label_faces(name, bound.garment, bound.places)
    deleted = bound.garment.delete_vertices
    hidden = deleted[np.isfinite(wardrobe.template[deleted]).all(1)]
    above = cKDTree(bound.places[faces].mean(1)).query(wardrobe.template[hidden])[1] if len(hidden) else hidden
    return WornPiece(bound, faces, labels, hidden, labels[above])


def dress(wardrobe: Wardrobe, pieces: list[WornPiece], betas: np.ndarray, turns: np.ndarray) -> DressedBody:
    """Shape, dress and pose the open body.

    Args:
        wardrobe: where the pieces are from.
        pieces: what is worn.
        betas: (B,).
        turns: (24, 3) axis-angle of the joints, radians; the first is the global orientation.
    """
    body, base = wardrobe.body, wardrobe.base(betas)
    shaped = body.v_template + body.shapedirs[..., : len(betas)] @ betas
    transforms = joint_transforms(body, shaped, turns)
    cloth, faces, labels, joints = [], [], [], []
    hidden = np.zeros(len(base), bool)
    count = 0
    for piece in pieces:
        placed = piece.bound.garment.fit(base)
        cloth.append(skin(placed, piece.bound.weights, transforms))
        faces.append(piece.faces + count)
        labels.append(piece.labels)
        joints.append(piece.bound.weights[piece.faces].sum(1).argmax(1))
        count += len(placed)
        hidden[piece.hidden] = True
    return DressedBody(
        skin(shaped, body.weights.astype(np.float64), transforms),
        np.concatenate(cloth) if cloth else np.zeros((0, 3)),
        np.concatenate(faces) if faces else np.zeros((0, 3), np.int64),
        np.concatenate(labels) if labels else np.zeros(0, np.int64),
        np.concatenate(joints) if joints else np.zeros(0, np.int64),
        hidden[body.base_index],
    )


def label_faces(name: str, garment: Garment, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The worn triangles of a garment (F, 3) and their labels (F,), by where its pieces lie on the default body.

    Args:
        name: of the file: ``shoes``, hair and hats are known by it; everything else is a suit of top and bottom.
        garment: the garment.
        rest: (N, 3) its vertices on the default body in T-pose, metres.
    """
    faces, left = garment.faces, rest[garment.faces].mean(1)[:, 0] > 0
    if name.startswith("fedora"):
        return faces, np.full(len(faces), LABELS.index("hat"))
    if name.startswith("shoes"):
        socks = (garment_parts(garment, name, rest) == SOCK)[faces].any(1)
        return faces, np.where(socks, LABELS.index("socks"), np.where(left, *map(LABELS.index, _SHOES)))
    if name in HAIR_STYLES[0] + HAIR_STYLES[1]:  # long hair hangs as low as a suit
        return faces, np.full(len(faces), LABELS.index("hair"))
    upper, lower = "coat" if name in COATS else "upperclothes", "skirt" if name in SKIRTS else "pants"
    bottom = (suit_parts(garment, name, rest) == BOTTOM)[faces].all(1)
    return faces, np.where(bottom, LABELS.index(lower), LABELS.index(upper))


_SHOES = ("leftShoe", "rightShoe")
COATS = ("male_casualsuit05", "male_elegantsuit01")
"""Suits whose upper part is a jacket."""
SKIRTS = ("female_elegantsuit01",)
"""Suits whose lower part is a skirt."""


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
