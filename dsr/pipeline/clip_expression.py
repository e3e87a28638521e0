"""Hands and faces of the people of a clip: looked for as its frames pass, given to tracks once they are fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from dsr.options import FitOptions

if TYPE_CHECKING:
    from dsr.body import Body
    from dsr.camera import PictureCamera
    from dsr.image import Photo
    from dsr.people import Detection
    from dsr.people.expressive_face import FaceLandmarks
    from dsr.people.hands import Hand, Side
    from dsr.pipeline.expression_reader import ExpressionReader
    from dsr.results.clip import TrackResult

_Part = TypeVar("_Part", "Hand", "FaceLandmarks")


class ClipExpressions:
    """What is seen of hands and faces in one clip.

    Args:
        options: ``hands``, ``face`` and ``expressive`` are used.
        reader: of single pictures.
    """

    def __init__(self, options: FitOptions, reader: ExpressionReader) -> None:
        self._hands_asked, self._face_asked = options.hands or options.expressive, options.face or options.expressive
        self._reader = reader
        self._seen: dict[int, tuple[np.ndarray, dict[Side, Hand], FaceLandmarks | None]] = {}

    def look(self, photo: Photo, people: Sequence[Detection]) -> None:
        """Look at the hands and faces of the people of a frame."""
        for detection, hands, face in zip(people, *self._reader.look(photo, people), strict=True):
            # detections are numbered anew in tracks, their arrays stay; kept, so that their ids stay their own
            self._seen[id(detection.keypoints_px)] = (
                detection.keypoints_px,
                {side: _small(hand) for side, hand in hands.items()},
                None if face is None else _small(face),
            )

    def add(
        self,
        track: TrackResult,
        detections: Sequence[Detection | None],
        camera: PictureCamera,
        body: Body,
        fps: float,
    ) -> TrackResult:
        """A track with what was seen of its hands and faces.

        Args:
            track: as fitted.
            detections: of each of its frames, those that were looked at.
            camera: of the clip.
            body: the body layer.
            fps: frames per second.
        """
        from dsr.fitting.track_faces import with_track_face
        from dsr.fitting.track_hands import with_track_hands

        seen = [None if each is None else self._seen.get(id(each.keypoints_px)) for each in detections]
        if not any(seen):
            sentence = "Hands and face are not read: where they are, only keypoints of the built-in detector say."
            return replace(track, warnings=[*track.warnings, sentence])
        if self._hands_asked:
            track = with_track_hands(track, [{} if each is None else each[1] for each in seen], camera, body, fps)
        if self._face_asked:
            track = with_track_face(track, [None if each is None else each[2] for each in seen], camera, body, fps)
        return track


def _small(part: _Part) -> _Part:
    """A hand or a face with half as large features, of which a long clip has many."""
    return part if part.features is None else replace(part, features=part.features.astype(np.float16))
