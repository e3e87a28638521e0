"""BlazePose person detector: anchors, decoding, weighted non-maximum suppression, and tiles from coarse to fine.

A candidate is a row of 13 numbers: score, then x0, y0, x1, y1 of its box, then the four points (u, v). Source: the
model's public graph description, restated in specs/blazepose.md.
"""

from __future__ import annotations

import math

import numpy as np

from dsr.people.models import DETECTION_MODEL, LiteModel
from dsr.people.regions import Pyramid

INPUT_SIZE = 224
SCORE_CLIP = 100.0
NMS_IOU = 0.3
CANDIDATE_COLUMNS = 13


def anchor_centres(input_size: int = INPUT_SIZE) -> np.ndarray:
    """Anchor centres (N, 2) in units of the input side, N = 2254 for 224 pixels.

    Strides 8, 16, 32, 32, 32 with two anchors per layer and cell; layers of one stride share a grid, anchors of one
    cell lie next to each other. Anchor size is 1, so only centres matter.
    """
    parts = []
    for stride, per_cell in ((8, 2), (16, 2), (32, 6)):
        cells = input_size // stride
        v, u = np.mgrid[:cells, :cells]
        grid = (np.stack([u, v], -1).reshape(-1, 2) + 0.5) / cells
        parts.append(np.repeat(grid, per_cell, axis=0))
    return np.concatenate(parts).astype(np.float32)


def decode(rows: np.ndarray, logits: np.ndarray, anchors: np.ndarray, min_score: float) -> np.ndarray:
    """Detector output to candidates in units of the input side.

    Args:
        rows: (N, 12) dx, dy, w, h and four points, in input pixels relative to the anchor centre.
        logits: (N,) or (N, 1).
        anchors: (N, 2) from :func:`anchor_centres`.
        min_score: candidates below are dropped.

    Returns:
        (M, 13) candidates, best first.
    """
    score = 1.0 / (1.0 + np.exp(-np.clip(logits.reshape(-1).astype(np.float64), -SCORE_CLIP, SCORE_CLIP)))
    keep = np.flatnonzero(score >= min_score)
    keep = keep[np.argsort(-score[keep], kind="stable")]
    rows = rows[keep].astype(np.float64) / INPUT_SIZE
    centre = anchors[keep].astype(np.float64)
    middle, half = centre + rows[:, :2], rows[:, 2:4] / 2
    points = rows[:, 4:].reshape(-1, 4, 2) + centre[:, None]
    return np.concatenate([score[keep, None], middle - half, middle + half, points.reshape(-1, 8)], axis=1)


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


def tile_starts(extent: float, side: float) -> list[float]:
    """Starts of tiles of ``side`` that cover ``extent`` with at least half overlap; one centred tile where it fits."""
    if extent <= side:
        return [(extent - side) / 2]
    count = math.ceil((extent - side) / (side / 2) - 1e-9) + 1
    return [(extent - side) * i / (count - 1) for i in range(count)]


class CandidateFinder:
    """Runs the person detector on a picture and on its tiles.

    Args:
        threads: threads of the interpreter.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._model = LiteModel(DETECTION_MODEL, threads)
        self._anchors = anchor_centres()

    def in_square(self, image: np.ndarray, min_score: float) -> np.ndarray:
        """Candidates (M, 13) of one 224x224x3 uint8 image in units of its side, after weighted suppression."""
        rows, logits = self._model(image.astype(np.float32) / 127.5 - 1.0)
        return weighted_nms(decode(rows, logits, self._anchors, min_score))

    def in_tiles(self, pyramid: Pyramid, side: float, min_score: float) -> np.ndarray:
        """Candidates (M, 13) of all half-overlapping square tiles of ``side`` picture pixels, in picture pixels.

        The picture is shrunk once so that a tile has the model's input size. A tile larger than the picture is padded
        with black on both sides. Candidates whose hips lie outside their tile or the picture are dropped.
        """
        scale = INPUT_SIZE / side
        small = pyramid.resized(scale)
        candidates = [np.zeros((0, CANDIDATE_COLUMNS))]
        for v in tile_starts(small.shape[0], INPUT_SIZE):
            for u in tile_starts(small.shape[1], INPUT_SIZE):
                column, row = round(u), round(v)
                tile = self.in_square(_window(small, column, row), min_score)
                tile = tile[np.all((tile[:, 5:7] >= 0) & (tile[:, 5:7] <= 1), axis=1)]
                tile[:, 1:] *= INPUT_SIZE
                tile[:, 1:] += np.tile([column, row], 6)
                tile[:, 1::2] *= pyramid.width / small.shape[1]
                tile[:, 2::2] *= pyramid.height / small.shape[0]
                candidates.append(tile)
        return np.concatenate(candidates)


def _window(image: np.ndarray, column: int, row: int) -> np.ndarray:
    """A 224x224 window of an image, black where it reaches outside."""
    height, width = image.shape[:2]
    if column >= 0 and row >= 0 and column + INPUT_SIZE <= width and row + INPUT_SIZE <= height:
        return image[row : row + INPUT_SIZE, column : column + INPUT_SIZE]
    window = np.zeros((INPUT_SIZE, INPUT_SIZE, 3), image.dtype)
    u0, v0 = max(column, 0), max(row, 0)
    u1, v1 = min(column + INPUT_SIZE, width), min(row + INPUT_SIZE, height)
    window[v0 - row : v1 - row, u0 - column : u1 - column] = image[v0:v1, u0:u1]
    return window
