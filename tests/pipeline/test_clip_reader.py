"""The frames of a clip at the rate that was asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dsr.image.video import write_video
from dsr.pipeline.clip_reader import frame_numbers, open_clip
from dsr.pipeline.inputs import find_clips


@pytest.mark.parametrize(
    ("asked", "fps", "numbers"),
    [(None, 20.0, list(range(10))), (5.0, 5.0, [0, 1, 2]), (60.0, 20.0, list(range(10)))],
    ids=["own", "thinned", "never filled up"],
)
def test_a_video_is_thinned_but_not_filled_up(tmp_path, asked, fps, numbers):
    pytest.importorskip("av", reason="needs the video extra (av)")
    write_video(tmp_path / "a.mp4", (np.full((64, 96, 3), 20 * n, np.uint8) for n in range(10)), 20.0, (96, 64))
    (clip,) = find_clips([tmp_path / "a.mp4"])
    reader = open_clip(clip, asked)
    assert (reader.fps, reader.expected) == (fps, round(10 * fps / 20))
    frames = list(reader.frames())
    assert [number for number, _, _ in frames] == numbers
    for number, seconds, photo in frames:
        assert abs(seconds - number / fps) <= 0.5 / fps + 1e-9
        assert photo.path.name == f"a_{number:012d}.png"


@pytest.mark.parametrize(
    ("names", "numbers", "says"),
    [
        (["f_0.jpg", "f_1.jpg", "f_5.jpg", "f_6.jpg"], [0, 1, 5, 6], ["3 frames are missing between f_1.jpg and f_5"]),
        (["f_08.jpg", "f_09.jpg", "f_11.jpg"], [0, 1, 3], ["1 frame is missing between f_09.jpg and f_11.jpg"]),
        (["f_0.jpg", "f_5.jpg", "f_10.jpg", "f_20.jpg"], [0, 1, 2, 4], ["1 frame is missing between f_10"]),
        (["1.a.jpg", "2.a.jpg", "3.a.jpg"], [0, 1, 2], []),
        (["20240101.jpg", "20240109.jpg", "20240131.jpg", "20240202.jpg"], [0, 1, 2, 3], []),
        (["a.jpg", "b.jpg", "c.jpg"], [0, 1, 2], []),
        (["a1.jpg", "b2.jpg", "b9.jpg"], [0, 1, 2], []),
        (["1.jpg", "2.jpg", "3.jpg", "900000000.jpg"], [0, 1, 2, 3], ["what follows is taken for the next frame"]),
        (["9" * 40 + ".jpg"] * 3, [0, 1, 2], []),
    ],
)
def test_missing_frames_are_gaps_and_are_told(names, numbers, says):
    found, said = frame_numbers([Path(name) for name in names])
    assert found == numbers and len(said) == len(says)
    assert all(part in sentence for part, sentence in zip(says, said, strict=True))


def test_a_folder_with_missing_frames_keeps_its_time(tmp_path, make_picture):
    for number in (0, 1, 2, 6, 7):
        make_picture(tmp_path / f"frame_{number:04d}.png")
    (clip,) = find_clips([tmp_path])
    reader = open_clip(clip, 10.0)
    frames = list(reader.frames())
    assert [(number, seconds) for number, seconds, _ in frames] == [(n, n / 10) for n in (0, 1, 2, 6, 7)]
    assert reader.problems == ["3 frames are missing between frame_0002.png and frame_0006.png; the gap is kept."]
