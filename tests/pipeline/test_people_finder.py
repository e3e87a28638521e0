"""Keypoints from files against what the detector sees: coordinates that are no pixels of the picture are told."""

import json
from pathlib import Path

import numpy as np
import pytest

from dsr.errors import DetectionError
from dsr.image import read_photo
from dsr.options import FitOptions
from dsr.pipeline.people_finder import PeopleFinder

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "images"


@pytest.fixture
def find(tmp_path):
    """The people of an example whose true COCO keypoints went through a function, and what is said about them."""

    def run(name, change):
        truth = json.loads((EXAMPLES / f"{name}.truth.json").read_text())
        size = np.array(truth["image_size"], float)
        rows = []
        for k, person in enumerate(truth["people"]):
            points = change(np.array(person["keypoints"]["coco17"]["px"]), size)
            low, high = points.min(0), points.max(0)
            rows.append(
                {
                    "id": k,
                    "image_id": 1,
                    "category_id": 1,
                    "keypoints": np.column_stack([points, np.full(17, 2)]).ravel().tolist(),
                    "bbox": [*low.tolist(), *(high - low).tolist()],
                }
            )
        image = {"id": 1, "file_name": f"{name}.jpg", "width": int(size[0]), "height": int(size[1])}
        file = tmp_path / "coco.json"
        file.write_text(json.dumps({"images": [image], "annotations": rows}))
        warnings: list[str] = []
        options = FitOptions(keypoints=file, quality="fast")
        return PeopleFinder(options, 1)(read_photo(EXAMPLES / f"{name}.jpg"), warnings), warnings

    return run


@pytest.mark.parametrize("name", ["park_three", "street_pair"])
def test_true_keypoints_get_3d_landmarks_and_no_word(find, name):
    people, warnings = find(name, lambda points, size: points)
    assert all(person.world_m is not None for person in people) and warnings == []


@pytest.mark.parametrize(
    "change",
    [
        lambda points, size: points / 2,
        lambda points, size: 100 * points / size,
        lambda points, size: points[:, ::-1],
        lambda points, size: points + np.array([0.3 * size[0], 0]),
    ],
    ids=["half size", "per cent", "rows before columns", "moved"],
)
def test_keypoints_of_another_size_or_unit_are_told_and_get_nothing_made_up(find, change):
    people, warnings = find("park_kick", change)
    assert [person.world_m for person in people] == [None] and people[0].mask is None
    assert len(warnings) == 1 and "coco.json: the detector sees nobody as 1 of 1 people there lie" in warnings[0]


@pytest.mark.parametrize("option", ["keypoints", "boxes"])
def test_a_file_that_is_no_json_is_told_before_the_first_picture(tmp_path, option):
    file = tmp_path / "people.json"
    file.write_text("hello")
    finder = PeopleFinder(FitOptions(**{option: file}), 1)
    with pytest.raises(DetectionError, match="is not valid JSON"):
        finder.prepare()
    file.write_text("[]")
    finder.prepare()
