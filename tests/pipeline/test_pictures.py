"""The chain over many pictures: order, statuses, bounded work, and the same result for any number of jobs."""

import json
import logging
import threading
import time
from pathlib import Path

import cheap_bodies
import numpy as np
import pytest
from cheap_bodies import fit_cheaply
from threadpoolctl import ThreadpoolController, threadpool_limits

import dsr
from dsr.camera import PictureCamera
from dsr.errors import FittingError, UsageError
from dsr.options import FitOptions, check_options
from dsr.pipeline.body_fitter import fit_bodies
from dsr.pipeline.jobs import check_jobs, ordered_map


def test_results_come_in_the_order_of_the_items_whatever_they_take():
    def work(i):
        time.sleep(0.02 if i % 3 == 0 else 0)
        return i * i

    assert list(ordered_map(work, range(20), jobs=4)) == [i * i for i in range(20)]


def test_numpy_has_one_thread_in_the_workers_and_all_of_them_between_results():
    def threads(_=None):
        return {library.num_threads for library in ThreadpoolController().select(user_api="blas").lib_controllers}

    with threadpool_limits(2, user_api="blas"):
        before = threads()
        for inside in ordered_map(threads, range(1), jobs=1):
            assert inside == {1}
            assert threads() == before


def test_only_a_bounded_number_is_in_flight():
    started = []
    results = ordered_map(started.append, range(100), jobs=2)
    for _ in range(3):
        next(results)
    time.sleep(0.05)
    assert len(started) <= 3 + 2 + 2 + 1
    results.close()
    assert len(started) < 12


def test_an_interrupt_ends_the_map_and_its_threads():
    def work(i):
        if i == 5:
            raise KeyboardInterrupt
        return i

    got = []
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        for value in ordered_map(work, range(50), jobs=2):
            got.append(value)
    assert got == [0, 1, 2, 3, 4]
    assert threading.active_count() == before


def test_jobs_are_checked_and_chosen():
    assert 1 <= check_jobs(0) <= 8 and check_jobs(3) == 3
    with pytest.raises(UsageError, match="--jobs -1"):
        dsr.fit_images([], jobs=-1)


def test_every_picture_gives_a_result_in_order(tmp_path, make_picture):
    make_picture(tmp_path / "a.jpg", people=1)
    (tmp_path / "b.jpg").write_bytes(b"")
    make_picture(tmp_path / "c.png", people=2)
    make_picture(tmp_path / "d.png", people=0)
    results = list(fit_cheaply(tmp_path))
    assert [Path(r.input_path).name for r in results] == ["a.jpg", "b.jpg", "c.png", "d.png"]
    assert [r.status for r in results] == ["ok", "unreadable", "ok", "no_person"]
    assert [len(r.people) for r in results] == [1, 0, 2, 0]
    assert "b.jpg" in results[1].message and "nobody" in results[3].message
    first = results[0]
    assert first.image_size == (96, 128) and len(first.input_sha256) == 64 and first.overlay_rgb is None
    assert first.focal_source == "default" and first.K[0, 0] == pytest.approx(160, rel=1e-3)  # the diagonal of 96 x 128
    np.testing.assert_allclose(first.K[:2, 2], [48, 64])
    assert first.body["name"] and len(first.body["sha256"]) == 64 and first.body["licence"]
    assert {"read", "people", "fit", "total"} <= set(first.timing_s)


def test_one_path_is_enough_and_flags_reach_the_camera(tmp_path, make_picture):
    path = make_picture(tmp_path / "a.jpg")
    (result,) = fit_cheaply(path, FitOptions(focal=321.0), keep_pictures=True)
    assert result.K[0, 0] == result.K[1, 1] == 321 and result.focal_source == "flag"
    assert result.overlay_rgb.shape == (128, 96, 3)


def test_a_failure_of_one_picture_is_its_status(tmp_path, make_picture, caplog):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        make_picture(tmp_path / name)
    errors = {"a": FittingError("no keypoint of p0 is usable"), "b": ZeroDivisionError("float division by zero")}
    calls = iter("abc")

    def bodies(*arguments):
        error = errors.get(next(calls))
        if error:
            raise error
        return cheap_bodies.fit_bodies(*arguments)

    with caplog.at_level(logging.ERROR):
        a, b, c = fit_cheaply(tmp_path, jobs=1, body_fitter=bodies)
    assert (a.status, a.message) == ("failed", "no keypoint of p0 is usable")
    assert b.status == "failed" and "unexpected ZeroDivisionError: float division by zero" in b.message
    assert "b.jpg" in caplog.text and "Traceback" in caplog.text
    assert c.status == "ok"


