"""Who the people are and what they wear: shape, skin, hair and clothes, and putting them into the Blender scene."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import _cast as cast
import _poses
import numpy as np

from dsr.body import BodyAsset
from dsr.synthetic import wardrobe as wear
from dsr.synthetic.wardrobe import HAIR_STYLES, SUITS, Wardrobe

Colour = tuple[float, float, float]

BARE_LEGS = ("female_casualsuit02", "female_elegantsuit01")
LOOSE = ("male_worksuit01", "male_casualsuit03", "male_casualsuit06", "male_elegantsuit01", "female_casualsuit02")
"""Outfits that stand off the body; the others follow it."""
MALE_HAIR, FEMALE_HAIR = HAIR_STYLES

# Linear RGB.
SKIN: tuple[Colour, ...] = (
    (0.66, 0.41, 0.31),
    (0.56, 0.33, 0.23),
    (0.45, 0.25, 0.16),
    (0.33, 0.17, 0.1),
    (0.2, 0.095, 0.055),
    (0.1, 0.047, 0.03),
)
HAIR: tuple[Colour, ...] = (
    (0.012, 0.009, 0.008),
    (0.03, 0.018, 0.012),
    (0.07, 0.038, 0.02),
    (0.16, 0.09, 0.04),
    (0.3, 0.19, 0.09),
    (0.05, 0.022, 0.012),
)
TOPS: tuple[Colour, ...] = (
    (0.62, 0.61, 0.58),
    (0.35, 0.36, 0.38),
    (0.04, 0.045, 0.05),
    (0.03, 0.06, 0.16),
    (0.28, 0.03, 0.04),
    (0.06, 0.13, 0.07),
    (0.45, 0.28, 0.06),
    (0.1, 0.22, 0.4),
    (0.5, 0.33, 0.3),
    (0.16, 0.07, 0.16),
    (0.5, 0.08, 0.03),
    (0.05, 0.2, 0.22),
    (0.4, 0.36, 0.27),
)
BOTTOMS: tuple[Colour, ...] = (
    (0.03, 0.06, 0.14),
    (0.06, 0.1, 0.2),
    (0.02, 0.022, 0.026),
    (0.12, 0.12, 0.13),
    (0.3, 0.23, 0.14),
    (0.07, 0.07, 0.045),
    (0.14, 0.08, 0.05),
)
SHOES: tuple[Colour, ...] = (
    (0.015, 0.015, 0.016),
    (0.1, 0.05, 0.025),
    (0.6, 0.6, 0.58),
    (0.05, 0.07, 0.12),
    (0.3, 0.05, 0.04),
)


def draw_person(
    rng: np.random.Generator,
    body: BodyAsset,
    pose: np.ndarray,
    orient: np.ndarray,
    kind: str,
    adult: bool,
    child: bool = False,
    mass: int = 0,
) -> cast.Person:
    """A person with random shape and colouring, not dressed yet; ``adult`` keeps to common adult shapes.

    ``child`` draws a child; ``mass`` 1 the heaviest of 40 people for their height, -1 the thinnest.
    """
    betas = np.clip(rng.normal(0.0, 1.0, body.num_betas), -2.0, 2.0)
    small = rng.uniform(0.2, 0.6) if rng.random() < 0.05 and not adult else 0.0
    if adult:
        betas = 0.6 * betas
    if mass:
        many = np.clip(rng.normal(0.0, 1.0, (40, body.num_betas)), -2.5, 2.5)
        if body.child_beta is not None:
            many[:, body.child_beta] = 0.0
        betas = many[int(np.argmax([mass * _stoutness(body, one) for one in many]))]
    if body.child_beta is not None:
        betas[body.child_beta] = rng.uniform(0.35, 0.9) if child else small
    tone = int(rng.integers(len(SKIN)))
    hair = int(rng.integers(len(HAIR))) if tone < 3 else int(rng.integers(2))
    look = {
        "skin": tuple(np.asarray(SKIN[tone]) * rng.uniform(0.9, 1.1)),
        "hair_colour": HAIR[hair],
        "iris": ((0.05, 0.025, 0.012), (0.1, 0.16, 0.22), (0.07, 0.09, 0.03))[int(rng.integers(3)) if tone < 3 else 0],
        "lips": float(rng.uniform(0.35, 0.9)),
    }
    return cast.Person(betas, pose, orient, np.zeros(2), kind in _poses.SEATED, kind in _poses.BOTH_FEET, [], look)


def _stoutness(body: BodyAsset, betas: np.ndarray) -> float:
    """Volume of the skin over the cube of the height."""
    rest = body.v_template + body.shapedirs @ betas
    a, b, c = (rest[body.faces[:, k]] for k in range(3))
    return float(np.einsum("fa,fa->f", a, np.cross(b, c)).sum() / np.ptp(rest[:, 1]) ** 3)


def dress(person: cast.Person, rng: np.random.Generator, outfit: str | None, hair: str | None) -> None:
    """Choose clothes, shoes, hair and their colours."""
    female = bool(rng.random() < 0.5)
    if outfit is None:
        outfit = str(rng.choice([name for name in SUITS if name.startswith("female") == female]))
    female = outfit.startswith("female")
    if hair is None:
        hair = str(rng.choice(FEMALE_HAIR if female else MALE_HAIR))
    person.outfit = [outfit, str(rng.choice(SUITS[outfit])), f"eyebrow{int(rng.integers(1, 13)):03d}", hair]
    top, bottom = (colours[int(rng.integers(len(colours)))] for colours in (TOPS, BOTTOMS))
    suit = outfit == "male_elegantsuit01" or (outfit == "female_elegantsuit01" and rng.random() < 0.5)
    person.look.update(
        top=bottom if suit else top,
        bottom=bottom,
        accent=(0.62, 0.62, 0.6) if suit else TOPS[int(rng.integers(len(TOPS)))],
        shoe=SHOES[int(rng.integers(2 if suit else len(SHOES)))],
        sole=((0.02, 0.02, 0.02), (0.5, 0.48, 0.44))[int(rng.integers(2))],
        sock=((0.6, 0.6, 0.6), (0.05, 0.05, 0.055))[int(rng.integers(2))],
        pattern="plain" if suit else str(rng.choice(["plain", "plain", "stripes", "plaid", "dots"])),
        pattern_scale=float(rng.uniform(12, 40)),
        print=tuple(rng.uniform(0.25, 0.8, 3)),
    )


@lru_cache(maxsize=1)
def _face_paint() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("face_paint.npz")) as data:
        return {name: data[name] / 255.0 for name in data.files}


def _skin_colours(person: cast.Person, clothes: Wardrobe) -> np.ndarray:
    """(V, 3) colours of the body: skin with lips, ears, nails and mouth, eyes with iris and pupil."""
    index = clothes.body.base_index
    assert index is not None
    skin = np.asarray(person.look["skin"])
    colours = np.tile(skin, (len(index), 1))
    on_skin = index < 13380
    masks = _face_paint()

    def blend(name: str, colour: np.ndarray, strength: float) -> None:
        share = strength * masks[name][index[on_skin]][:, None]
        colours[on_skin] = colours[on_skin] * (1 - share) + share * colour

    blend("ears", skin * (1.05, 0.82, 0.8), 0.7)
    blend("eyelids", skin * (0.85, 0.72, 0.72), 0.6)
    blend("lips", skin * (0.92, 0.5, 0.52), float(person.look["lips"]))  # type: ignore[arg-type]
    blend("fingernails", skin * 0.5 + (0.35, 0.25, 0.24), 0.6)
    blend("inside_mouth", np.array([0.12, 0.02, 0.02]), 1.0)
    for first in (14598, 14670):
        eye = (index >= first) & (index < first + 72)
        points = clothes.body.v_template[eye]
        centre = (points.min(axis=0) + points.max(axis=0)) / 2
        away = points - centre
        angle = np.degrees(np.arccos(np.clip(away[:, 2] / np.linalg.norm(away, axis=1), -1, 1)))
        white, iris = np.array([0.62, 0.6, 0.58]), np.asarray(person.look["iris"])
        colours[eye] = np.where(angle[:, None] < 16, 0.003, np.where(angle[:, None] < 38, iris, white))
    colours[(index >= 13380) & (index < 13606)] = (0.3, 0.08, 0.07)  # tongue
    colours[(index >= 14742) & (index < 14992)] = skin * 0.2  # lashes
    colours[(index >= 14992) & (index < 15128)] = (0.62, 0.58, 0.5)  # teeth
    return colours


_LOOKS = {
    wear.TOP: "top",
    wear.BOTTOM: "bottom",
    wear.ACCENT: "accent",
    wear.SHOE: "shoe",
    wear.SOLE: "sole",
    wear.SOCK: "sock",
}
"""The entry of a person's look that colours each part of their garments."""


