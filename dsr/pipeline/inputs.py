"""From what a user types (files, folders, globs, text lists, URLs) to an ordered list of pictures and clips.

Nothing here opens a picture. The same arguments give the same list, whatever the file system's order.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dsr.errors import UsageError
from dsr.files import expand_user, read_text
from dsr.pipeline.input_kinds import OWN_ENDINGS, is_left_out, is_picture
from dsr.pipeline.urls import find_files, local_path, staged, stamp_of, url_of


@dataclass(frozen=True)
class InputPicture:
    """One picture to fit.

    Attributes:
        path: as found; relative arguments stay relative.
        folder: where its results go below the output folder ("" or a mirrored folder, forward slashes).
        problem: a sentence where the input cannot even be looked at (an unreadable folder, a missing list entry).
        url: where the picture lies, if not on this machine; ``path`` is then where it is put while it is worked on.
        has_sidecar: whether a camera sidecar lies at the URL beside it; None where that is not known.
    """

    path: Path
    folder: str = ""
    problem: str = ""
    url: str = ""
    has_sidecar: bool | None = None

    @property
    def place(self) -> str:
        """Where it really is: the absolute path, or the URL."""
        return self.url or os.path.abspath(self.path)  # noqa: PTH100 (a link keeps its own name)

    @property
    def first_file(self) -> Path:
        """The picture: a camera sidecar lies beside it."""
        return self.path

    def stamp(self) -> dict[str, int]:
        """Size and time: the same as long as nobody has touched the picture; nothing where it cannot be looked at."""
        if self.url:
            return stamp_of(self.url)
        try:
            status = self.path.stat()
        except OSError:
            return {}
        return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


@dataclass(frozen=True)
class Clip:
    """One clip.

    Attributes:
        path: the video file, or the folder of the frames.
        pictures: the frames; none for a video file.
        problem: a sentence where the clip cannot even be looked at.
        folder: where its results go below the output folder ("" or a mirrored folder, forward slashes).
        url: where the video lies, if not on this machine; ``path`` is then where it is put while it is worked on.
        has_sidecar: as of :class:`InputPicture`.
    """

    path: Path
    pictures: tuple[Path, ...] = ()
    problem: str = ""
    folder: str = ""
    url: str = ""
    has_sidecar: bool | None = None

    @property
    def place(self) -> str:
        """Where it really is: the absolute path, or the URL."""
        return self.url or os.path.abspath(self.path)  # noqa: PTH100 (a link keeps its own name)

    @property
    def is_video(self) -> bool:
        """Whether this is a video file."""
        return not self.pictures

    @property
    def first_file(self) -> Path:
        """The first frame's file, or the video: a camera sidecar lies beside it."""
        return self.pictures[0] if self.pictures else self.path

    def stamp(self) -> dict[str, str]:
        """A digest of names, sizes and times: the same as long as nobody has touched the clip."""
        digest = hashlib.sha256()
        if self.url:
            digest.update(f"{self.path.name}\0{stamp_of(self.url)}\0".encode("utf-8", "replace"))
            return {"clip": digest.hexdigest()}
        for path in self.pictures or (self.path,):
            try:
                status = path.stat()
                digest.update(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "replace"))
            except OSError:
                digest.update(f"{path.name}\0missing\0".encode("utf-8", "replace"))
        return {"clip": digest.hexdigest()}


def find_sources(
    arguments: Iterable[str | os.PathLike[str]],
    *,
    sequence: bool = False,
    recursive: bool = False,
    skip: Path | None = None,
    left_out: list[Path] | None = None,
) -> list[InputPicture | Clip]:
    """Pictures and clips to fit: video files are clips, and with ``sequence`` so are folders of frames.

    Args:
        arguments: as :func:`find_inputs` takes them.
        sequence: take every folder for the frames of one clip, as :func:`find_clips` does.
        recursive: also look into subfolders; not with ``sequence``.
        skip: a folder that is no input (the output folder).
        left_out: the videos and camera raw files that lie in folders are added: videos are clips only where they are
            named themselves, raw files are not read.

    Raises:
        UsageError: if an argument names nothing, or a folder holds no picture.
    """
    from dsr.image.video import is_video

    if sequence:
        return list({clip.path: clip for clip in find_clips(arguments, skip)}.values())
    return [
        _as_clip(picture) if is_video(picture.path) and not picture.problem else picture
        for picture in find_inputs(arguments, recursive, skip, left_out)
    ]


