"""The frames of a clip, one after the other: of a video file, or of pictures in the order of their names."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from dsr.errors import ImageError
from dsr.limits import limits_in_force, one_more_frame
from dsr.pipeline.inputs import Clip

if TYPE_CHECKING:
    from dsr.image import Photo

_SHORT_GAP = 300
"""So many missing frames are a gap, however few frames there are."""


@dataclass
class ClipReader:
    """Goes through the frames of a clip, as often as needed.

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
        """Frame number, seconds after the first frame, and the picture; None where it is damaged.

        Raises:
            ImageError: if there are more frames than the limits in force allow.
            TimeLimitError: if they take too long.
        """
        self.problems = []
        most = limits_in_force().max_frames
        for frame in self._video() if self.clip.is_video else self._folder():
            if frame[0] >= most:
                raise _too_many(self.clip, frame[0] + 1)
            one_more_frame()
            yield frame

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
        numbers, said = frame_numbers(self.clip.pictures)
        self.problems += said
        for number, path in zip(numbers, self.clip.pictures, strict=True):
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
        if expected > limits_in_force().max_frames:
            raise _too_many(clip, expected)
        return ClipReader(clip, rate, (info.width, info.height), first, expected=expected)
    error: ImageError | None = None
    for path in clip.pictures:
        try:
            first = _read(path)
        except ImageError as problem:
            error = error or problem
            continue
        size = (first.width, first.height)
        return ClipReader(clip, fps or DEFAULT_FPS, size, first, expected=len(clip.pictures))
    raise ImageError(f"{clip.path}: no frame can be read; the first: {error}", "unreadable")


def frame_numbers(pictures: Sequence[Path]) -> tuple[list[int], list[str]]:
    """Places in time of a folder's frames by the numbers in their names, so that missing frames are gaps.

    The usual step from one number to the next is one frame. Names without such numbers (dates, say), and gaps larger
    than all frames together, are taken for frames one after the other.

    Args:
        pictures: the frames in natural order.

    Returns:
        A number per frame, from 0, and a sentence per missing stretch.
    """
    even = list(range(len(pictures)))
    parts = [re.fullmatch(r"(.*?)(\d{1,15})(\D*)", path.stem) for path in pictures]
    if len(pictures) < 3 or len({part and (part[1], part[3]) for part in parts}) != 1 or parts[0] is None:
        return even, []
    counts = [int(part[2]) for part in parts if part is not None]
    steps = [after - before for before, after in pairwise(counts)]
    step, times = Counter(steps).most_common(1)[0]
    if step < 1 or min(steps) < 1 or 2 * times < len(steps) or any(one % step for one in steps):
        return even, []
    said = []
    numbers = [0]
    for place, one in enumerate(steps):
        numbers.append(numbers[-1] + one // step)
        if one > step:
            many = f"{one // step - 1} frames are" if one > 2 * step else "1 frame is"
            said.append(f"{many} missing between {pictures[place].name} and {pictures[place + 1].name}")
    if numbers[-1] >= 2 * len(pictures) + _SHORT_GAP:
        return even, [f"{sentence}; what follows is taken for the next frame." for sentence in said]
    return numbers, [f"{sentence}; the gap is kept." for sentence in said]


def _too_many(clip: Clip, frames: int) -> ImageError:
    return ImageError(
        f"{clip.path} has {frames} frames or more, over {limits_in_force().max_frames}: cut it into shorter clips, "
        "thin it with --fps, or raise --max-frames.",
        "too_large",
    )


def _read(path: Path) -> Photo:
    from dsr.image import read_photo
    from dsr.image.video import MAX_PIXELS

    return read_photo(path, work_pixels=MAX_PIXELS)
