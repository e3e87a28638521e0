"""Who is in a picture, from the detector or from files; the models are loaded once per thread."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dsr.errors import MissingExtraError
from dsr.files import expand_user
from dsr.options import FitOptions

if TYPE_CHECKING:
    from dsr.image import Photo
    from dsr.people import Detection, InputNames, PeopleDetector


def others_seen(file: Path, people: Sequence[Detection], where: str) -> list[str]:
    """A sentence where the detector has no 3D landmarks for most of the people of a keypoint file.

    Args:
        file: of the keypoints.
        people: as :meth:`~dsr.people.PeopleDetector.complete` gives them; of a clip those of all frames.
        where: what the coordinates should be pixels of.
    """
    unseen = sum(person.world_m is None for person in people)
    if 2 * unseen <= len(people):
        return []
    return [
        f"{file.name}: the detector sees nobody as {unseen} of {len(people)} people there lie; are the coordinates "
        f"pixels of {where}, x before y?"
    ]


class PeopleFinder:
    """Finds people as the options say; safe to call from several threads.

    Args:
        options: ``keypoints``, ``boxes``, ``landmarks`` and ``quality`` are used.
        threads: of every detector.
    """

    def __init__(self, options: FitOptions, threads: int | None = None) -> None:
        self._options, self._threads = options, threads
        self._local = threading.local()
        self._inputs: InputNames | None = None

    def expect(self, pictures: Iterable[Path]) -> None:
        """Say which pictures will come, so that keypoints and boxes that could be of several of them are refused."""
        from dsr.people import InputNames

        self._inputs = InputNames(pictures)

    def __call__(self, photo: Photo, warnings: list[str] | None = None) -> list[Detection]:
        """The people of a photograph, left to right.

        Args:
            photo: the photograph.
            warnings: a sentence is added for whatever a file has and is left out.

        Raises:
            DetectionError: if the files of the options cannot be read.
        """
        from dsr.people import load_detections

        if self._options.keypoints is not None:
            if not self.has_detector:
                return load_detections(self._options.keypoints, photo, None, "keypoints", self._inputs, warnings)
            detector = self.detector
            known = load_detections(self._options.keypoints, photo, detector, "keypoints", self._inputs, warnings)
            completed = iter(detector.complete(photo, [person for person in known if person.world_m is None]))
            people = [next(completed) if person.world_m is None else person for person in known]
            if warnings is not None:
                warnings += others_seen(self._options.keypoints, people, "this picture")
            return people
        if self._options.boxes is not None:
            return load_detections(self._options.boxes, photo, self.detector, "boxes", self._inputs, warnings)
        return self.detector.detect(photo)

    @property
    def has_detector(self) -> bool:
        """Whether the detector's packages are installed; keypoint files do without."""
        try:
            return self.detector is not None
        except MissingExtraError:
            return False

    @property
    def detector(self) -> PeopleDetector:
        """This thread's detector, loaded at first use: its interpreters cannot be shared between threads."""
        if not hasattr(self._local, "detector"):
            from dsr.people import PeopleDetector

            landmarks = self._options.landmarks and expand_user(self._options.landmarks)
            self._local.detector = PeopleDetector(self._options.quality, self._threads, landmarks)
        detector: PeopleDetector = self._local.detector
        return detector

    def prepare(self) -> None:
        """Load the detector now; keypoint files do without where its packages are missing.

        Raises:
            MissingExtraError: if the detector's packages are missing.
            DetectionError: if the landmark model of the options is something else, or the file of keypoints or boxes
                no JSON.
        """
        from dsr.people import check_people_file

        for source in (self._options.keypoints, self._options.boxes):
            if source is not None:
                check_people_file(source)
        if self._options.keypoints is None or self._options.landmarks is not None:
            _ = self.detector
