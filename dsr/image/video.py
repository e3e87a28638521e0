"""Frames of video files through PyAV (the ``video`` extra): upright, evenly spaced in time, one at a time.

Cameras write frames when they like and players show them by their time stamps. Here a clip has one frame rate: a frame
is put where its time stamp says, what falls on the same place is left out, and places without a frame stay empty.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsr.errors import ImageError, MissingExtraError
from dsr.extras import install_hint
from dsr.limits import check_time

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".mts", ".m2ts", ".ogv"}
)
PLAUSIBLE_FPS = (0.5, 480.0)
"""Frame rates a clip can have; others are mistakes of the file."""
DEFAULT_FPS = 30.0
LONGEST_GAP_S = 120.0
"""A longer pause between two frames is not kept: a file of a few kilobytes may claim years of them."""
_PACKETS = 2000
"""So many packets tell the rate."""
_FEW = 3
_ALIKE = 1.35
"""Intervals within this factor are one rate with the jitter of a clock."""
_SAME_RATE = 0.01
MAX_PIXELS = 2_100_000
"""Frames with more pixels are reduced by a whole number, as photographs are."""
MIN_SIDE = 16


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says about itself.

    Attributes:
        path: the file.
        width: of the upright picture, pixels.
        height: of the upright picture, pixels.
        fps: frames per second.
        frames: how many frames there may be; 0 where the file does not say.
        turned: degrees by which the decoded frames are turned to stand upright, counter-clockwise.
    """

    path: Path
    width: int
    height: int
    fps: float
    frames: int
    turned: int


@dataclass(frozen=True)
class VideoFrame:
    """One frame.

    Attributes:
        number: its place in time, ``round(time * fps)`` from the first frame on.
        time_s: seconds after the first frame.
        rgb: (h, w, 3) uint8, upright, at working size.
    """

    number: int
    time_s: float
    rgb: np.ndarray