def find_inputs(
    arguments: Iterable[str | os.PathLike[str]],
    recursive: bool | None = None,
    skip: Path | None = None,
    left_out: list[Path] | None = None,
) -> list[InputPicture]:
    """Expand files, folders, globs and text lists into pictures.

    Folders give the pictures in them by name, files before subfolders; hidden files, ``__MACOSX`` and this program's
    own overlay, side and upright pictures are left out. Links to folders are followed once. A picture named twice is
    taken once.

    Args:
        arguments: paths, glob patterns or URLs; a ``.txt`` file holds one per line (``#`` starts a comment), paths
            relative to the list or to the working directory.
        recursive: also look into subfolders; the results mirror the tree. None is no, for those who have no option
            ``--recursive`` that a message could name.
        skip: a folder not to descend into (the output folder).
        left_out: the videos and camera raw files that lie in folders are added.

    Returns:
        Pictures in the order given.

    Raises:
        UsageError: if an argument names nothing, or a folder holds no picture.
    """
    pictures: dict[str, InputPicture] = {}
    skipped = None if skip is None else url_of(skip) or os.path.realpath(skip)
    walk = _Walk(recursive, skipped, [] if left_out is None else left_out)
    for argument in arguments:
        for picture in _expand(os.fspath(argument), walk):
            pictures.setdefault(picture.place, picture)  # resolving would merge linked names
    return list(pictures.values())


def find_clips(arguments: Iterable[str | os.PathLike[str]], skip: Path | None = None) -> list[Clip]:
    """Clips for ``--sequence``: each folder is one, each video file is one, pictures together are one.

    Frames are in natural order of their names: ``frame_9`` before ``frame_10``.

    Args:
        arguments: folders, video files, pictures, globs or text lists.
        skip: a folder that is no input (the output folder).

    Raises:
        UsageError: if an argument names nothing, or a folder holds no picture.
    """
    from dsr.image.video import is_video

    clips: list[Clip] = []
    loose: list[Path] = []
    for argument in arguments:
        if url_of(argument) and not is_video(Path(os.fspath(argument))):
            raise UsageError(f"{argument}: copy the frames of a clip to this machine, or give a video file.")
        path = expand_user(local_path(argument))
        inputs = find_inputs([argument], skip=skip)
        problems = [picture.problem for picture in inputs if picture.problem]
        pictures = [picture.path for picture in inputs if not is_video(picture.path) and not picture.problem]
        if os.path.isdir(path):  # noqa: PTH112 (pathlib raises for long names)
            whole = path if path.name else Path(os.path.abspath(path))  # noqa: PTH100 (a link keeps its own name)
            problem = "" if pictures else (problems[0] if problems else f"{path} holds no picture.")
            clips.append(Clip(whole, tuple(sorted(pictures, key=natural_order)), problem))
            continue
        clips += [_as_clip(replace(picture, folder="")) for picture in inputs if is_video(picture.path)]
        clips += [Clip(picture.path, problem=picture.problem) for picture in inputs if picture.problem]
        loose += pictures
    if loose:
        parent = Path(os.path.abspath(loose[0])).parent  # noqa: PTH100
        clips.append(Clip(parent, tuple(sorted(loose, key=natural_order))))
    return clips


def natural_order(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Key that sorts numbers inside names by their value."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts], str(path)


@dataclass(frozen=True)
class _Walk:
    """How folders are gone through: into subfolders or not, past one of them; what is left out is noted."""

    recursive: bool | None
    skip: str | None
    left_out: list[Path]


def _expand(argument: str, walk: _Walk) -> Iterator[InputPicture]:
    from dsr.image.video import is_video

    if url := url_of(argument):
        yield from _at_url(url, walk)
        return
    argument = local_path(argument)
    if not argument.strip():
        raise UsageError("An input is empty (a variable that is not set?): name a picture or a folder.")
    path = expand_user(argument)
    if os.path.isdir(path):  # noqa: PTH112 (pathlib raises for long names)
        before = len(walk.left_out)
        pictures = list(_walk(path, "", walk, set()))
        if not pictures:
            hint = " Use --recursive to look into its subfolders." if walk.recursive is False else ""
            for path_left in walk.left_out[before : before + 1]:
                hint = f" It holds camera raw files, such as {path_left.name}: save them as JPEG or TIFF."
                if is_video(path_left):
                    hint = f" It holds videos: name them themselves, {path_left} for example."
            raise UsageError(
                f"No picture found in the folder {path} (looked for .jpg, .png, .webp, .tif, .heic, ...).{hint}"
            )
        yield from pictures
    elif path.suffix.lower() == ".txt" and os.path.isfile(path):  # noqa: PTH113
        yield from _read_list(path, walk)
    elif os.path.lexists(path):
        yield InputPicture(path)
    elif any(sign in argument for sign in "*?["):
        pictures = list(_matching(path, walk))
        if not pictures:
            raise UsageError(f"No {'picture' if glob.glob(os.fspath(path)) else 'file'} matches {argument}.")  # noqa: PTH207
        yield from pictures
    else:
        raise UsageError(f"No such file or folder: {argument}.")


def _matching(pattern: Path, walk: _Walk) -> Iterator[InputPicture]:
    from dsr.image.video import is_video

    for name in sorted(glob.glob(os.fspath(pattern), recursive=True)):  # noqa: PTH207 (absolute patterns, ** and ~)
        path = Path(name)
        if os.path.isdir(name):  # noqa: PTH112
            yield from _walk(path, path.name if walk.recursive else "", walk, set())
        elif is_picture(path) or (is_video(path) and is_video(pattern)):
            yield InputPicture(path)
        elif is_left_out(path):
            walk.left_out.append(path)


def _read_list(path: Path, walk: _Walk) -> Iterator[InputPicture]:
    try:
        lines = re.split(r"\r\n|\r|\n", read_text(path))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The list {path} cannot be read as text ({error}): save it as UTF-8, one path per line."
        ) from error
    entries = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not entries:
        raise UsageError(f"The list {path} names no picture: write one path per line.")
    for entry in entries:
        if url := url_of(entry.strip("\"'")):
            yield InputPicture(staged(url), url=url)
            continue
        target = _listed(path, local_path(entry))
        if os.path.isdir(target):  # noqa: PTH112
            yield from _walk(target, "", walk, set())
        elif os.path.lexists(target):
            yield InputPicture(target)
        else:
            yield InputPicture(target, problem=f"{target}: no such file (named in {path}).")


