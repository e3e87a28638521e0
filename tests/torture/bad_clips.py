"""Clips: videos of every container, damaged, with mad time stamps; folders of frames with damaged ones between."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from bad_pictures import person
from bad_values import mutated
from PIL import Image

_KINDS = (
    ("mp4", "mp4", "mpeg4"),
    ("mkv", "matroska", "mpeg4"),
    ("avi", "avi", "mjpeg"),
    ("mov", "mov", "mpeg4"),
    ("webm", "matroska", "mpeg4"),
)


def video(container: str, codec: str, steps: list[int], size: tuple[int, int] = (112, 144)) -> bytes:
    """A clip whose frames come after so many thousandths of a second each."""
    import av

    picture = person(144).resize(size)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        at = 0
        for step in [0, *steps]:
            at += step
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            for packet in stream.encode(frame):
                output.mux(packet)
        for packet in stream.encode():
            output.mux(packet)
    return buffer.getvalue()


def write_videos(folder: Path, count: int, rng: np.random.Generator) -> list[Path]:
    """Videos: whole, with gaps, damaged."""
    folder.mkdir(parents=True)
    good, files = {}, []
    for suffix, container, codec in _KINDS:
        try:
            good[suffix] = video(container, codec, [40] * 5)
        except (OSError, ValueError):  # a codec that this PyAV does not have
            continue
    made = [(f"whole.{suffix}", data) for suffix, data in good.items()]
    for name, steps in (
        ("day", [40, 40, 86_400_000, 40]),
        ("days", [50_000_000] * 6),
        ("minutes", [110_000] * 8),
        ("burst", [1] * 12),
    ):
        made.append((f"{name}.mkv", video("matroska", "mpeg4", steps)))
    made += [("empty.mp4", b""), ("text.mov", b"no video\n" * 20), ("page.webm", b"<!doctype html>")]
    suffixes = list(good)
    for i in range(max(0, count - len(made))):
        suffix = suffixes[i % len(suffixes)]
        made.append((f"v{i:03}.{suffix}", mutated(good[suffix], rng, list(good.values()))))
    for name, data in made[:count]:
        (folder / name).write_bytes(data)
        files.append(folder / name)
    return files


def write_frames(folder: Path, rng: np.random.Generator) -> None:
    """A folder of frames, a third of them damaged, one of another size, some missing."""
    folder.mkdir(parents=True)
    picture = person(144)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG")
    good = buffer.getvalue()
    for k in [*range(6), *range(9, 13), 40]:
        data = good if rng.random() < 0.67 else mutated(good, rng, [b"\0" * 500])
        (folder / f"frame_{k:04}.jpg").write_bytes(data)
    Image.new("RGB", (64, 64)).save(folder / "frame_0013.jpg")
