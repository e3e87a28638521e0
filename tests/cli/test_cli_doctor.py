"""dsr-doctor: says what is there, and what to do when something is not."""

import json
import tempfile

import pytest

from dsr.cli import doctor
from dsr.extras import install_hint


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
    assert {f"extra {name}" for name in ("heic", "video", "onnx", "blender", "smplx")} <= set(checks)


def test_a_missing_extra_says_what_it_adds_and_is_no_failure(monkeypatch, capsys):
    real = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "bpy" else real(name))
    assert doctor.main([]) == 0
    told = capsys.readouterr().out
    assert "FBX" in told and "pip install bpy==5.0.1" in told and "Ready" in told


def test_every_extra_is_listed_with_how_to_get_all_of_it(monkeypatch):
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    checks = {check.name: check for check in doctor.run_checks()}
    for extra in ("heic", "video", "onnx", "blender", "smplx", "build", "train"):
        check = checks[f"extra {extra}"]
        assert check.status == "note" and check.fix == install_hint(extra), check
    assert "TensorBoard" in checks["extra train"].detail


def test_an_extra_with_a_package_missing_is_not_fine(monkeypatch):
    real = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "yaml" else real(name))
    (check,) = [check for check in doctor.run_checks() if check.name == "extra train"]
    assert check.status == "note" and "pyyaml" in check.fix


def test_a_missing_body_is_a_failure_with_a_remedy(monkeypatch, capsys, tmp_path):
    import dsr.body.asset_file

    monkeypatch.setitem(dsr.body.asset_file.OPEN_FILES, "open", "NOWHERE.npz")
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


@pytest.mark.parametrize(
    "error", [ImportError("libtorch_cpu.so: cannot open"), OSError(126, "shm.dll"), RuntimeError("x")]
)
def test_a_torch_that_is_installed_and_broken_is_told(monkeypatch, error):
    import torch

    def broken(*shape):
        raise error

    monkeypatch.setattr(torch, "ones", broken)
    (check,) = (check for check in doctor.run_checks() if check.name == "torch works")
    assert check.status == "missing" and str(error).splitlines()[0] in check.detail
    assert "--force-reinstall" in check.fix and "torch" in check.fix


@pytest.mark.parametrize("there", [False, True])
def test_a_wrong_folder_of_body_models_is_told(monkeypatch, tmp_path, there):
    folder = tmp_path / "models"
    if there:
        folder.mkdir()
    monkeypatch.setenv("DSR_BODY_MODELS", str(folder))
    checks = {check.name: check for check in doctor.run_checks()}
    assert checks["DSR_BODY_MODELS"].status == "note" and checks["open body"].status == "ok"
    assert str(folder) in checks["DSR_BODY_MODELS"].detail
    assert ("holds neither" if there else "no folder") in checks["DSR_BODY_MODELS"].detail
