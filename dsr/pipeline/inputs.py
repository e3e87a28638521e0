"""From what a user types (files, folders, globs, text lists) to an ordered list of pictures and safe output names.

Nothing here opens a picture. The same arguments give the same list and names, whatever the file system's order.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dsr.errors import UsageError

OWN_PICTURES = (".overlay.jpg", ".side.jpg", ".upright.jpg")
_RESERVED_STEMS = frozenset(
    ["report", "con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10))]
)
_LONGEST_NAME = 180  # bytes; leaves room for ".p00.upright.jpg" and a temporary suffix below the usual 255


@dataclass(frozen=True)
class InputPicture:
    """One picture to fit.

    Attributes:
        path: as found; relative arguments stay relative.
        folder: where its results go below the output folder ("" or a mirrored folder, forward slashes).
        problem: a sentence where the input cannot even be looked at (an unreadable folder, a missing list entry).
    """

    path: Path
    folder: str = ""
    problem: str = ""


def find_inputs(
    arguments: Iterable[str | os.PathLike[str]], recursive: bool = False, skip: Path | None = None
) -> list[InputPicture]:
    """Expand files, folders, globs and text lists into pictures.

    Folders give the pictures in them by name, files before subfolders; hidden files, ``__MACOSX`` and this program's
    own overlay, side and upright pictures are left out. Links to folders are followed once. A picture named twice is
    taken once.

    Args:
        arguments: paths or glob patterns; a ``.txt`` file holds one path per line (``#`` starts a comment), relative to
            the list or to the working directory.
        recursive: also look into subfolders; the results mirror the tree.
        skip: a folder not to descend into (the output folder).

    Returns:
        Pictures in the order given.

    Raises:
        UsageError: if an argument names nothing, or a folder holds no picture.
    """
    found: dict[str, InputPicture] = {}
    skip_real = os.path.realpath(skip) if skip is not None else None
    for argument in arguments:
        for picture in _expand(os.fspath(argument), recursive, skip_real):
            found.setdefault(os.path.abspath(picture.path), picture)  # noqa: PTH100 (resolving would merge linked names)
    return list(found.values())


def _expand(argument: str, recursive: bool, skip: str | None) -> Iterator[InputPicture]:
    path = Path(argument).expanduser()
    if path.is_dir():
        pictures = list(_walk(path, "", recursive, skip, set()))
        if not pictures:
            hint = "" if recursive else " Use --recursive to look into its subfolders."
            raise UsageError(
                f"No picture found in the folder {path} (looked for .jpg, .png, .webp, .tif, .heic, ...).{hint}"
            )
        yield from pictures
    elif path.suffix.lower() == ".txt" and path.is_file():
        yield from _read_list(path, recursive, skip)
    elif os.path.lexists(path):
        yield InputPicture(path)
    elif any(sign in argument for sign in "*?["):
        names = sorted(glob.glob(os.fspath(path), recursive=True))  # noqa: PTH207 (absolute patterns, ** and ~)
        if not names:
            raise UsageError(f"No file matches {argument}.")
        for name in names:
            if Path(name).is_dir():
                yield from _walk(Path(name), Path(name).name if recursive else "", recursive, skip, set())
            elif _is_picture(Path(name)):
                yield InputPicture(Path(name))
    else:
        raise UsageError(f"No such file or folder: {argument}.")


def _read_list(path: Path, recursive: bool, skip: str | None) -> Iterator[InputPicture]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The list {path} cannot be read as text: {error}.") from error
    entries = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not entries:
        raise UsageError(f"The list {path} names no picture: write one path per line.")
    for entry in entries:
        beside = path.parent / Path(entry).expanduser()
        target = beside if os.path.lexists(beside) or not os.path.lexists(entry) else Path(entry)
        if target.is_dir():
            yield from _walk(target, "", recursive, skip, set())
        elif os.path.lexists(target):
            yield InputPicture(target)
        else:
            yield InputPicture(target, problem=f"{target}: no such file (named in {path}).")


def _walk(folder: Path, mirrored: str, recursive: bool, skip: str | None, seen: set[str]) -> Iterator[InputPicture]:
    real = os.path.realpath(folder)
    if real in seen or (real == skip and seen):
        return
    seen.add(real)
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                ((entry.name, entry.is_dir()) for entry in entries), key=lambda item: (item[0].casefold(), item[0])
            )
    except OSError as error:
        reason = error.strerror or type(error).__name__
        yield InputPicture(
            folder, mirrored, problem=f"{folder}: the folder cannot be read ({reason}); check its permissions."
        )
        return
    for name, is_folder in names:
        if not is_folder and not name.startswith(".") and _is_picture(folder / name):
            yield InputPicture(folder / name, mirrored)
    for name, is_folder in names:
        if is_folder and recursive and not name.startswith(".") and name != "__MACOSX":
            yield from _walk(folder / name, f"{mirrored}/{name}" if mirrored else name, True, skip, seen)


def _is_picture(path: Path) -> bool:
    from dsr.image.formats import PICTURE_SUFFIXES

    if path.suffix.lower() not in PICTURE_SUFFIXES:
        return False
    for ending in OWN_PICTURES:
        if path.name.endswith(ending) and path.with_name(path.name[: -len(ending)] + ".json").is_file():
            return False
    return True


def name_outputs(
    pictures: Iterable[InputPicture],
    owner: Callable[[str], str | None] = lambda name: None,
    reserved: Iterable[str] = (),
) -> list[str]:
    """Give every picture its own output name, so that no two ever write the same file.

    The name is the stem; a stem used by two pictures keeps its extension (``a.jpg``); the same file name from two
    folders goes into a subfolder named after its parent (``sub1/a.jpg``); what still clashes gets six letters of a hash
    of its path. A picture that already has results in the output folder keeps its name, and nobody else is given it.

    Args:
        pictures: as :func:`find_inputs` returns them.
        owner: absolute path of the picture whose results already carry a name, or None.
        reserved: names not to be used (the stem of the body asset).

    Returns:
        One relative name per picture, forward slashes: its results are ``<name>.json``, ``<name>.p0.glb``...
    """
    pictures = list(pictures)
    candidates = [_candidates(picture) for picture in pictures]
    absolute = [os.path.abspath(picture.path) for picture in pictures]  # noqa: PTH100
    forbidden = {*_RESERVED_STEMS, *(name.casefold() for name in reserved)}
    names: list[str | None] = [None] * len(pictures)
    taken: set[str] = set()
    for i, options in enumerate(candidates):
        kept = next((name for name in options if owner(name) == absolute[i]), None)
        if kept is not None and _key(kept) not in taken:
            names[i] = kept
            taken.add(_key(kept))
    settled_stems = Counter(_key(options[0]) for options in candidates)
    for level in range(len(candidates[0]) if candidates else 0):
        pending = [i for i, name in enumerate(names) if name is None]
        keys = Counter(_key(candidates[i][level]) for i in pending)
        for i in pending:
            name = candidates[i][level]
            shared = keys[_key(name)] > 1 or (level == 0 and settled_stems[_key(name)] > 1)
            foreign = owner(name) not in (None, absolute[i])
            if shared or foreign or _key(name) in taken or PurePosixPath(name).name.casefold() in forbidden:
                continue
            names[i] = name
            taken.add(_key(name))
    return [name if name is not None else options[-1] for name, options in zip(names, candidates, strict=True)]


def _candidates(picture: InputPicture) -> list[str]:
    """Names from the wished to the certain: stem, file name, parent/file name, file name with a hash of the path."""
    folder = "/".join(safe_name(part) for part in picture.folder.split("/") if part)
    parent = safe_name(Path(os.path.abspath(picture.path)).parent.name)  # noqa: PTH100
    hashed = f"{picture.path.name}-{_digest(os.path.abspath(picture.path))}"  # noqa: PTH100
    plain = [
        safe_name(picture.path.stem),
        safe_name(picture.path.name),
        f"{parent}/{safe_name(picture.path.name)}",
        safe_name(hashed, keep_end=7),
    ]
    return [f"{folder}/{name}" if folder else name for name in plain]


def safe_name(name: str, keep_end: int = 0) -> str:
    """One path component that every file system takes: no separators, no control characters, not too long.

    Args:
        name: any text; letters of every language and spaces stay.
        keep_end: characters at the end that must survive shortening.

    Returns:
        A non-empty name of at most 180 bytes; a shortened one ends in a hash of the whole.
    """
    clean = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]', "_", name).strip().rstrip(".")
    if clean.startswith("."):
        clean = "_" + clean[1:]
    if len(clean.encode()) > _LONGEST_NAME:
        end = clean[-keep_end:] if keep_end else "-" + _digest(name)
        room = _LONGEST_NAME - len(end.encode())
        clean = clean.encode()[:room].decode(errors="ignore") + end
    return clean or "_"


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:6]


def _key(name: str) -> str:
    """What a file system that ignores case and composition would call the same name."""
    return unicodedata.normalize("NFC", name).casefold()
