"""BlazePose landmarks of one region: 33 points, world landmarks, confidence, silhouette and the refined region.

World landmarks are metres with the hips at the origin in camera-aligned axes: x right, y down, z away from the camera.
Source: specs/blazepose.md; checked against mediapipe's own graph in the tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dsr.people.models import LANDMARK_MODEL, LiteModel
from dsr.people.regions import Pyramid, Region
from dsr.people.types import PersonMask

CROP_SIZE = 256
LANDMARKS = 33
_ROWS = 39
_HEATMAP_WINDOW = 9
_HEATMAP_MIN_PEAK = 0.5
MASK_LONG_SIDE = 256


@dataclass(frozen=True)
class RegionLandmarks:
    """Output of the landmark model on one region, in picture pixels.

    Attributes:
        region: where it ran.
        presence: 0 to 1, how sure the model is that a person is in the region.
        points: (33, 2) picture pixels.
        confidence: (33,) visibility x presence of each landmark, 0 to 1.
        world_m: (33, 3) metres, camera-aligned axes.
        next_region: region worked out from the model's two auxiliary points.
        mask_logits: (256, 256) silhouette logits of the crop.
    """

    region: Region
    presence: float
    points: np.ndarray
    confidence: np.ndarray
    world_m: np.ndarray
    next_region: Region
    mask_logits: np.ndarray


class LandmarkModel:
    """The landmark model (one interpreter)."""

    def __init__(self, threads: int | None = None) -> None:
        self._model = LiteModel(LANDMARK_MODEL, threads)

    def __call__(self, pyramid: Pyramid, region: Region) -> RegionLandmarks:
        """Run on one region of a picture."""
        crop = pyramid.crop(region, CROP_SIZE)
        rows, presence, mask, heatmaps, world = self._model(crop.astype(np.float32) / 255.0)
        rows = rows.reshape(_ROWS, 5).astype(np.float64)
        points = refine_by_heatmap(rows[:, :2], heatmaps)
        in_picture = region.to_picture(points, CROP_SIZE)
        confidence = sigmoid(rows[:LANDMARKS, 3]) * sigmoid(rows[:LANDMARKS, 4])
        return RegionLandmarks(
            region=region,
            presence=float(presence[0]),
            points=in_picture[:LANDMARKS],
            confidence=confidence,
            world_m=rotate_world(world.reshape(_ROWS, 3)[:LANDMARKS].astype(np.float64), region.angle),
            next_region=Region.from_points(in_picture[LANDMARKS], in_picture[LANDMARKS + 1]),
            mask_logits=mask[..., 0],
        )


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Logistic function without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def rotate_world(world: np.ndarray, angle: float) -> np.ndarray:
    """Turn world landmarks (K, 3) from the crop's axes to the camera's: a rotation about z by the region's angle."""
    c, s = math.cos(angle), math.sin(angle)
    return world @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]).T


def refine_by_heatmap(points: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    """Replace points by the mean of their heatmap around them where its peak passes 0.5.

    Args:
        points: (K, 2) crop pixels.
        heatmaps: (H, W, K) logits over the crop.

    Returns:
        (K, 2) crop pixels.
    """
    height, width, _ = heatmaps.shape
    refined = points.copy()
    reach = _HEATMAP_WINDOW // 2
    cell = np.array([CROP_SIZE / width, CROP_SIZE / height])
    for k, (u, v) in enumerate(points / cell):
        column, row = math.floor(u), math.floor(v)
        if not (0 <= column < width and 0 <= row < height):
            continue
        u0, v0 = max(0, column - reach), max(0, row - reach)
        weight = sigmoid(heatmaps[v0 : row + reach + 1, u0 : column + reach + 1, k].astype(np.float64))
        total = weight.sum()
        if weight.max() < _HEATMAP_MIN_PEAK or total <= 0:
            continue
        mean_u = (weight.sum(0) @ np.arange(u0, u0 + weight.shape[1])) / total
        mean_v = (weight.sum(1) @ np.arange(v0, v0 + weight.shape[0])) / total
        refined[k] = (np.array([mean_u, mean_v])) * cell
    return refined


def region_mask(logits: np.ndarray, region: Region, width: int, height: int, scale: float = 1.0) -> PersonMask | None:
    """Resample the silhouette of a rotated crop to an upright box.

    Args:
        logits: (S, S) silhouette logits of the crop.
        region: where the crop lies, working pixels.
        width: picture width, working pixels.
        height: picture height, working pixels.
        scale: working pixels per full pixel.

    Returns:
        The mask over a box in full-picture pixels, trimmed to the silhouette, at most 256 pixels on its longer side;
        None where there is no silhouette inside the picture.
    """
    from PIL import Image

    size = logits.shape[0]
    probability = sigmoid(logits.astype(np.float32))
    rows, columns = np.nonzero(probability > 0.1)
    if len(rows) == 0:
        return None
    u0, u1, v0, v1 = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    corners = region.to_picture(np.array([[u0, v0], [u1, v0], [u1, v1], [u0, v1]], np.float64), size)
    low = np.maximum(np.floor(corners.min(axis=0)), 0.0)
    high = np.minimum(np.ceil(corners.max(axis=0)), [width, height])
    if np.any(high - low < 1):
        return None
    step = max(region.side / size, float((high - low).max()) / MASK_LONG_SIDE)
    cells = np.maximum(1, np.round((high - low) / step)).astype(int)
    pixel = (high - low) / cells
    inverse = region.rotation.T * (size / region.side)  # picture direction -> crop direction
    a, b = inverse * pixel[None, :]
    origin = region.to_crop(low, size)
    matrix = (a[0], a[1], origin[0], b[0], b[1], origin[1])
    warped = Image.fromarray(probability, "F").transform(
        (int(cells[0]), int(cells[1])), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return PersonMask(np.concatenate([low, high]) / scale, np.asarray(warped, dtype=np.float32))
