"""The face of a person who was found: 478 landmarks, irises among them, from MediaPipe's face and iris models.

The region comes from the body's face points, but a face detector must see a face there: points of the body exist for
the backs of heads too. Regions, decoding and thresholds are those of the public graphs of the models; the landmarks are
in the order of the face mesh, 468 to 472 the iris of the person's right eye, 473 to 477 that of the left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from dsr.body.joints import joint_names
from dsr.people.candidates import SquareDetector, anchor_grid
from dsr.people.faces import FACE_MESH_MODEL
from dsr.people.landmarks import sigmoid
from dsr.people.models import LiteModel
from dsr.people.regions import Pyramid, Region

FACE_DETECTOR = "face_detection/face_detection_short_range.tflite"
IRIS_MODEL = "iris_landmark/iris_landmark.tflite"
FACE_POINTS = 478
MIN_EYES_PX = 9.0
"""Distance between the eyes, working pixels, below which a face says nothing about its expression."""
MIN_PRESENCE = 0.5
_UPPER_FACE = (6, 168, 8, 9, 151, 107, 336, 108, 337)
_LOWER_FACE = (18, 200, 199, 175, 152, 171, 396, 17, 406, 182, 313, 83, 57, 287, 61, 291, 164)
_OTHER_COLOUR = 12.0
"""Difference in CIE Lab's a and b from which chin and brow are not one skin; on uncovered faces 0 to 8."""
_COLOUR_SIZE = 96
_FACE_PARTS = ("nose", "eye_inner", "eye", "eye_outer", "ear", "mouth")
_MESH_SIZE, _IRIS_SIZE, _DETECTOR_SIZE = 192, 64, 128
EYE_CORNERS = ((33, 133), (263, 362))
"""Outer and inner corner of the right and the left eye."""
EYE_CONTOURS = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
)
"""The lid line of the right and the left eye in the order of the iris model: lower lid, then upper."""
_MESH_INNER, _IRIS_INNER = ("p_re_lu_20",), ("p_re_lu_36", "p_re_lu_52")


@dataclass(frozen=True, eq=False)
class FaceLandmarks:
    """A face.

    Attributes:
        region: where the mesh ran, working pixels.
        presence: 0 to 1, how sure the model is that there is a face.
        points: (478, 3) working pixels u, v, and depth on their scale, away from the camera.
        mouth_covered: whether mouth and chin have another colour than the forehead: a mask, a scarf, a hand.
        features: (2336,) the last layers of the models: of the mesh, then of lids and iris of the right eye, then of
            the left one in a mirror; None if they are not known.
        scale: working pixels per pixel of the full picture.
    """

    region: Region
    presence: float
    points: np.ndarray
    mouth_covered: bool = False
    features: np.ndarray | None = None
    scale: float = 1.0

    @property
    def eyes_px(self) -> float:
        """Distance between the middles of the eyes, pixels, as seen from the front."""
        right, left = (self.points[list(pair)].mean(0) for pair in EYE_CORNERS)
        return float(np.linalg.norm(left - right))

    @property
    def between_eyes(self) -> np.ndarray:
        """(2,) middle of the eyes, pixels of the full picture."""
        middle: np.ndarray = self.points[np.ravel(EYE_CORNERS), :2].mean(0) / self.scale
        return middle


