"""Pictures of groups pasted together from cut-outs, with what is seen of everybody: to train the detector of groups.

A picture takes a few milliseconds. People overlap, are cut off by the border and hidden by things; some pictures show
nobody, and single limbs lie about, which are nobody either.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from dsr.errors import DatasetError
from dsr.people.groups import MIRROR
from dsr.people.keypoint_sets import GROUP_JOINTS
from dsr.people.regions import brightened
from dsr.synthetic.backdrop import draw_backdrop, draw_front, photograph
from dsr.synthetic.cutouts import HEAD, TRUNK, Cutout
from dsr.synthetic.scene import draw_background, tone

SEEN, DOUBTFUL = 0.42, 0.15
"""Shares of a head or trunk from which it is to be found, and below which it is not seen at all."""
_LEAST_PX = {HEAD: 14, TRUNK: 40}
_BACKDROPS, _BACKDROP_SIDE = 600, 320
_SCENES, _SHARES = ("nobody", "one", "few", "row", "crowd"), (0.06, 0.15, 0.38, 0.18, 0.23)
_SIZES = {"one": (45, 460), "few": (50, 440), "row": (38, 190), "crowd": (36, 140)}
_LIMBS, _THINGS, _DARK = 0.3, 0.35, 0.12
_CHILD = 0.15
_POINTS = 4 + len(GROUP_JOINTS)
_MIRROR = [*range(4), *(4 + place for place in MIRROR)]


@dataclass(frozen=True)
class GroupPicture:
    """A picture and its people.

    Attributes:
        rgb: (h, w, 3) uint8.
        points: (N, 4 + 15, 2) pixels of the middles of head, trunk and hips, of the point that gives the region, and of
            the joints, seen or not.
        state: (N, 2) uint8 of head and trunk: 0 not seen, 1 doubtful, 2 seen.
    """

    rgb: np.ndarray
    points: np.ndarray
    state: np.ndarray


@dataclass
class _Canvas:
    """What is pasted so far: colours, whose every pixel is (-1 nobody's) and its part."""

    colours: Image.Image
    owner: np.ndarray
    part: np.ndarray
    points: list[np.ndarray] = field(default_factory=list)
    full: list[tuple[float, float]] = field(default_factory=list)


class GroupSource:
    """Pastes groups.

    Args:
        cutouts: people.
        side: of the square pictures, pixels.
        seed: of the backdrops.
        places: (h, w, 3) float32 light of places without people, of :func:`read_places`; a half of the backdrops are
            taken from them.
    """

    def __init__(self, cutouts: list[Cutout], side: int, seed: int = 0, places: Sequence[np.ndarray] = ()) -> None:
        self._cutouts, self.side = cutouts, side
        rng = np.random.default_rng([29, seed])
        self._backdrops = []
        for k in range(_BACKDROPS):
            if places and k % 2:
                picture = _window(rng, places[k // 2 % len(places)])
            elif k % 8:
                picture = draw_backdrop(rng, _BACKDROP_SIDE, _BACKDROP_SIDE)
            else:
                picture = draw_background(rng, _BACKDROP_SIDE)
            self._backdrops.append(np.clip(picture, 0, 255).astype(np.uint8))

    def draw(self, rng: np.random.Generator) -> GroupPicture:
        """A picture."""
        side = self.side
        shape = (side, side)
        canvas = _Canvas(self._backdrop(rng), np.full(shape, -1, np.int16), np.zeros(shape, np.uint8))
        scene = str(rng.choice(_SCENES, p=_SHARES))
        places = _places(rng, scene, side)
        for k, (u, v, size) in enumerate(places.tolist()):
            if rng.random() < _LIMBS / max(len(places), 1):
                self._limb(rng, canvas, size)
            cutout = self._cutouts[int(rng.integers(len(self._cutouts)))]
            _paste(rng, canvas, cutout, (u, v), size, k)
        if not len(places) or rng.random() < 0.05:
            for _ in range(int(rng.integers(0, 4))):
                self._limb(rng, canvas, float(np.exp(rng.uniform(np.log(40), np.log(400)))))
        if rng.random() < _THINGS:
            _things(rng, canvas, places)
        state = _state(canvas)
        points = np.array(canvas.points, np.float32).reshape(-1, _POINTS, 2)
        rgb = _developed(rng, canvas.colours)
        if rng.random() < 0.5:
            rgb = np.ascontiguousarray(rgb[:, ::-1])
            points = points[:, _MIRROR] * np.array([-1, 1], np.float32) + np.array([side, 0], np.float32)
        return GroupPicture(rgb, points, state)

    def _backdrop(self, rng: np.random.Generator) -> Image.Image:
        picture = self._backdrops[int(rng.integers(len(self._backdrops)))]
        cut = int(rng.integers(self.side // 2, _BACKDROP_SIDE + 1))
        v, u = rng.integers(0, _BACKDROP_SIDE - cut + 1, 2)
        window = picture[v : v + cut, u : u + cut]
        if rng.random() < 0.5:
            window = window[:, ::-1]
        gain = (1 + rng.normal(0, 0.1, 3)) * np.exp(rng.normal(0, 0.15))
        lit = np.clip(window * gain.astype(np.float32) + np.float32(rng.normal(0, 20)), 0, 255).astype(np.uint8)
        return Image.fromarray(lit).resize((self.side, self.side), Image.Resampling.BILINEAR)

    def _limb(self, rng: np.random.Generator, canvas: _Canvas, size: float) -> None:
        """An arm or legs of somebody who is not there."""
        cutout = self._cutouts[int(rng.integers(len(self._cutouts)))]
        pixels = cutout.pixels.copy()
        pixels[pixels[..., 4] > 0] = 0
        hips = int(cutout.points[2, 1])
        rows, columns = np.arange(len(pixels)), np.arange(pixels.shape[1])
        if rng.random() < 0.5:
            pixels[rows > hips - 10] = 0
            pixels[:, (columns < cutout.points[2, 0]) == (rng.random() < 0.5)] = 0
        else:
            pixels[rows < hips + 15] = 0
        at = rng.uniform(-0.1, 1.1, 2) * self.side
        _paste(rng, canvas, Cutout(pixels, cutout.points), (float(at[0]), float(at[1])), size, None)


def read_places(folder: Path) -> list[np.ndarray]:
    """Light (h, w, 3) float32 of the pictures of a folder that show places without people, by name.

    Args:
        folder: JPEG and PNG files, and panoramas (OpenEXR) as renderers light scenes with.

    Raises:
        DatasetError: if it holds none, or one cannot be read.
    """
    os.environ.setdefault("OPENCV_IO_ENABLE_OPENEXR", "1")
    import cv2

    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".exr", ".jpg", ".jpeg", ".png"))
    places = []
    for file in files:
        picture = cv2.imread(str(file), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
        if picture is None:
            raise DatasetError(f"{file} cannot be read as a picture; take it out of the folder of places.")
        light = picture[..., ::-1].astype(np.float32)
        places.append(light if file.suffix.lower() == ".exr" else (light / 255) ** np.float32(2.2))
    if not places:
        raise DatasetError(f"{folder} holds no pictures (.exr, .jpg, .png) of places.")
    return places


def _window(rng: np.random.Generator, light: np.ndarray) -> np.ndarray:
    """(s, s, 3) float32 picture of a part of a place, 0 to 255 and more."""
    height, width = light.shape[:2]
    cut = int(rng.uniform(0.2, 0.85) * height)
    v, u = int(rng.uniform(0.1, 0.9) * (height - cut)), int(rng.integers(0, width - cut + 1))
    part = np.clip(light[v : v + cut, u : u + cut], 1e-5, None)
    lit = (part / (np.median(part) * np.exp(rng.uniform(0.7, 2.2)))) ** np.float32(1 / 2.2)
    image = Image.fromarray((np.clip(lit, 0, 1) * 255).astype(np.uint8))
    return np.asarray(image.resize((_BACKDROP_SIDE, _BACKDROP_SIDE), Image.Resampling.BICUBIC), np.float32)


def _places(rng: np.random.Generator, scene: str, side: int) -> np.ndarray:
    """(N, 3) hips and sizes in pixels, those behind first."""
    if scene == "nobody":
        return np.zeros((0, 3))
    low, high = np.log(_SIZES[scene])
    size = float(np.exp(rng.uniform(low, high)))
    if scene in ("one", "few"):
        count = 1 if scene == "one" else int(rng.integers(2, 6))
        u = np.cumsum(rng.uniform(0.12, 0.6, count)) * size
        v = rng.normal(0, 0.05, count) * size
        sizes = size * np.exp(rng.normal(0, 0.1, count))
        order = rng.permutation(count)
    else:
        rows = 1 if scene == "row" else int(rng.integers(2, 5))
        gap, step = rng.uniform(0.2, 0.55), rng.uniform(0.02, 0.3)
        far = rng.uniform(0.0, 0.15)
        parts = []
        for row in range(rows - 1, -1, -1):  # the farther the smaller and the higher
            here = size / (1 + far * row)
            count = max(2, int(1.2 * side / (gap * here)))
            count = min(count, 14)
            across = (np.arange(count) - count / 2 + 0.5 * (row % 2)) * gap * here + rng.normal(0, 0.07, count) * here
            down = -step * row * here + rng.normal(0, 0.03, count) * here
            kept = rng.random(count) < rng.uniform(0.6, 1.0)
            parts.append(np.stack([across, down, here * np.exp(rng.normal(0, 0.07, count))], 1)[kept])
        places = np.concatenate(parts)
        u, v, sizes = places.T
        order = np.arange(len(u))
    small = rng.random(len(u)) < _CHILD
    v = v + small * 0.15 * sizes
    sizes = np.where(small, sizes * rng.uniform(0.55, 0.85, len(u)), sizes)
    if not len(u):
        return np.zeros((0, 3))
    which = int(rng.integers(len(u)))  # who is looked at, and where in the picture that is
    big = sizes[which] > 0.9 * side
    aim = np.array([u[which], v[which]]) - np.array([0, (rng.uniform(0.0, 0.55) if big else 0.0) * sizes[which]])
    at = rng.uniform(0.25, 0.75, 2) * side
    places = np.stack([u - aim[0] + at[0], v - aim[1] + at[1], sizes], 1)[order]
    reach = 0.7 * places[:, 2]
    near = (places[:, :2] > -reach[:, None]).all(1) & (places[:, :2] < side + reach[:, None]).all(1)
    return places[near][-40:]


def _paste(
    rng: np.random.Generator,
    canvas: _Canvas,
    cutout: Cutout,
    hips: tuple[float, float],
    size: float,
    whose: int | None,
) -> None:
    """Paste somebody of a size (twice the region's radius) with the hips at a place; a limb is nobody's."""
    height, width = cutout.pixels.shape[:2]
    radius = float(np.hypot(*(cutout.points[3] - cutout.points[2])))
    scale = size / (2 * radius)
    at = np.array(hips) - cutout.points[2] * scale
    side = canvas.owner.shape[0]
    low = np.clip(np.floor(at), 0, side).astype(int)
    high = np.clip(np.ceil(at + scale * np.array([width, height])), 0, side).astype(int)
    number = len(canvas.points)
    if whose is not None:
        canvas.points.append(cutout.points * scale + at)
        parts = np.bincount(cutout.pixels[..., 4].ravel(), minlength=3)[1:3] * scale**2
        canvas.full.append((float(parts[0]), float(parts[1])))
    if (high - low < 2).any():
        return
    box = np.concatenate([(low - at) / scale, (high - at) / scale])
    box = np.clip(box, 0, [width, height, width, height])
    if (box[2:] - box[:2] < 0.5).any():
        return
    target = (int(high[0] - low[0]), int(high[1] - low[1]))
    where = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
    image = Image.fromarray(cutout.pixels[..., :4], "RGBA").resize(target, Image.Resampling.BILINEAR, box=where)
    if rng.random() < 0.7:
        lit = np.asarray(image, np.float32)
        gain = np.append((1 + rng.normal(0, 0.1, 3)) * np.exp(rng.normal(0, 0.2)), 1).astype(np.float32)
        image = Image.fromarray(np.clip(lit * gain, 0, 255).astype(np.uint8), "RGBA")
    part = Image.fromarray(np.ascontiguousarray(cutout.pixels[..., 4])).resize(
        target, Image.Resampling.NEAREST, box=where
    )
    canvas.colours.paste(image, (int(low[0]), int(low[1])), image)
    window = slice(low[1], high[1]), slice(low[0], high[0])
    cover = np.asarray(image)[..., 3] > 127
    canvas.owner[window][cover] = -1 if whose is None else number
    canvas.part[window][cover] = 0 if whose is None else np.asarray(part)[cover]


def _things(rng: np.random.Generator, canvas: _Canvas, places: np.ndarray) -> None:
    """Furniture, poles and things held before somebody."""
    side = canvas.owner.shape[0]
    u, v, size = places[int(rng.integers(len(places)))] if len(places) else (side / 2, side / 2, side / 2)
    box = np.array([u - 0.2 * size, v - 0.5 * size, u + 0.2 * size, v + 0.5 * size])
    hands = np.array([[u - 0.15 * size, v], [u + 0.15 * size, v]])
    cover, colours = draw_front(rng, side, side, box, hands)
    picture = np.array(canvas.colours)
    picture[cover] = colours[cover]
    canvas.colours = Image.fromarray(picture)
    canvas.owner[cover], canvas.part[cover] = -1, 0


def _state(canvas: _Canvas) -> np.ndarray:
    """(N, 2) uint8 what is seen of everybody's head and trunk."""
    count = len(canvas.points)
    state = np.zeros((count, 2), np.uint8)
    for column, part in enumerate((HEAD, TRUNK)):
        owners = canvas.owner[canvas.part == part]
        seen = np.bincount(owners[owners >= 0], minlength=count)[:count] if count else np.zeros(0)
        share = seen / np.maximum([full[column] for full in canvas.full], 1) if count else seen
        clear = (share >= SEEN) & (seen >= _LEAST_PX[part])
        state[:, column] = np.where(clear, 2, (share >= DOUBTFUL) & (seen > 4))
    return state


def _developed(rng: np.random.Generator, colours: Image.Image) -> np.ndarray:
    """The camera's share, and what copying does to pictures."""
    picture = np.asarray(colours, np.float32)
    if rng.random() < 0.1:
        picture = np.repeat(picture.mean(2, keepdims=True), 3, 2)
    if rng.random() < 0.15:  # a veil or a strong light
        picture = picture * np.float32(rng.uniform(0.5, 0.9)) + tone(rng) * np.float32(rng.uniform(0.1, 0.3))
    out = photograph(rng, np.ascontiguousarray(picture), bool(rng.random() < _DARK))
    if rng.random() < 0.2:
        side = out.shape[0]
        small = int(side * rng.uniform(0.4, 0.8))
        coarse = Image.fromarray(out).resize((small, small), Image.Resampling.BOX)
        out = np.asarray(coarse.resize((side, side), Image.Resampling.BILINEAR))
    return brightened(out)  # as the network is shown them


def overlay(picture: GroupPicture) -> Image.Image:
    """The picture with its labels, to look at."""
    image = Image.fromarray(picture.rgb)
    pen = ImageDraw.Draw(image)
    for points, state in zip(picture.points.tolist(), picture.state.tolist(), strict=True):
        for (u, v), seen in zip(points[:2], state, strict=True):
            if seen:
                pen.ellipse([u - 2, v - 2, u + 2, v + 2], fill=("", "gray", "red")[seen])
        if max(state) == 2:
            pen.line([*points[2], *points[3]], fill="lime")
    return image
