"""dsr-fit with nothing replaced, on real photographs or rendered people."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shared_data import SHARED, photos

import dsr
from dsr.cli.fit import main

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "images"


@pytest.fixture(scope="module")
def pictures() -> list[Path]:
    """A few pictures with people that are easy to see."""
    found = [SHARED / "photos" / name for name in ("000000000785.jpg", "dancing.jpg", "astronauts_public_domain.jpg")]
    if not all(p.is_file() for p in found):
        found = sorted(p for p in EXAMPLES.glob("*") if p.suffix in (".jpg", ".png"))[:3]
    if not found:
        pytest.skip("neither ../shared/photos nor examples/images is here")
    return found


@pytest.fixture(scope="module")
def fitted(pictures, tmp_path_factory) -> Path:
    """The output folder of one run, two jobs."""
    out = tmp_path_factory.mktemp("fitted")
    assert main([*map(str, pictures), "--out", str(out), "--overlay", "--side-view", "--jobs", "2", "--quiet"]) == 0
    return out


def test_people_are_found_and_their_bodies_lie_on_them(pictures, fitted):
    rows = json.loads((fitted / "report.json").read_text())["rows"]
    assert [Path(row["input"]) for row in rows] == pictures
    for row in rows:
        assert row["status"] == "ok" and row["people"] >= 1 and row["reprojection_percent"] <= 2.5, row
    for picture in pictures:
        result = dsr.load_result(fitted / f"{picture.stem}.json")
        for person in result.people:
            assert 1.2 < person.height_m < 2.2 and person.joints_cam_m[:, 2].min() > 0.2
            projected = person.joints_cam_m @ result.K.T
            pelvis = (projected[0] / projected[0, 2])[:2]
            assert (pelvis > person.box_px[:2]).all() and (pelvis < person.box_px[2:]).all()


def test_the_arrays_are_the_same_bytes_for_one_and_two_jobs(pictures, fitted, tmp_path):
    assert main([*map(str, pictures), "--out", str(tmp_path), "--jobs", "1", "--quiet"]) == 0
    for picture in pictures:
        assert (tmp_path / f"{picture.stem}.npz").read_bytes() == (fitted / f"{picture.stem}.npz").read_bytes()
        assert (tmp_path / f"{picture.stem}.p0.glb").read_bytes() == (fitted / f"{picture.stem}.p0.glb").read_bytes()


def test_the_meshes_and_pictures_are_there_and_whole(pictures, fitted):
    import pygltflib

    for picture in pictures:
        result = dsr.load_result(fitted / f"{picture.stem}.npz")
        for person in result.people:
            model = pygltflib.GLTF2().load(str(fitted / f"{picture.stem}.{person.id}.glb"))
            assert len(model.skins[0].joints) == 24
        with Image.open(fitted / f"{picture.stem}.overlay.jpg") as overlay, Image.open(picture) as original:
            assert overlay.size == original.size
            assert np.abs(np.asarray(overlay, float) - np.asarray(original.convert("RGB"), float)).mean() > 1
        assert (fitted / f"{picture.stem}.side.jpg").stat().st_size > 5000


def test_the_logo_has_nobody_in_it(tmp_path):
    assert main([str(photos() / "no_person_logo.jpeg"), "--out", str(tmp_path), "--quiet", "--overlay"]) == 0
    assert dsr.load_result(tmp_path / "no_person_logo.json").status == "no_person"
    assert not list(tmp_path.glob("*.glb")) and not list(tmp_path.glob("*.jpg"))


def test_imported_keypoints_take_the_place_of_the_detector(tmp_path):
    arguments = [str(photos() / "COCO_val_0544.jpg"), "--out", str(tmp_path), "--keypoints", str(photos()), "--quiet"]
    assert main(arguments) == 0
    result = dsr.load_result(tmp_path / "COCO_val_0544.json")
    # The file's points, joined with 3D landmarks looked up near them.
    assert {p.keypoint_set for p in result.people} == {"blazepose33"}
    document = json.loads((photos() / "COCO_val_0544_openpose.json").read_text())
    hips = [np.reshape(person["pose_keypoints_2d"], (-1, 3))[12] for person in document["people"]]
    assert len(result.people) >= 4
    for person in result.people:  # the left hip is where the file has it
        assert min(float(np.abs(person.keypoints_px[23, :2] - hip[:2]).max()) for hip in hips if hip[2] > 0) < 0.5


def test_the_installed_way_of_calling_works(pictures, tmp_path):
    command = [sys.executable, "-m", "dsr.cli.fit", str(pictures[0]), "--out", str(tmp_path), "--json-log"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["event"] == "end" and events[-1]["exit_code"] == 0 and events[-1]["people"] >= 1
