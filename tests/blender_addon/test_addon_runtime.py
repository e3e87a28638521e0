"""The private environment: its commands, progress, cancel, failures, what counts as installed, removal."""

from __future__ import annotations

import sys
import time
import zipfile

import pytest
from dsr_fit_body.core import runtime
from dsr_fit_body.core.messages import FitBodyError, sentence
from test_addon_build import command


def python_step(code: str, share: float = 0.5) -> runtime.Step:
    return runtime.Step(sentence("installing packages"), [sys.executable, "-u", "-c", code], share)


def files(folder):
    for name in ("dsr_fit-0.1.0-py3-none-any.whl", "pip-26.3-py3-none-any.whl", "constraints.txt"):
        (folder / name).write_text("")
    return runtime.carried(folder)


def finished(installation):
    installation.start()
    installation.wait(60)
    assert installation.finished
    return installation


def test_the_commands_use_what_the_zip_carries(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    carried = files(tmp_path)
    steps = runtime.installation_steps("/usr/bin/python3", tmp_path / "own", carried, {})
    text = runtime.command_text(steps)
    assert steps[0].command[:5] == ["/usr/bin/python3", "-I", "-m", "venv", "--without-pip"]
    assert f'"{carried.wheel}[video,heic]"' in text and str(carried.pip / "pip") in text
    assert f"-c {carried.constraints}" in text and runtime.CPU_WHEELS in text and "--resume-retries" in text
    assert abs(sum(step.share for step in steps) - 1) < 1e-9
    mirror = runtime.installation_steps("python3", tmp_path, carried, {"PIP_INDEX_URL": "https://mirror"})
    assert runtime.CPU_WHEELS not in runtime.command_text(mirror)  # pip's own configuration counts
    monkeypatch.setattr(sys, "platform", "darwin")
    assert runtime.CPU_WHEELS not in runtime.command_text(runtime.installation_steps("p", tmp_path, carried, {}))


def test_a_zip_without_a_runtime_carries_nothing(tmp_path):
    assert runtime.carried(tmp_path) is None
    assert files(tmp_path).wheel.name.startswith("dsr_fit")


def test_a_python_is_found_by_what_it_is(tmp_path):
    assert runtime.python_version(sys.executable) == sys.version_info[:2]
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho 3 9\n")
    old.chmod(0o755)
    assert runtime.base_python(iter([str(tmp_path / "none"), str(old)])) == ""
    assert runtime.base_python(iter([str(old), sys.executable])) == sys.executable


def test_progress_and_the_end(tmp_path):
    lines = "".join(f"print('Collecting package{k}>=1'); " for k in range(9))
    slow = "import time; " + lines + "time.sleep(1); print('Installing collected packages: a, b')"
    installation = runtime.Installation([python_step(slow), python_step("pass")], tmp_path)
    installation.start()
    seen = []
    while not installation.finished:
        seen.append((installation.fraction, str(installation.activity)))
        time.sleep(0.02)
    assert installation.message is None and installation.fraction == 1.0
    assert seen == sorted(seen, key=lambda entry: entry[0]) and any("package8" in text for _, text in seen)
    assert runtime.installed(tmp_path) == ""  # there is no Python in it
    python = runtime.environment_python(tmp_path)
    python.parent.mkdir(parents=True)
    python.write_text("")
    assert runtime.installed(tmp_path) == str(python)
    runtime.remove(tmp_path)
    assert runtime.installed(tmp_path) == "" and not python.exists()


def test_a_failure_says_why_and_can_be_taken_up_again(tmp_path):
    broken = "print('Collecting torch'); print('ERROR: Could not find a version of torch'); raise SystemExit(1)"
    installation = finished(runtime.Installation([python_step(broken), python_step("1/0")], tmp_path))
    assert "Could not find a version of torch" in installation.message.text and installation.message.fix == "INSTALL"
    assert not (tmp_path / "installed.json").exists()
    assert finished(runtime.Installation([python_step("pass")], tmp_path)).message is None


@pytest.mark.parametrize(
    "told",
    [
        "error: incomplete-download",
        "note: This is an issue with network connectivity, not pip.",
        "WARNING: Retrying after connection broken by 'NewConnectionError(...: [Errno -2] Name or service not known')'",
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'RemoteDisconnected(...)': /simple/torch/\n"
        "ERROR: ResolutionImpossible: for help visit https://pip.pypa.io",  # what pip makes of it
    ],
)
def test_a_connection_that_was_cut_is_called_so(tmp_path, told, monkeypatch):
    monkeypatch.setattr(runtime, "NETWORK_PAUSES_S", (0.0,))
    broken = f"print('Collecting torch'); print({told!r}); print('hint: a hint'); raise SystemExit(1)"
    installation = finished(runtime.Installation([python_step(broken)], tmp_path))
    assert "the connection was lost (downloading torch); what was downloaded is kept" in installation.message.text
    assert installation.message.fix == "INSTALL"


def test_an_outage_that_was_over_is_not_to_blame(tmp_path):
    code = (
        "print('Retrying (Retry(total=5)) after connection broken by x'); print('Collecting numpy');"
        "print('ERROR: no such thing'); raise SystemExit(1)"
    )
    installation = finished(runtime.Installation([python_step(code)], tmp_path))
    assert "no such thing" in installation.message.text


def test_an_outage_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "NETWORK_PAUSES_S", (0.3, 0.3, 600.0))
    tries = tmp_path / "tries"
    code = f"""if True:
        import pathlib
        path = pathlib.Path({str(tries)!r})
        before = path.read_text() if path.exists() else ""
        path.write_text(before + "x")
        print("Collecting torch")
        if len(before) < 2:
            raise SystemExit("network connectivity")"""
    installation = runtime.Installation([python_step(code)], tmp_path)
    installation.start()
    seen = set()
    while not installation.finished:
        seen.add(str(installation.activity))
        time.sleep(0.01)
    assert installation.message is None and tries.read_text() == "xxx" and "waiting for the network" in seen
    tries.unlink()
    monkeypatch.setattr(runtime, "NETWORK_PAUSES_S", (600.0,))
    installation = runtime.Installation([python_step(code)], tmp_path)
    installation.start()
    while str(installation.activity) != "waiting for the network":
        time.sleep(0.01)
    installation.cancel()
    installation.wait(10)
    assert installation.finished and installation.message.code == "install_cancelled"


