"""What straight lines in a picture say of its camera's tilt: posts point up; walls, shelves and tiles lie level.

The scene is a Manhattan world (Coughlan and Yuille, ICCV 1999): some lines are upright, some lie along one of two
level directions at a right angle to each other, and the others lie as they like. Where the upright ones are few, the
level ones tell them from a row of skewed shelves or the edges of a mat, which may be as straight.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dsr.camera.tilt import GRID_UP

_LINE_DEG = 1.4  # how well a line's direction is seen
_UPRIGHT_SHARE = 0.25  # of the lines within 45 degrees of the picture's vertical: upright in truth
_LEVEL_SHARE = 0.1  # of all lines: along one of the two level directions
_SHORTEST, _FULL = 0.03, 0.1  # of the picture's longer side: lines that count, and that count once
_REPEATED = 0.5  # the two edges of a post say the same
_LEVEL_REPEATED, _LEVEL_MOST = 0.25, 80  # tiles, bricks and shelves repeat more; the longest lines that count
_LEVEL_DEG = 3  # between the level directions tried


@dataclass(frozen=True)
class _Lines:
    """N lines of a picture: their middles at depth one (x, y), (N, 2) directions in the picture, and their weights."""

    x: np.ndarray
    y: np.ndarray
    along: np.ndarray
    weight: np.ndarray

    def __getitem__(self, which: np.ndarray) -> _Lines:
        return _Lines(self.x[which], self.y[which], self.along[which], self.weight[which])


def tilt_from_lines(lines: np.ndarray, K: np.ndarray, size: tuple[int, int], boxes: np.ndarray) -> np.ndarray:
    """What a picture's lines say of pitch and roll: (P, R) log likelihoods over :data:`dsr.camera.tilt.GRID_UP`.

    Args:
        lines: (N, 4) u0, v0, u1, v1, pixels.
        K: (3, 3) intrinsics.
        size: (width, height), pixels.
        boxes: (B, 4) x0, y0, x1, y1 of the people; lines inside are limbs and clothes.
    """
    seen = _lines_outside(np.asarray(lines, np.float64).reshape(-1, 4), K, size, boxes)
    if not len(seen.x):
        return np.zeros(GRID_UP.shape[:2])
    steep = seen[np.abs(seen.along[:, 1]) > np.abs(seen.along[:, 0])]
    upright = _along(GRID_UP.reshape(-1, 3), steep, _UPRIGHT_SHARE, np.pi / 4) * _REPEATED
    longest = seen[np.argsort(-seen.weight, kind="stable")[:_LEVEL_MOST]]
    directions, pairs = _level_pairs()
    level = (_along(directions, longest, _LEVEL_SHARE, np.pi / 2) * _LEVEL_REPEATED)[pairs].sum(1)
    best = level.max(0)
    return (upright + best + np.log(np.exp(level - best).mean(0))).reshape(GRID_UP.shape[:2])


def _lines_outside(lines: np.ndarray, K: np.ndarray, size: tuple[int, int], boxes: np.ndarray) -> _Lines:
    """The lines that are long enough and on nobody."""
    middle, along = (lines[:, :2] + lines[:, 2:]) / 2, lines[:, 2:] - lines[:, :2]
    length, longest = np.hypot(*along.T), float(max(size))
    used = length > _SHORTEST * longest
    for x0, y0, x1, y1 in np.asarray(boxes, np.float64).reshape(-1, 4):
        used &= ~((middle > (x0, y0)) & (middle < (x1, y1))).all(1)
    x, y = ((middle[used] - K[:2, 2]) / K[[0, 1], [0, 1]]).T
    return _Lines(x, y, along[used] / length[used, None], np.minimum(length[used] / (_FULL * longest), 2.0))


def _along(directions: np.ndarray, lines: _Lines, share: float, span: float) -> np.ndarray:
    """(D,) log likelihoods of the lines, a share of which points along each of D unit vectors, over those of none.

    The others lie at any angle within ``span`` radians to each side.
    """
    x, y, along = lines.x, lines.y, lines.along
    d = directions.astype(np.float32)  # a hundredth of a degree is enough, at twice the speed
    # the image of a direction d at a point x: d_xy - x d_z; linear, and its square quadratic, in d
    across = d @ np.stack([along[:, 1], -along[:, 0], y * along[:, 0] - x * along[:, 1]]).astype(np.float32)
    one = np.ones_like(x)
    square = (d[:, (0, 1, 2, 0, 1)] * d[:, (0, 1, 2, 2, 2)]) @ np.stack([one, one, x**2 + y**2, -2 * x, -2 * y]).astype(
        np.float32
    )
    sigma = np.radians(_LINE_DEG)
    np.maximum(square, 1e-6, out=square)
    np.square(across, out=across)
    across /= square
    across *= -0.5 / sigma**2
    peak = np.exp(across, out=across)
    peak *= share * span / (sigma * np.sqrt(np.pi / 2))
    peak += 1 - share
    return np.asarray(np.log(peak, out=peak) @ lines.weight.astype(np.float32), np.float64)


@lru_cache(maxsize=1)
def _level_pairs() -> tuple[np.ndarray, np.ndarray]:
    """(D, 3) directions, and (A, 2, P*R) which of them are level and at a right angle, for A azimuths of every tilt.

    A line lies along two directions of the pair at once where it points at both vanishing points, which is rare: their
    likelihoods may be added.
    """
    azimuth = np.radians(np.arange(0, 180, _LEVEL_DEG))
    height = np.radians(np.arange(-90, 91, _LEVEL_DEG))
    side, high = np.meshgrid(azimuth, height)
    directions = np.stack([np.cos(high) * np.cos(side), np.sin(high), np.cos(high) * np.sin(side)], -1).reshape(-1, 3)
    up = GRID_UP.reshape(-1, 3)
    forward = np.array([0.0, 0.0, 1.0]) - up * up[:, 2:]
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    right = np.cross(forward, up)
    turn = np.radians(np.arange(0, 90, _LEVEL_DEG))[:, None, None, None]
    first = np.cos(turn) * forward + np.sin(turn) * right
    pairs = np.concatenate([first, np.cross(up, first)], 1)
    pairs = np.where(pairs[..., 2:] < 0, -pairs, pairs)  # a line has no sign
    row = np.rint(np.degrees(np.arcsin(pairs[..., 1].clip(-1, 1))) / _LEVEL_DEG).astype(int) + len(height) // 2
    column = np.rint(np.degrees(np.arctan2(pairs[..., 2], pairs[..., 0])) / _LEVEL_DEG).astype(int)
    turned = column >= len(azimuth)  # 180 degrees: the other way
    row, column = np.where(turned, len(height) - 1 - row, row), np.where(turned, 0, column)
    used, pairs = np.unique(row * len(azimuth) + column, return_inverse=True)
    return directions[used], pairs.reshape(row.shape)