def is_video(path: Path) -> bool:
    """Whether a file's name is that of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def read_info(path: Path) -> VideoInfo:
    """Size, frame rate and orientation of a video file.

    Raises:
        ImageError: if the file cannot be read or holds no picture.
        MissingExtraError: if PyAV is not installed.
    """
    with _opened(path) as (container, stream):
        with closing(_decoded(container, stream, [])) as decoded:
            frame = next((frame for _, frame in decoded), None)
        if frame is not None:
            turned = int(frame.rotation) % 360
            turned = round(turned / 90) * 90 % 360
            width, height = _true_size(frame)
            if turned in (90, 270):
                width, height = height, width
            if min(width, height) < MIN_SIDE:
                raise ImageError(
                    f"{path} is {width} x {height} pixels; at least {MIN_SIDE} a side are needed.", "too_small"
                )
            return VideoInfo(path, width, height, _rate(container, stream), int(stream.frames or 0), turned)
    raise ImageError(f"{path} holds no frame that can be decoded: copy it again or convert it to MP4 (H.264).")


def read_frames(info: VideoInfo, problems: list[str]) -> Generator[VideoFrame, None, None]:
    """The frames in the order of time; damaged ones are left out.

    Args:
        info: from :func:`read_info`.
        problems: a sentence is added for whatever went wrong on the way.

    Raises:
        ImageError: if the file cannot be opened.
    """
    with _opened(info.path) as (container, stream):
        last, first, dropped = -1, None, 0
        previous, skipped, jumps = -1.0, 0.0, 0
        for time, frame in _decoded(container, stream, problems):
            seconds = time - skipped if time is not None else previous + 1.0 / info.fps
            first = seconds if first is None else first
            if seconds - max(previous, first) > LONGEST_GAP_S:  # a damaged stamp, or hours that nobody filmed
                jumps += 1
                wanted = previous + 1.0 / info.fps
                skipped, seconds = skipped + seconds - wanted, wanted
            previous = seconds
            number = round((seconds - first) * info.fps)
            if number <= last:
                dropped += 1
                continue
            last = number
            yield VideoFrame(number, seconds - first, _upright(frame, info))
        if jumps:
            problems.append(
                f"{jumps} time stamps jump by more than {LONGEST_GAP_S:g} seconds; the clip goes on without a gap."
            )
        if dropped:
            problems.append(
                f"{dropped} frames came faster than {info.fps:g} per second and were left out (variable frame rate)."
            )


def write_video(path: Path, frames: Iterator[np.ndarray], fps: float, size: tuple[int, int]) -> None:
    """Write an MP4 file.

    Args:
        path: the file, replaced.
        frames: (h, w, 3) uint8 pictures, all of the same size.
        fps: frames per second.
        size: width and height in pixels; odd sizes lose a row or column, H.264 has only even ones.

    Raises:
        MissingExtraError: if PyAV is not installed.
    """
    from fractions import Fraction

    av = _av()
    width, height = size[0] // 2 * 2, size[1] // 2 * 2
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(_encoder(av), rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = max(1_000_000, int(width * height * fps * 0.15))
        for rgb in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb[:height, :width]), format="rgb24")
            for packet in stream.encode(picture):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def _encoder(av: Any) -> str:
    return next((name for name in ("libx264", "libopenh264", "mpeg4") if name in av.codecs_available), "mpeg4")


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError(
            "Video files need PyAV (a folder of frames with --sequence works without); install it with: "
            + install_hint("video")
        ) from error
    return av


@contextmanager
def _opened(path: Path) -> Generator[tuple[Any, Any], None, None]:
    av = _av()
    if not path.exists():
        raise ImageError(f"{path} does not exist: check the name.")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(
            f"{path} cannot be opened as a video ({reason}): copy it again or convert it to MP4."
        ) from error
    with container:
        if not container.streams.video:
            raise ImageError(f"{path} holds no video stream.", "unsupported")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        yield container, stream


def _decoded(container: Any, stream: Any, problems: list[str]) -> Generator[tuple[float | None, Any], None, None]:
    """Time in seconds and frame; packets that cannot be decoded are passed over."""
    av = _av()
    broken = 0
    packets = container.demux(stream)
    while True:
        check_time()
        try:
            packet = next(packets)
        except StopIteration:
            break
        except (av.FFmpegError, OSError) as error:
            problems.append(f"The file breaks off: {getattr(error, 'strerror', None) or error}.")
            break
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError):
            broken += 1
            if broken > 2000:
                problems.append("Too many damaged frames; the rest of the file was not read.")
                break
            continue
        for frame in frames:
            if getattr(frame, "is_corrupt", False):
                broken += 1
                continue
            time = None if frame.pts is None else float(frame.pts * (frame.time_base or stream.time_base))
            yield time, frame
    if broken:
        problems.append(f"{broken} damaged frames were left out.")


def _rate(container: Any, stream: Any) -> float:
    """Frames per second while the camera writes evenly.

    The file's average is pulled down by a pause and up by a burst; its other rates may be those of its clock. So it is
    the interval that covers most of the time, in the first packets, and the file's own figure where one agrees.
    """
    stated = [float(rate) for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
    stated = [rate for rate in stated if PLAUSIBLE_FPS[0] <= rate <= PLAUSIBLE_FPS[1]]
    usual = _usual_interval(_packet_times(container, stream))
    if usual is None or not PLAUSIBLE_FPS[0] <= 1.0 / usual <= PLAUSIBLE_FPS[1]:
        return stated[0] if stated else DEFAULT_FPS
    return next((rate for rate in stated if abs(rate * usual - 1) < _SAME_RATE), 1.0 / usual)


def _packet_times(container: Any, stream: Any) -> list[float]:
    """Seconds of the first packets, in the order of time; nothing is decoded."""
    times = []
    try:
        container.seek(0)
        for packet in itertools.islice(container.demux(stream), _PACKETS):
            if packet.pts is not None and packet.time_base is not None:
                times.append(float(packet.pts * packet.time_base))
    except (_av().FFmpegError, OSError, OverflowError):
        pass
    return sorted(times)


def _usual_interval(times: list[float]) -> float | None:
    """The interval between frames that covers most of the time, of those that come several times; None for too few."""
    intervals = np.diff(np.array(times))
    intervals = np.sort(intervals[(intervals > 1e-6) & (intervals < 1.0 / PLAUSIBLE_FPS[0])])
    if len(intervals) < _FEW:
        return None
    sums = np.concatenate([[0.0], np.cumsum(intervals)])
    first = np.arange(len(intervals))
    end = np.searchsorted(intervals, intervals * _ALIKE, side="right")
    covered = np.where(end - first >= _FEW, sums[end] - sums[:-1], 0.0)
    best = int(np.argmax(covered))
    return float(covered[best] / (end[best] - best)) if covered[best] > 0 else None


def _true_size(frame: Any) -> tuple[int, int]:
    """Width and height in square pixels."""
    ratio = getattr(frame, "sample_aspect_ratio", None)
    if ratio and 0.2 < float(ratio) < 5 and abs(float(ratio) - 1) > 1e-3:
        return round(frame.width * float(ratio)), frame.height
    return frame.width, frame.height


def _upright(frame: Any, info: VideoInfo) -> np.ndarray:
    width, height = (info.width, info.height) if info.turned in (0, 180) else (info.height, info.width)
    reduction = 1
    while width * height > MAX_PIXELS * reduction**2:
        reduction += 1
    rgb = frame.to_ndarray(format="rgb24", width=max(width // reduction, 1), height=max(height // reduction, 1))
    return np.ascontiguousarray(np.rot90(rgb, info.turned // 90))
