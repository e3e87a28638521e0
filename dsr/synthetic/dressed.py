"""Dressed bodies of every shape, in the meshes of a wardrobe or in painted clothes, posed in a few milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dsr.body import load_asset
from dsr.rendering.drawing import vertex_normals
from dsr.synthetic import wardrobe as wear
from dsr.synthetic.bodies import Mannequin, joint_transforms
from dsr.synthetic.garments import Outfit, Paint, draw_outfit, skin_labels
from dsr.synthetic.wardrobe import Piece, Wardrobe

SKIRT = 14
_PAINTED = 0.4  # of the people wear painted clothes where there is a wardrobe
_SLEEVE, _LEG = (0.2, 0.5), (-0.62, -0.2)
_INNER = ("upper_teeth", "lower_teeth", "tongue", "mouth")


@dataclass(frozen=True)
class Dress:
    """What one person wears.

    Attributes:
        outfit: paints of every label; painted garments, if any, lie on the body itself.
        pieces: meshes worn, each with the metres (N,) it stands off where it was made.
        labels: label of every material, left and right side, but the skin's.
        body_offset: (V,) metres along its normals by which the body is drawn off the bare one.
        body_faces: (F,) bool, which faces of the body are seen.
        paints: colours of the materials, but the skin's.
        folds: waves of the cloth: (3, 4).
        looseness: mean metres between cloth and skin.
    """

    outfit: Outfit
    pieces: tuple[tuple[Piece, np.ndarray, np.ndarray], ...]
    labels: dict[int, tuple[int, int]]
    body_offset: np.ndarray
    body_faces: np.ndarray
    paints: dict[int, Paint]
    folds: np.ndarray
    looseness: float


@dataclass(frozen=True)
class Worn:
    """A dressed and posed body, not yet placed: SMPL's convention with zero translation.

    Attributes:
        skin: (V, 3) float32 bare vertices of the open body, metres.
        joints: (24, 3).
        vertices: (N, 3) float32 of body and clothes as drawn.
        fields: (N, 6) float32 template places and unit normals.
        faces: (F, 3) int32.
        materials: (F,) uint8.
        dress: what is worn.
    """

    skin: np.ndarray
    joints: np.ndarray
    vertices: np.ndarray
    fields: np.ndarray
    faces: np.ndarray
    materials: np.ndarray
    dress: Dress = field(repr=False)


class Dresser:
    """Dresses and poses the open body.

    Args:
        wardrobe: meshes to wear; without it all clothes are painted.
    """

    def __init__(self, wardrobe: Wardrobe | None = None) -> None:
        self.wardrobe = wardrobe
        self.asset = asset = load_asset("open")
        self._mannequin = Mannequin(asset, asset.num_shapes)
        self._materials = _body_materials(asset.part_names, asset.part_ids)
        self._seen = ~np.isin(self._materials, [255])
        self._keypoints = {n: asset.keypoint_regressor(n).astype(np.float32) for n in ("blazepose33",)}

    def keypoints(self, skin: np.ndarray) -> np.ndarray:
        """(33, 3) BlazePose's keypoints of bare vertices."""
        return np.asarray(self._keypoints["blazepose33"] @ skin)

    def draw(self, rng: np.random.Generator, female: bool) -> Dress:
        """Random clothes."""
        if self.wardrobe is None or rng.random() < _PAINTED:
            return self._painted(rng, female)
        return self._from_wardrobe(rng, female, self.wardrobe)

    def _painted(self, rng: np.random.Generator, female: bool) -> Dress:
        outfit = draw_outfit(rng, clothing=rng.random() < 0.97)
        places = self._mannequin.places[: self._mannequin.num_body]
        lift = outfit.lift(places)
        pieces: tuple[tuple[Piece, np.ndarray, np.ndarray], ...] = ()
        if outfit.skirt:
            piece = self._skirt(outfit)
            pieces = (_whole(piece),)
        if self.wardrobe is not None and rng.random() < 0.85:
            hair = wear.HAIR_STYLES[int(female if rng.random() < 0.9 else not female)]
            names = (str(rng.choice(hair)), str(rng.choice(wear.BROWS)))
            pieces = (*pieces, *(_whole(self.wardrobe.piece(name)) for name in names))
        labels = {SKIRT: (outfit.skirt, outfit.skirt), wear.HAIR: (2, 2), **_FACE_LABELS}
        paints = _head(outfit) | _eyes(rng)
        if outfit.skirt:
            paints[SKIRT] = outfit.paints[outfit.skirt]
        dressed = lift > 0.001
        loose = float(lift[dressed].mean()) if dressed.any() else 0.0
        seen = self._seen
        return Dress(outfit, pieces, labels, lift, seen, paints, _folds(rng), loose + 0.03 * bool(outfit.skirt))

    def _skirt(self, outfit: Outfit) -> Piece:
        body = self._mannequin
        places = body.places[body.num_body :].copy()
        fall = np.clip(places[:, 1].max() - places[:, 1], 0, None)
        places[:, ::2] *= (1 + outfit.skirt_flare * fall / 0.3)[:, None]
        faces = body.tube_faces - body.num_body
        faces = faces[places[faces, 1].min(1) >= outfit.skirt_hem_y - 0.03]
        zeros = np.zeros(body.num_body, np.float32)
        return Piece(
            places=places,
            directions=body.shapedirs[3 * body.num_body :],
            weights=body.weights[body.num_body :],
            normals=np.zeros_like(places),
            faces=faces,
            materials=np.full(len(faces), SKIRT, np.uint8),
            covered=zeros.astype(bool),
            tuck=zeros,
        )

    def _from_wardrobe(self, rng: np.random.Generator, female: bool, wardrobe: Wardrobe) -> Dress:
        outfit = draw_outfit(rng, clothing=False)
        female = female if rng.random() < 0.9 else not female
        suits = [name for name in wear.SUITS if name.startswith("female") == female or "casual" in name]
        suit = str(rng.choice(suits))
        names = [suit]
        if rng.random() < 0.93:
            names.append(str(rng.choice(wear.SUITS[suit])))
        names.append(str(rng.choice(wear.BROWS)))
        if rng.random() < 0.95:
            names.append(str(rng.choice(wear.HAIR_STYLES[int(female)])))
        sleeve = rng.uniform(*_SLEEVE) if rng.random() < 0.4 else 9.0
        leg = rng.uniform(*_LEG) if rng.random() < 0.3 else -9.0
        loose = float(rng.choice([0.0, rng.uniform(0.0, 0.012), rng.uniform(0.012, 0.045)], p=[0.3, 0.4, 0.3]))
        places = self._mannequin.places[: self._mannequin.num_body]
        covered, tuck = np.zeros(len(places), bool), np.zeros(len(places), np.float32)
        pieces = []
        for name in names:
            piece = wardrobe.piece(name)
            kept = np.ones(len(piece.faces), bool)
            offset = np.zeros(len(piece.places), np.float32)
            hides = piece.covered
            if name == suit:
                kept = _inside(piece.places[piece.faces].mean(1), sleeve, leg)
                hides = hides & _inside(places, sleeve - 0.02, leg + 0.02)
                wave = np.sin(piece.places @ rng.normal(0, 18, (3, 2)) + rng.uniform(0, 6, 2)).mean(1)
                offset = (loose * (1 + 0.5 * wave)).astype(np.float32)
            elif name.startswith("shoes") or piece.materials[0] == wear.HAIR:
                offset += np.float32(abs(rng.normal(0, 0.003)))
            pieces.append((piece, offset, kept))
            covered |= hides
            tuck = np.maximum(tuck, piece.tuck * _inside(places, sleeve, leg))
        seen = self._seen & ~covered[self.asset.faces].all(1)
        skirt = suit in ("female_casualsuit02", "female_elegantsuit01")
        coat = suit in ("male_elegantsuit01", "male_casualsuit01")
        labels = {
            wear.HAIR: (2, 2),
            wear.TOP: (7, 7) if coat else (5, 5),
            wear.ACCENT: (5, 5),
            wear.BOTTOM: (12, 12) if suit == "female_elegantsuit01" else (9, 9),
            wear.SHOE: (18, 19),
            wear.SOLE: (18, 19),
            wear.SOCK: (8, 8),
            **_FACE_LABELS,
        }
        own = 0.012 + 0.012 * (suit in _LOOSE) + 0.01 * skirt
        return Dress(outfit, tuple(pieces), labels, -tuck, seen, _cloth(rng, outfit), _folds(rng), own + loose)

    def pose(self, betas: np.ndarray, turns: np.ndarray, dress: Dress) -> Worn:
        """Dress and pose the body.

        Args:
            betas: (B,) shape.
            turns: (24, 3, 3) rotations, the first is the global orientation.
            dress: what is worn.
        """
        body, mannequin = self.asset, self._mannequin
        count = mannequin.num_body
        shape = np.asarray(betas, np.float32)
        template = mannequin.places[:count]
        bare = template + (mannequin.shapedirs[: 3 * count] @ shape).reshape(-1, 3)
        rest = np.asarray(mannequin.regressor @ bare)
        transforms = joint_transforms(body.parents, rest, turns)
        blend = (mannequin.weights[:count] @ transforms.reshape(24, 12)).reshape(count, 3, 4)
        skin = _apply(blend, bare)
        shift = dress.body_offset[:, None] * mannequin.rest_normals
        drawn = [skin + np.einsum("vab,vb->va", blend[:, :, :3], shift)]
        places, faces, materials = [template], [body.faces[dress.body_faces]], [self._materials[dress.body_faces]]
        for piece, offset, kept in dress.pieces:
            shaped = piece.places + (piece.directions @ shape).reshape(-1, 3) + offset[:, None] * piece.normals
            turn = (piece.weights @ transforms.reshape(24, 12)).reshape(-1, 3, 4)
            faces.append(piece.faces[kept] + sum(map(len, drawn)))
            drawn.append(_apply(turn, shaped))
            places.append(piece.places)
            materials.append(piece.materials[kept])
        joints = transforms[:, :, 3] + np.einsum("jab,jb->ja", transforms[:, :, :3], rest)
        vertices, sides = np.concatenate(drawn), np.concatenate(faces).astype(np.int32)
        fields = np.concatenate([np.concatenate(places), vertex_normals(vertices, sides)], 1)
        return Worn(skin, joints, vertices, fields.astype(np.float32), sides, np.concatenate(materials), dress)


