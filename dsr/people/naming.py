"""Which entry of a file of keypoints or boxes belongs to a picture: by file names, with as many folders as agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from dsr.errors import DetectionError

_MOST_FOLDERS = 6
"""So many of a picture's folders are looked for in a folder of keypoint files."""


class InputNames:
    """All pictures of a run, to tell when a name could be meant for another one of them.

    Args:
        pictures: their paths.
    """

    def __init__(self, pictures: Iterable[Path] = ()) -> None:
        self._alike: dict[str | int, list[Path]] = defaultdict(list)
        self.count = 0
        for picture in pictures:
            self.count += 1
            self._alike[picture.stem].append(picture)
            number = trailing_number(picture)
            if number is not None:
                self._alike[number].append(picture)

    def rivals(self, picture: Path) -> list[Path]:
        """The other pictures with the same stem, or whose stem ends with the same number."""
        number = trailing_number(picture)
        alike = [*self._alike.get(picture.stem, ()), *(self._alike.get(number, ()) if number is not None else ())]
        mine = _parts(picture)
        return [other for other in dict.fromkeys(alike) if _parts(other) != mine]


def trailing_number(picture: Path) -> int | None:
    """The number a picture's stem ends with: 7 for ``team_0007.jpg``."""
    digits = picture.stem[len(picture.stem.rstrip("0123456789")) :]
    return int(digits) if digits and len(digits) < 19 else None


def likeness(picture: Path, name: str | int) -> int:
    """How many trailing parts of a path agree with a name: file name or stem, then folder by folder; 0 for another one.

    Example:
        >>> likeness(Path("/a/cam1/0001.jpg"), "cam1/0001.jpg"), likeness(Path("/a/cam1/0001.jpg"), "cam2/0001")
        (2, 1)
    """
    if isinstance(name, int):
        return int(name == trailing_number(picture))
    if picture.stem not in name:  # quickly, for long lists
        return 0
    theirs, mine = _named_parts(name), _parts(picture)
    if not theirs or theirs[-1] not in (picture.name, picture.stem):
        return 0
    agree = 1
    while agree < min(len(theirs), len(mine)) and theirs[-1 - agree] == mine[-1 - agree]:
        agree += 1
    return agree


def last_part(name: str) -> str:
    """The file name or stem in a name with folders: what has to agree with a picture's for any :func:`likeness`."""
    return (_named_parts(name) or [""])[-1]


def _named_parts(name: str) -> list[str]:
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]


def entries_of(picture: Path, names: Sequence[str | int], rivals: Sequence[Path], where: Path) -> list[int]:
    """Places of the names that mean this picture; empty where none does.

    Args:
        picture: the picture.
        names: file names, with folders or without, or numbers.
        rivals: other pictures of the run with alike names (:meth:`InputNames.rivals`).
        where: the file, for messages.

    Raises:
        DetectionError: if several different names, or this picture and another, agree equally well.
    """
    scores = [likeness(picture, name) for name in names]
    best = max(scores, default=0)
    chosen = [i for i, score in enumerate(scores) if score == best > 0]
    if not chosen:
        return []
    different = list(dict.fromkeys(str(names[i]) for i in chosen))
    if len(different) > 1 and picture.name in different:  # a whole file name says more than a stem
        different = [picture.name]
        chosen = [i for i in chosen if names[i] == picture.name]
    if len(different) > 1:
        raise DetectionError(
            f"{where} has {' and '.join(different[:3])}, which could all be {picture}: name files with their folders"
        )
    others = [
        likeness(rival, different[0] if isinstance(names[chosen[0]], str) else names[chosen[0]]) for rival in rivals
    ]
    if max(others, default=0) > best:
        return []
    if best in others:
        rival = rivals[others.index(best)]
        raise DetectionError(
            f"{where} has {different[0]}, which could be {picture} or {rival}: name files with their folders"
        )
    return chosen


def keypoint_file(folder: Path, picture: Path, patterns: Sequence[str]) -> Path | None:
    """The keypoint file of a picture in a folder, or in the same folders inside of it as the picture's own.

    Args:
        folder: of keypoint files.
        picture: for ``a/cam1/0001.jpg`` also ``folder/cam1`` and ``folder/a/cam1`` are looked into, deepest first.
        patterns: file names with ``{stem}``.
    """
    parents = _parts(picture)[:-1]
    for depth in range(min(len(parents), _MOST_FOLDERS), -1, -1):
        place = folder.joinpath(*parents[len(parents) - depth :])
        for pattern in patterns:
            if (place / pattern.format(stem=picture.stem)).is_file():
                return place / pattern.format(stem=picture.stem)
    return None


def _parts(picture: Path) -> tuple[str, ...]:
    absolute = picture.absolute()
    return absolute.parts[1:] if absolute.anchor else absolute.parts