def test_cancel_ends_the_command(tmp_path):
    installation = runtime.Installation([python_step("import time; time.sleep(600)")], tmp_path)
    installation.start()
    time.sleep(0.5)
    began = time.monotonic()
    installation.cancel()
    installation.wait(20)
    assert installation.finished and time.monotonic() - began < 20
    assert installation.message.code == "install_cancelled" and not (tmp_path / "installed.json").exists()


def test_a_full_disk_is_noticed_before(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "DISK_MB", 10**12)
    with pytest.raises(FitBodyError, match="MB are needed"):
        runtime.Installation([python_step("pass")], tmp_path).start()


def test_a_command_that_is_not_there_is_said(tmp_path):
    step = runtime.Step(sentence("installing packages"), [str(tmp_path / "nothing")], 1.0)
    assert "nothing" in finished(runtime.Installation([step], tmp_path)).message.text


def test_the_zip_takes_the_runtime_along(tmp_path):
    (tmp_path / "files").mkdir()
    files(tmp_path / "files")
    path = command().build(tmp_path, tmp_path / "files")
    assert path.name.endswith("-with-runtime.zip")
    names = zipfile.ZipFile(path).namelist()
    assert {"dsr_fit_body/runtime/constraints.txt", "dsr_fit_body/runtime/pip-26.3-py3-none-any.whl"} <= set(names)