def test_too_little_device_memory_halves_the_batch(monkeypatch):
    import torch

    import dsr.fitting

    body, camera = dsr.load_body("open-light"), PictureCamera(np.eye(3), (10, 10))
    sizes = []

    def fit_people(detections, *others):
        sizes.append(len(detections))
        if len(detections) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return cheap_bodies.fit_bodies(detections, *others)

    monkeypatch.setattr(dsr.fitting, "fit_people", fit_people)
    detections = [
        dsr.people.Detection(np.zeros(4), 0.9, "blazepose33", np.zeros((33, 2)), np.ones(33), number=i)
        for i in range(3)
    ]
    people = fit_bodies(detections, camera, body, FitOptions())
    assert [p.id for p in people] == ["p0", "p1", "p2"] and sizes == [3, 1, 2, 1, 1]


def test_a_person_keeps_its_number_whoever_is_selected(tmp_path, make_picture):
    picture = make_picture(tmp_path / "a.jpg", people=3)
    (last,) = next(fit_cheaply(picture, FitOptions(person="2"))).people
    assert last.id == "p2"
    nobody = next(fit_cheaply(picture, FitOptions(person="7")))
    assert nobody.status == "no_person" and "3 people were found, but nobody is number 7" in nobody.message
    unsure = next(fit_cheaply(picture, FitOptions(min_score=0.95)))
    assert unsure.status == "no_person" and "--min-score 0.95" in unsure.message


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"refine": "magic"}, "--refine 'magic'"),
        ({"clothing": "naked"}, "--clothing 'naked'"),
        ({"regressor": "dsr"}, "--regressor 'dsr'"),
        ({"person": "biggest"}, "--person 'biggest'"),
        ({"focal": 0.0}, "--focal 0"),
        ({"focal": 500.0, "fov": 60.0}, "only one of --focal, --fov"),
        ({"fov": 180.0}, "--fov 180"),
        ({"height": float("nan")}, "--height nan"),
        ({"height": 180.0}, "--height 180: metres are meant; for 180 cm say --height 1.8"),
        ({"height": 0.3}, "--height 0.3: use a number from 0.5 to 2.6 metres"),
        ({"mass": -5.0}, "--mass -5: use a number from 3 to 400 kilograms"),
        ({"mass": float("inf")}, "--mass inf"),
        ({"height": 1.8, "mass": 15.0}, "--height 1.8 with --mass 15: a body mass index of 5, which nobody has"),
        ({"height": 0.8, "mass": 80.0}, "a body mass index of 125"),
        ({"min_score": 1.5}, "--min-score 1.5"),
        ({"keypoints": Path("nowhere")}, "--keypoints nowhere"),
        ({"boxes": Path("nowhere.json")}, "--boxes nowhere.json"),
        ({"device": "tpu"}, "--device 'tpu'"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_options_that_cannot_work_are_refused_before_any_picture(tmp_path, make_picture, options, sentence):
    make_picture(tmp_path / "a.jpg")
    with pytest.raises(UsageError, match=sentence):
        fit_cheaply(tmp_path, FitOptions(**options))


@pytest.mark.parametrize("size", [{"height": 180.0}, {"mass": 0.07}, {"height": 1.8, "mass": 15.0}])
def test_a_size_that_nobody_has_is_no_option(size):
    with pytest.raises(UsageError, match=r"metres|kilograms"):
        FitOptions(**size)


def test_good_options_pass_and_are_plain_json():
    import json

    options = FitOptions(person="2", refine="joints", fov=60.0, keypoints=Path())
    check_options(options)
    record = options.record()
    assert json.loads(json.dumps(record)) == record and record["fov"] == 60.0
    assert Path(record["keypoints"]).is_absolute()


def test_cuda_that_is_not_there_is_a_usage_error(monkeypatch):
    import torch

    from dsr.devices import choose_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(UsageError, match="finds no CUDA device"):
        choose_device("cuda")


def test_a_sidecar_places_the_principal_point(tmp_path, make_picture):
    picture = make_picture(tmp_path / "a.jpg")
    K = [[500.0, 0, 40], [0, 500.0, 70], [0, 0, 1]]
    (tmp_path / "a.camera.json").write_text(json.dumps({"K": K}))
    result = next(fit_cheaply(picture))
    assert result.focal_source == "sidecar"
    np.testing.assert_allclose(result.K, K)
