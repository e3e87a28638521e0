"""The add-on inside Blender without an interface: the bpy wheel, and Debian's Blender where it is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from sample_garment import write_models
from sample_results import corrective_asset, earlier_asset, write_clip, write_picture, write_walk, write_worker
from ui_driver import SYSTEM_PATH, blender_environment

from dsr.body import load_asset
from dsr.body.measure import measure_body

HERE = Path(__file__).resolve().parent
CHECKS_OF = {
    path.stem: names
    for path in sorted(HERE.glob("checks_*.py"))
    if (names := re.findall(r"^@check\ndef (\w+)", path.read_text(), re.M))
}
CHECKS = [name for names in CHECKS_OF.values() for name in names]
BLENDERS = ("bpy", "blender")
pytestmark = pytest.mark.blender


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("addon")
    light = load_asset("open-light")
    made = {}
    for name in ("landscape", "portrait", "off-centre"):
        (folder / name).mkdir()
        made[name] = write_picture(folder / name, 2, name, asset=light)
    for name, people, options in (
        ("nobody", 0, {}),
        ("newer", 1, {}),
        ("no_body", 1, {}),
        ("truncated", 1, {}),
        ("no_photo", 1, {"photo": False}),
        ("one", 1, {"body": "open"}),
        ("face", 2, {"body": "open-x"}),
        ("ten", 10, {"body": "open"}),
    ):
        (folder / name).mkdir()
        write_picture(
            folder / name, people, "landscape", **({"asset": light} | options if "body" not in options else options)
        )
    (folder / "correctives").mkdir()
    write_picture(folder / "correctives", 1, "landscape", asset=corrective_asset(folder / "correctives"))
    (folder / "earlier").mkdir()
    write_picture(folder / "earlier", 1, "landscape", asset=earlier_asset(folder / "earlier"))
    document = json.loads((folder / "newer" / "landscape.json").read_text())
    (folder / "newer" / "landscape.json").write_text(json.dumps({**document, "schema_version": 3}))
    (folder / "no_body" / "DSR_OPEN_LIGHT.npz").unlink()
    npz = folder / "truncated" / "landscape.npz"
    npz.write_bytes(npz.read_bytes()[:5000])
    for name, frames, people in (("clip", 30, 2), ("short", 5, 2), ("long", 300, 1)):
        (folder / name).mkdir()
        write_clip(folder / name, frames, people, load_asset("open") if name == "long" else light)
    (folder / "walk").mkdir()
    write_walk(folder / "walk", 60, light)
    (folder / "clip_correctives").mkdir()
    write_clip(folder / "clip_correctives", 6, 1, corrective_asset(folder / "clip_correctives"))
    measured = measure_body(light, made["landscape"][1].people[0].betas)
    sizes = {"height_cm": measured.height_m, "waist_cm": measured.waist_m, "hip_cm": measured.hip_m}
    sizes = {key: 100 * value for key, value in sizes.items()} | {"mass_kg": measured.mass_kg}
    (folder / "measured.json").write_text(json.dumps(sizes))
    write_models(folder)
    for mode in (
        "good",
        "dies",
        "version",
        "nobody",
        "unreadable",
        "model",
        "memory",
        "lies",
        "hangs",
        "noisy",
        "slow",
        "several",
    ):
        write_worker(folder, mode, made["landscape"][0])
    write_worker(folder, "later", made["landscape"][0], "worker_dies_later")
    return folder


def command_of(kind: str, files: Path, user: Path) -> tuple[list[str], dict[str, str]]:
    """What runs the checks in one of the Blenders, and its environment; skips where it is not there."""
    if kind == "bpy":
        if importlib.util.find_spec("bpy") is None:
            pytest.skip("needs bpy: python3 -m pip install bpy==5.0.1")
        return [sys.executable, str(HERE / "run_checks.py"), str(files)], {
            **os.environ,
            "BLENDER_USER_RESOURCES": str(user),
        }
    if shutil.which("blender", path=SYSTEM_PATH) is None:
        pytest.skip("needs Blender: apt-get install blender python3-numpy")
    command = ["blender", "-b", "--factory-startup", "-P", str(HERE / "run_checks.py"), "--", str(files)]
    return command, blender_environment(user)


@pytest.fixture(scope="module", params=BLENDERS)
def answers(request, files, tmp_path_factory):
    command, environment = command_of(request.param, files, tmp_path_factory.mktemp(request.param))
    by_name = {}
    for module, names in CHECKS_OF.items():  # a Blender for each: what one file of checks leaves behind is its own
        left = names
        for _ in range(3):  # Blender 3.4.1 may die (README)
            run = subprocess.run(
                command,
                env={**environment, "ADDON_CHECKS": " ".join(left)},
                capture_output=True,
                text=True,
                timeout=900,
            )
            lines = [json.loads(line[6:]) for line in run.stdout.splitlines() if line.startswith("CHECK ")]
            by_name |= {line["check"]: line for line in lines}
            by_name[module] = {"error": run.stderr[-3000:], "figures": {}, "check": "", "seconds": 0}
            left = [name for name in names if name not in by_name]
            if not left:
                break
            warnings.warn(f"{request.param} ended ({run.returncode}) before {left[0]}; tried again", stacklevel=1)
    return by_name


@pytest.mark.parametrize("name", CHECKS)
def test_inside_blender(answers, name):
    module = next(module for module, names in CHECKS_OF.items() if name in names)
    assert name in answers, f"Blender ended before {name}: {answers[module]['error']}"
    assert not answers[name]["error"], answers[name]["error"]


def test_one_blender_reads_what_the_other_wrote(files, tmp_path_factory):
    both = [command_of(kind, files, tmp_path_factory.mktemp(kind)) for kind in BLENDERS]
    for name in ("exports_for_another_blender", "exports_of_another_blender"):
        for command, environment in both:
            run = subprocess.run(
                command, env={**environment, "ADDON_CHECKS": name}, capture_output=True, text=True, timeout=900
            )
            (line,) = [json.loads(line[6:]) for line in run.stdout.splitlines() if line.startswith("CHECK ")]
            assert not line["error"], (command[0], line["error"])


def test_checks_were_found():
    assert len(CHECKS) > 20 and np.unique(CHECKS).size == len(CHECKS)