def add_person(person: cast.Person, clothes: Wardrobe, rng: np.random.Generator) -> None:
    """Put body, clothes, hair and, if seated, a stool into the scene.

    Skin just below a garment is drawn a little further in, so that it does not show through where the clothes bend.
    """
    import _studio as studio

    body = clothes.body
    assert body.base_index is not None
    look: dict[str, Any] = person.look
    hidden = np.zeros(19158, dtype=bool)
    for name in person.outfit:
        hidden[clothes.garment(name).garment.delete_vertices] = True
    shown = body.faces[~hidden[body.base_index][body.faces].all(axis=1)]
    eyes = (body.base_index[shown] >= 14598).all(axis=1)
    colours = _skin_colours(person, clothes)
    studio.add_mesh("body", _tucked_in(person, clothes), shown[~eyes], studio.skin_material(), colours, body.v_template)
    studio.add_mesh("eyes", person.vertices, shown[eyes], studio.painted_material("eyes", 0.15), colours)
    for name in person.outfit:
        piece, rest = clothes.garment(name), person.garment_rest[name]
        garment = piece.garment
        faces = garment.faces
        paint = printed = None
        if name.startswith("eyebrow"):
            brow = tuple(0.55 * np.asarray(look["hair_colour"]) + 0.35 * np.asarray(look["skin"]))
            material = studio.plain_material("brow", brow, 0.9, 0.0)
        elif name in (*MALE_HAIR, *FEMALE_HAIR):
            material = studio.hair_material(look["hair_colour"])
        else:
            parts = wear.garment_parts(garment, name, rest)
            if name.startswith("shoes") and person.outfit[0] not in BARE_LEGS:
                faces = faces[(parts[faces] != wear.SOCK).any(axis=1)]
            paint = np.array([look[_LOOKS[part]] for part in parts], dtype=np.float64)
            if name.startswith("shoes"):
                material = studio.painted_material("shoe", float(rng.uniform(0.3, 0.7)))
            else:
                material = studio.cloth_material(name, look["pattern"], look["print"], look["pattern_scale"])
                printed = (parts == wear.TOP).astype(np.float64)
        studio.add_mesh(
            name, person.garments[name], faces, material, paint, rest, garment.uv, garment.faces_uv, printed
        )
    if person.seated:
        _add_stool(person, clothes, rng)


