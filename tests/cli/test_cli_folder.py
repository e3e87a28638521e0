"""dsr-fit and its output folder: what counts as finished, two runs at once, folders that go away, system errors."""

import json
import multiprocessing
import shutil
from pathlib import Path

import pytest
from cheap_bodies import cheap_fitter

from dsr.cli.common import run_command
from dsr.cli.fit import main
from dsr.errors import UsageError
from dsr.files import file_sha256
from dsr.pipeline.folder_lock import only_run_in
from dsr.pipeline.output_folder import OutputFolder
from dsr.pipeline.picture_fitter import Fitter


def run(*arguments) -> int:
    return main([str(a) for a in arguments], cheap_fitter)


def rows(out: Path) -> dict[str, dict]:
    return {Path(row["input"]).name: row for row in json.loads((out / "report.json").read_text())["rows"]}


@pytest.fixture
def folder(tmp_path, make_picture):
    for name in ("a.jpg", "b.jpg"):
        make_picture(tmp_path / "in" / name, 1)
    return tmp_path / "in"


@pytest.fixture
def fitted(monkeypatch):
    """Names of the pictures that are fitted, as they are."""
    names = []
    fit = Fitter.fit
    monkeypatch.setattr(Fitter, "fit", lambda self, path: (names.append(Path(path).name), fit(self, path))[1])
    return names


@pytest.mark.parametrize("report", ["kept", "lost"])
@pytest.mark.parametrize("damage", ["npz cut short", "npz changed", "mesh changed", "mesh gone", "older npz damaged"])
def test_finished_means_whole_by_size_and_hash(folder, tmp_path, fitted, damage, report):
    out = tmp_path / "out"
    assert run(folder, "--out", out) == 0
    before = file_sha256(out / "a.npz")
    file = out / ("a.p0.glb" if "mesh" in damage else "a.npz")
    data = bytearray(file.read_bytes())
    if damage == "mesh gone":
        file.unlink()
    elif "cut short" in damage:
        file.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 255
        file.write_bytes(data)
    if damage.startswith("older"):  # of a release that wrote down no sizes and hashes
        document = json.loads((out / "a.json").read_text())
        assert [file["name"] for file in document["run"].pop("files")] == ["a.p0.glb", "a.npz"]
        (out / "a.json").write_text(json.dumps(document))
        file.write_bytes(b"no archive")
    if report == "lost":
        (out / "report.json").unlink()
    fitted.clear()
    assert run(folder, "--out", out) == 0
    assert fitted == ["a.jpg"] and file_sha256(out / "a.npz") == before
    table = rows(out)
    assert table["a.jpg"]["status"] == "ok" and not table["a.jpg"]["earlier"] and table["b.jpg"]["earlier"]


def test_a_result_that_cannot_be_told_of_is_made_again(folder, tmp_path, fitted):
    out = tmp_path / "out"
    assert run(folder, "--out", out) == 0
    document = json.loads((out / "a.json").read_text())
    del document["people"]
    (out / "a.json").write_text(json.dumps(document))
    (out / "b.json").write_text("[" * 100_000)
    (out / "report.json").unlink()
    fitted.clear()
    assert run(folder, "--out", out) == 0
    assert sorted(fitted) == ["a.jpg", "b.jpg"]


def test_a_failure_half_way_leaves_no_piece_of_a_result(folder, tmp_path, monkeypatch):
    import dsr.pipeline.output_folder as module

    real = module.save_result

    def save(result, json_path, run):
        if json_path.name == "a.json":
            raise OSError(28, "No space left on device", str(json_path))
        return real(result, json_path, run)

    monkeypatch.setattr(module, "save_result", save)
    assert run(folder, "--out", tmp_path / "out", "--overlay") == 3
    assert not [p.name for p in (tmp_path / "out").iterdir() if p.name.startswith(("a.", "."))]
    row = rows(tmp_path / "out")["a.jpg"]
    assert "No space left on device" in row["message"] and "defect" not in row["message"]


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path, make_picture):
    make_picture(tmp_path / "in" / "sub" / "a.jpg", 1)
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    for name in (".0123456789ab.part.glb", "sub/.0123456789ab.part.npz", "sub/.0123456789ab.part.blender.fbx"):
        (out / name).write_bytes(b"half")
    (out / ".0123.part.glb").write_bytes(b"the user's own")
    assert run(tmp_path / "in", "--recursive", "--out", out) == 0
    left = [p.relative_to(out).as_posix() for p in out.rglob(".*")]
    assert left == [".0123.part.glb"] and (out / "sub" / "a.json").is_file()


def _hold(folder, ready, done):
    with only_run_in(folder):
        ready.set()
        done.wait(60)


def test_a_second_run_into_one_folder_is_refused_while_the_first_is_at_work(folder, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(out, ready, done))
    other.start()
    try:
        assert ready.wait(60)
        assert run(folder, "--out", out) == 2
        assert "Another run of dsr-fit writes into" in capsys.readouterr().err
        assert list(out.iterdir()) == []
    finally:
        done.set()
        other.join()
    assert run(folder, "--out", out) == 0
    assert not [p.name for p in out.iterdir() if p.name.startswith(".")]


def test_a_lock_ends_with_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), only_run_in(tmp_path):
        with pytest.raises(UsageError, match="Another run"), only_run_in(tmp_path):
            pass
        raise ZeroDivisionError
    with only_run_in(tmp_path):
        pass


def test_an_output_folder_that_goes_away_is_told(folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    write = OutputFolder.write

    def remove_then_write(self, *arguments):
        shutil.rmtree(out, ignore_errors=True)
        return write(self, *arguments)

    monkeypatch.setattr(OutputFolder, "write", remove_then_write)
    assert run(folder, "--out", out, "--jobs", 1) == 4
    said = capsys.readouterr()
    assert "was removed or emptied while results were written" in said.out + said.err
    assert "Traceback" not in said.err and not out.exists()


@pytest.mark.parametrize("arguments", [("--out", ""), ("--out=",), ("--out", " ")])
def test_an_empty_out_is_refused(folder, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert run(folder, *arguments) == 2
    assert "--out is empty" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(24, "Too many open files", "x.npz"), "x.npz: Too many open files."),
        (MemoryError(), "memory is too small"),
        (ZeroDivisionError("division by zero"), "unexpected ZeroDivisionError: division by zero ("),
    ],
)
def test_any_error_is_a_sentence_and_an_exit_code(capsys, error, says):
    def fail():
        raise error

    assert run_command("dsr-fit", fail) == 1
    said = capsys.readouterr().err
    assert said.startswith("dsr-fit: ") and says in said and "Traceback" not in said
