"""Inputs and outputs at URLs: files, names and report as on this machine, runs that go on, sentences for errors."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import numpy as np
import pytest
from cheap_bodies import cheap_fitter, fit_cheaply

from dsr.cli.fit import main
from dsr.errors import MissingExtraError, UsageError
from dsr.pipeline.inputs import find_inputs
from dsr.pipeline.picture_fitter import Fitter
from dsr.pipeline.urls import filesystem, local_path, staging, url_of


@pytest.fixture
def memory():
    """The file system in memory, empty before and after."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    yield store
    store.store.clear()


@pytest.fixture
def photos(tmp_path, make_picture, memory):
    """The same pictures in a folder and in memory."""
    for name, people in (("b.jpg", 1), ("a.jpg", 2), ("sub/a.jpg", 1), ("nobody.jpg", 0)):
        memory.pipe(f"/photos/{name}", make_picture(tmp_path / "photos" / name, people).read_bytes())
    sidecar = b'{"focal_px": 211.0}'
    (tmp_path / "photos" / "b.camera.json").write_bytes(sidecar)
    memory.pipe("/photos/b.camera.json", sidecar)
    for name, data in ((".hidden.jpg", b"x"), ("notes.txt", b"x"), ("broken.png", b"no picture")):
        (tmp_path / "photos" / name).write_bytes(data)
        memory.pipe(f"/photos/{name}", data)
    return tmp_path / "photos"


def run(*arguments) -> int:
    return main([str(a) for a in arguments], cheap_fitter)


def documents(folder) -> dict[str, dict]:
    return {name: json.loads(data) for name, data in folder.items() if name.endswith(".json") and "report" not in name}


def told(document: dict, photos: Path) -> dict:
    """What has to be the same wherever the picture lies: the URL becomes the path, times are left out."""
    text = json.dumps(document).replace("memory:///photos", str(photos)).replace("memory://photos", str(photos))
    plain = json.loads(text)
    return {**plain, "timing_s": 0, "run": {**plain["run"], "mtime_ns": 0}}


def test_results_at_a_url_are_those_of_files(photos, tmp_path, memory):
    out = tmp_path / "out"
    codes = [run(photos, "--recursive", "--overlay", "--out", out)]
    codes.append(run("memory://photos", "--recursive", "--overlay", "--out", "memory://out"))
    assert codes == [3, 3]  # one is no picture
    here = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    there = {name.removeprefix("/out/"): memory.cat(name) for name in memory.find("/out")}
    assert set(here) == set(there) and "sub/a.p0.glb" in here
    for name in here:
        if name.endswith((".glb", ".npz", ".jpg")):
            assert here[name] == there[name], name
    ours, theirs = documents(here), documents(there)
    assert {n: told(d, photos) for n, d in ours.items()} == {n: told(d, photos) for n, d in theirs.items()}
    assert theirs["b.json"]["input"]["absolute_path"] == "memory:///photos/b.jpg"
    assert theirs["b.json"]["camera"]["focal_source"] == ours["b.json"]["camera"]["focal_source"] != "diagonal"
    rows = [json.loads(folder["report.json"])["rows"] for folder in (here, there)]
    assert [(r["name"], r["status"], r["outputs"]) for r in rows[0]] == [
        (r["name"], r["status"], r["outputs"]) for r in rows[1]
    ]
    broken = next(row for row in rows[1] if row["status"] == "unreadable")
    assert "memory:///photos/broken.png" in broken["message"] and str(staging()) not in json.dumps(rows[1])
    assert not [p for p in (staging() / "in").rglob("*") if p.is_file()]  # what was fetched is gone
    assert {p.name for p in (staging() / "out").rglob("*") if p.is_file()} <= {
        "DSR_OPEN.npz",
        "report.json",
        "report.csv",
    }


def test_a_run_at_a_url_goes_on(photos, memory, monkeypatch):
    fitted = []
    fit = Fitter.fit
    monkeypatch.setattr(Fitter, "fit", lambda self, path: (fitted.append(Path(path).name), fit(self, path))[1])
    memory.rm("/photos/broken.png")
    run("memory://photos", "--out", "memory://out")
    assert sorted(fitted) == ["a.jpg", "b.jpg", "nobody.jpg"]
    before = {name: memory.cat(name) for name in memory.find("/out") if "report" not in name}
    fitted.clear()
    assert run("memory://photos", "--out", "memory://out") == 0
    assert fitted == []
    memory.pipe("/out/a.p1.glb", memory.cat("/out/a.p1.glb")[:-9])  # cut short
    memory.pipe("/photos/b.camera.json", b'{"focal_px": 222.0}')
    memory.rm("/out/report.json")
    assert run("memory://photos", "--out", "memory://out") == 0
    assert sorted(fitted) == ["a.jpg", "b.jpg"]
    after = {name: memory.cat(name) for name in memory.find("/out") if "report" not in name}
    assert set(after) == set(before) and after["/out/a.p1.glb"] == before["/out/a.p1.glb"]
    assert run("memory://photos", "--out", "memory://out", "--format", "ply") == 0
    assert not [name for name in memory.find("/out") if name.endswith(".glb")]  # of the earlier run, not asked for now


