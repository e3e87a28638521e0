"""Hands and faces of the people of a picture, read from it once they are fitted; models are loaded once per thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

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


class ExpressionReader:
    """Gives fitted people the fingers, wrists and faces that a photograph shows; safe to call from several threads.

    Args:
        options: ``hands``, ``face`` and ``expressive`` are used.
        threads: of every interpreter.
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
                person = with_face(person, face, body)
            if detection.keypoint_set != _WITH_HANDS_AND_FACE:
                sentence = "Hands and face are not read: where they are, only keypoints of the built-in detector say."
                person = replace(person, warnings=[*person.warnings, sentence])
            out.append(posed_again(person, body))
        return out

    def look(
        self, photo: Photo, detections: Sequence[Detection]
    ) -> tuple[list[dict[Side, Hand]], list[FaceLandmarks | None]]:
        """The hands (full-picture pixels) and the face of everybody, as far as they are asked for."""
        from dsr.people.hands import in_full_pixels
        from dsr.people.regions import Pyramid, brightened

        hands: list[dict[Side, Hand]] = [{} for _ in detections]
        faces: list[FaceLandmarks | None] = [None for _ in detections]
        known = [i for i, detection in enumerate(detections) if detection.keypoint_set == _WITH_HANDS_AND_FACE]
        if not known:
            return hands, faces
        pyramid = Pyramid(brightened(photo.rgb))
        points = [detections[i].keypoints_px * photo.scale for i in known]
        if self._hands_asked:
            found = self._hands(pyramid, points, [detections[i].confidence for i in known], _WITH_HANDS_AND_FACE)
            for i, own in zip(known, found, strict=True):
                hands[i] = {side: in_full_pixels(hand, photo.scale) for side, hand in own.items()}
        if self._face_asked:
            for i, where in zip(known, points, strict=True):
                faces[i] = self._face(pyramid, where, _WITH_HANDS_AND_FACE)
        return hands, faces

    @property
    def _hands(self) -> HandFinder:
        """This thread's models, loaded at first use: interpreters cannot be shared between threads."""
        if not hasattr(self._local, "hands"):
            from dsr.people.hands import HandFinder

            self._local.hands = HandFinder(self._threads)
        finder: HandFinder = self._local.hands
        return finder

    @property
    def _face(self) -> FaceReader:
        """As :attr:`_hands`."""
        if not hasattr(self._local, "face"):
            from dsr.people.expressive_face import FaceReader

            self._local.face = FaceReader(self._threads)
        reader: FaceReader = self._local.face
        return reader

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
            _ = self._hands
        if self._face_asked:
            check_face(body)
            _ = self._face