def _tucked_in(person: cast.Person, clothes: Wardrobe) -> np.ndarray:
    """Body vertices (V, 3) with those near clothes moved up to 8 mm inwards; for the picture only."""
    from scipy.spatial import cKDTree

    body = clothes.body
    cloth = np.concatenate([person.garment_rest[name] for name in person.outfit[:2]])
    rest = body.v_template + body.shapedirs @ person.betas
    distance, _ = cKDTree(cloth).query(rest, distance_upper_bound=0.03)
    depth = 0.008 * np.clip(1.5 - distance / 0.02, 0.0, 1.0)
    corners = person.vertices[body.faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(person.vertices)
    for corner in range(3):
        np.add.at(normals, body.faces[:, corner], face_normals)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return np.asarray(person.vertices - depth[:, None] * normals)


def _add_stool(person: cast.Person, clothes: Wardrobe, rng: np.random.Generator) -> None:
    import _studio as studio

    weights = clothes.body.weights
    seat = person.vertices[weights[:, 0] + weights[:, 1] + weights[:, 2] > 0.75]
    pelvis = person.joints[0]
    near = np.hypot(seat[:, 0] - pelvis[0], seat[:, 2] - pelvis[2]) < 0.22
    top = float(seat[near, 1].min()) - 0.012
    forward = person.orient @ np.array([0.0, 0.0, 1.0])
    yaw = float(np.arctan2(forward[0], forward[2]))
    material = studio.plain_material("stool", tuple(float(c) for c in rng.uniform(0.08, 0.4, 3)), 0.5)
    centre = pelvis + 0.05 * forward
    low = [centre[0] - 0.24, max(top - 0.06, 0.01), centre[2] - 0.22]
    studio.add_box("seat", low, [centre[0] + 0.24, top, centre[2] + 0.22], material, yaw)
    if top > 0.12:
        studio.add_box(
            "leg",
            [centre[0] - 0.17, 0.0, centre[2] - 0.15],
            [centre[0] + 0.17, top - 0.05, centre[2] + 0.15],
            material,
            yaw,
        )


def add_occluder(person: cast.Person, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Put a table, a low wall or a pillar before a person (the camera is at +z); low and high corners of its boxes."""
    import _studio as studio

    material = studio.plain_material("occluder", tuple(float(c) for c in rng.uniform(0.05, 0.5, 3)), 0.5)
    x, near = float(person.joints[0, 0]), float(person.vertices[:, 2].max() + rng.uniform(0.1, 0.35))
    kind = ("table", "wall", "pillar")[int(rng.integers(3))]
    if kind == "pillar":
        side = x + float(rng.choice([-1, 1]) * rng.uniform(0.08, 0.3))
        half = float(rng.uniform(0.08, 0.16))
        boxes = [([side - half, 0, near], [side + half, 2.6, near + 2 * half])]
    elif kind == "wall":
        middle = x + float(rng.uniform(-0.4, 0.4))
        boxes = [([middle - 1, 0, near], [middle + 1, float(rng.uniform(0.45, 0.95)), near + 0.12])]
    else:
        top, half = float(rng.uniform(0.65, 0.95)), float(rng.uniform(0.5, 0.9))
        low, high = x + float(rng.uniform(-0.3, 0.3)) + np.array([-half, half])
        boxes = [
            ([low, top - 0.05, near], [high, top, near + 0.7]),
            ([low + 0.05, 0, near + 0.05], [low + 0.1, top - 0.05, near + 0.1]),
            ([high - 0.1, 0, near + 0.05], [high - 0.05, top - 0.05, near + 0.1]),
            ([low, 0.25, near + 0.6], [high, top - 0.05, near + 0.62]),
        ]
    corners = [(np.array(a, float), np.array(b, float)) for a, b in boxes]
    for a, b in corners:
        studio.add_box("occluder", a, b, material)
    return corners
