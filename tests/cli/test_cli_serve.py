"""dsr-fit --serve: requests and answers of the worker protocol."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cheap_bodies import cheap_fitter, find_people, fit_bodies
from clip_people import FOCAL, folder

from dsr.cli import fit as cli
from dsr.cli.serve import PROTOCOL, Worker
from dsr.results import load_result


class Answers(io.StringIO):
    """A stream whose lines can be waited for."""

    def __init__(self):
        super().__init__()
        self.changed = threading.Condition()

    def write(self, text):
        with self.changed:
            done = super().write(text)
            self.changed.notify_all()
        return done

    def events(self):
        return [json.loads(line) for line in self.getvalue().splitlines()]

    def wait(self, event, seconds=20.0):
        end = time.monotonic() + seconds
        with self.changed:
            while not any(one["event"] == event for one in self.events()):
                assert self.changed.wait(max(0.0, end - time.monotonic())), f"no {event} in {self.events()}"


def fit(**more) -> dict:
    return {"request": "fit", "id": 1, "inputs": ["x.jpg"], "out": "o"} | more


def serve(*requests) -> list[dict]:
    answers = Answers()
    lines = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in requests)
    Worker(io.StringIO(lines), answers, make_fitter=cheap_fitter).run()
    return answers.events()


def kinds(events, own):
    return [one["event"] for one in events if one.get("id") == own]


def test_fits_pictures_and_says_where_the_results_are(make_picture, tmp_path):
    pictures = [make_picture(tmp_path / "in" / f"{name}.jpg", people=n) for name, n in (("one", 1), ("two", 2))]
    out = tmp_path / "out"
    events = serve(
        {"request": "fit", "id": 7, "inputs": [str(p) for p in pictures], "out": str(out), "overlay": True},
        {"request": "fit", "id": "again", "inputs": [str(pictures[0])], "out": str(out), "format": "ply"},
        {"request": "quit"},
    )
    assert events[0]["event"] == "hello" and events[0]["protocol"] == PROTOCOL
    assert events[-1]["event"] == "bye"
    results = [one for one in events if one["event"] == "result" and one["id"] == 7]
    assert [(one["status"], one["people"]) for one in results] == [("ok", 1), ("ok", 2)]
    assert len(load_result(results[1]["path"]).people) == 2
    assert all((out / name).is_file() for name in ("two.overlay.jpg", "one.npz")) and not list(out.glob("*.glb"))
    assert kinds(events, 7)[-1] == "done" and kinds(events, "again")[-1] == "done"
    assert (out / "one.p0.ply").is_file()
    stages = [one.get("stage") for one in events if one["event"] == "progress" and one["id"] == 7]
    assert {"read", "people", "fit"} <= set(stages)


def test_a_bad_picture_is_an_error_of_its_own(make_picture, tmp_path):
    good = make_picture(tmp_path / "good.jpg")
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    events = serve(fit(inputs=[str(bad), str(good)], out=str(tmp_path / "out")))
    (error,) = (one for one in events if one["event"] == "error")
    assert error["code"] == "unreadable" and "bad.jpg" in error["message"]
    assert [one["status"] for one in events if one["event"] == "result"] == ["ok"]


@pytest.mark.parametrize(
    ("request_line", "code", "part"),
    [
        ("{not json", "bad_request", "could not be read"),
        ("[1, 2]", "bad_request", "no JSON object"),
        ("[" * 100_000, "bad_request", "nested too deeply"),
        ('{"request": "fit", "id": ' + "[" * 400 + "]" * 400 + "}", "bad_request", "neither a text nor a number"),
        ('{"request": "fit", "id": 1' + "0" * 5000 + "}", "bad_request", "could not be read"),
        (fit(options={"height": 10**400}), "bad_request", "not understood"),
        ({"request": "dance", "id": 1}, "usage", "dance"),
        ({"request": "fit", "id": 1}, "usage", "inputs"),
        (fit(options={"colour": 1}), "usage", "colour"),
        (fit(options={"min_score": 7}), "usage", "min-score"),
        (fit(options={"min_score": "a"}), "usage", "kind"),
        (fit(inputs=["nowhere.jpg"]), "usage", "nowhere.jpg"),
        (fit(format="stl"), "usage", "stl"),
    ],
)
def test_bad_requests_are_answered_and_the_worker_goes_on(request_line, code, part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    events = serve(request_line, {"request": "quit"})
    (error,) = (one for one in events if one["event"] == "error")
    assert error["code"] == code and part in error["message"]
    assert events[-1] == {"event": "bye", "reason": "asked to"}


def test_a_missing_body_is_named(make_picture, tmp_path):
    picture = make_picture(tmp_path / "a.jpg")
    options = {"body": str(tmp_path / "SMPL_NEUTRAL.pkl")}
    events = serve(fit(inputs=[str(picture)], out=str(tmp_path / "o"), options=options))
    (error,) = (one for one in events if one["event"] == "error")
    assert error["code"] == "model_missing" and "SMPL_NEUTRAL.pkl" in error["message"]


def test_cancel_stops_the_fit_at_work_and_those_waiting(make_picture, tmp_path):
    pictures = [str(make_picture(tmp_path / f"{i}.jpg")) for i in range(3)]
    entered, go = threading.Event(), threading.Event()

    def find_slowly(photo):
        entered.set()
        assert go.wait(20)
        return find_people(photo)

    class Requests:
        """Lines that come when the fit is at work."""

        def __iter__(self):
            for own in (1, 2):
                yield json.dumps({"request": "fit", "id": own, "inputs": pictures, "out": str(tmp_path / "o")}) + "\n"
            assert entered.wait(20)
            for own in (1, 2):
                yield json.dumps({"request": "cancel", "id": own}) + "\n"
            go.set()

    answers = Answers()
    Worker(Requests(), answers, make_fitter=partial(cheap_fitter, people_finder=find_slowly)).run()
    events = answers.events()
    for own in (1, 2):
        assert kinds(events, own)[-2:] == ["error", "done"]
    assert {one["code"] for one in events if one["event"] == "error"} == {"cancelled"}
    assert not [one for one in events if one["event"] == "result"]
    assert not list((tmp_path / "o").glob("*.json"))


def clip(inputs, out, **more) -> dict:
    options = {"quality": "fast", "body": "open-light", "focal": FOCAL}
    return fit(inputs=[str(one) for one in inputs], out=str(out), sequence=True, fps=10, options=options) | more


def test_fits_a_clip_of_two_people_and_counts_its_frames(detector, tmp_path):
    walk, out = folder(tmp_path / "walk", (3, 3, 0, 3)), tmp_path / "out"
    events = serve(clip([walk], out, format="glb"))
    (result,) = (one for one in events if one["event"] == "result")
    assert (result["status"], result["people"], result["input"]) == ("ok", 2, str(walk))
    assert {Path(file).name for file in result["outputs"]} == {"walk.json", "walk.npz", "walk.p0.glb", "walk.p1.glb"}
    assert all(Path(file).is_file() for file in result["outputs"])
    counted = [(one["done"], one["total"]) for one in events if one["event"] == "progress" and one["total"]]
    assert counted == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert any("1 of 4 frames" in one["message"] for one in events if one["event"] == "warning")
    assert kinds(events, 1)[-1] == "done"
    loaded = load_result(result["path"])
    assert loaded.fps == 10.0 and loaded.lifter["name"] == "shipped" and loaded.K[0, 0, 0] == FOCAL
    for track, side in zip(loaded.people, (-1, 1), strict=True):
        assert track.observed.tolist() == [True, True, False, True]
        assert np.all(side * track.joints_cam_m[:, 0, 0] > 0.3)


def test_clips_that_cannot_be_fitted_are_errors_of_their_own(detector, tmp_path):
    good, bad, out = folder(tmp_path / "good", (1, 1)), folder(tmp_path / "bad", (1, 1)), tmp_path / "out"
    for path in bad.iterdir():
        path.write_text("no picture")
    events = serve(
        clip([bad, good], out, id="both", format=""),
        clip([good], out, id="obj", format="obj"),
        clip([good], out, id="fps", fps=-3),
        clip([tmp_path / "nowhere"], out, id="gone"),
    )
    errors = {one["id"]: (one["code"], one["message"]) for one in events if one["event"] == "error"}
    assert [one["input"] for one in events if one["event"] == "result"] == [str(good)]
    assert errors["both"][0] == "unreadable" and "no frame can be read; the first" in errors["both"][1]
    assert errors["obj"][0] == "usage" and "a clip is animated" in errors["obj"][1]
    assert errors["fps"][0] == "usage" and "-3" in errors["fps"][1]
    assert errors["gone"][0] == "usage" and "nowhere" in errors["gone"][1]
    assert [one["event"] for one in events].count("done") == 4


def test_a_clip_is_cancelled_between_frames(people, tmp_path, monkeypatch):
    walk, out = folder(tmp_path / "walk"), tmp_path / "out"
    looked, entered, go = [], threading.Event(), threading.Event()

    def detect(self, photo):
        looked.append(len(looked))
        entered.set()
        assert go.wait(20)
        return [people[0][0]]

    monkeypatch.setattr("dsr.people.follower.PeopleFollower.detect", detect)

    class Requests:
        """The second line comes when the first frame is looked at."""

        def __iter__(self):
            yield json.dumps(clip([walk], out)) + "\n"
            assert entered.wait(20)
            yield json.dumps({"request": "cancel", "id": 1}) + "\n"
            go.set()

    answers = Answers()
    Worker(Requests(), answers).run()
    events = answers.events()
    assert kinds(events, 1)[-2:] == ["error", "done"] and looked == [0]
    assert [one["code"] for one in events if one["event"] == "error"] == ["cancelled"]
    assert not list(out.glob("walk*"))


def test_ends_when_nobody_asks():
    class Silence:
        def __iter__(self):
            threading.Event().wait(5)
            return iter(())

    answers = Answers()
    Worker(Silence(), answers, idle_s=0.05).run()
    assert answers.events()[-1]["event"] == "bye"


def test_only_protocol_lines_reach_standard_output(tmp_path):
    noisy = "import os, sys, dsr.cli.serve as s; s.warm_up = lambda: print('noise') or os.write(1, b'raw\\n'); "
    code = "from dsr.cli.fit import main; sys.exit(main(['--serve', '--idle', '60']))"
    run = subprocess.run(
        [sys.executable, "-c", noisy + code],
        input='{"request": "check", "id": 3}\n{"request": "quit"}\n',
        capture_output=True,
        text=True,
        timeout=120,
    )
    events = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0, run.stderr
    assert [one["event"] for one in events] == ["hello", "check", "done", "bye"]
    assert "raw" in run.stderr and "noise" in run.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are another thing there")
def test_a_worker_whose_answers_nobody_reads_ends_quietly():
    command = [sys.executable, "-m", "dsr.cli.fit", "--serve"]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    worker.stdout.close()
    _, said = worker.communicate('{"request": "quit"}\n', timeout=120)
    assert worker.returncode == 0 and said == ""


def test_serve_stands_alone(capsys):
    assert cli.main(["photo.jpg", "--out", "o", "--serve"]) == 2
    assert "--serve" in capsys.readouterr().err


def test_a_folder_that_another_run_writes_into_is_refused(make_picture, tmp_path):
    from dsr.pipeline.folder_lock import only_run_in

    (tmp_path / "o").mkdir()
    picture = make_picture(tmp_path / "a.jpg")
    with only_run_in(tmp_path / "o"):
        events = serve(fit(inputs=[str(picture)], out=str(tmp_path / "o")), {"request": "quit"})
    (error,) = (one for one in events if one["event"] == "error")
    assert error["code"] == "usage" and "Another run of dsr-fit" in error["message"]
    assert list((tmp_path / "o").iterdir()) == []


def test_a_garment_is_asked_for(tmp_path):
    events = serve({"request": "garment", "id": 1}, {"request": "garment", "id": 2, "garment": "x.obj", "out": "o.npz"})
    assert [one["code"] for one in events if one["event"] == "error"] == ["usage", "usage"]
    vest = tmp_path / "vest.mhclo"
    vest.write_text("name vest\nobj_file vest.obj\nverts 0\n 3000\n 3001\n 3002\n")
    (tmp_path / "vest.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    out = tmp_path / "vest.npz"
    events = serve({"request": "garment", "id": 3, "garment": str(vest), "body": "open-light", "out": str(out)})
    assert kinds(events, 3) == ["result", "done"] and events[1]["path"] == str(out)
    with np.load(out, allow_pickle=False) as data:
        assert data["places"].shape == (3, 3) and data["polygons"].tolist() == [[0, 1, 2, -1]]


def test_a_picture_is_looked_at_before_it_is_asked_for(make_picture, tmp_path):
    picture, found, answers = make_picture(tmp_path / "one.jpg", people=2), [], Answers()

    def find(photo):
        found.append(photo.path.name)
        return find_people(photo)

    requests = (
        {"request": "prepare", "id": 1, "inputs": [str(picture)]},
        {"request": "prepare", "id": 2},
        {"request": "prepare", "id": 3, "inputs": [str(tmp_path / "gone.jpg")]},
        {"request": "prepare", "id": 4, "inputs": "x"},
        {"request": "prepare", "id": 5, "inputs": [], "options": {"body": "no_such_body"}},
        {"request": "fit", "id": 6, "inputs": [str(picture)], "out": str(tmp_path / "out")},
    )
    lines = "".join(json.dumps(one) + "\n" for one in requests)
    Worker(io.StringIO(lines), answers, make_fitter=partial(cheap_fitter, people_finder=find)).run()
    events = answers.events()
    assert found == ["one.jpg"]
    assert [kinds(events, k) for k in (1, 2, 3)] == [["done"]] * 3  # what is wrong is said when a fit is asked for
    assert [kinds(events, k) for k in (4, 5)] == [["error", "done"]] * 2
    (result,) = [one for one in events if one["event"] == "result"]
    assert result["id"] == 6 and result["people"] == 2


def test_what_was_looked_for_ahead_makes_way_for_a_fit(make_picture, tmp_path):
    picture, fitted, answers = make_picture(tmp_path / "one.jpg", people=1), [], Answers()
    requests = [
        {"request": "prepare", "id": 1, "inputs": [str(picture)]},
        {"request": "fit", "id": 2, "inputs": [str(picture)], "out": str(tmp_path / "out")},
    ]

    def find(photo):
        end = time.monotonic() + 10
        while worker._queue.empty() and not fitted and time.monotonic() < end:
            time.sleep(0.01)  # the fit is asked for while people are looked for
        return find_people(photo)

    def fit_one(detections, *others):
        fitted.append(len(detections))
        return fit_bodies(detections, *others)

    class Lines(io.StringIO):
        def __iter__(self):
            yield json.dumps(requests[0])
            time.sleep(0.2)
            yield json.dumps(requests[1])

    worker = Worker(Lines(), answers, make_fitter=partial(cheap_fitter, people_finder=find, body_fitter=fit_one))
    worker.run()
    assert fitted == [1] and kinds(answers.events(), 1) == ["done"]
    assert "result" in kinds(answers.events(), 2)
