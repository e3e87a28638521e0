"""How every command ends: its exit code, and one line on standard error."""

import subprocess
import sys

import pytest
from cheap_bodies import cheap_fitter

from dsr.cli import fit
from dsr.cli.common import run_command, write_line
from dsr.errors import BodyError, TrainingError, UsageError


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("no such flag"), 2, "dsr-x: no such flag\n"),
        (BodyError("no such body"), 2, "dsr-x: no such body\n"),
        (TrainingError("the loss is not finite"), 4, "dsr-x: the loss is not finite\n"),
        (KeyboardInterrupt(), 130, "dsr-x: stopped by hand.\n"),
        (SystemExit(0), 0, ""),
        (SystemExit("text"), 2, ""),
    ],
)
def test_what_ends_a_command_becomes_its_exit_code(error, code, line, capsys):
    def body():
        raise error

    assert run_command("dsr-x", body, interrupted="stopped by hand.") == code
    assert capsys.readouterr() == ("", line)


def test_the_exit_code_of_the_work_is_kept_and_defects_are_not_hidden(capsys):
    assert run_command("dsr-x", lambda: 3) == 3
    assert run_command("dsr-x", lambda: 1 // 0) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said and "test_common.py, line" in said and "defect; please report it" in said


def test_lines_fit_the_encoding_of_the_stream(tmp_path):
    with (tmp_path / "ascii.txt").open("w", encoding="ascii") as stream:
        write_line(stream, "Jürgen läuft")
    assert (tmp_path / "ascii.txt").read_text() == "J\\xfcrgen l\\xe4uft\n"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are another thing there")
@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["{picture}", "--out", "{out}", "--json-log"], 130)])
def test_a_reader_that_goes_away(tmp_path, make_picture, arguments, code):
    """``dsr-fit --help | head`` is fine; a run whose log nobody reads any more was interrupted."""
    picture = make_picture(tmp_path / "a.jpg", 0)
    arguments = [a.format(picture=picture, out=tmp_path / "out") for a in arguments]
    # unbuffered, so that the first write fails and not the last one
    command = [sys.executable, "-u", "-m", "dsr.cli.fit", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait() == code, said
    assert "Traceback" not in said and "BrokenPipe" not in said


def test_all_failed_some_failed_and_usage(tmp_path, make_picture, capsys):
    good, bad = make_picture(tmp_path / "a.jpg"), tmp_path / "b.jpg"
    bad.write_bytes(b"")
    codes = [
        fit.main([*map(str, inputs), "--out", str(tmp_path / "out"), "--quiet"], cheap_fitter)
        for inputs in ([good], [good, bad], [bad], [tmp_path / "nowhere.jpg"])
    ]
    assert codes == [0, 3, 4, 2]


@pytest.mark.skipif(sys.platform == "win32", reason="a shell that closes streams")
def test_closed_standard_streams_lead_nowhere(tmp_path):
    """Whoever starts a run with all three closed gets its files, and no file has a standard stream's number."""
    script = (
        "import sys; from dsr.cli.common import run_command, write_line\n"
        "def body():\n"
        f"    with open({str(tmp_path / 'made')!r}, 'w') as file:\n"
        "        file.write(str(file.fileno()))\n"
        "    write_line(sys.stdout, 'lost'); write_line(sys.stderr, 'lost'); return len(sys.stdin.read())\n"
        "sys.exit(run_command('x', body))"
    )
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", script]
    assert subprocess.run(command, check=False).returncode == 0
    assert int((tmp_path / "made").read_text()) > 2


@pytest.mark.skipif(sys.platform == "win32", reason="a folder that somebody is in cannot be removed there")
def test_a_working_folder_that_was_removed_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run_command("dsr-x", lambda: 0) == 2
    assert "dsr-x: the folder you are in has been removed" in capsys.readouterr().err
