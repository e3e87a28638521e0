"""Hands of the people of a picture, read from it once they are fitted; the models are loaded once per thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dsr.options import FitOptions

if TYPE_CHECKING:
    from dsr.body import Body
    from dsr.camera import PictureCamera
    from dsr.image import Photo
    from dsr.people import Detection
    from dsr.people.hands import HandFinder
    from dsr.results.picture import PersonResult


class ExpressionReader:
    """Turns fingers and wrists of fitted people as a photograph shows them; safe to call from several threads.

    Args:
        options: ``hands`` is used.
        threads: of every interpreter.
    """

    def __init__(self, options: FitOptions, threads: int | None = None) -> None:
        self._options, self._threads = options, threads
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
            detections: of the same people; only ``blazepose33`` says where hands are.
            photo: the photograph they are in.
            camera: of the full, upright picture.
            body: the body layer.
        """
        from dsr.fitting.hands import with_hands
        from dsr.people.hands import in_full_pixels
        from dsr.people.regions import Pyramid, brightened

        known = [i for i, detection in enumerate(detections) if detection.keypoint_set == "blazepose33"]
        points = [detections[i].keypoints_px * photo.scale for i in known]
        pyramid = Pyramid(brightened(photo.rgb))
        found = self._hands(pyramid, points, [detections[i].confidence for i in known], "blazepose33") if known else []
        hands = dict(zip(known, found, strict=True))
        out = []
        for i, person in enumerate(people):
            own = {side: in_full_pixels(hand, photo.scale) for side, hand in hands.get(i, {}).items()}
            out.append(with_hands(person, own, camera, body))
        return out

    @property
    def _hands(self) -> HandFinder:
        """This thread's models, loaded at first use: interpreters cannot be shared between threads."""
        if not hasattr(self._local, "hands"):
            from dsr.people.hands import HandFinder

            self._local.hands = HandFinder(self._threads)
        finder: HandFinder = self._local.hands
        return finder

    def prepare(self, body: Body) -> None:
        """Load everything now, so that what is missing is an error before the first picture.

        Raises:
            UsageError: if the body has no fingers.
            MissingExtraError: if the packages of the models are missing.
        """
        from dsr.fitting.hands import check_fingers

        check_fingers(body)
        _ = self._hands
