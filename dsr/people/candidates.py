"""BlazePose person detector: anchors, decoding, weighted non-maximum suppression, and tiles from coarse to fine.

A candidate is a row of 13 numbers: score, then x0, y0, x1, y1 of its box, then the four points (u, v). Source: the
model's public graph description, restated in specs/blazepose.md.
"""

from __future__ import annotations

import math

import numpy as np

from dsr.people.models import DETECTION_MODEL, LiteModel
from dsr.people.regions import Pyramid, Region

INPUT_SIZE = 224
SCORE_CLIP = 100.0
NMS_IOU = 0.3
CANDIDATE_COLUMNS = 13
_LAYERS = ((8, 2), (16, 2), (32, 6))


def anchor_grid(input_size: int = INPUT_SIZE, layers: tuple[tuple[int, int], ...] = _LAYERS) -> np.ndarray:
    """Anchor centres (N, 2) in units of the input side; N = 2254 for the person detector.

    Its strides are 8, 16, 32, 32, 32 with two anchors per layer and cell; layers of one stride share a grid, anchors of
    one cell lie next to each other. Anchor size is 1, so only centres matter.

    Args:
        input_size: side of the model's input, pixels.
        layers: stride and anchors per cell of each grid.
    """
    parts = []
    for stride, per_cell in layers:
        cells = input_size // stride
        v, u = np.mgrid[:cells, :cells]
        grid = (np.stack([u, v], -1).reshape(-1, 2) + 0.5) / cells
        parts.append(np.repeat(grid, per_cell, axis=0))
    return np.concatenate(parts).astype(np.float32)


