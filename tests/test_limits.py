"""Limits of one input: refused beyond them, with a sentence and a row, and the rest goes on."""

import io
import threading
import time

import numpy as np
import pytest
from cheap_bodies import cheap_fitter, find_people, fit_bodies
from PIL import Image

from dsr.cli.fit import main
from dsr.errors import ImageError, TimeLimitError, UsageError
from dsr.image import read_photo
from dsr.limits import Limits, StoppedError, check_limits, check_time, limits_in_force, one_more_frame, working_on
from dsr.pipeline.picture_fitter import Fitter, fit_images
from dsr.results.report import read_rows


def test_the_outer_limits_stay_in_force():
    assert limits_in_force() == Limits()
    with working_on("a", Limits(max_aspect=3)):
        with working_on("b", Limits(max_aspect=5)):
            assert limits_in_force().max_aspect == 3
        assert limits_in_force().max_aspect == 3
    assert limits_in_force() == Limits()


def test_the_clock_ends_the_work_and_names_the_input():
    with working_on("a.jpg", Limits(max_seconds=0.02)):
        check_time()
        time.sleep(0.03)
        with pytest.raises(TimeLimitError, match=r"^a\.jpg takes longer than 0\.02 seconds.*--max-seconds"):
            check_time()
    check_time()
    with working_on("a.jpg", Limits(max_seconds=0)):
        check_time()


def test_frames_add_to_a_clips_time():
    with working_on("a.mp4", Limits(max_seconds=0.3)):
        for _ in range(60):
            one_more_frame()
        time.sleep(0.35)
        check_time()


def test_a_stopped_run_is_no_error_of_the_input():
    stop = threading.Event()
    with working_on("a", stop=stop):
        check_time()
        stop.set()
        with pytest.raises(StoppedError):
            check_time()
    assert not issubclass(StoppedError, Exception)


@pytest.mark.parametrize("name", ["max_file_mb", "max_aspect", "max_frames", "max_seconds"])
def test_senseless_limits_are_refused(name):
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}"):
        check_limits(Limits(**{name: -1}))


def test_bytes_pixels_and_proportions_by_flags(tmp_path, make_picture):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (900, 900, 3), np.uint8)).save(tmp_path / "bytes.png")  # 2.4 MB
    make_picture(tmp_path / "fine.png")
    make_picture(tmp_path / "long.png", size=(900, 100))
    make_picture(tmp_path / "pixels.png", size=(1200, 1000))
    make_picture(tmp_path / "small.png", size=(60, 60))
    out = tmp_path / "out"
    flags = ["--max-file-mb", "2", "--max-megapixels", "1", "--max-aspect", "8", "--min-side", "64"]
    assert main([str(tmp_path), "--out", str(out), "--quiet", *flags], cheap_fitter) == 3
    rows = {row.name: row for row in read_rows(out)}
    assert {name: row.status for name, row in rows.items()} == {
        "bytes": "too_large",
        "fine": "ok",
        "long": "too_large",
        "pixels": "too_large",
        "small": "too_small",
    }
    assert "--max-file-mb" in rows["bytes"].message and "64" in rows["small"].message
    assert main([str(tmp_path), "--out", str(out), "--quiet"], cheap_fitter) == 0


def test_a_slow_picture_is_a_row_and_the_next_one_is_fitted(tmp_path, make_picture):
    for name in ("a", "b", "c"):
        make_picture(tmp_path / f"{name}.png")

    def slow_on_b(detections, camera, body, options, start=None):
        if slow.pop():
            for _ in range(200):
                time.sleep(0.01)
                check_time()
        return fit_bodies(detections, camera, body, options)

    slow = [False, True, False]
    results = list(
        fit_images(tmp_path, jobs=1, limits=Limits(max_seconds=0.5), people_finder=find_people, body_fitter=slow_on_b)
    )
    assert [result.status for result in results] == ["ok", "too_slow", "ok"]
    assert "b.png takes longer than 0.5 seconds" in results[1].message and not results[1].people


def test_the_real_chain_looks_at_the_clock(tmp_path, make_picture, monkeypatch):
    """Every call of a network does: time that is over by then ends the search."""
    path = make_picture(tmp_path / "a.png", size=(300, 300))
    fitter = Fitter(dsr_options(), limits=Limits(max_seconds=1000))
    fitter.prepare()
    real = time.monotonic
    calls = []

    def later():
        calls.append(1)
        return real() + (2000 if len(calls) > 6 else 0)

    monkeypatch.setattr("dsr.limits.time.monotonic", later)
    result = fitter.fit(path)
    assert result.status == "too_slow" and "people" not in result.timing_s


def dsr_options():
    from dsr.options import FitOptions

    return FitOptions(quality="fast")


def test_jpegs_of_endless_scans_are_refused(tmp_path):
    """A progressive JPEG goes over all its pixels once per scan, and a scan can be repeated for some bytes."""
    buffer = io.BytesIO()
    Image.new("RGB", (4000, 3000), (90, 120, 150)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    start = data.rindex(b"\xff\xda")
    bomb = data[:start] + data[start:-2] * 200 + b"\xff\xd9"
    (tmp_path / "usual.jpg").write_bytes(data)
    (tmp_path / "bomb.jpg").write_bytes(bomb)
    assert read_photo(tmp_path / "usual.jpg").width == 4000
    with pytest.raises(ImageError, match=r"in 2\d\d scans") as caught:
        read_photo(tmp_path / "bomb.jpg")
    assert caught.value.status == "too_large"
