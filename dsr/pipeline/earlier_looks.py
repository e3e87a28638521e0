"""Pictures that were looked at before they were asked for, so that a fit does not do again what is known."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dsr.options import FitOptions

if TYPE_CHECKING:
    from dsr.image import Photo
    from dsr.people import Detection

_PEOPLE = 16
"""Pictures whose people are remembered; of pixels only those of the last one are."""


class EarlierLooks:
    """The last picture's pixels and the last pictures' people; for one thread.

    A file that changed is read again. People are known by the file's hash and what they were looked for with, and not
    remembered where files say who is there.
    """

    def __init__(self) -> None:
        self._photo: tuple[tuple[str, int, int, int], Photo] | None = None
        self._people: dict[tuple[str, str, str | None], list[Detection]] = {}

    def photo(self, path: Path, read: Callable[[Path], Photo]) -> Photo:
        """The picture in a file, as ``read`` gives it."""
        try:
            status = path.stat()
        except OSError:
            return read(path)  # which says what is wrong
        key = (str(path.absolute()), status.st_mtime_ns, status.st_size, status.st_ino)
        if self._photo is None or self._photo[0] != key:
            self._photo = (key, read(path))
        return self._photo[1]

    def people(self, photo: Photo, options: FitOptions, find: Callable[[], list[Detection]]) -> list[Detection]:
        """The people of a picture, left to right, as ``find`` gives them."""
        if options.keypoints is not None or options.boxes is not None:
            return find()
        landmarks = None if options.landmarks is None else os.fspath(options.landmarks)
        key = (photo.sha256, options.quality, landmarks)
        people = self._people.pop(key, None)
        self._people[key] = find() if people is None else people  # the latest stand at the end
        while len(self._people) > _PEOPLE:
            del self._people[next(iter(self._people))]
        return copy.deepcopy(self._people[key])
