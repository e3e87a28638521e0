"""Faces: the way to people whose trunk is hidden, cut off, or in front of somebody else's.

A face is a row of 17 numbers: score, then x0, y0, x1, y1 of its box (brows to chin), then six points (u, v): both eyes,
tip of the nose, middle of the mouth, both ears. Faces are found by MediaPipe's full-range face detector and looked at
more closely by its face mesh, which says whether there is one; the layouts are from the models' public graphs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from dsr.people.candidates import SquareDetector, anchor_grid
from dsr.people.landmarks import RegionLandmarks, sigmoid
from dsr.people.models import LiteModel
from dsr.people.regions import Pyramid, Region

FACE_MODEL = "face_detection/face_detection_full_range_sparse.tflite"
FACE_MESH_MODEL = "face_landmark/face_landmark.tflite"
TILES_OVERLAP = 0.2  # a face that is larger than that part of a tile is found with the next larger tiles
MIN_FACE = 0.45  # score of a face that is looked at more closely
CLEAR_FACE = 0.9  # mesh score of a face that is one for sure; profiles may have none
_SAME_FACE = 0.7  # faces nearer to each other than that part of the larger one's side are one
_MESH_ROOM = 1.5  # side of the mesh's crop over the side of the face (the model's public graph)
_HIPS_BELOW = 4.0  # from the middle of a face to the hips, and the side of the landmark model's region, in sides of
REGION_SIDE = 13.0  # the face: medians of people in photographs who are seen whole (spread 0.5 and 0.9)
_SHOULDERS_BELOW, _HALF_SHOULDERS = 1.3, 1.0


@dataclass(frozen=True, eq=False)
class Face:
    """One face in a picture.

    Attributes:
        score: of the face detector, 0 to 1.
        middle: (2,) of the box, pixels.
        side: of the box, pixels.
        points: (4, 2) middle of the eyes, nose, middle of the mouth, middle of the ears, pixels.
        judge: whether the face mesh sees this face, asked only where it matters.
    """

    score: float
    middle: np.ndarray
    side: float
    points: np.ndarray
    judge: Callable[[Face], bool]

    @classmethod
    def from_row(cls, row: np.ndarray, judge: Callable[[Face], bool]) -> Face:
        """A face from the detector's row (17,)."""
        u = row[5:].reshape(6, 2)
        points = np.stack([u[:2].mean(0), u[2], u[3], u[4:].mean(0)])
        side = math.sqrt(max(row[3] - row[1], 0) * max(row[4] - row[2], 0))
        return cls(float(row[0]), (row[1:3] + row[3:5]) / 2, side, points, judge)

    @cached_property
    def clear(self) -> bool:
        """Whether the face mesh sees a face as well; not so for profiles and heads turned down, nor for things."""
        return self.judge(self)

    @cached_property
    def angle(self) -> float:
        """Turn of the head from upright in the picture, radians."""
        up = self.points[0] - self.points[2]
        return math.atan2(up[0], -up[1])

    def region(self, scale: float = 1.0, turn: float = 1.0) -> Region:
        """Where the landmark model should look for the body below this face.

        Args:
            scale: size of the body over that of an adult.
            turn: how much of the head's turn in the picture the trunk shares, 0 to 1.
        """
        angle, below = turn * self.angle, scale * _HIPS_BELOW * self.side
        u, v = self.middle + below * np.array([-math.sin(angle), math.cos(angle)])
        return Region(float(u), float(v), scale * REGION_SIDE * self.side, angle)

    @property
    def size(self) -> float:
        """Rough standing height of the body below, pixels."""
        return REGION_SIDE * self.side / 1.25

    @property
    def bones(self) -> np.ndarray:
        """(2, 2, 2) ends of spine and shoulders as they should be below this face, pixels."""
        down = np.array([-math.sin(self.angle), math.cos(self.angle)])
        across = np.array([down[1], -down[0]])
        shoulders = self.middle + _SHOULDERS_BELOW * self.side * down
        width = _HALF_SHOULDERS * self.side * across
        return np.stack(
            [[self.middle, self.middle + _HIPS_BELOW * self.side * down], [shoulders - width, shoulders + width]]
        )

    def head_distance(self, marks: RegionLandmarks) -> float:
        """How far the head of a body is from this face, in sides of the face."""
        p = marks.points
        head = np.stack([p[[2, 5]].mean(0), p[0], p[[9, 10]].mean(0), p[[7, 8]].mean(0)])
        return float(np.hypot(*(head - self.points).T).mean()) / self.side


class FaceFinder:
    """Finds faces; the models are loaded when they are first needed.

    Args:
        threads: threads of the interpreters.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads

    @cached_property
    def _detector(self) -> SquareDetector:
        return SquareDetector(FACE_MODEL, 192, anchor_grid(192, ((4, 1),)), self._threads)

    @cached_property
    def _mesh(self) -> LiteModel:
        return LiteModel(FACE_MESH_MODEL, self._threads)

    def __call__(self, pyramid: Pyramid, sides: list[float]) -> list[Face]:
        """Faces of a picture, best first, nobody's twice.

        Args:
            pyramid: the picture.
            sides: of the tiles to look at, picture pixels.
        """
        rows = [self._detector.in_tiles(pyramid, side, MIN_FACE, TILES_OVERLAP) for side in sides]
        judge = partial(self._is_clear, pyramid)
        return distinct_faces([Face.from_row(row, judge) for row in np.concatenate(rows)]) if rows else []

    def _is_clear(self, pyramid: Pyramid, face: Face) -> bool:
        region = Region(float(face.middle[0]), float(face.middle[1]), _MESH_ROOM * face.side, face.angle)
        _, logit = self._mesh(pyramid.crop(region, 192).astype(np.float32) / 255.0)
        return bool(sigmoid(logit.reshape(-1))[0] >= CLEAR_FACE)


def distinct_faces(faces: list[Face]) -> list[Face]:
    """Faces without those that repeat a better one, best first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if face.side > 0 and all(
            np.hypot(*(face.middle - other.middle)) > _SAME_FACE * max(face.side, other.side) for other in kept
        ):
            kept.append(face)
    return kept
