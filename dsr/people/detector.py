"""PeopleDetector: everybody in a photograph, large and small, with landmarks, 3D landmarks and silhouettes."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from dsr.errors import UsageError
from dsr.people.candidates import CandidateFinder, body_angle, body_length
from dsr.people.landmarks import LandmarkModel, region_mask
from dsr.people.regions import Pyramid, Region
from dsr.people.suppression import (
    PEELED_MAX_ANGLE,
    SURE_PRESENCE,
    Body,
    agreement,
    explained,
    is_clearly,
    is_plausible,
    merge_candidates,
    repeats,
    same_region,
    stands_apart,
    suppress_bodies,
    touching,
    without_bodies,
)
from dsr.people.types import Detection

if TYPE_CHECKING:
    from dsr.image.types import Photo

Quality = Literal["fast", "standard", "best"]
MIN_PRESENCE = 0.5
MIN_LENGTH = 16.0  # working pixels; below that there is nothing to see of a person
UPSIDE_DOWN = math.radians(100)
_BOX_CONFIDENCE = 0.5


@dataclass(frozen=True)
class DetectorSettings:
    """What a quality level means.

    Attributes:
        always: tile sides that are always searched, as parts of the longer picture side (1 is the whole picture).
        on_cue: tile sides searched one after the other as long as the sides before hint at small people.
        passes: landmark passes on each person, see :meth:`LandmarkModel.refined`.
        peels: how often to take the people found out of the picture and look for people behind or beside them.
    """

    always: tuple[int, ...]
    on_cue: tuple[int, ...]
    passes: int
    peels: int


SETTINGS: dict[str, DetectorSettings] = {
    "fast": DetectorSettings((1,), (2, 3), 1, 0),
    "standard": DetectorSettings((1, 2), (3,), 3, 1),
    "best": DetectorSettings((1, 2, 3), (4,), 5, 2),
}
MIN_SCORE = 0.5  # candidates taken as people
MIN_PEELED_SCORE = 0.55  # what is left of people taken out looks like lying people and weak candidates
MIN_HINT = 0.3  # candidates taken as a reason to look again


class PeopleDetector:
    """Finds people with the BlazePose models of the installed mediapipe package (never imported).

    Deterministic: the same picture gives the same result every time and for every number of threads. One object may be
    used from several threads; calls then wait for each other.

    Args:
        quality: ``fast`` looks at the whole picture and at tiles only where it shows somebody small or nobody, one
            landmark pass; ``standard`` adds tiles of half the longer side always, tiles of a third where people are
            small, a second look behind the people found, and two more landmark passes; ``best`` looks everywhere, in
            five passes.
        threads: threads inside a model, default: the cores of this process, at most 4.

    Raises:
        UsageError: if the quality is unknown.
        MissingExtraError: if mediapipe or ai-edge-litert is not installed.
        DetectionError: if the installed mediapipe lacks the models.
    """

    def __init__(self, quality: Quality = "standard", threads: int | None = None) -> None:
        if quality not in SETTINGS:
            raise UsageError(f"quality {quality!r} is unknown; use one of {', '.join(SETTINGS)}")
        self.settings = SETTINGS[quality]
        self._finder = CandidateFinder(threads)
        self._landmarks = LandmarkModel(threads)
        self._lock = threading.Lock()

    def detect(self, photo: Photo) -> list[Detection]:
        """Everybody in a photo, left to right, in full-picture pixels; an empty list where there is nobody."""
        with self._lock:
            kept = self._people(photo.rgb)
        return left_to_right([to_detection(body, photo) for body in kept])

    def detect_in_boxes(self, photo: Photo, boxes_px: np.ndarray, source: str = "boxes") -> list[Detection]:
        """Landmarks of people whose boxes are known: one detection per box, whatever the model thinks of it.

        Args:
            photo: the picture.
            boxes_px: (N, 4) x0, y0, x1, y1 in full-picture pixels.
            source: name of where the boxes came from.
        """
        with self._lock:
            pyramid = Pyramid(photo.rgb)
            regions = [Region.from_box(box) for box in np.asarray(boxes_px, np.float64).reshape(-1, 4) * photo.scale]
            passes = max(2, self.settings.passes)
            first = [self._landmarks(pyramid, region) for region in regions]
            bodies = [Body(self._landmarks.refined(pyramid, marks, passes), 1.0) for marks in first]
        return left_to_right([to_detection(body, photo, source) for body in bodies])

    def _people(self, rgb: np.ndarray) -> list[Body]:
        """Bodies of everybody: those that are clear at once, then those behind and beside them, then the doubtful."""
        pyramid = Pyramid(rgb)
        candidates = self._candidates(pyramid)
        bodies = self._bodies(pyramid, candidates)
        sure = suppress_bodies([body for body in bodies if body.landmarks.presence >= SURE_PRESENCE])
        if not sure:
            return suppress_bodies(bodies)
        doubtful = bodies
        hints = [not explained(hips, sure) for hips in candidates[:, 5:7]]
        for _ in range(self.settings.peels if len(sure) > 1 or any(hints) else 0):
            peeled = Pyramid(without_bodies(rgb, sure))
            again = self._candidates(peeled)
            again = again[(np.abs(body_angle(again)) < PEELED_MAX_ANGLE) & (again[:, 0] >= MIN_PEELED_SCORE)]
            new = [body for body in self._bodies(peeled, again) if stands_apart(body, sure)]
            doubtful = doubtful + new
            more = suppress_bodies(sure + [body for body in new if body.landmarks.presence >= SURE_PRESENCE])
            if len(more) == len(sure):
                break
            sure = more
        return self._alone(rgb, sure + self._confirmed(rgb, sure, doubtful))

    def _alone(self, rgb: np.ndarray, bodies: list[Body]) -> list[Body]:
        """Everybody who touches others once more with the others taken out: limbs go to whom they belong."""
        current, waiting = list(bodies), list(range(len(bodies)))
        for _ in range(2 if self.settings.peels else 0):  # who is refused may pass once a neighbour has been put right
            refused = []
            for index in waiting:
                body, rest = current[index], current[:index] + current[index + 1 :]
                others = touching(body, rest)
                if not others:
                    continue
                picture = Pyramid(without_bodies(rgb, others, keep=body))
                again = self._body(picture, body.landmarks.region, body.candidate_score)
                if again and is_plausible(again) and agreement(again, body) > 0.4 and not repeats(again, rest):
                    current[index] = again
                else:
                    refused.append(index)
            if len(refused) == len(waiting):
                break
            waiting = refused
        return current

    def _confirmed(self, rgb: np.ndarray, sure: list[Body], doubtful: list[Body]) -> list[Body]:
        """Doubtful bodies that are still there when all sure ones are taken out: no mixtures of two people."""
        rest = [body for body in doubtful if body not in sure and not repeats(body, sure)]
        if not rest:
            return []
        peeled = Pyramid(without_bodies(rgb, sure))
        confirmed = []
        for body in rest:
            again = self._body(peeled, body.landmarks.region, body.candidate_score)
            if again and is_plausible(again):
                confirmed.append(again)
        kept = suppress_bodies(sure + [body for body in confirmed if stands_apart(body, sure)])
        return [body for body in kept if body in confirmed]

    def _candidates(self, pyramid: Pyramid) -> np.ndarray:
        """Candidates (N, 13) of all tile sizes that are worth it, best first, down to hints."""
        longer = max(pyramid.width, pyramid.height)
        shorter = min(pyramid.width, pyramid.height)
        parts = [self._finder.in_tiles(pyramid, longer / n, MIN_HINT) for n in self.settings.always]
        if longer > 3 * shorter:  # a panorama: people are as high as the picture, not a part of its width
            parts.append(self._finder.in_tiles(pyramid, float(shorter), MIN_HINT))
        last = self.settings.always[-1]
        for n in self.settings.on_cue:
            merged = merge_candidates(np.concatenate(parts))
            if np.any(merged[:, 0] >= MIN_SCORE) and not hints_at_small_people(merged, longer / last):
                break
            parts.append(self._finder.in_tiles(pyramid, longer / n, MIN_HINT))
            last = n
        return merge_candidates(np.concatenate(parts))

    def _bodies(self, pyramid: Pyramid, candidates: np.ndarray) -> list[Body]:
        bodies: list[Body] = []
        for candidate in candidates[(candidates[:, 0] >= MIN_SCORE) & (body_length(candidates) >= MIN_LENGTH)]:
            score = float(candidate[0])
            region = Region.from_points(candidate[5:7], candidate[7:9])
            if any(same_region(body, region) for body in bodies):
                continue
            first = Body(self._landmarks(pyramid, region), score)
            if any(is_clearly(body, first) for body in bodies):
                continue  # no further pass for somebody who was found already
            passes = [self._finished(pyramid, first)]
            doubtful = passes[0] is None or passes[0].landmarks.presence < SURE_PRESENCE
            if doubtful and abs(region.angle) > UPSIDE_DOWN:  # the detector turns people whose face it cannot see
                passes.append(self._body(pyramid, region.upright(), score))
            seen = [body for body in passes if body is not None and is_plausible(body)]
            bodies += sorted(seen, key=lambda body: -body.rank)[:1]
        return bodies

    def _body(self, pyramid: Pyramid, region: Region, score: float) -> Body | None:
        """The body in a region after all passes, or None where the model sees nobody."""
        return self._finished(pyramid, Body(self._landmarks(pyramid, region), score))

    def _finished(self, pyramid: Pyramid, first: Body) -> Body | None:
        marks = self._landmarks.refined(pyramid, first.landmarks, self.settings.passes)
        return Body(marks, first.candidate_score) if marks.presence >= MIN_PRESENCE else None


def hints_at_small_people(candidates: np.ndarray, side: float) -> bool:
    """True where candidates found with tiles of ``side`` make smaller tiles worth their time.

    Small people are hinted at by any small candidate, or by several that fill at most two thirds of a tile.
    """
    length = body_length(candidates) / side
    several = np.count_nonzero((candidates[:, 0] >= MIN_SCORE) & (length < 0.65)) >= 3
    return bool(several or np.any(length < 0.45))


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