def test_lists_globs_and_python_take_urls(photos, tmp_path, memory):
    pictures = tmp_path / "list.txt"
    pictures.write_text("memory://photos/a.jpg\n# none\nmemory://photos/missing.jpg\nfile://" + str(photos / "b.jpg"))
    found = find_inputs([pictures])
    assert [p.url for p in found] == ["memory://photos/a.jpg", "memory://photos/missing.jpg", ""]
    results = list(fit_cheaply([pictures]))
    assert [r.status for r in results] == ["ok", "unreadable", "ok"]
    assert "memory://photos/missing.jpg" in results[1].message and "fetched" in results[1].message
    assert [p.url for p in find_inputs(["memory://photos/?.jpg"])] == [
        "memory:///photos/a.jpg",
        "memory:///photos/b.jpg",
    ]
    assert np.array_equal(results[0].people[1].betas, next(iter(fit_cheaply(photos / "a.jpg"))).people[1].betas)


def test_a_file_that_is_too_large_is_not_fetched(photos, memory):
    memory.pipe("/photos/large.jpg", bytes(3_000_000))
    assert run("memory://photos", "--out", "memory://out", "--max-file-mb", "1") == 3
    rows = {row["name"]: row for row in json.loads(memory.cat("/out/report.json"))["rows"]}
    assert "--max-file-mb" in rows["large"]["message"] and rows["a"]["status"] == "ok"


def test_a_network_that_fails_twice_does_no_harm_and_one_that_is_down_is_told(photos, memory, monkeypatch):
    monkeypatch.setattr("dsr.pipeline.urls._PAUSE_S", 0.0)
    put, failures = type(memory).put_file, []

    def put_file(self, here, there, *more, **options):
        failures.append(there)
        if (there.endswith("a.p0.glb") and failures.count(there) < 3) or there.endswith("b.npz"):
            raise ConnectionResetError("reset by peer")
        return put(self, here, there, *more, **options)

    monkeypatch.setattr(type(memory), "put_file", put_file)
    memory.rm("/photos/broken.png")
    assert run("memory://photos", "--out", "memory://out") == 3
    rows = {row["name"]: row for row in json.loads(memory.cat("/out/report.json"))["rows"]}
    assert rows["a"]["status"] == "ok" and failures.count("/out/a.p0.glb") == 3
    assert rows["b"]["status"] == "failed" and "cannot be written: reset by peer" in rows["b"]["message"]
    assert not [name for name in memory.find("/out") if name.startswith("/out/b.")]  # nothing half


def test_names_on_this_machine_are_never_another_ones(memory):
    for name in ("a:b.jpg", "a_b.jpg", "../../x.jpg", "x.jpg"):
        memory.pipe(f"/odd/{name}", b"x")
    found = find_inputs([f"memory://odd/{name}" for name in ("a:b.jpg", "a_b.jpg", "../../x.jpg", "x.jpg")])
    assert len({picture.path for picture in found}) == 4
    assert all(picture.path.resolve().is_relative_to(staging().resolve()) for picture in found)


def test_what_cannot_be_is_said(tmp_path, capsys):
    assert run("memory://nothing", "--out", tmp_path / "out") == 2
    assert "No such file or folder: memory://nothing" in capsys.readouterr().err
    with pytest.raises(UsageError, match="no such kind of URL"):
        filesystem("teleport://a")
    with pytest.raises(MissingExtraError, match="install it with"):
        filesystem("dropbox://a")
    assert run("memory://frames", "--sequence", "--out", tmp_path / "out") == 2


def test_paths_are_no_urls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("odd:").mkdir()
    assert [url_of(x) for x in ("C:/a", "a.jpg", "/a/b", "odd:/", "file:///a")] == [""] * 5
    assert url_of(Path("s3://a/b")) == "s3://a/b"
    assert local_path(Path("file:///a/b")) == local_path("file:///a/b") == "/a/b"
