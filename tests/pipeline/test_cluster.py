"""Runs on a Ray cluster: the files and the report of one machine, whatever happens to the workers."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest
from cheap_bodies import cheap_fitter
from mortal_bodies import Mortal

from dsr.cli.fit import main

TESTS = Path(__file__).resolve().parents[1]
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra cluster is not installed")


@pytest.fixture
def photos(tmp_path, make_picture, monkeypatch):
    for name, people in (("a", 1), ("b", 2), ("c", 1), ("d", 0), ("e", 1), ("f", 1)):
        make_picture(tmp_path / "photos" / f"{name}.jpg", people)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "marks").mkdir()
    monkeypatch.setenv("MORTAL_MARKS", str(tmp_path / "marks"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS.parent), str(TESTS)]))  # for the workers
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return tmp_path / "photos"


def run(fitter, *arguments) -> int:
    return main([str(a) for a in arguments], fitter)


def contents(out: Path) -> dict[str, object]:
    """Everything in an output folder but times."""
    found: dict[str, object] = {}
    for path in out.rglob("*"):
        if path.suffix == ".json":
            text = json.loads(path.read_text())
            for row in text.get("rows", ()):
                row["seconds"] = 0
            found[path.relative_to(out).as_posix()] = {**text, "timing_s": 0}
        elif path.is_file() and path.name != "report.csv":
            found[path.relative_to(out).as_posix()] = path.read_bytes()
    return found


@needs_ray
def test_a_worker_that_is_killed_changes_nothing(photos, tmp_path, make_picture):
    make_picture(photos / "once.jpg", 1)
    assert run(cheap_fitter, photos, "--out", tmp_path / "one") == 3
    assert run(Mortal, photos, "--out", tmp_path / "many", "--cluster", "auto", "--jobs", "2") == 3
    assert (tmp_path / "marks" / "once.jpg").exists()
    assert contents(tmp_path / "one") == contents(tmp_path / "many")
    assert "once.p0.glb" in contents(tmp_path / "many")


@needs_ray
def test_an_input_that_workers_die_of_is_given_up_and_the_rest_goes_on(photos, tmp_path, make_picture):
    make_picture(photos / "always.jpg", 1)
    assert run(Mortal, photos, "--out", tmp_path / "out", "--cluster", "auto", "--jobs", "2") == 3
    rows = {row["name"]: row for row in json.loads((tmp_path / "out" / "report.json").read_text())["rows"]}
    assert "3 workers died" in rows["always"]["message"] and rows["always"]["status"] == "failed"
    assert [rows[name]["status"] for name in "abcdef"] == ["ok", "ok", "ok", "no_person", "ok", "ok"]
    assert not list((tmp_path / "out").glob("always.*"))


@needs_ray
def test_what_a_worker_cannot_load_is_said(photos, tmp_path, capsys):
    weights = tmp_path / "x.pt"
    weights.write_bytes(b"nothing")
    arguments = [photos, "--out", tmp_path / "out", "--cluster", "auto", "--regressor", f"dsr:{weights}"]
    assert run(cheap_fitter, *arguments) == 2
    assert "A worker cannot begin" in capsys.readouterr().err


def test_without_ray_it_is_said_how_to_get_it(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    assert run(cheap_fitter, photos, "--out", tmp_path / "out", "--cluster", "auto") == 2
    assert "--cluster needs Ray" in capsys.readouterr().err


def test_a_gpu_is_no_cluster(photos, tmp_path, capsys):
    assert run(cheap_fitter, photos, "--out", tmp_path / "out", "--cluster", "auto", "--device", "cuda") == 2
    assert "--device cuda" in capsys.readouterr().err
