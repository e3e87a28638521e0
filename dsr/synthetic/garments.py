"""Clothes for made-up people: which place of the body wears what, how far off the skin, and in which colours.

A place is a point of the open body's T-pose template (metres; left at +x, y up, facing +z), whatever the shape and pose
of the person who wears it, so that a garment is a few planes and hems are exact at any picture size. Labels are
Graphonomy's 20 ids; bare torso and neck are 10, which CIHP calls torso skin (DSR's table: jumpsuits).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

Place = np.ndarray
Extent = Callable[[Place], np.ndarray]

TORSO_SKIN = 10
_ARM_X, _WRIST_X, _CROTCH_Y, _NECK_Y, _CHIN_Y = 0.185, 0.67, -0.10, 0.50, 0.565
# sRGB of bare skin from light to dark, to mix between.
_SKIN_RGB = np.array([(242, 208, 182), (225, 178, 143), (198, 141, 104), (151, 100, 66), (102, 66, 43), (66, 43, 30)])
_HAIR_RGB = np.array(
    [(28, 22, 20), (58, 38, 26), (101, 67, 40), (176, 134, 80), (214, 190, 140), (150, 148, 146), (118, 50, 25)]
)


@dataclass(frozen=True)
class Paint:
    """Colours of a label: two, mixed by a pattern over the body."""

    first: np.ndarray
    second: np.ndarray = field(default_factory=lambda: np.zeros(3))
    kind: str = "plain"
    waves: np.ndarray = field(default_factory=lambda: np.zeros((3, 4)))

    def colour(self, place: Place) -> np.ndarray:
        """(N, 3) float32 sRGB 0..255 at places (N, 3)."""
        if self.kind == "plain":
            return np.broadcast_to(self.first, place.shape)
        wave = np.sin(place @ self.waves[:, :3].T + self.waves[:, 3])
        measure = {"stripes": wave[:, 0], "checks": wave[:, 0] * wave[:, 1], "blobs": wave.sum(1) - 0.6}[self.kind]
        return np.where(measure[:, None] > 0, self.first, self.second)


@dataclass(frozen=True)
class Garment:
    """One garment: ``extent`` is positive (metres, roughly the distance to the hem) where it lies."""

    label: int
    right_label: int
    extent: Extent
    offset_m: float
    waves: np.ndarray
    ramp_m: float = 0.015

    def lift(self, place: Place) -> np.ndarray:
        """(N,) metres off the skin: full with folds inside, smoothly down to zero just outside the hem."""
        inside = np.clip(self.extent(place) / self.ramp_m + 1.0, 0.0, 1.0)
        wave = np.sin(place @ self.waves[:, :3].T + self.waves[:, 3])
        folds = 1.0 + wave @ np.full(wave.shape[1], 0.25 / wave.shape[1], np.float32)
        return self.offset_m * inside * inside * (3.0 - 2.0 * inside) * folds


@dataclass(frozen=True)
class Outfit:
    """What one person wears, innermost garment first.

    Attributes:
        garments: painted in order.
        paints: colours by label id.
        skirt: label of the free-hanging tube around the legs, 0 for none.
        skirt_hem_y: template height of its lower hem, metres.
        skirt_flare: widening per metre of fall.
    """

    garments: tuple[Garment, ...]
    paints: dict[int, Paint]
    skirt: int = 0
    skirt_hem_y: float = 0.0
    skirt_flare: float = 0.0

    def lift(self, place: Place) -> np.ndarray:
        """(N,) metres by which the clothed surface lies outside the skin."""
        lift = np.zeros(len(place), np.float32)
        for garment in self.garments:
            np.maximum(lift, garment.lift(place), out=lift)
        return lift

    def labels(self, place: Place) -> np.ndarray:
        """(N,) uint8 label ids seen at places of the clothed surface."""
        labels = skin_labels(place)
        left = place[:, 0] > 0
        for garment in self.garments:
            worn = garment.extent(place) > 0
            labels[worn] = np.where(left[worn], garment.label, garment.right_label)
        return labels

    def colours(self, place: Place, labels: np.ndarray) -> np.ndarray:
        """(N, 3) float32 sRGB 0..255 before light."""
        colours = np.empty((len(place), 3), np.float32)
        for label in np.unique(labels):
            at = labels == label
            colours[at] = self.paints[int(label)].colour(place[at])
        face = labels == 13
        colours[face] = _make_up(place[face], colours[face], self.paints[2].first)
        return colours


def refitted(outfit: Outfit, rng: np.random.Generator, looseness_m: tuple[float, float]) -> Outfit:
    """The same clothes with tops and bottoms that lie so far off the skin (metres, from and to), without a skirt."""
    cloth = (5, 6, 7, 9, 12)
    garments = []
    for garment in outfit.garments:
        offset = float(rng.uniform(*looseness_m))
        garments.append(replace(garment, offset_m=offset) if garment.label in cloth else garment)
    return replace(outfit, garments=tuple(garments), skirt=0)


def skin_labels(place: Place) -> np.ndarray:
    """(N,) uint8 labels of the bare body: face, arms, legs, and torso skin for the rest."""
    x, y = place[:, 0], place[:, 1]
    labels = np.full(len(place), TORSO_SKIN, np.uint8)
    labels[y > _CHIN_Y - 0.10 * np.clip(0.05 - place[:, 2], 0, 0.3)] = 13
    legs = y < _CROTCH_Y
    labels[legs] = np.where(x[legs] > 0, 16, 17)
    arms = (np.abs(x) > _ARM_X) & (y > 0.25) & (y < 0.6)
    labels[arms] = np.where(x[arms] > 0, 14, 15)
    return labels


def draw_outfit(rng: np.random.Generator, clothing: bool = True) -> Outfit:
    """Random clothes and colours; with ``clothing`` off the bare body with hair."""
    skin = _mix(_SKIN_RGB, rng) + rng.normal(0, 6, 3)
    hair = np.clip(_mix(_HAIR_RGB, rng) if rng.random() < 0.95 else rng.uniform(0, 255, 3), 8, 250)
    paints = {label: Paint(skin) for label in (10, 13, 14, 15, 16, 17)}
    paints[2] = Paint(hair, hair * 0.75, "stripes", rng.normal(0, 60, (3, 4)))
    head = _head(rng)
    if not clothing:
        return Outfit(tuple(g for g in head if g.label == 2), paints)
    for label in (1, 3, 4, 5, 6, 7, 8, 9, 11, 12, 18):
        paints[label] = _paint(rng)
    paints[19] = paints[18]
    kind = rng.choice(["top", "top", "top", "top", "top", "dress", "coat"])
    lower = "skirt" if kind == "dress" or (kind == "top" and rng.random() < 0.2) else "pants"
    garments = [*_feet(rng)]
    waist = rng.uniform(0.02, 0.13)
    leg_hem = rng.choice(
        [rng.uniform(-0.36, -0.14), rng.uniform(-0.65, -0.4), rng.uniform(-0.85, -0.78)], p=[0.28, 0.12, 0.6]
    )
    skirt, skirt_hem = 0, 0.0
    if lower == "pants":
        loose = rng.choice([rng.uniform(0.003, 0.012), rng.uniform(0.012, 0.045)])
        garments.append(_garment(rng, 9, _pants(waist, leg_hem), loose))
    else:
        skirt, skirt_hem = (6 if kind == "dress" else 12), rng.uniform(-0.8, -0.22)
        garments.append(_garment(rng, skirt, _pants(waist, max(skirt_hem, -0.2)), 0.012))
    loose = rng.choice([rng.uniform(0.003, 0.012), rng.uniform(0.012, 0.05)])
    hem = waist - rng.uniform(0.0, 0.03) if rng.random() < 0.35 else rng.uniform(-0.12, waist)
    sleeve = rng.choice([0.16, rng.uniform(0.22, 0.42), rng.uniform(0.45, 0.62), _WRIST_X], p=[0.12, 0.43, 0.1, 0.35])
    neck = _NECK_Y - rng.choice([rng.uniform(-0.02, 0.02), rng.uniform(0.02, 0.12)])
    inner = 6 if kind == "dress" else 5
    garments.append(_garment(rng, inner, _top(hem, sleeve, neck), loose))
    if kind == "coat":
        gap = rng.uniform(0.02, 0.07) if rng.random() < 0.6 else 0.0
        top = _top(rng.uniform(-0.1, 0.0), _WRIST_X, _NECK_Y + 0.02, gap)
        garments.append(_garment(rng, 7, top, min(loose + rng.uniform(0.01, 0.025), 0.05)))
    if rng.random() < 0.05:
        garments.append(_garment(rng, 3, lambda p: np.abs(p[:, 0]) - _WRIST_X, 0.005))
    if rng.random() < 0.05:
        garments.append(_garment(rng, 11, _scarf, 0.02))
    return Outfit((*garments, *head), paints, skirt, skirt_hem, rng.uniform(0.0, 0.35))


def _garment(rng: np.random.Generator, label: int, extent: Extent, offset: float, right: int | None = None) -> Garment:
    waves = np.concatenate([rng.normal(0, 22, (3, 3)), rng.uniform(0, 6.3, (3, 1))], 1).astype(np.float32)
    return Garment(label, label if right is None else right, extent, offset, waves)


def _least(*bounds: np.ndarray) -> np.ndarray:
    return np.minimum.reduce(bounds)


def _pants(waist: float, hem: float) -> Extent:
    return lambda p: _least(waist - p[:, 1], p[:, 1] - hem, 0.3 - np.abs(p[:, 0]))


def _top(hem: float, sleeve: float, neck: float, gap: float = 0.0) -> Extent:
    """Trunk from the hem to a neckline (deeper in front), sleeves to |x| = sleeve; ``gap`` leaves the front open."""

    def extent(p: Place) -> np.ndarray:
        x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
        line = np.where(z > 0, neck, max(neck, _NECK_Y - 0.02))
        collar = np.maximum(line + 0.02 - y, x - 0.075)
        cover = _least(y - hem, collar, sleeve - x, _CHIN_Y + 0.02 - y)
        return _least(cover, np.maximum(x - gap, 0.02 - z)) if gap > 0 else cover

    return extent


def _scarf(p: Place) -> np.ndarray:
    return _least(p[:, 1] - 0.47, 0.56 - p[:, 1], 0.11 - np.abs(p[:, 0]))


def _feet(rng: np.random.Generator) -> list[Garment]:
    """Socks and shoes, boots or bare feet."""
    kind = rng.random()
    if kind < 0.1:
        return []
    top = rng.uniform(-0.845, -0.82) if kind < 0.8 else rng.uniform(-0.8, -0.5)
    shoe = _garment(rng, 18, lambda p: top - p[:, 1], rng.uniform(0.004, 0.014), 19)
    if rng.random() < 0.4 and kind < 0.8:
        sock = top + rng.uniform(0.02, 0.2)
        return [_garment(rng, 8, lambda p: sock - p[:, 1], 0.003), shoe]
    return [shoe]


def _head(rng: np.random.Generator) -> list[Garment]:
    """Hair cap (short, or falling on neck and back), and now and then hat and sunglasses."""
    worn: list[Garment] = []
    line, temple = rng.uniform(0.715, 0.745), rng.uniform(0.03, 0.06)
    nape = rng.choice([rng.uniform(0.59, 0.62), rng.uniform(0.38, 0.56)], p=[0.6, 0.4])

    def hair(p: Place) -> np.ndarray:
        x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
        back = _least(temple - z + 0.6 * (y - 0.66), y - nape, 0.14 - x)
        if nape > 0.57:  # short: ears stay free, and nothing below them in front
            back = _least(back, np.maximum(y - 0.69, np.maximum(0.066 - x, 0.015 - z)), y - 0.6 - 0.8 * z)
        else:
            back = _least(back, np.maximum(y - 0.64, 0.0 - z))
        return np.maximum(back, y - line)

    if rng.random() < 0.93:
        worn.append(_garment(rng, 2, hair, rng.uniform(0.004, 0.03)))
    if rng.random() < 0.1:
        brim = rng.uniform(0.715, 0.74)
        worn.append(_garment(rng, 1, lambda p: p[:, 1] - brim, rng.uniform(0.015, 0.035)))
    if rng.random() < 0.05:
        worn.append(_garment(rng, 4, lambda p: _least(0.017 - np.abs(p[:, 1] - 0.68), p[:, 2] - 0.07), 0.006))
    return worn if worn else [_garment(rng, 2, lambda p: np.full(len(p), -1.0), 0.0)]


def _paint(rng: np.random.Generator) -> Paint:
    """A random cloth: dark, greyish or vivid, plain or patterned."""

    def colour() -> np.ndarray:
        grey, spread = rng.uniform(15, 235), rng.choice([8.0, 45.0, 90.0])
        return np.clip(grey + rng.normal(0, spread, 3), 5, 250)

    kind = str(rng.choice(["plain", "plain", "plain", "stripes", "checks", "blobs"]))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0] if rng.random() < 0.5 else np.eye(3)[[1, 0, 2]]
    waves = np.concatenate([turn * rng.uniform(25, 160), rng.uniform(0, 6.3, (3, 1))], 1)
    return Paint(colour(), colour(), kind, waves.astype(np.float32))


def _mix(colours: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A colour between two neighbours of a list."""
    at = rng.uniform(0, len(colours) - 1)
    low = int(at)
    return colours[low] + (at - low) * (colours[min(low + 1, len(colours) - 1)] - colours[low])


def _make_up(place: Place, colours: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """Eyes, brows, mouth and nostrils, so that a face says where it looks."""
    x, y, z = np.abs(place[:, 0]), place[:, 1], place[:, 2]
    front = z > 0.07
    eye = ((x - 0.03) / 0.014) ** 2 + ((y - 0.681) / 0.007) ** 2
    colours[front & (eye < 1)] = (225, 222, 218)
    colours[front & (((x - 0.03) / 0.006) ** 2 + ((y - 0.681) / 0.007) ** 2 < 1)] = (40, 30, 25)
    colours[front & (np.abs(y - 0.702 + 0.15 * np.abs(x - 0.03)) < 0.005) & (np.abs(x - 0.032) < 0.018)] = hair * 0.8
    mouth = front & ((x / 0.024) ** 2 + ((y - 0.613) / 0.008) ** 2 < 1)
    colours[mouth] = colours[mouth] * (0.85, 0.6, 0.6)
    return colours
