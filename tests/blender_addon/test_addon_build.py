"""The build command: one zip that both worlds of Blender add-ons install."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from sample_results import write_picture

ADDON = Path(__file__).resolve().parents[2] / "blender_addon"
PACKAGE = ADDON / "dsr_fit_body"


def command():
    spec = importlib.util.spec_from_file_location("addon_build", ADDON / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_zip_is_one_folder_for_both_worlds(tmp_path):
    first, second = command().build(tmp_path / "a"), command().build(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"dsr_fit_body"}
    assert {f"dsr_fit_body/{n}" for n in ("__init__.py", "blender_manifest.toml", "LICENSE")} <= set(names)
    sources = {
        f"dsr_fit_body/{p.relative_to(PACKAGE).as_posix()}" for p in PACKAGE.rglob("*.*") if p.suffix in (".py", ".po")
    }
    assert len(sources) > 40 and sources <= set(names)
    carried = {p.name for p in (ADDON.parent / "dsr" / "export" / "carried").glob("*.py")}
    assert len(carried) > 4 and {f"dsr_fit_body/carried/{name}" for name in carried} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.endswith(".npz")]  # no model data


def test_the_unpacked_zip_needs_nothing_of_the_sources(tmp_path):
    """Its own copy of the carried modules is imported, and dsr is not."""
    with zipfile.ZipFile(command().build(tmp_path)) as archive:
        archive.extractall(tmp_path / "unpacked")
    code = (
        "import sys; from dsr_fit_body.carried import rig_pose; from dsr_fit_body.core import names; "
        "print(rig_pose.__file__, 'dsr' in sys.modules, names.BONE_NAMES['left_knee'])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "unpacked", capture_output=True, text=True)
    assert run.stdout.split()[0].startswith(str(tmp_path / "unpacked")), run.stderr
    assert "False ('mixamorig:LeftLeg', 'shin.L')" in run.stdout


def test_garments_go_along_where_they_are_asked_for(tmp_path):
    garments = tmp_path / "assets"
    (garments / "clothes" / "hat").mkdir(parents=True)
    with pytest.raises(SystemExit, match="holds no garments"):
        command().build(tmp_path / "out", garments=garments)
    (garments / "clothes" / "hat" / "hat.mhclo").write_text("name hat\n")
    with zipfile.ZipFile(command().build(tmp_path / "out", garments=garments)) as archive:
        assert "dsr_fit_body/clothes/clothes/hat/hat.mhclo" in archive.namelist()


def test_versions_agree():
    assert command().manifest_version() == command().info_version() != ""


@pytest.mark.blender
def test_blenders_validator_accepts_it(tmp_path):
    build = command()
    if build.validator() is None:
        pytest.skip("needs bpy: python3 -m pip install bpy==5.0.1")
    assert build.validate(build.build(tmp_path))


@pytest.mark.blender
def test_it_installs_as_an_extension(tmp_path):
    build = command()
    if build.validator() is None:
        pytest.skip("needs bpy: python3 -m pip install bpy==5.0.1")
    result, _, _ = write_picture(tmp_path, 1)
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "user")}
    script = Path(__file__).with_name("install_extension.py")
    run = subprocess.run(
        [sys.executable, str(script), str(build.build(tmp_path)), str(result)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "EXTENSION FINE" in run.stdout, run.stdout[-1500:] + run.stderr[-1500:]