def decode(
    rows: np.ndarray, logits: np.ndarray, anchors: np.ndarray, min_score: float, input_size: int = INPUT_SIZE
) -> np.ndarray:
    """Detector output to candidates in units of the input side.

    Args:
        rows: (N, 4 + 2 P) dx, dy, w, h and P points, in input pixels relative to the anchor centre; a person has four.
        logits: (N,) or (N, 1).
        anchors: (N, 2) from :func:`anchor_grid`.
        min_score: candidates below are dropped.
        input_size: side of the model's input, pixels.

    Returns:
        (M, 5 + 2 P) candidates, best first.
    """
    logits = logits.reshape(-1)
    hopeless = math.log(min_score / (1.0 - min_score)) - 1e-3 if 0.0 < min_score < 1.0 else -math.inf
    keep = np.flatnonzero(logits >= hopeless)  # nearly all anchors are not
    score = 1.0 / (1.0 + np.exp(-np.clip(logits[keep].astype(np.float64), -SCORE_CLIP, SCORE_CLIP)))
    keep, score = keep[score >= min_score], score[score >= min_score]
    order = np.argsort(-score, kind="stable")
    keep, score = keep[order], score[order]
    rows = rows[keep].astype(np.float64) / input_size
    centre = anchors[keep].astype(np.float64)
    middle, half = centre + rows[:, :2], rows[:, 2:4] / 2
    points = rows[:, 4:] + np.tile(centre, (rows.shape[1] - 4) // 2)
    return np.concatenate([score[:, None], middle - half, middle + half, points], axis=1)


def box_iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one box (4,) with boxes (N, 4), x0, y0, x1, y1; 0 for empty boxes."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    total = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - shared
    return np.where(total > 0, shared / np.where(total > 0, total, 1.0), 0.0)


def weighted_nms(candidates: np.ndarray, iou: float = NMS_IOU) -> np.ndarray:
    """Merge overlapping candidates into their score-weighted mean with the best score of each group, best first."""
    merged = []
    rest = candidates[np.argsort(-candidates[:, 0], kind="stable")]
    while len(rest):
        group = box_iou(rest[0, 1:5], rest[:, 1:5]) > iou
        group[0] = True
        weight = rest[group, :1]
        mean = (rest[group] * weight).sum(axis=0) / weight.sum()
        mean[0] = rest[0, 0]
        merged.append(mean)
        rest = rest[~group]
    return np.array(merged).reshape(-1, candidates.shape[1])


def body_length(candidates: np.ndarray) -> np.ndarray:
    """Rough standing height of each candidate, 2 x |p1 - p0|, in its own units."""
    return 2.0 * np.hypot(candidates[:, 7] - candidates[:, 5], candidates[:, 8] - candidates[:, 6])


def body_angle(candidates: np.ndarray) -> np.ndarray:
    """Turn of each candidate's hips-to-head direction from upright, radians, -pi to pi."""
    return np.arctan2(candidates[:, 7] - candidates[:, 5], candidates[:, 6] - candidates[:, 8])


def tile_starts(extent: float, side: float, overlap: float = 0.5) -> list[float]:
    """Starts of tiles of ``side`` that cover ``extent`` with at least this overlap; one in the middle where it fits."""
    if extent <= side:
        return [(extent - side) / 2]
    count = math.ceil((extent - side) / (side * (1 - overlap)) - 1e-9) + 1
    return [(extent - side) * i / (count - 1) for i in range(count)]


class SquareDetector:
    """A detector with a square input, run on a picture and on its tiles.

    Args:
        name: file of the model, see :class:`~dsr.people.models.LiteModel`.
        input_size: side of its input, pixels.
        anchors: (N, 2) from :func:`anchor_grid`.
        threads: threads of the interpreter.
    """

    def __init__(self, name: str, input_size: int, anchors: np.ndarray, threads: int | None = None) -> None:
        self._model = LiteModel(name, threads)
        self._size, self._anchors = input_size, anchors

    def in_square(self, image: np.ndarray, min_score: float) -> np.ndarray:
        """Candidates (M, C) of one uint8 image of the input's size in units of its side, after weighted suppression."""
        pixels = image.astype(np.float32)
        pixels /= 127.5
        pixels -= 1.0
        rows, logits = self._model(pixels)
        return weighted_nms(decode(rows, logits, self._anchors, min_score, self._size))

    def in_tiles(self, pyramid: Pyramid, side: float, min_score: float, overlap: float = 0.5) -> np.ndarray:
        """Candidates (M, C) of all overlapping square tiles of ``side`` picture pixels, in picture pixels.

        The picture is shrunk once so that a tile has the model's input size. A tile larger than the picture is padded
        with black on both sides. Candidates whose first point lies outside their tile are dropped, unless it lies
        outside the picture as well: no other tile shows more of them.
        """
        small = pyramid.resized(self._size / side)
        candidates = []
        for v in tile_starts(small.shape[0], self._size, overlap):
            for u in tile_starts(small.shape[1], self._size, overlap):
                column, row = round(u), round(v)
                tile = self.in_square(_window(small, column, row, self._size), min_score)
                within = np.all((tile[:, 5:7] >= 0) & (tile[:, 5:7] <= 1), axis=1)
                tile[:, 1:] = tile[:, 1:] * self._size + np.tile([column, row], tile.shape[1] // 2)
                outside = np.any((tile[:, 5:7] < 0) | (tile[:, 5:7] > small.shape[1::-1]), axis=1)
                tile = tile[within | outside]
                tile[:, 1::2] *= pyramid.width / small.shape[1]
                tile[:, 2::2] *= pyramid.height / small.shape[0]
                candidates.append(tile)
        return np.concatenate(candidates)

    def in_region(self, pyramid: Pyramid, region: Region, min_score: float) -> np.ndarray:
        """Candidates (M, C) of a square region, best first, in picture pixels; outside the picture its edge goes on."""
        found = self.in_square(pyramid.crop(region, self._size), min_score)
        points = found[:, 1:].reshape(-1, 2)
        found[:, 1:] = region.to_picture(points, 1.0).reshape(len(found), found.shape[1] - 1)
        return found


def person_detector(threads: int | None = None) -> SquareDetector:
    """The person detector; its candidates have 13 columns, their first point is the middle of the hips."""
    return SquareDetector(DETECTION_MODEL, INPUT_SIZE, anchor_grid(), threads)


def _window(image: np.ndarray, column: int, row: int, side: int) -> np.ndarray:
    """A square window of an image, black where it reaches outside."""
    height, width = image.shape[:2]
    if column >= 0 and row >= 0 and column + side <= width and row + side <= height:
        return image[row : row + side, column : column + side]
    window = np.zeros((side, side, 3), image.dtype)
    u0, v0 = max(column, 0), max(row, 0)
    u1, v1 = min(column + side, width), min(row + side, height)
    window[v0 - row : v1 - row, u0 - column : u1 - column] = image[v0:v1, u0:u1]
    return window
