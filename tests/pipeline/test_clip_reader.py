"""The frames of a clip at the rate that was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from dsr.image.video import write_video
from dsr.pipeline.clip_reader import open_clip
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