def _at_url(url: str, walk: _Walk) -> Iterator[InputPicture]:
    """What a URL names: a picture or video, those in a folder, or those that a pattern matches."""
    from dsr.image.video import is_video

    files = find_files(url, bool(walk.recursive))
    names = {file for file, _, _ in files}
    if [file for file, _, _ in files] == [url]:
        yield InputPicture(staged(url), url=url)
        return
    found = False
    for file, folder, _ in files:
        base, _, name = file.rpartition("/")
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in (*folder.split("/"), name) if part)
        made = any(name.endswith(end) and f"{file[: -len(end)]}.json" in names for end in OWN_ENDINGS)
        if hidden or made or (walk.skip is not None and file.startswith(f"{walk.skip}/")):
            continue
        sidecars = (f"{file}.camera.json", f"{base}/{Path(name).stem}.camera.json")
        picture = InputPicture(staged(file), folder, url=file, has_sidecar=any(side in names for side in sidecars))
        if is_video(picture.path) and not is_video(Path(url)):
            walk.left_out.append(Path(file))
        elif is_video(picture.path) or is_picture(picture.path):
            found = True
            yield picture
    if not found:
        hint = " Use --recursive to look into its subfolders." if walk.recursive is False else ""
        raise UsageError(f"No picture found at {url} (looked for .jpg, .png, .webp, .tif, .heic, ...).{hint}")


def _as_clip(video: InputPicture) -> Clip:
    """A video file among the inputs."""
    return Clip(video.path, folder=video.folder, url=video.url, has_sidecar=video.has_sidecar)


def _listed(path: Path, entry: str) -> Path:
    """The file that a line of a list means: beside the list or from here, as it stands or without quotation marks."""
    plain = entry[1:-1] if len(entry) > 2 and entry[0] == entry[-1] and entry[0] in "\"'" else entry
    for name in dict.fromkeys((entry, plain)):
        for target in (path.parent / expand_user(name), Path(name)):
            if os.path.lexists(target):
                return target
    return path.parent / expand_user(plain)


def _walk(folder: Path, mirrored: str, walk: _Walk, seen: set[str]) -> Iterator[InputPicture]:
    real = os.path.realpath(folder)
    if real in seen or (real == walk.skip and seen):
        return
    seen.add(real)
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                ((entry.name, _is_folder(entry)) for entry in entries), key=lambda item: (item[0].casefold(), item[0])
            )
    except OSError as error:
        reason = error.strerror or type(error).__name__
        yield InputPicture(
            folder, mirrored, problem=f"{folder}: the folder cannot be read ({reason}); check its permissions."
        )
        return
    for name, is_folder in names:
        if is_folder or name.startswith("."):
            continue
        if is_picture(folder / name):
            yield InputPicture(folder / name, mirrored)
        elif is_left_out(folder / name):
            walk.left_out.append(folder / name)
    for name, is_folder in names:
        if is_folder and walk.recursive and not name.startswith(".") and name != "__MACOSX":
            yield from _walk(folder / name, f"{mirrored}/{name}" if mirrored else name, walk, seen)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder; a link that leads nowhere (to itself, say) is none and costs its neighbours nothing."""
    try:
        return entry.is_dir()
    except OSError:
        return False