_FACE_LABELS = {
    wear.BROW: (13, 13),
    wear.EYE: (13, 13),
    wear.IRIS: (13, 13),
    wear.PUPIL: (13, 13),
    wear.MOUTH: (13, 13),
}
_LOOSE = ("male_worksuit01", "male_casualsuit03", "male_casualsuit06", "male_elegantsuit01", "female_casualsuit02")


def paint(dress: Dress, materials: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,) uint8 and sRGB colours before light (N, 3) float32 of seen points of a dress.

    Args:
        dress: what is worn.
        materials: (N,).
        places: (N, 3) template places.
    """
    labels, colours = np.zeros(len(places), np.uint8), np.empty((len(places), 3), np.float32)
    for material in np.unique(materials):
        at = np.flatnonzero(materials == material)
        where = places[at]
        if material == wear.SKIN:
            labels[at] = dress.outfit.labels(where) if dress.outfit.garments else skin_labels(where)
            colours[at] = dress.outfit.colours(where, labels[at])
        else:
            left, right = dress.labels[int(material)]
            labels[at] = np.where(where[:, 0] > 0, left, right)
            colours[at] = dress.paints[int(material)].colour(where)
    return labels, colours


def folded(dress: Dress, labels: np.ndarray, places: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Normals (N, 3) of seen points with the cloth's small folds."""
    cloth = np.isin(labels, (5, 6, 7, 9, 12))
    bend = np.cos(places[cloth] @ dress.folds[:, :3].T + dress.folds[:, 3])
    out = normals.copy()
    out[cloth] += bend * np.float32(0.28)
    return out / np.maximum(np.sqrt(np.einsum("va,va->v", out, out)), 1e-9)[:, None]


