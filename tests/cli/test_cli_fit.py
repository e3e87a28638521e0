"""dsr-fit as its users run it: files, names, reports, exit codes; reading and writing are real, bodies are cheap."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from cheap_bodies import cheap_fitter, fit_cheaply
from PIL import Image

import dsr
from dsr.cli.fit import main
from dsr.pipeline.picture_fitter import Fitter


def run(*arguments) -> int:
    return main([str(a) for a in arguments], cheap_fitter)


def rows(out: Path) -> dict[str, dict]:
    """Rows of the report by file name of the input; both files must agree."""
    document = json.loads((out / "report.json").read_text())
    with (out / "report.csv").open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [(r["input"], r["status"], str(r["people"])) for r in document["rows"]] == [
        (r["input"], r["status"], r["people"]) for r in table
    ]
    return {Path(r["input"]).name: r for r in document["rows"]}


def files(out: Path) -> set[str]:
    return {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}


@pytest.fixture
def folder(tmp_path, make_picture):
    """One person in a.jpg, two in b.png, nobody in c.jpg."""
    for name, people in (("a.jpg", 1), ("b.png", 2), ("c.jpg", 0)):
        make_picture(tmp_path / "in" / name, people)
    return tmp_path / "in"


def test_a_folder_becomes_meshes_results_and_a_report(folder, tmp_path):
    out = tmp_path / "deep" / "out"
    assert run(folder, "--out", out, "--overlay", "--side-view", "--skeleton", "--format", "obj,ply,glb,npz") == 0
    meshes = {f"{p}.{kind}" for p in ("a.p0", "b.p0", "b.p1") for kind in ("obj", "mtl", "ply", "glb")}
    pictures = {f"{stem}.{kind}.jpg" for stem in "ab" for kind in ("overlay", "side", "skeleton")}
    results = {f"{stem}.{kind}" for stem in "abc" for kind in ("json", "npz")}
    body = {dsr.load_result(out / "a.json").body["file"]}
    assert files(out) == meshes | pictures | results | body | {"report.csv", "report.json"}
    table = rows(out)
    assert [(r["status"], r["people"]) for r in table.values()] == [("ok", 1), ("ok", 2), ("no_person", 0)]
    a = table["a.jpg"]
    assert set(a["outputs"]) == {f for f in files(out) if f.startswith("a.")}
    assert a["focal_source"] == "default" and a["reprojection_px"] == 2.0 and a["reprojection_percent"] == 1.0
    assert a["seconds"] >= 0 and not a["earlier"]


def test_the_body_is_copied_once_and_every_result_points_to_it(folder, tmp_path, make_picture):
    from dsr.body import load_asset

    make_picture(folder / "x" / "y" / "d.jpg")
    out = tmp_path / "out"
    assert run(folder, "--out", out, "--recursive") == 0
    for name in ("a", "x/y/d"):
        body = dsr.load_result(out / f"{name}.json").body
        copied = (out / name).parent / body["file"]
        assert load_asset(copied).sha256 == body["sha256"] == load_asset("open").sha256
    assert len(list(out.rglob("*.npz"))) == 4 + 1


def test_the_command_and_the_function_agree(folder, tmp_path):
    assert run(folder, "--out", tmp_path / "out", "--fov", "60") == 0
    for result in fit_cheaply(folder, dsr.FitOptions(fov=60.0)):
        saved = dsr.load_result(tmp_path / "out" / f"{Path(result.input_path).stem}.npz")
        assert (saved.status, saved.focal_source, saved.image_size) == (result.status, "flag", result.image_size)
        np.testing.assert_array_equal(saved.K, result.K)
        for p, q in zip(saved.people, result.people, strict=True):
            np.testing.assert_array_equal(p.vertices_cam_m, q.vertices_cam_m)


def test_turned_pictures_get_an_upright_copy(tmp_path, make_picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    make_picture(tmp_path / "in" / "turned.jpg", exif=exif, size=(200, 100))
    assert run(tmp_path / "in", "--out", tmp_path / "out") == 0
    result = dsr.load_result(tmp_path / "out" / "turned.json")
    assert result.image_size == (100, 200) and result.upright_differs
    with Image.open(tmp_path / "out" / result.upright_file) as picture:
        assert result.upright_file == "turned.upright.jpg" and picture.size == (100, 200)


def test_bad_files_are_rows_and_the_rest_is_done(folder, tmp_path, make_picture, capsys):
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("this is no picture")
    make_picture(folder / "whole.jpg", size=(600, 400))
    (folder / "cut.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:700])
    make_picture(folder / "dot.png", size=(1, 1))
    out = tmp_path / "out"
    assert run(folder, "--out", out) == 3
    table = rows(out)
    assert {n: r["status"] for n, r in table.items()} == {
        "a.jpg": "ok",
        "b.png": "ok",
        "c.jpg": "no_person",
        "whole.jpg": "ok",
        "cut.jpg": "unreadable",
        "dot.png": "too_small",
        "empty.jpg": "unreadable",
        "text.jpg": "unreadable",
    }
    for name in ("cut.jpg", "dot.png", "empty.jpg", "text.jpg"):
        assert name in table[name]["message"] and table[name]["outputs"] == []
    assert not any(f.startswith(("cut", "dot", "empty", "text")) for f in files(out))
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err and "empty.jpg: unreadable" in shown.out


def test_all_bad_is_another_exit_code(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    assert run(tmp_path / "a.jpg", "--out", tmp_path / "out") == 4
    assert rows(tmp_path / "out")["a.jpg"]["status"] == "unreadable"


def test_a_panorama_of_20000_pixels_is_fitted_in_its_own_pixels(tmp_path, make_picture):
    make_picture(tmp_path / "wide.jpg", size=(20000, 400))
    assert run(tmp_path / "wide.jpg", "--out", tmp_path / "out", "--overlay") == 0
    result = dsr.load_result(tmp_path / "out" / "wide.json")
    assert result.image_size == (20000, 400) and len(result.people) == 1
    assert (tmp_path / "out" / "wide.overlay.jpg").is_file()


def test_an_unreadable_folder_is_a_row(folder, tmp_path, monkeypatch, capsys):
    real = os.scandir

    def scandir(path="."):
        if Path(path).name == "locked":  # chmod does not stop root
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    (folder / "locked").mkdir()
    monkeypatch.setattr(os, "scandir", scandir)
    assert run(folder, folder / "locked", "--out", tmp_path / "out") == 3
    row = rows(tmp_path / "out")["locked"]
    assert row["status"] == "unreadable" and "Permission denied" in row["message"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not stop root")
def test_a_folder_without_permission_is_a_row(folder, tmp_path):
    (folder / "locked").mkdir(mode=0)
    assert run(folder, folder / "locked", "--out", tmp_path / "out") == 3
    assert rows(tmp_path / "out")["locked"]["status"] == "unreadable"


@pytest.mark.parametrize(
    ("out", "reason"), [("file", "in the way"), ("file/below", "in the way"), ("link", "a link to a folder that")]
)
def test_an_output_folder_that_cannot_be_made_is_a_usage_error(folder, tmp_path, capsys, out, reason):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "deeper")
    assert run(folder, "--out", tmp_path / out) == 2
    said = capsys.readouterr().err
    assert "output folder" in said and str(tmp_path / out) in said and reason in said and "Traceback" not in said
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_full_disk_fails_the_picture_and_leaves_no_pieces(folder, tmp_path, monkeypatch):
    real = os.replace

    def replace(source, target):
        if Path(target).name.startswith("a."):
            raise OSError(28, "No space left on device")
        return real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    assert run(folder, "--out", tmp_path / "out") == 3
    table = rows(tmp_path / "out")
    assert table["a.jpg"]["status"] == "failed" and "no space left" in table["a.jpg"]["message"]
    assert table["b.png"]["status"] == "ok"
    assert not any(f.startswith("a.") or ".part" in f for f in files(tmp_path / "out"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["in", "--out", "o", "--nonsense"], "nonsense"),
        (["in"], "out"),
        (["--out", "o"], "at least one picture"),
        (["missing.jpg", "--out", "o"], "No such file or folder: missing.jpg"),
        (["in/*.gif", "--out", "o"], "No file matches"),
        (["empty", "--out", "o"], "No picture found in the folder empty"),
        (["in", "--out", "o", "--format", "glb,stl"], "unknown stl"),
        (["in", "--out", "o", "--refine", "magic"], "--refine"),
        (["in", "--out", "o", "--regressor", "perspose"], "--regressor 'perspose': use default, or dsr:CHECKPOINT"),
        (["in", "--out", "o", "--body", "nowhere.npz"], "nowhere.npz"),
        (["in", "--out", "o", "--lifter", "foo"], "--lifter foo: use shipped, none, or the file"),
        (["in", "--out", "o", "--limit", "0"], "--limit 0"),
        (["in", "--out", "o", "--jobs", "-2"], "--jobs -2"),
        (["in", "--out", "o", "--focal", "500", "--fov", "60"], "only one of"),
    ],
)
def test_usage_errors_say_what_is_wrong_and_write_nothing(folder, tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(arguments, cheap_fitter) == 2
    said = re.sub(r"\s+", " ", capsys.readouterr().err.replace("│", " "))
    assert sentence in said and "Traceback" not in said
    assert not (tmp_path / "o").exists()


def test_videos_and_raw_files_that_are_left_out_are_told(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first = min((tmp_path / "in").glob("*.*"))
    for name in ("walk.mp4", "lone.NEF", f"{first.stem}.CR2"):  # the last one was developed
        (tmp_path / "in" / name).touch()
    assert main(["in", "--out", "o"], cheap_fitter) in (0, 3)
    said = capsys.readouterr().err
    assert "1 video lies among the pictures and is left out" in said and "walk.mp4" in said
    assert "1 camera raw file lies among the pictures and is left out" in said and "lone.NEF" in said
    assert main(["in", "--out", "o", "--quiet"], cheap_fitter) in (0, 3) and "left out" not in capsys.readouterr().err


def test_help_and_licences_are_no_errors(capsys):
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert "[OPTIONS] INPUT..." in told and "(default: )" not in told
    for flag in (
        "--out",
        "--format",
        "--overlay",
        "--side-view",
        "--frame",
        "--recursive",
        "--person",
        "--min-score",
        "--keypoints",
        "--boxes",
        "--focal",
        "--focal35",
        "--fov",
        "--height",
        "--body",
        "--regressor",
        "--refine",
        "--quality",
        "--clothing",
        "--device",
        "--jobs",
        "--seed",
        "--overwrite",
        "--limit",
        "--fail-fast",
        "--dry-run",
        "--quiet",
        "--json-log",
        "--list-licences",
    ):
        assert flag in told, flag
    assert main(["--list-licences"]) == 0
    told = capsys.readouterr().out
    assert "BlazePose" in told and "Apache-2.0" in told and "CC0" in told


def test_finished_pictures_are_skipped_and_keep_their_rows(folder, tmp_path, make_picture, monkeypatch, capsys):
    out = tmp_path / "out"
    (folder / "bad.jpg").write_bytes(b"")
    assert run(folder, "--out", out) == 3
    first = rows(out)
    done = []
    fit = Fitter.fit
    monkeypatch.setattr(Fitter, "fit", lambda self, path: (done.append(Path(path).name), fit(self, path))[1])

    make_picture(folder / "bad.jpg", 1)  # mended
    assert run(folder, "--out", out) == 0
    assert done == ["bad.jpg"]
    second = rows(out)
    assert {**first["a.jpg"], "earlier": True} == second["a.jpg"] and second["bad.jpg"]["status"] == "ok"

    (out / "report.json").unlink()  # rows come back from the results themselves
    done.clear()
    assert run(folder, "--out", out) == 0 and done == []
    third = rows(out)["b.png"]
    assert (third["status"], third["people"], third["outputs"]) == ("ok", 2, first["b.png"]["outputs"])

    capsys.readouterr()
    assert run(folder, "--out", out, "--overwrite") == 0
    assert sorted(done) == ["a.jpg", "b.png", "bad.jpg", "c.jpg"]


def test_what_changed_is_done_again(folder, tmp_path, make_picture, monkeypatch):
    out = tmp_path / "out"
    assert run(folder, "--out", out) == 0
    done = []
    fit = Fitter.fit
    monkeypatch.setattr(Fitter, "fit", lambda self, path: (done.append(Path(path).name), fit(self, path))[1])

    def redone(*arguments):
        done.clear()
        assert run(folder, "--out", out, *arguments) == 0
        return sorted(done)

    assert redone() == []
    os.utime(folder / "a.jpg")  # another time, the same bytes
    assert redone() == []
    make_picture(folder / "a.jpg", 2)
    assert redone() == ["a.jpg"]
    (out / "b.p1.glb").unlink()
    assert redone() == ["b.png"]
    (out / "b.json").write_text("{")
    assert redone() == ["b.png"]
    (folder / "a.camera.json").write_text('{"K": [[300, 0, 50], [0, 300, 60], [0, 0, 1]]}')
    assert redone() == ["a.jpg"] and redone() == []
    a = dsr.load_result(out / "a.json")
    assert a.focal_source == "sidecar" and a.K.tolist() == [[300, 0, 50], [0, 300, 60], [0, 0, 1]]
    assert redone("--focal", "500") == ["a.jpg", "b.png", "c.jpg"]
    assert redone("--focal", "500") == []
    assert redone("--focal", "500", "--overlay") == ["a.jpg", "b.png", "c.jpg"]


def test_one_stem_twice_never_overwrites(tmp_path, make_picture):
    for name, people in (("a.jpg", 1), ("a.png", 2), ("sub/a.jpg", 3)):
        make_picture(tmp_path / "in" / name, people)
    out = tmp_path / "out"
    assert run(tmp_path / "in", "--recursive", "--out", out) == 0
    assert {"a.jpg.p0.glb", "a.png.p1.glb", "sub/a.p2.glb"} <= files(out)
    assert len(dsr.load_result(out / "a.jpg.json").people) == 1 and len(dsr.load_result(out / "a.png.json").people) == 2

    flat = tmp_path / "flat"
    assert run(tmp_path / "in" / "a.jpg", tmp_path / "in" / "sub" / "a.jpg", "--out", flat) == 0
    assert len(dsr.load_result(flat / "in" / "a.jpg.json").people) == 1
    assert len(dsr.load_result(flat / "sub" / "a.jpg.json").people) == 3


def test_a_later_run_does_not_overwrite_an_earlier_picture_of_the_same_stem(tmp_path, make_picture):
    out = tmp_path / "out"
    first, second = make_picture(tmp_path / "x" / "a.jpg", 1), make_picture(tmp_path / "y" / "a.png", 2)
    assert run(first, "--out", out) == 0
    assert run(second, "--out", out) == 0
    assert len(dsr.load_result(out / "a.json").people) == 1 and len(dsr.load_result(out / "a.png.json").people) == 2
    assert {n: r["earlier"] for n, r in rows(out).items()} == {"a.jpg": True, "a.png": False}


def test_results_inside_the_input_folder_are_not_fitted(folder):
    assert run(folder, "--out", folder, "--overlay", "--side-view") == 0
    before = files(folder)
    assert run(folder, "--out", folder, "--overlay", "--side-view", "--recursive") == 0
    assert files(folder) == before and len(rows(folder)) == 3


def test_odd_names_work_from_end_to_end(tmp_path, make_picture):
    names = ["Ünï cödé 走.JPG", "with space.PNG", "report.jpg", "w" * 240 + ".jpg", "DSR_OPEN.jpg", "x.p0.jpg"]
    for name in names:
        make_picture(tmp_path / "in" / name)
    make_picture(tmp_path / "in" / ".hidden.jpg")
    out = tmp_path / "out"
    assert run(tmp_path / "in", "--out", out) == 0
    table = rows(out)
    assert set(table) == set(names) and all((out / f).is_file() for r in table.values() for f in r["outputs"])
    assert {"Ünï cödé 走.p0.glb", "with space.p0.glb", "report.jpg.p0.glb", "x.p0.p0.glb"} <= files(out)
    assert len({f for r in table.values() for f in r["outputs"]}) == 3 * len(names)
    assert json.loads((out / "report.json").read_text())["schema"] == "dsr.report"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these file systems refuse such names")
def test_names_that_are_no_text_work_too(tmp_path, make_picture):
    make_picture(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / "bad\udcff.jpg")
    assert run(tmp_path, "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / "bad_.p0.glb").is_file() and (tmp_path / "out" / "report.csv").is_file()


def test_dry_run_lists_and_writes_nothing(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(folder, "--out", out, "--dry-run") == 0
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 3 and all(line.startswith("fit") for line in told) and not out.exists()
    assert run(folder / "a.jpg", "--out", out) == 0
    before = {p: p.stat().st_mtime_ns for p in out.iterdir()}
    capsys.readouterr()
    assert run(folder, "--out", out, "--dry-run") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["skip", "fit", "fit"]
    assert {p: p.stat().st_mtime_ns for p in out.iterdir()} == before


def test_dry_run_opens_the_landmark_file(folder, tmp_path, capsys):
    (tmp_path / "heavy.task").write_bytes(b"no model")
    assert run(folder, "--out", tmp_path / "out", "--dry-run", "--landmarks", tmp_path / "heavy.task") != 0
    assert "heavy.task" in capsys.readouterr().err


def test_limit_takes_the_first_and_the_rest_comes_later(folder, tmp_path):
    out = tmp_path / "out"
    assert run(folder, "--out", out, "--limit", "1") == 0
    assert list(rows(out)) == ["a.jpg"]
    assert run(folder, "--out", out) == 0
    assert [r["earlier"] for r in rows(out).values()] == [True, False, False]


def test_fail_fast_stops_at_the_first_failure(tmp_path, make_picture):
    make_picture(tmp_path / "in" / "a.jpg")
    (tmp_path / "in" / "b.jpg").write_bytes(b"")
    for i in range(20):
        make_picture(tmp_path / "in" / f"c{i:02}.jpg")
    assert run(tmp_path / "in", "--out", tmp_path / "out", "--fail-fast", "--jobs", "1") == 3
    table = rows(tmp_path / "out")
    assert list(table)[:2] == ["a.jpg", "b.jpg"] and len(table) < 12


def test_json_log_is_one_object_per_line_and_nothing_else(folder, tmp_path, capsys):
    (folder / "bad.jpg").write_bytes(b"")
    assert run(folder, "--out", tmp_path / "out", "--json-log") == 3
    shown = capsys.readouterr()
    events = [json.loads(line) for line in shown.out.splitlines()]
    assert [e["event"] for e in events] == ["start", *["result"] * 4, "end"]
    assert [(Path(e["input"]).name, e["status"]) for e in events[1:-1]] == [
        ("a.jpg", "ok"),
        ("b.png", "ok"),
        ("bad.jpg", "unreadable"),
        ("c.jpg", "no_person"),
    ]
    assert events[0]["total"] == 4
    assert (events[-1]["exit_code"], events[-1]["failed"], events[-1]["people"]) == (3, 1, 3)
    assert "a.jpg" in shown.err
    assert run(folder, "--out", tmp_path / "out", "--json-log") == 3
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(e["status"] for e in events if e["event"] == "result") == ["skipped"] * 3 + ["unreadable"]


def test_quiet_says_only_what_failed(folder, tmp_path, capsys):
    assert run(folder, "--out", tmp_path / "out", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    (folder / "bad.jpg").write_bytes(b"")
    assert run(folder, "--out", tmp_path / "out", "--quiet") == 3
    shown = capsys.readouterr()
    assert shown.out == "" and "bad.jpg" in shown.err and "a.jpg" not in shown.err


def test_interrupting_keeps_what_is_finished(folder, tmp_path, make_picture, monkeypatch, capsys):
    for i in range(10):
        make_picture(folder / f"d{i}.jpg")
    fit = Fitter.fit

    def interrupted(self, path):
        if Path(path).name == "d2.jpg":
            raise KeyboardInterrupt
        return fit(self, path)

    monkeypatch.setattr(Fitter, "fit", interrupted)
    out = tmp_path / "out"
    assert run(folder, "--out", out, "--jobs", "2") == 130
    table = rows(out)
    assert json.loads((out / "report.json").read_text())["interrupted"] is True
    assert {"a.jpg", "b.png", "c.jpg", "d0.jpg", "d1.jpg"} <= set(table) and "d9.jpg" not in table
    assert all((out / f).is_file() for r in table.values() for f in r["outputs"])
    assert not [f for f in files(out) if ".part" in f]
    monkeypatch.setattr(Fitter, "fit", fit)
    assert run(folder, "--out", out) == 0
    assert len(rows(out)) == 13 and json.loads((out / "report.json").read_text())["interrupted"] is False


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
@pytest.mark.parametrize("kind", ["SIGINT", "SIGTERM"])
def test_control_c_and_termination(folder, tmp_path, make_picture, kind):
    for i in range(30):
        make_picture(folder / f"d{i:02}.jpg")
    out = tmp_path / "out"
    code = (
        "import sys, time\nfrom dsr.cli.fit import main\nfrom dsr.pipeline.picture_fitter import Fitter\n"
        "fit = Fitter.fit\n"
        "Fitter.fit = lambda self, path: (time.sleep(0.3), fit(self, path))[1]\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code, str(folder), "--out", str(out), "--json-log", "--jobs", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    for line in process.stdout:
        if '"result"' in line:
            process.send_signal(getattr(signal, kind))
            break
    _, said = process.communicate()
    watchdog.cancel()
    assert process.returncode == 130, said
    assert "Traceback" not in said, said
    table = rows(out)
    assert 1 <= len(table) < 33
    assert all((out / f).is_file() for r in table.values() for f in r["outputs"])


def test_the_arrays_are_the_same_for_any_number_of_jobs(folder, tmp_path, make_picture):
    for i in range(6):
        make_picture(folder / f"d{i}.jpg", 1 + i % 3, size=(90 + i, 120))
    for jobs in (1, 2, 5):
        assert run(folder, "--out", tmp_path / str(jobs), "--jobs", jobs) == 0
    for path in (tmp_path / "1").glob("*.npz"):
        for other in ("2", "5"):
            assert path.read_bytes() == (tmp_path / other / path.name).read_bytes(), path.name
    assert list(rows(tmp_path / "1")) == list(rows(tmp_path / "5"))


def test_a_new_fit_leaves_nothing_of_the_old_one(folder, tmp_path, make_picture):
    out = tmp_path / "out"
    assert run(folder, "--out", out, "--format", "glb,obj", "--overlay") == 0
    (out / "b.p7.glb").write_text("somebody else's")
    assert run(folder / "b.png", "--out", out, "--person", "0") == 0
    mine = {f for f in files(out) if f.startswith("b.")}
    assert mine == {*rows(out)["b.png"]["outputs"], "b.p7.glb"} and not mine & {"b.p1.glb", "b.p0.obj", "b.overlay.jpg"}
    assert {"a.p0.obj", "a.overlay.jpg"} <= files(out)


def test_files_of_another_run_are_removed_and_named(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(folder, "--out", out, "--format", "glb,ply", "--overlay") == 0
    assert "removed" not in capsys.readouterr().out and not any("removed" in w for w in rows(out)["a.jpg"]["warnings"])
    stale = {name for name in files(out) if name.endswith((".ply", ".overlay.jpg"))}
    assert run(folder, "--out", out) == 0
    assert f"{len(stale)} files of an earlier run removed" in capsys.readouterr().out
    assert stale and not stale & files(out)
    warnings = " ".join(" ".join(row["warnings"]) for row in rows(out).values())
    assert all(name in warnings for name in stale)


def test_files_outside_the_result_are_never_deleted(folder, tmp_path):
    out = tmp_path / "out"
    assert run(folder, "--out", out) == 0
    (tmp_path / "b.keep").write_text("")
    document = json.loads((out / "b.json").read_text())
    document["run"]["outputs"] += ["../b.keep", "a.p0.glb", str(tmp_path / "b.keep")]
    (out / "b.json").write_text(json.dumps(document))
    assert run(folder, "--out", out, "--overwrite") == 0
    assert (tmp_path / "b.keep").exists() and (out / "a.p0.glb").exists()


def test_a_picture_that_turns_bad_loses_its_old_results(folder, tmp_path):
    out = tmp_path / "out"
    assert run(folder, "--out", out, "--overlay") == 0
    (folder / "b.png").write_bytes(b"")
    assert run(folder, "--out", out, "--overlay") == 3
    row = rows(out)["b.png"]
    assert row["status"] == "unreadable" and "earlier run were removed" in row["message"]
    assert not [f for f in files(out) if f.startswith("b.")] and "a.p0.glb" in files(out)


def test_inputs_may_stand_anywhere(folder, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    out = tmp_path / "out"
    assert run(folder / "a.jpg", "--out", out, "--fail-fast", folder / "b.png", "--jobs", "1", folder / "c.jpg") == 0
    assert list(rows(out)) == ["a.jpg", "b.png", "c.jpg"]
    assert run("--out", tmp_path / "o2", "--format=ply", "--side_view", folder / "a.jpg", "--person", "all") == 0
    assert {"a.p0.ply", "a.side.jpg"} <= files(tmp_path / "o2") and list(rows(tmp_path / "o2")) == ["a.jpg"]
    assert signal.getsignal(signal.SIGTERM) is before
