"""Clips: a video file, or pictures that are the frames of one, in an order that is the same every time."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dsr.errors import ImageError, UsageError

if TYPE_CHECKING:
    from dsr.image import Photo


@dataclass(frozen=True)
class Clip:
    """One clip.

    Attributes:
        path: the video file, or the folder of the frames.
        pictures: the frames; none for a video file.
        problem: a sentence where the clip cannot even be looked at.
    """

    path: Path
    pictures: tuple[Path, ...] = ()
    problem: str = ""

    @property
    def is_video(self) -> bool:
        """Whether this is a video file."""
        return not self.pictures

    def stamp(self) -> dict[str, str]:
        """What tells that nobody has touched the clip: a digest of names, sizes and times."""
        digest = hashlib.sha256()
        for path in self.pictures or (self.path,):
            try:
                status = path.stat()
                digest.update(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "replace"))
            except OSError:
                digest.update(f"{path.name}\0missing\0".encode("utf-8", "replace"))
        return {"clip": digest.hexdigest()}


@dataclass
class ClipReader:
    """Goes through the frames of a clip, as often as wanted.

    Attributes:
        clip: the clip.
        fps: frames per second.
        size: width and height of the upright picture, pixels.
        first: the first frame that can be read: for the camera's focal length.
        problems: sentences about whatever went wrong on the last way through.
        sha256: of the file, or of the frames' own; known after the first way through.
        expected: how many frames there may be; 0 where nobody knows.
    """

    clip: Clip
    fps: float
    size: tuple[int, int]
    first: Photo
    problems: list[str] = field(default_factory=list)
    sha256: str = ""
    expected: int = 0

    def frames(self) -> Iterator[tuple[int, float, Photo | None]]:
        """Frame number, seconds after the first frame, and the picture; None where it is damaged."""
        self.problems = []
        return self._video() if self.clip.is_video else self._folder()

    def _video(self) -> Iterator[tuple[int, float, Photo | None]]:
        from dsr.image.video import read_frames, read_info

        info = replace(read_info(self.clip.path), fps=self.fps)
        stem = self.clip.path.stem
        for frame in read_frames(info, self.problems):
            name = self.clip.path.with_name(f"{stem}_{frame.number:012d}.png")  # as OpenPose counts frames
            yield (
                frame.number,
                frame.time_s,
                replace(self.first, path=name, rgb=frame.rgb, scale=frame.rgb.shape[1] / info.width),
            )
        self.sha256 = self.first.sha256

    def _folder(self) -> Iterator[tuple[int, float, Photo | None]]:
        digest = hashlib.sha256()
        for number, path in enumerate(self.clip.pictures):
            photo: Photo | None = None
            try:
                photo = _read(path)
                digest.update(photo.sha256.encode())
                if (photo.width, photo.height) != self.size:
                    self.problems.append(
                        f"{path.name} is {photo.width} x {photo.height} pixels, the first frame {self.size[0]} x "
                        f"{self.size[1]}: left out."
                    )
                    photo = None
            except ImageError as error:
                self.problems.append(f"Left out: {error}")
            yield number, number / self.fps, photo
        self.sha256 = digest.hexdigest()


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
    from dsr.pipeline.inputs import find_inputs

    clips: list[Clip] = []
    loose: list[Path] = []
    for argument in arguments:
        path = Path(argument).expanduser()
        found = find_inputs([argument], skip=skip)
        problems = [picture.problem for picture in found if picture.problem]
        pictures = [picture.path for picture in found if not is_video(picture.path) and not picture.problem]
        if path.is_dir():
            whole = path if path.name else Path(os.path.abspath(path))  # noqa: PTH100 (a link keeps its own name)
            problem = "" if pictures else (problems[0] if problems else f"{path} holds no picture.")
            clips.append(Clip(whole, tuple(sorted(pictures, key=natural_order)), problem))
            continue
        clips += [Clip(picture.path) for picture in found if is_video(picture.path)]
        clips += [Clip(picture.path, problem=picture.problem) for picture in found if picture.problem]
        loose += pictures
    if loose:
        parent = Path(os.path.abspath(loose[0])).parent  # noqa: PTH100
        clips.append(Clip(parent, tuple(sorted(loose, key=natural_order))))
    return clips


def natural_order(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Key that sorts numbers inside names by their value."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts], str(path)


def open_clip(clip: Clip, fps: float | None = None) -> ClipReader:
    """Look at a clip.

    Args:
        clip: the clip.
        fps: frames per second instead of what the file says; for a folder 30 where not given. A video is then thinned
            to this rate, never filled up beyond its own.

    Raises:
        ImageError: if there is no frame that can be read.
        MissingExtraError: if it is a video file and PyAV is not installed.
    """
    from dsr.image.video import DEFAULT_FPS, read_info

    if clip.problem:
        raise ImageError(clip.problem)
    if clip.is_video:
        from dsr.files import file_sha256
        from dsr.image.types import Photo
        from dsr.image.video import read_frames

        info = read_info(clip.path)
        rate = info.fps if fps is None else min(fps, info.fps)
        with closing(read_frames(info, [])) as frames:
            shown = next(frames)
        first = Photo(
            path=clip.path,
            rgb=shown.rgb,
            width=info.width,
            height=info.height,
            scale=shown.rgb.shape[1] / info.width,
            sha256=file_sha256(clip.path),
            format="video",
        )
        expected = round(info.frames * rate / info.fps)
        return ClipReader(clip, rate, (info.width, info.height), first, expected=expected)
    error: ImageError | None = None
    for path in clip.pictures:
        try:
            first = _read(path)
        except ImageError as found:
            error = error or found
            continue
        size = (first.width, first.height)
        return ClipReader(clip, fps or DEFAULT_FPS, size, first, expected=len(clip.pictures))
    raise ImageError(f"{clip.path}: no frame can be read; the first: {error}", "unreadable")


def check_fps(fps: float | None) -> None:
    """Refuse a frame rate that no clip has.

    Raises:
        UsageError: if it is out of range.
    """
    from dsr.image.video import PLAUSIBLE_FPS

    if fps is not None and not PLAUSIBLE_FPS[0] <= fps <= PLAUSIBLE_FPS[1]:
        raise UsageError(f"--fps {fps:g}: use a number from {PLAUSIBLE_FPS[0]:g} to {PLAUSIBLE_FPS[1]:g}.")


def _read(path: Path) -> Photo:
    from dsr.image import read_photo
    from dsr.image.reader import ReadLimits
    from dsr.image.video import MAX_PIXELS

    return read_photo(path, ReadLimits(max_work_pixels=MAX_PIXELS))


Listener = Callable[[int, int], None]
"""Told how many frames are done and how many there may be (0: nobody knows)."""
