"""Keypoints of a whole run: equal file names in two folders never get each other's people."""

import json

import numpy as np
import pytest

import dsr
from dsr.cli.fit import main
from dsr.options import FitOptions


@pytest.fixture
def photos(tmp_path, make_picture):
    """Two pictures called 0001.png, and where somebody stands in each."""
    for cam in ("cam1", "cam2"):
        make_picture(tmp_path / "photos" / cam / "0001.png", size=(400, 300))
    points = np.stack([150 + 3.0 * np.arange(17), 60 + 12.0 * np.arange(17) % 200, np.full(17, 0.9)], 1)
    return tmp_path / "photos", points.ravel().tolist()


def test_one_name_for_two_pictures_fails_with_a_sentence(tmp_path, photos, capsys):
    folder, points = photos
    flat = tmp_path / "results.json"
    flat.write_text(json.dumps([{"image_id": "0001.png", "keypoints": points}]))
    code = main([str(folder), "--recursive", "--keypoints", str(flat), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().err + (tmp_path / "out" / "report.csv").read_text()
    assert code == 4 and "0001.png, which could be" in said and "cam1" in said and "cam2" in said
    results = list(dsr.fit_images([folder / "cam1", folder / "cam2"], FitOptions(keypoints=flat)))
    assert [r.status for r in results] == ["failed", "failed"]


def test_names_with_folders_are_told_apart(tmp_path, photos):
    folder, points = photos
    file = tmp_path / "results.json"
    file.write_text(json.dumps([{"image_id": "cam2/0001.png", "keypoints": points}]))
    first, second = dsr.fit_images([folder / "cam1", folder / "cam2"], FitOptions(keypoints=file))
    assert first.status == "failed" and "does not name 0001.png" in first.message
    assert second.status == "ok" and len(second.people) == 1


def test_how_keypoints_were_read_stands_in_the_result(tmp_path, photos):
    folder, points = photos
    fractions = (np.reshape(points, (17, 3)) / [400, 300, 1]).ravel().tolist()
    file = tmp_path / "results.json"
    file.write_text(json.dumps([{"image_id": "0001.png", "keypoints": fractions}]))
    (result,) = dsr.fit_images(folder / "cam1" / "0001.png", FitOptions(keypoints=file))
    assert "Coordinates in results.json were read as 0 to 1 across the picture." in result.people[0].warnings
