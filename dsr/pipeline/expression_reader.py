"""Hands and faces of the people of a picture, read from it once they are fitted; models are loaded once per thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from dsr.options import FitOptions

if TYPE_CHECKING:
    from dsr.body import Body
    from dsr.camera import PictureCamera
    from dsr.image import Photo
    from dsr.people import Detection
    from dsr.people.expressive_face import FaceLandmarks, FaceReader
    from dsr.people.hands import Hand, HandFinder, Side
    from dsr.results.picture import PersonResult

_WITH_HANDS_AND_FACE = "blazepose33"
Part = Literal["left", "right", "face"]


@dataclass(frozen=True)
class _Models:
    """One set of interpreters, those that are needed."""

    hands: HandFinder | None
    face: FaceReader | None


class ExpressionReader:
    """Gives fitted people the fingers, wrists and faces that a photograph shows; safe to call from several threads.

    Args:
        options: ``hands``, ``face`` and ``expressive`` are used.
        threads: that look at a picture; with two or more, two parts of people are looked at side by side.
    """

    def __init__(self, options: FitOptions, threads: int | None = None) -> None:
        self._hands_asked, self._face_asked = options.hands or options.expressive, options.face or options.expressive
        self._threads = threads
        self._local = threading.local()

    def __call__(
        self,
        people: Sequence[PersonResult],
        detections: Sequence[Detection],
        photo: Photo,
        camera: PictureCamera,
        body: Body,
    ) -> list[PersonResult]:
        """The same people with what is asked for.

        Args:
            people: as fitted.
            detections: of the same people; only the detector's own keypoints say where hands and faces are.
            photo: the photograph they are in.
            camera: of the full, upright picture.
            body: the body layer.
        """
        from dsr.fitting.faces import with_face
        from dsr.fitting.hands import posed_again, with_hands

        hands, faces = self.look(photo, detections)
        out = []
        for person, detection, own, face in zip(people, detections, hands, faces, strict=True):
            if self._hands_asked:
                person = with_hands(person, own, camera, body)
            if self._face_asked:
                person = with_face(person, face, camera, body)
            if detection.keypoint_set != _WITH_HANDS_AND_FACE:
                sentence = "Hands and face are not read: where they are, only keypoints of the built-in detector say."
                person = replace(person, warnings=[*person.warnings, sentence])
            out.append(posed_again(person, body))
        return out

    def look(
        self, photo: Photo, detections: Sequence[Detection]
    ) -> tuple[list[dict[Side, Hand]], list[FaceLandmarks | None]]:
        """The hands (full-picture pixels) and the face of everybody, as far as they are asked for."""
        from dsr.people.hands import SIDES, hands_of_people, in_full_pixels

        known = [i for i, detection in enumerate(detections) if detection.keypoint_set == _WITH_HANDS_AND_FACE]
        parts = (*(SIDES if self._hands_asked else ()), *(("face",) if self._face_asked else ()))
        hands, faces = self._find(photo, detections, [(i, part) for part in parts for i in known])
        found = hands_of_people(
            [(i, hands[i, side]) for i in known for side in SIDES if (i, side) in hands], len(detections)
        )
        full = [{side: in_full_pixels(hand, photo.scale) for side, hand in own.items()} for own in found]
        return full, [faces.get(i) for i in range(len(detections))]

    def _find(
        self, photo: Photo, detections: Sequence[Detection], wanted: Sequence[tuple[int, Part]]
    ) -> tuple[dict[tuple[int, Side], Hand], dict[int, FaceLandmarks]]:
        """Hands by person and side and faces by person, working pixels, those that are seen; two at a time."""
        from dsr.people.regions import Pyramid, brightened

        hands: dict[tuple[int, Side], Hand] = {}
        faces: dict[int, FaceLandmarks] = {}
        if not wanted:
            return hands, faces
        rgb, waiting, sets = brightened(photo.rgb), deque(wanted), self._models

        def work(models: _Models) -> None:
            pyramid = Pyramid(rgb)  # its halved copies are made when they are needed: not for two threads
            while waiting:
                try:
                    i, part = waiting.popleft()
                except IndexError:  # the other thread was faster
                    return
                points = detections[i].keypoints_px * photo.scale
                if part == "face" and models.face is not None:
                    face = models.face(pyramid, points, _WITH_HANDS_AND_FACE)
                    if face is not None:
                        faces[i] = replace(face, scale=photo.scale)
                elif part != "face" and models.hands is not None:
                    hand = models.hands.find(pyramid, part, points, detections[i].confidence, _WITH_HANDS_AND_FACE)
                    if hand is not None:
                        hands[i, part] = hand

        beside = (
            None if len(sets) == 1 or len(wanted) == 1 else self._local.pool.submit(copy_context().run, work, sets[1])
        )
        try:
            work(sets[0])
        finally:
            waiting.clear()
            if beside is not None:
                beside.result()
        return hands, faces

    @property
    def _models(self) -> list[_Models]:
        """This thread's models, loaded at first use: interpreters cannot be shared. A set for each of two threads."""
        if not hasattr(self._local, "models"):
            from dsr.people.expressive_face import FaceReader
            from dsr.people.hands import HandFinder
            from dsr.people.models import default_threads

            threads = self._threads or default_threads()
            sets, each = (1, 1) if threads == 1 else (2, threads // 2)
            self._local.pool = ThreadPoolExecutor(1, "dsr-expression")
            self._local.models = [
                _Models(HandFinder(each) if self._hands_asked else None, FaceReader(each) if self._face_asked else None)
                for _ in range(sets)
            ]
        models: list[_Models] = self._local.models
        return models

    def prepare(self, body: Body) -> None:
        """Load everything now, so that what is missing is an error before the first picture.

        Raises:
            UsageError: if the body has no fingers, or no face that moves.
            MissingExtraError: if the packages of the models are missing.
        """
        from dsr.fitting.faces import check_face
        from dsr.fitting.hands import check_fingers

        if self._hands_asked:
            check_fingers(body)
        if self._face_asked:
            check_face(body)
        _ = self._models
