"""Pictures around made-up people: backgrounds, light and things in front, cheap and random."""

from __future__ import annotations

import numpy as np


def draw_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size, size, 3) float32 picture, 0..255: blotches at several scales, a horizon, boxes."""
    picture = np.broadcast_to(tone(rng), (size, size, 3)).copy()
    for cells in rng.choice([2, 3, 5, 9, 17, 33], size=int(rng.integers(1, 5)), replace=False):
        channels = 1 if rng.random() < 0.8 else 3
        patch = rng.normal(0, 1, (cells, cells, channels)) * rng.uniform(5, 60) / np.sqrt(cells / 2)
        picture += resize_linear(patch.astype(np.float32), size)
    if rng.random() < 0.5:
        line = int(rng.uniform(0.3, 0.9) * size)
        picture[line:] += (rng.normal(0, 45) + rng.normal(0, 12, 3)).astype(np.float32)
    for _ in range(rng.integers(0, 12)):
        shape = draw_shape(rng, size, rng.uniform(0, size, 2), rng.uniform(0.02, 0.3) * size)
        picture[shape] = picture[shape] * rng.uniform(0, 0.8) + tone(rng) * rng.uniform(0.2, 1.0)
    return picture


def draw_shape(rng: np.random.Generator, size: int, centre: np.ndarray, radius: float) -> np.ndarray:
    """(size, size) bool: a turned box or ellipse, or an upright bar, with about this radius in pixels."""
    grid = np.arange(size, dtype=np.float32) + 0.5
    u, v = grid[None, :] - np.float32(centre[0]), grid[:, None] - np.float32(centre[1])
    stretch = np.exp(rng.uniform(-0.9, 0.9))
    angle = rng.choice([0.0, rng.uniform(0, np.pi)])
    along = (np.cos(angle) * u + np.sin(angle) * v) / np.float32(radius * stretch)
    across = (np.cos(angle) * v - np.sin(angle) * u) / np.float32(radius / stretch)
    if rng.random() < 0.6:
        return np.maximum(np.abs(along), np.abs(across)) < 0.85
    return along * along + across * across < 1.0


def draw_occluders(rng: np.random.Generator, size: int, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Things in front of the person.

    Args:
        rng: randomness.
        size: side of the picture, pixels.
        box: (4,) person's x0, y0, x1, y1.

    Returns:
        (size, size) bool where they are, and (size, size, 3) float32 their colours there.
    """
    covered = np.zeros((size, size), bool)
    colours = np.zeros((size, size, 3), np.float32)
    side = float(max(box[2] - box[0], box[3] - box[1]))
    for _ in range(rng.integers(1, 4)):
        centre = box[:2] + rng.uniform(-0.1, 1.1, 2) * (box[2:] - box[:2])
        shape = draw_shape(rng, size, centre, rng.uniform(0.04, 0.22) * side)
        patch = rng.normal(0, rng.uniform(0, 50), (4, 4, 3)).astype(np.float32) + tone(rng)
        covered |= shape
        colours[shape] = resize_linear(patch.astype(np.float32), size)[shape]
    return covered, colours


def shade(rng: np.random.Generator, colours: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Colours under ambient light, one lamp before the person and a weak coloured one.

    Args:
        rng: randomness.
        colours: (N, 3) sRGB 0..255.
        normals: (N, 3) unit, camera frame, towards the camera (z < 0).

    Returns:
        (N, 3) float32.
    """
    ambient = rng.uniform(0.25, 0.7)
    lamps = rng.normal(0, 1, (2, 3)) + np.array([(0.0, -0.8, -1.2), (0.0, -0.3, 0.0)])
    lamps /= np.linalg.norm(lamps, axis=1, keepdims=True)
    lit = np.clip(normals @ lamps.T.astype(np.float32), 0, None)
    tint = np.stack([1 + rng.normal(0, 0.06, 3), rng.uniform(0, 0.35, 3)]).astype(np.float32)
    strength = np.array([[1.15 - ambient], [1.0]], np.float32) * tint
    return colours * (np.float32(ambient) + lit @ strength)


def develop(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """The camera's share: exposure, contrast and noise; (H, W, 3) uint8."""
    contrast = np.float32(rng.uniform(0.75, 1.15))
    noise = rng.standard_normal((*picture.shape[:2], 1), np.float32) * np.float32(rng.uniform(0, 8))
    picture = picture * contrast + (noise + np.float32(128 - 128 * contrast + rng.normal(0, 14)))
    return np.clip(picture, 0, 255, out=picture).astype(np.uint8)


def tone(rng: np.random.Generator) -> np.ndarray:
    """(3,) float32 colour, 0..255; mostly greyish, as rooms and streets are."""
    grey = rng.uniform(10, 245) + rng.normal(0, rng.choice([8.0, 25.0, 70.0]), 3)
    return np.clip(grey, 0, 255).astype(np.float32)


def resize_linear(patch: np.ndarray, size: int) -> np.ndarray:
    """A small (h, h, C) picture stretched to (size, size, C), linearly between its corners."""
    count = len(patch)
    at = np.linspace(0, count - 1, size, dtype=np.float32)
    weights = np.clip(1 - np.abs(at[:, None] - np.arange(count, dtype=np.float32)), 0, None)
    rows = np.tensordot(weights, patch, (1, 0))  # (size, h, C)
    return np.ascontiguousarray(np.tensordot(weights, rows, (1, 1)).swapaxes(0, 1))
