"""PeopleDetector: everybody in a photograph, large and small, with landmarks, 3D landmarks and silhouettes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from dsr.errors import UsageError
from dsr.people.continued import continued, known_region
from dsr.people.known import keypoint_box_with_room, match_boxes, with_landmarks
from dsr.people.landmarks import LandmarkModel, region_mask
from dsr.people.proposals import SETTINGS
from dsr.people.regions import Pyramid
from dsr.people.search import MIN_PRESENCE, PeopleSearch
from dsr.people.suppression import Body
from dsr.people.types import Detection

if TYPE_CHECKING:
    from dsr.image.types import Photo

Quality = Literal["fast", "standard", "best"]
_BOX_CONFIDENCE = 0.5


class PeopleDetector:
    """Finds people with the BlazePose models of the installed mediapipe package (never imported).

    Deterministic: the same picture gives the same result every time and for every number of threads. One object may be
    used from several threads; calls then wait for each other.

    Args:
        quality: ``fast`` looks at the whole picture and at tiles only where it shows somebody small or nobody, one
            landmark pass, faces only where it finds nobody; ``standard`` adds tiles of half the longer side always,
            tiles of a third where people are small and of an eighth in crowds, faces, a second look behind the people
            found and beside them where they are several, two more landmark passes, and more of them where a body may
            be wrong; ``best`` looks everywhere, in five passes.
        threads: threads inside a model, default: the cores of this process, at most 4.
        landmarks: file of another landmark model, see :class:`~dsr.people.landmarks.LandmarkModel`.

    Raises:
        UsageError: if the quality is unknown.
        MissingExtraError: if mediapipe or ai-edge-litert is not installed.
        DetectionError: if the installed mediapipe lacks the models, or the file is no landmark model.
    """

    def __init__(
        self, quality: Quality = "standard", threads: int | None = None, landmarks: Path | None = None
    ) -> None:
        if quality not in SETTINGS:
            raise UsageError(f"quality {quality!r} is unknown; use one of {', '.join(SETTINGS)}")
        self.settings = SETTINGS[quality]
        self._landmarks = LandmarkModel(threads, landmarks)
        self._search = PeopleSearch(self.settings, self._landmarks, threads)
        self._lock = threading.Lock()

    def detect(self, photo: Photo) -> list[Detection]:
        """Everybody in a photo, left to right, in full-picture pixels; an empty list where there is nobody."""
        with self._lock:
            kept = self._search(photo.rgb)
        return left_to_right([to_detection(body, photo) for body in kept])

    def detect_in_boxes(
        self, photo: Photo, boxes_px: np.ndarray, source: str = "boxes", scores: Sequence[float | None] | None = None
    ) -> list[Detection]:
        """People whose boxes are known: one detection per box, whatever the model thinks of it, left to right.

        Whoever is found in the picture with such a box is taken; in the other boxes the landmark model is run.

        Args:
            photo: the picture.
            boxes_px: (N, 4) x0, y0, x1, y1 in full-picture pixels.
            source: name of where the boxes came from.
            scores: of the boxes, in place of the model's where there is one.
        """
        people = self._in_boxes(photo, boxes_px, source)
        if scores is not None:
            people = [p if s is None else replace(p, score=s) for p, s in zip(people, scores, strict=True)]
        return left_to_right(people)

    def follow(self, photo: Photo, known: Sequence[Detection], source: str = "blazepose") -> list[Detection]:
        """People who were seen a moment ago, without a search: quicker, for clips.

        Args:
            photo: the picture.
            known: where they should be by now, with landmarks of ``blazepose33``.
            source: name of where they came from.
        """
        passes = max(2, self.settings.passes)
        with self._lock:
            pyramid = Pyramid(photo.rgb)
            marks = [
                continued(self._landmarks, pyramid, person.keypoints_px * photo.scale, person.confidence, passes)
                for person in known
            ]
        return left_to_right([to_detection(Body(each, 1.0), photo, source) for each in marks])

    def complete(self, photo: Photo, known: list[Detection]) -> list[Detection]:
        """Imported keypoints with what the models add to them, see :func:`~dsr.people.known.with_landmarks`.

        Args:
            photo: the picture.
            known: people of that picture from a file of keypoints.

        Returns:
            The same people in the same order; as they are where the landmark model sees nobody or somebody else.
        """
        if not known:
            return []
        found = self._in_boxes(photo, np.stack([keypoint_box_with_room(person) for person in known]), "")
        sure = [person.score**2 >= MIN_PRESENCE for person in found]  # in a given box the presence alone is the score
        joined = [with_landmarks(a, b) if c else None for a, b, c in zip(known, found, sure, strict=True)]
        nearby = iter(self.complete_nearby(photo, [a for a, b in zip(known, joined, strict=True) if b is None]))
        return [next(nearby) if both is None else both for both in joined]

    def complete_nearby(self, photo: Photo, known: Sequence[Detection]) -> list[Detection]:
        """As :meth:`complete`, without a search: each person is looked at where the keypoints are; quick, for clips."""
        passes = max(2, self.settings.passes)
        completed = []
        with self._lock:
            pyramid = Pyramid(photo.rgb)
            for person in known:
                region = known_region(person, photo.scale)
                marks = self._landmarks.refined(pyramid, self._landmarks(pyramid, region), passes)
                found = to_detection(Body(marks, 1.0), photo, person.source)
                there = marks.presence >= MIN_PRESENCE
                completed.append((with_landmarks(person, found) if there else None) or person)
        return completed

    def _in_boxes(self, photo: Photo, boxes_px: np.ndarray, source: str) -> list[Detection]:
        """One detection per box, in the order of the boxes."""
        boxes = np.asarray(boxes_px, np.float64).reshape(-1, 4) * photo.scale
        with self._lock:
            everybody = self._search(photo.rgb) if len(boxes) else []
            height, width = photo.rgb.shape[:2]
            bodies = [
                self._search.in_box(photo.rgb, box) if match is None else everybody[match]
                for box, match in zip(boxes, match_boxes(boxes, everybody, width, height), strict=True)
            ]
        return [to_detection(replace(body, candidate_score=1.0), photo, source) for body in bodies]


def to_detection(body: Body, photo: Photo, source: str = "blazepose") -> Detection:
    """Turn a landmark result in working pixels into a detection in full-picture pixels."""
    marks = body.landmarks
    points = marks.points / photo.scale
    height, width = photo.rgb.shape[:2]
    return Detection(
        box_px=keypoint_box(points, marks.confidence, photo.width, photo.height),
        score=body.score,
        keypoint_set="blazepose33",
        keypoints_px=points,
        confidence=marks.confidence,
        world_m=marks.world_m,
        mask=region_mask(marks.mask_logits, marks.region, width, height, photo.scale),
        source=source,
    )


def keypoint_box(points: np.ndarray, confidence: np.ndarray, width: int, height: int) -> np.ndarray:
    """Box (4,) around the seen keypoints (K, 2), cut to the picture; around all of them where none is seen."""
    seen = confidence >= min(_BOX_CONFIDENCE, float(confidence.max()))
    low = np.clip(points[seen].min(axis=0), 0, [width, height])
    high = np.clip(points[seen].max(axis=0), 0, [width, height])
    return np.concatenate([low, high])


def left_to_right(detections: list[Detection]) -> list[Detection]:
    """Stable order by the horizontal, then the vertical middle of the box."""
    return sorted(
        detections, key=lambda d: (float(d.box_px[0] + d.box_px[2]), float(d.box_px[1] + d.box_px[3]), -d.score)
    )
