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
    from dsr.people.expressive_face import FaceReader
    from dsr.people.hands import HandFinder
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
        from dsr.fitting.hands import with_hands
        from dsr.people.hands import in_full_pixels
        from dsr.people.regions import Pyramid, brightened

        pyramid = Pyramid(brightened(photo.rgb))
        known = [i for i, detection in enumerate(detections) if detection.keypoint_set == _WITH_HANDS_AND_FACE]
        points = {i: detections[i].keypoints_px * photo.scale for i in known}
        out = list(people)
        if self._hands_asked:
            confidences = [detections[i].confidence for i in known]
            found = self._hands(pyramid, list(points.values()), confidences, _WITH_HANDS_AND_FACE) if known else []
            hands = dict(zip(known, found, strict=True))
            for i, person in enumerate(out):
                own = {side: in_full_pixels(hand, photo.scale) for side, hand in hands.get(i, {}).items()}
                out[i] = with_hands(person, own, camera, body)
        if self._face_asked:
            for i, person in enumerate(out):
                face = self._face(pyramid, points[i], _WITH_HANDS_AND_FACE) if i in points else None
                out[i] = with_face(person, face, body)
        for i, person in enumerate(out):
            if i not in points:
                sentence = "Hands and face are not read: where they are, only keypoints of the built-in detector say."
                out[i] = replace(person, warnings=[*person.warnings, sentence])
        return out

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
