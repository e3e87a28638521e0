"""JSON files about the people of many pictures: read once, and what they say of one picture found without the rest.

A data set's annotations have hundreds of megabytes; read again for every picture they would cost more than all fits.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dsr.files import read_json
from dsr.people.naming import last_part, trailing_number

_SMALL_BYTES = 1 << 18
"""Files up to this size are read every time: a picture's own."""


def read_part(path: Path, picture: Path) -> Any:
    """What a file says that could be about a picture, in the layout of the file.

    Args:
        path: COCO annotations or results, boxes by file name, or anything else, which is read whole.
        picture: the picture; names are compared as :func:`~dsr.people.naming.likeness` does.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no JSON, too large, or nested too deeply.
    """
    status = path.stat()
    if status.st_size <= _SMALL_BYTES:
        return read_json(path)
    return _KEPT.get(path, (status.st_size, status.st_mtime_ns)).part(picture)


class _PeopleFile:
    """The contents of a file, and where in it what is; nothing where its layout is another one."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self._rows: list[Any] = []
        self._of_name: dict[str | int, list[int]] = defaultdict(list)
        self._of_image: dict[Any, list[int]] = defaultdict(list)
        self._always: list[int] = []
        images = data.get("images") if isinstance(data, dict) else None
        self._kind = "other"
        if isinstance(data, dict) and isinstance(images, list) and isinstance(data.get("annotations"), list):
            self._kind, self._rows = "annotations", data["annotations"]
            for k, image in enumerate(images):
                if isinstance(image, dict):
                    self._of_name[last_part(str(image.get("file_name", "")))].append(k)
            for k, row in enumerate(self._rows):
                known = isinstance(row, dict) and _is_key(row.get("image_id"))
                (self._of_image[row["image_id"]] if known else self._always).append(k)
        elif isinstance(data, list):
            self._kind, self._rows = "results", data
            categories = set()
            for k, row in enumerate(data):
                number = row.get("category_id") if isinstance(row, dict) else None
                if not isinstance(row, dict) or "image_id" not in row:
                    self._always.append(k)
                    continue
                name = row["image_id"]
                self._of_name[name if isinstance(name, int) else last_part(str(name))].append(k)
                if isinstance(number, int) and number not in categories:  # which numbers occur says what they mean
                    categories.add(number)
                    self._always.append(k)
        elif isinstance(data, dict) and data and _is_of_names(data):
            self._kind = "names"
            for k, name in enumerate(data):
                self._of_name[last_part(name)].append(k)
            self._rows = list(data)

    def part(self, picture: Path) -> Any:
        """What could be about a picture; in the order of the file."""
        if self._kind == "other":
            return self._data
        named = self._named(picture)
        if self._kind == "names":
            keys = [self._rows[k] for k in named]
            return {key: self._data[key] for key in keys} or {self._rows[0]: self._data[self._rows[0]]}
        if self._kind == "results":
            return [self._rows[k] for k in sorted({*named, *self._always})]
        images = [self._data["images"][k] for k in named]
        ids = {image["id"] for image in images if _is_key(image.get("id"))}
        own = sorted({*self._always, *(k for one in ids for k in self._of_image.get(one, ()))})
        return {**self._data, "images": images, "annotations": [self._rows[k] for k in own]}

    def _named(self, picture: Path) -> list[int]:
        keys: Iterable[str | int | None] = {picture.name, picture.stem, trailing_number(picture)}
        return sorted(k for key in keys if key is not None for k in self._of_name.get(key, ()))


class _LastFile:
    """The file that was read last, for all threads: while one reads it the others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[Any, ...] = ()
        self._file: _PeopleFile | None = None

    def get(self, path: Path, stamp: tuple[int, int]) -> _PeopleFile:
        with self._lock:
            key = (path.absolute(), *stamp)
            if self._file is None or key != self._key:
                self._file = None  # never two of them in memory
                self._file, self._key = _PeopleFile(read_json(path, without="segmentation")), key
            return self._file


_KEPT = _LastFile()


def _is_of_names(data: dict[str, Any]) -> bool:
    known = {"people", "bodies", "instance_info", "annotations", "images"} & data.keys()
    return not known and all(isinstance(value, list) for value in data.values())


def _is_key(value: Any) -> bool:
    return isinstance(value, int | str | float)
