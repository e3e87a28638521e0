"""The real interface of Debian's Blender under Xvfb, driven by mouse and keys; screenshots stay in ADDON_SHOTS."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from sample_results import write_picture, write_worker
from ui_driver import Interface, NoInterface, missing, session, version

ADDON = Path(__file__).resolve().parents[2] / "blender_addon"
# Minutes of a real interface, and a slow machine can miss a click: asked for by name only.
ABSENT = missing() or ("" if os.environ.get("DSR_UI_TESTS") == "1" else "the interface test runs with DSR_UI_TESTS=1")
pytestmark = [pytest.mark.blender, pytest.mark.slow, pytest.mark.skipif(bool(ABSENT), reason=ABSENT or "ready")]


def build_zip(out: Path) -> Path:
    spec = importlib.util.spec_from_file_location("addon_build", ADDON / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build(out)


def test_photo_to_body_undo_and_cancel(tmp_path):
    """Install the zip, open the tab, type the photo, press Fit, Ctrl+Z, fit again, Cancel."""
    path, _, _ = write_picture(tmp_path, 2)
    worker = write_worker(tmp_path, "ui", path)
    shots = Path(os.environ.get("ADDON_SHOTS", tmp_path / "shots"))
    if not version().startswith("3.4."):
        pytest.skip(f"places of buttons are known in Blender 3.4, this is {version()}")
    try:
        interface = Interface(tmp_path / "blender", build_zip(tmp_path / "dist"), str(worker))
    except NoInterface as error:
        pytest.skip(f"no window of Blender opens here: {error}")
    try:
        seen = session(interface, tmp_path / "landscape.png", shots)
    finally:
        code = interface.close()
    assert code == 0
    start = seen["start"]["objects"]
    assert seen["pressed"]["running"] and seen["pressed"]["objects"] == start
    assert len(seen["fitted"]["objects"]) == len(start) + 6
    assert seen["fitted"]["note"].startswith("2 bodies in") and not seen["fitted"]["message"]
    assert seen["fitted"]["perspective"] == "CAMERA" and seen["fitted"]["camera"] == "landscape Camera"
    assert seen["undone"]["objects"] == start and not seen["undone"]["note"]
    assert seen["redone"]["objects"] == seen["fitted"]["objects"]
    assert seen["again"]["objects"] == seen["fitted"]["objects"]
    assert seen["busy"]["running"]
    assert seen["preview"]["preview"] > 0 and len(seen["again"]["fits"]) == 2
    assert seen["german"]["label"] == "Körper anpassen"
    assert seen["cancelled"]["message"] == "Fit cancelled; the scene was not changed"
    assert seen["cancelled"]["objects"] == seen["fitted"]["objects"]
    assert all((shots / name).stat().st_size > 20000 for name in ("1_before.png", "3_after.png", "5_cancelled.png"))