def _inside(places: np.ndarray, sleeve: float, leg: float) -> np.ndarray:
    """True where a suit cut at its sleeves and legs still is."""
    arm = np.abs(places[:, 0]) < sleeve
    return arm & ((places[:, 1] > leg) | (np.abs(places[:, 0]) > 0.35))


def _folds(rng: np.random.Generator) -> np.ndarray:
    scale = rng.uniform(12, 45)
    return np.concatenate([rng.normal(0, scale, (3, 3)), rng.uniform(0, 6.3, (3, 1))], 1).astype(np.float32)


def _cloth(rng: np.random.Generator, outfit: Outfit) -> dict[int, Paint]:
    """Colours of the materials of a wardrobe: those of a painted outfit."""
    other = draw_outfit(rng).paints
    top, bottom = other[5], other[9] if rng.random() < 0.9 else other[5]
    shoe = Paint(other[18].first)
    return {
        **_head(outfit),
        wear.TOP: top,
        wear.BOTTOM: Paint(bottom.first) if rng.random() < 0.7 else bottom,
        wear.ACCENT: other[7],
        wear.SHOE: shoe,
        wear.SOLE: Paint(np.full(3, rng.choice([25.0, 200.0]))),
        wear.SOCK: Paint(other[8].first),
        **_eyes(rng),
    }


def _whole(piece: Piece) -> tuple[Piece, np.ndarray, np.ndarray]:
    """A piece as it was made."""
    return piece, np.zeros(len(piece.places), np.float32), np.ones(len(piece.faces), bool)


def _head(outfit: Outfit) -> dict[int, Paint]:
    skin, hair = outfit.paints[13].first, outfit.paints[2].first
    return {wear.HAIR: outfit.paints[2], wear.BROW: Paint(0.65 * hair + 0.3 * skin)}


def _eyes(rng: np.random.Generator) -> dict[int, Paint]:
    iris = np.array([(70, 45, 25), (90, 115, 130), (85, 90, 50)])[int(rng.choice(3, p=[0.7, 0.2, 0.1]))]
    return {
        wear.EYE: Paint(np.array([222.0, 218.0, 212.0])),
        wear.IRIS: Paint(iris.astype(np.float64)),
        wear.PUPIL: Paint(np.array([14.0, 12.0, 12.0])),
        wear.MOUTH: Paint(np.array([90.0, 35.0, 32.0])),
    }


def _body_materials(names: tuple[str, ...], part_ids: np.ndarray) -> np.ndarray:
    """(F,) material of the body's faces; 255 for lashes, which are not drawn."""
    table = np.full(len(names), wear.SKIN, np.uint8)
    for i, name in enumerate(names):
        if name in _INNER:
            table[i] = wear.MOUTH
        for ending, material in (("_eye", wear.EYE), ("_iris", wear.IRIS), ("_pupil", wear.PUPIL), ("_lashes", 255)):
            if name.endswith(ending):
                table[i] = material
    return table[part_ids]


def _apply(blend: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.einsum("vab,vb->va", blend[:, :, :3], points) + blend[:, :, 3]
