"""dsr-doctor: says what is there, and what to do when something is not."""

import json
import tempfile

import pytest

from dsr.cli import doctor


def test_the_default_job_can_run_here(capsys):
    assert doctor.main(["--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ready"] is True and document["schema"] == "dsr.doctor"
    checks = {check["name"]: check for check in document["checks"]}
    for name in (
        "Python",
        "torch",
        "numpy",
        "devices",
        "people detector",
        "landmark model",
        "open body",
        "learned weights",
        "temporary folder",
    ):
        assert checks[name]["status"] == "ok", checks[name]
    assert checks["people detector"]["detail"].endswith("pose_detection.tflite")
    assert {f"extra {name}" for name in ("heic", "video", "detectors", "blender", "smplx")} <= set(checks)


def test_a_missing_extra_says_what_it_adds_and_is_no_failure(monkeypatch, capsys):
    real = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "bpy" else real(name))
    assert doctor.main([]) == 0
    told = capsys.readouterr().out
    assert "FBX" in told and "pip install bpy==5.0.1" in told and "Ready" in told


def test_extras_promise_nothing_that_is_not_built_and_name_all_their_packages(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    checks = {check.name: check for check in doctor._extras()}
    for name in ("detectors", "cluster"):
        assert "reserved for later work; adds nothing yet" in checks[f"extra {name}"].detail
    assert checks["extra build"].fix.endswith("pip install anny==0.6.2 fast-simplification rtree")
    assert "TensorBoard" in checks["extra train"].detail
    assert checks["extra train"].fix.endswith("pip install tensorboard pyyaml")


def test_a_missing_body_is_a_failure_with_a_remedy(monkeypatch, capsys, tmp_path):
    import dsr.body.asset

    monkeypatch.setitem(dsr.body.asset.OPEN_FILES, "open", "NOWHERE.npz")
    assert doctor.main([]) == 1
    told = capsys.readouterr().out
    assert "missing  open body" in told and "NOWHERE.npz" in told and "Not ready" in told and "->" in told


def test_an_unwritable_temporary_folder_is_a_failure(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    assert doctor.main([]) == 1
    assert "TMPDIR" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["--nonsense"], 2)])
def test_help_and_usage(arguments, code):
    assert doctor.main(arguments) == code
