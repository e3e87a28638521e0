"""What lies behind and before made-up people, drawn by Pillow: rooms, streets, furniture, things held."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from dsr.synthetic.scene import tone

Pens = ImageDraw.ImageDraw | tuple[ImageDraw.ImageDraw, ImageDraw.ImageDraw]


def draw_backdrop(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """(height, width, 3) float32 background, 0..255."""
    cells = int(rng.integers(2, 5))
    uneven = rng.normal(0, 1, (cells, cells, 1)) + rng.normal(0, rng.uniform(0, 0.6), (cells, cells, 3))
    base = np.clip(tone(rng) + rng.uniform(4, 40) * uneven, 0, 255).astype(np.uint8)
    picture = Image.fromarray(base).resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    if rng.random() < 0.6:  # a floor
        line = rng.uniform(0.35, 0.95) * height
        slope = rng.normal(0, 0.04) * width
        pen.polygon([(0, line), (width, line + slope), (width, height), (0, height)], fill=_rgb(rng))
        if rng.random() < 0.4:
            for k in range(int(rng.integers(3, 12))):
                y = line + (height - line) * (k / 10) ** 1.5
                pen.line([(0, y), (width, y + slope)], fill=_rgb(rng), width=1)
    busy = int(rng.choice([0, 4, 12, 40], p=[0.15, 0.3, 0.35, 0.2]))
    for _ in range(rng.integers(0, busy + 1)):
        _shape(rng, pen, rng.uniform(-0.1, 1.1, 2) * (width, height), rng.uniform(0.01, 0.3) * max(width, height))
    if rng.random() < 0.75:
        picture = picture.filter(ImageFilter.BoxBlur(float(rng.choice([0.5, 1.5, 5.0], p=[0.5, 0.3, 0.2]))))
    out = np.asarray(picture, np.float32)
    if rng.random() < 0.6:
        out = out + _texture(rng, width, height) * np.float32(rng.uniform(2, 35))
    return out


def draw_front(
    rng: np.random.Generator, width: int, height: int, box: np.ndarray, hands: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Things before the person: furniture, poles, what is held.

    Args:
        rng: randomness.
        width: of the picture.
        height: of the picture.
        box: (4,) person's x0, y0, x1, y1.
        hands: (2, 2) pixels of the wrists.

    Returns:
        (height, width) bool where they are, and (height, width, 3) uint8 their colours there.
    """
    colours, cover = Image.new("RGB", (width, height)), Image.new("1", (width, height))
    pens = (ImageDraw.Draw(colours), ImageDraw.Draw(cover))
    side = float(max(box[2] - box[0], box[3] - box[1]))
    kind = str(rng.choice(["things", "table", "held", "pole"], p=[0.4, 0.25, 0.25, 0.1]))
    if kind == "table":
        top = box[1] + rng.uniform(0.45, 0.9) * (box[3] - box[1])
        left, right = np.sort(rng.uniform(-0.4, 1.4, 2)) * width if rng.random() < 0.6 else (0.0, float(width))
        foot = height if rng.random() < 0.6 else top + rng.uniform(0.04, 0.2) * side
        _fill(pens, _rgb(rng), "rectangle", [left, top, right, max(foot, top + 1)])
    elif kind == "pole":
        at, half = rng.uniform(box[0], box[2]), rng.uniform(0.01, 0.07) * side
        _fill(pens, _rgb(rng), "rectangle", [at - half, -1, at + half, height])
    else:
        for _ in range(int(rng.integers(1, 4))):
            held = kind == "held"
            where = hands[int(rng.integers(2))] + rng.normal(0, 0.03, 2) * side
            centre = where if held else box[:2] + rng.uniform(-0.1, 1.1, 2) * (box[2:] - box[:2])
            _shape(rng, pens, centre, rng.uniform(0.03, 0.12 if held else 0.2) * side)
    return np.asarray(cover), np.asarray(colours)


def photograph(rng: np.random.Generator, picture: np.ndarray, dark: bool) -> np.ndarray:
    """The camera's share: lens blur, exposure, white balance, noise, JPEG; (H, W, 3) float32 to uint8."""
    height, width = picture.shape[:2]
    aim = rng.normal(118, 22)  # what the camera's meter makes of the scene
    picture = picture * np.float32(np.clip(aim / max(float(picture[::8, ::8].mean()), 1.0), 0.6, 2.0))
    contrast = np.float32(rng.uniform(0.75, 1.15))
    shift = np.float32(128 - 128 * contrast + rng.normal(0, 14))
    gain = (1 + rng.normal(0, 0.04, 3)).astype(np.float32) * contrast * np.float32(0.3 if dark else 1.0)
    picture = picture * gain + shift * np.float32(0.2 if dark else 1.0)
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.BoxBlur(float(rng.uniform(0.2, 0.6) if rng.random() < 0.8 else 1.2)))
    noisy = np.asarray(image, np.float32) + _grain(rng, width, height) * np.float32(abs(rng.normal(0, 4)))
    out = np.clip(noisy, 0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        stream = io.BytesIO()
        Image.fromarray(out).save(stream, "JPEG", quality=int(rng.integers(35, 92)))
        out = np.array(Image.open(stream))
    return out


def _grain(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """(height, width, 1) unit noise, the same grains shifted: cheap and never the same picture twice."""
    grains = _grains()
    if max(width, height) > len(grains):
        grains = np.tile(grains, (-(-height // len(grains)), -(-width // len(grains))))
    row, column = rng.integers(0, grains.shape[0] - height + 1), rng.integers(0, grains.shape[1] - width + 1)
    return grains[row : row + height, column : column + width, None]


def _texture(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """(height, width, 1) smooth noise of a random scale."""
    cells = int(rng.integers(4, 60))
    patch = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32), "F")
    return np.asarray(patch.resize((width, height), Image.Resampling.BILINEAR))[..., None]


_GRAINS: list[np.ndarray] = []


def _grains() -> np.ndarray:
    if not _GRAINS:
        _GRAINS.append(np.random.default_rng(5).standard_normal((640, 640)).astype(np.float32))
    return _GRAINS[0]


def _shape(
    rng: np.random.Generator,
    pens: Pens,
    centre: np.ndarray,
    radius: float,
) -> None:
    """A turned box, an ellipse, a bar or a crooked polygon with about this radius in pixels."""
    kind, stretch = int(rng.integers(4)), float(np.exp(rng.uniform(-0.9, 0.9)))
    along, across = max(radius * stretch, 1.0), max(radius / stretch, 1.0)
    colour = _rgb(rng)
    turned = float(rng.choice([0.0, rng.uniform(0, np.pi)]))
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (along, across)
    if kind == 3:
        angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
        corners = np.stack([along * np.cos(angles), across * np.sin(angles)], 1) * rng.uniform(0.5, 1.2, (7, 1))
    c, s = np.cos(turned), np.sin(turned)
    points = [tuple(p) for p in (corners @ np.array([[c, s], [-s, c]]) + centre).tolist()]
    if kind == 1:
        box = [centre[0] - along, centre[1] - across, centre[0] + along, centre[1] + across]
        _fill(pens, colour, "ellipse", box)
    else:
        _fill(pens, colour, "polygon", points)


def _fill(pens: Pens, colour: tuple[int, int, int], shape: str, where: list[Any]) -> None:
    """Draw a shape with a pen of colours and, where there is one, a pen of the cover."""
    first, *cover = pens if isinstance(pens, tuple) else (pens,)
    getattr(first, shape)(where, fill=colour)
    for pen in cover:
        getattr(pen, shape)(where, fill=1)


def _rgb(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in tone(rng))
    return red, green, blue