class FaceReader:
    """Reads faces (one set of interpreters; not for several threads at once).

    Args:
        threads: of every interpreter.

    Raises:
        MissingExtraError: if mediapipe or ai-edge-litert is not installed.
        DetectionError: if the installed mediapipe lacks a model.
    """

    def __init__(self, threads: int | None = None) -> None:
        anchors = anchor_grid(_DETECTOR_SIZE, ((8, 2), (16, 6)))
        self._detector = SquareDetector(FACE_DETECTOR, _DETECTOR_SIZE, anchors, threads)
        self._mesh = LiteModel(FACE_MESH_MODEL, threads, _MESH_INNER)
        self._iris = LiteModel(IRIS_MODEL, threads, _IRIS_INNER)

    def __call__(self, pyramid: Pyramid, keypoints: np.ndarray, keypoint_set: str) -> FaceLandmarks | None:
        """The face of a person, or None where it is turned away, hidden or tiny.

        Args:
            pyramid: the picture.
            keypoints: (K, 2) of the person, working pixels; the set must have a face (``blazepose33``).
            keypoint_set: of the keypoints.
        """
        search = _search_region(keypoints, keypoint_set)
        if search.side < MIN_EYES_PX:
            return None
        found = self._detector.in_region(pyramid, search, MIN_PRESENCE)
        if not len(found):
            return None
        six = found[0, 5:].reshape(6, 2)
        face = self._look(pyramid, _around(six, six[0], six[1], 0.1, 2.0))
        if face.presence < MIN_PRESENCE:
            return None
        again = self._look(pyramid, _around(face.points[:468, :2], face.points[33, :2], face.points[263, :2], 0.0, 1.5))
        face = again if again.presence >= face.presence else face
        if face.eyes_px < MIN_EYES_PX:
            return None
        return replace(self._with_eyes(pyramid, face), mouth_covered=_mouth_is_covered(pyramid, face))

    def _look(self, pyramid: Pyramid, region: Region) -> FaceLandmarks:
        rows, logit, inner = self._mesh(pyramid.crop(region, _MESH_SIZE).astype(np.float32) / 255.0)
        rows = rows.reshape(468, 3).astype(np.float64)
        points = np.c_[region.to_picture(rows[:, :2], _MESH_SIZE), rows[:, 2] * region.side / _MESH_SIZE]
        presence = float(sigmoid(logit.reshape(-1))[0])
        return FaceLandmarks(region, presence, np.r_[points, np.zeros((10, 3))], features=inner.reshape(-1))

    def _with_eyes(self, pyramid: Pyramid, face: FaceLandmarks) -> FaceLandmarks:
        """The face with lids and irises as the iris model sees them; it knows right eyes, left ones are mirrored."""
        assert face.features is not None
        points, features = face.points.copy(), [face.features]
        for eye, (outer, inner) in enumerate(EYE_CORNERS):
            first, second = (outer, inner) if eye == 0 else (inner, outer)
            a, b = points[first, :2], points[second, :2]
            middle, (du, dv) = (a + b) / 2, b - a
            region = Region(float(middle[0]), float(middle[1]), 2.3 * math.hypot(du, dv), math.atan2(dv, du))
            crop = pyramid.crop(region, _IRIS_SIZE)
            lids, iris, *layers = self._iris((crop[:, ::-1] if eye else crop).astype(np.float32) / 255.0)
            features += [each.reshape(-1) for each in layers]
            for rows, where in ((lids.reshape(-1, 3)[:16], list(EYE_CONTOURS[eye])), (iris.reshape(-1, 3), None)):
                flat = rows[:, :2].astype(np.float64)
                if eye:
                    flat[:, 0] = _IRIS_SIZE - flat[:, 0]
                where = list(range(468 + 5 * eye, 473 + 5 * eye)) if where is None else where
                points[where, :2] = region.to_picture(flat, _IRIS_SIZE)
            points[468 + 5 * eye : 473 + 5 * eye, 2] = points[list(EYE_CONTOURS[eye]), 2].mean()
        return replace(face, points=points, features=np.concatenate(features))


def _mouth_is_covered(pyramid: Pyramid, face: FaceLandmarks) -> bool:
    crop = cv2.GaussianBlur(pyramid.crop(face.region, _COLOUR_SIZE), (0, 0), 1.5)
    lab = cv2.cvtColor(crop.astype(np.uint8), cv2.COLOR_RGB2LAB).astype(float)
    places = face.region.to_crop(face.points[:, :2], _COLOUR_SIZE)
    column, row = np.clip(places, 0, _COLOUR_SIZE - 1).astype(int).T
    upper, lower = (np.median(lab[row[list(part)], column[list(part)]], axis=0) for part in (_UPPER_FACE, _LOWER_FACE))
    return bool(np.hypot(*(lower - upper)[1:]) > _OTHER_COLOUR)


def _search_region(keypoints: np.ndarray, keypoint_set: str) -> Region:
    """Where a body's face is: three times the box of its points, level with its eyes (the holistic graph's formula)."""
    names = joint_names(keypoint_set)
    face = [i for i, name in enumerate(names) if any(part in name for part in _FACE_PARTS)]
    right, left = keypoints[names.index("right_eye")], keypoints[names.index("left_eye")]
    return _around(keypoints[face], right, left, 0.0, 3.0)


def _around(points: np.ndarray, right: np.ndarray, left: np.ndarray, up: float, scale: float) -> Region:
    """A square around points (N, 2), level along two of them, moved up by a part of its side and grown."""
    angle = math.atan2(left[1] - right[1], left[0] - right[0])
    turn = Region(0.0, 0.0, 1.0, angle).rotation
    local = points @ turn
    low, high = local.min(0), local.max(0)
    side = float((high - low).max())
    u, v = turn @ ((low + high) / 2 - [0.0, up * side])
    return Region(float(u), float(v), scale * side, angle)
