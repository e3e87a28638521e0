"""Files about the people of many pictures: read once, and a picture gets from its part what the whole file gives."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dsr.errors import DetectionError
from dsr.people import people_files
from dsr.people.imports import load_detections
from dsr.people.people_files import read_part

PICTURES = [Path(p) for p in ("/d/cam1/0007.jpg", "/d/cam2/0007.jpg", "/d/walk_12.png", "/d/nobody.jpg")]


def points(u: float) -> list[float]:
    k = np.arange(17.0)
    return np.column_stack([u + 9 * (k % 4), 40 + 9 * k, np.full(17, 2)]).ravel().tolist()


def row(image: Any, u: float, **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": 1, "keypoints": points(u), "bbox": [u, 40.0, 30.0, 150.0], **more}


IMAGES = [
    {"id": 5, "file_name": "cam1/0007.jpg", "width": 640, "height": 480},
    {"id": "b", "file_name": "cam2\\0007.jpg", "width": 320, "height": 240},
    {"id": 9, "file_name": "./walk_12.png"},
    {"file_name": "nobody.jpg"},
    "no image",
]
ROWS = [row(9, 300), row(5, 100), row("b", 40), row(5, 200, score=0.4), row(5, 400, category_id=2), row(77, 10)]
KINDS = [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}]
LAYOUTS: dict[str, Any] = {
    "coco": {"images": IMAGES, "annotations": ROWS, "categories": KINDS},
    "coco, an odd row": {"images": IMAGES, "annotations": [*ROWS, 3]},
    "coco, an id that is none": {"images": [{**IMAGES[0], "id": [1]}], "annotations": [*ROWS, row([1], 50)]},
    "results": [row("cam1/0007.jpg", 60, score=0.9), row("0007.jpg", 70), row("walk_12", 80), row(12, 9)],
    "results by number": [row(7, 60), row(12, 200), row(12, 300, category_id=0), row(12, 90, category_id=3)],
    "results, an odd row": [row("walk_12", 60), {"keypoints": points(3)}],
    "boxes": {"cam1/0007.jpg": [[10, 20, 90, 200]], "walk_12.png": [5, 6, 70, 80], "cam2/0007": [[1, 2, 30, 40]]},
    "openpose": {"people": [{"pose_keypoints_2d": points(50)}], "canvas_width": 640, "canvas_height": 480},
    "nonsense": {"a": 1},
    "empty": [],
}  # fmt: skip


class Detector:
    """Says which boxes it was shown."""

    def detect_in_boxes(self, photo: Any, boxes: np.ndarray, *rest: Any) -> list[Any]:
        return [SimpleNamespace(seen=(boxes.tolist(), rest))] if len(boxes) else []


def outcome(path: Path, picture: Path, kind: Any) -> Any:
    photo, notes = SimpleNamespace(path=picture, width=640, height=480), []
    try:
        found = load_detections(path, photo, Detector(), kind, None, notes)  # type: ignore[arg-type]
    except (DetectionError, TypeError) as error:
        return type(error), str(error)
    return [str(vars(person)) for person in found], notes


@pytest.mark.parametrize("kind", ["keypoints", "boxes"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_part_of_a_picture_says_what_the_whole_file_says(tmp_path, monkeypatch, layout, kind):
    path = tmp_path / "file.json"
    path.write_text(json.dumps(LAYOUTS[layout]))
    whole = [outcome(path, picture, kind) for picture in PICTURES]
    monkeypatch.setattr(people_files, "_SMALL_BYTES", -1)
    assert [outcome(path, picture, kind) for picture in PICTURES] == whole


def test_a_large_file_is_read_once_until_it_changes(tmp_path, monkeypatch):
    reads = []
    real = people_files.read_json
    monkeypatch.setattr(people_files, "read_json", lambda *args, **more: reads.append(1) or real(*args, **more))
    monkeypatch.setattr(people_files, "_SMALL_BYTES", -1)
    path = tmp_path / "large.json"
    path.write_text(json.dumps({**LAYOUTS["coco"], "annotations": [row(9, 1, segmentation=[[1.0] * 99])] * 50}))
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda k: read_part(path, PICTURES[k % 4]), range(16)))
    assert len(reads) == 1
    assert [len(part["annotations"]) for part in parts[:4]] == [0, 0, 50, 0]
    assert "segmentation" not in parts[2]["annotations"][0] and parts[0]["categories"]
    path.write_text(json.dumps({**LAYOUTS["coco"], "annotations": [row(9, 1)]}))
    os.utime(path, ns=(1, 1))
    assert len(read_part(path, PICTURES[2])["annotations"]) == 1 and len(reads) == 2
