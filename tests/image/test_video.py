"""Video files: orientation, time, damage; whatever happens, a clear sentence."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dsr.errors import ImageError, MissingExtraError
from dsr.image import video
from dsr.image.video import is_video, read_frames, read_info, write_video

av = pytest.importorskip("av", reason="needs the video extra (av)")


def picture(number, size=(96, 64)):
    """Grey that tells the frame, with a white patch at the top left."""
    rgb = np.full((size[1], size[0], 3), 20 + 8 * number, np.uint8)
    rgb[: size[1] // 2, : size[0] // 4] = 255
    return rgb


def written(path, frames=12, fps=25.0, size=(96, 64)):
    write_video(path, (picture(n, size) for n in range(frames)), fps, size)
    return path


def number_of(rgb):
    return round((float(rgb[-16:, -24:].mean()) - 20) / 8)


def test_round_trip(tmp_path):
    info = read_info(written(tmp_path / "a.mp4"))
    assert (info.width, info.height, info.fps, info.frames, info.turned) == (96, 64, 25.0, 12, 0)
    problems = []
    frames = list(read_frames(info, problems))
    assert [f.number for f in frames] == list(range(12)) and not problems
    assert [number_of(f.rgb) for f in frames] == list(range(12))
    assert frames[3].time_s == pytest.approx(3 / 25)


@pytest.mark.parametrize("fps", [23.976, 25.0, 29.97])
def test_no_frame_of_an_even_clip_is_lost(tmp_path, fps):
    """Time stamps times the rate come out a little below whole numbers; that is still the frame of that number."""
    path = tmp_path / "a.mp4"
    write_video(path, (picture(n % 20) for n in range(60)), fps, (96, 64))
    frames = list(read_frames(read_info(path), problems := []))
    assert [f.number for f in frames] == list(range(60)) and problems == []


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_orientation_of_telephones(tmp_path, turn):
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_rotation(turn)
        for n in range(4):
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture(n), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    info = read_info(path)
    frame = next(iter(read_frames(info, [])))
    assert frame.rgb.shape[:2] == (info.height, info.width) == ((64, 96) if turn == 180 else (96, 64))
    assert np.abs(frame.rgb.astype(int) - np.rot90(picture(0), info.turned // 90)).mean() < 4
    assert info.turned == turn


def test_variable_frame_rate_is_put_in_its_time(tmp_path):
    path = tmp_path / "vfr.mp4"
    moments = [0, 1, 2, 3, 4, 8, 9, 9.3, 10, 11]  # in 1/25 s: three frames are missing, one comes too early
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for n, moment in enumerate(moments):
            frame = av.VideoFrame.from_ndarray(picture(n), format="rgb24")
            frame.pts, frame.time_base = round(moment * 40), Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    info = video.VideoInfo(path, 96, 64, 25.0, 10, 0)
    problems = []
    frames = list(read_frames(info, problems))
    assert [f.number for f in frames] == [0, 1, 2, 3, 4, 8, 9, 10, 11]
    assert [number_of(f.rgb) for f in frames] == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert "variable frame rate" in problems[0]


def test_damaged_and_cut_files(tmp_path):
    data = bytearray(written(tmp_path / "a.mp4", frames=40).read_bytes())
    middle = data.find(b"mdat") + 4
    whole = bytes(data)
    for at in range(middle + 600, middle + 900):
        data[at] ^= 0x5A
    hurt = tmp_path / "hurt.mp4"
    hurt.write_bytes(bytes(data))
    frames = list(read_frames(read_info(hurt), problems := []))
    assert frames and len(frames) <= 40 and isinstance(problems, list)
    for name, content in (("empty.mp4", b""), ("text.mp4", b"no video at all\n" * 50), ("cut.mp4", whole[:300])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=name):
            read_info(tmp_path / name)
    with pytest.raises(ImageError, match="does not exist"):
        read_info(tmp_path / "nowhere.mp4")


def test_a_sound_file_holds_no_picture(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    with pytest.raises(ImageError, match="no video stream"):
        read_info(path)


def test_large_frames_are_reduced(tmp_path, monkeypatch):
    path = written(tmp_path / "a.mp4", frames=2, size=(200, 100))
    monkeypatch.setattr(video, "MAX_PIXELS", 6000)
    info = read_info(path)
    assert (info.width, info.height) == (200, 100)
    assert next(iter(read_frames(info, []))).rgb.shape == (50, 100, 3)


def test_without_pyav_one_sentence(tmp_path, monkeypatch):
    path = written(tmp_path / "a.mp4", frames=1)
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"PyAV.*pip install .*av>="):
        read_info(path)


def test_names():
    assert is_video(Path("a/clip.MP4")) and not is_video(Path("clip.jpg"))


def timed(path, times):
    """A video of frames at these moments, in 600ths of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 600)
        for n, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(n % 20), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 600)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("steps", "fps", "missing", "lost"),
    [
        ([20] * 9 + [320] + [20] * 9, 30, 15, 0),
        ([20] * 6 + [2] * 12 + [20] * 6, 30, 0, 11),
        ([20] * 5 + [40] + [20] * 5 + [60] + [20] * 9, 30, 3, 0),
        ([19, 21, 20, 18, 22, 20, 19, 21] * 3, 30, 0, 0),
        ([600] * 6, 1, 0, 0),
    ],
    ids=["a pause", "a burst", "dropped frames", "jitter", "one a second"],
)
def test_the_rate_is_that_of_even_stretches_and_gaps_stay_gaps(tmp_path, steps, fps, missing, lost):
    info = read_info(timed(tmp_path / "a.mp4", np.concatenate([[0], np.cumsum(steps)]).tolist()))
    assert info.fps == pytest.approx(fps, rel=0.005)
    problems = []
    numbers = [frame.number for frame in read_frames(info, problems)]
    assert numbers[-1] + 1 - len(numbers) == missing and len(steps) + 1 - len(numbers) == lost
    assert bool(problems) == bool(lost)


def test_a_pause_of_hours_is_not_filled(tmp_path):
    """A few kilobytes would make millions of frames that nobody filmed."""
    steps = [24, 24, 24, 600 * 20_000, 24, 24]
    timed(tmp_path / "a.mp4", np.concatenate([[0], np.cumsum(steps)]).tolist())
    frames = list(read_frames(read_info(tmp_path / "a.mp4"), problems := []))
    assert [frame.number for frame in frames] == list(range(7))
    assert frames[-1].time_s == pytest.approx(6 / 25, abs=1e-3)
    assert len(problems) == 1 and "1 time stamps jump by more than 120 seconds" in problems[0]
