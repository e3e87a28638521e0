"""Imported detections, broken files included, and choosing people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared_data import photos

from dsr.body import joint_names
from dsr.errors import DetectionError, UsageError
from dsr.image.types import Photo
from dsr.people import Detection, load_boxes, load_detections, select_people


def photo(name: str = "team_0007.jpg", width: int = 640, height: int = 480) -> Photo:
    return Photo(Path(name), np.zeros((height, width, 3), np.uint8), width, height, 1.0, "", "JPEG")


def write(path: Path, data: Any) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def person(count: int, u: float = 100.0) -> list[float]:
    points = np.stack([u + np.arange(count), 50 + 2.0 * np.arange(count), np.full(count, 0.8)], -1)
    return points.reshape(-1).tolist()


@pytest.mark.parametrize("name", ["team_0007_keypoints.json", "team_0007_openpose.json", "team_0007.json"])
def test_openpose_body25_left_to_right(tmp_path: Path, name: str) -> None:
    people = [{"pose_keypoints_2d": person(25, 400)}, {"pose_keypoints_2d": person(25, 100)}]
    write(tmp_path / name, {"version": 1.3, "people": people})
    found = load_detections(tmp_path, photo())
    assert [d.keypoint_set for d in found] == ["openpose25", "openpose25"]
    assert [d.keypoints_px[0, 0] for d in found] == [100, 400]
    assert found[0].box_px.tolist() == [100, 50, 124, 98]
    assert found[0].score == pytest.approx(0.8)
    assert found[0].world_m is None and found[0].mask is None and found[0].source == name


def test_openpose_coco18_becomes_coco17_by_name(tmp_path: Path) -> None:
    layout = ["nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow"]
    layout += ["left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"]
    layout += ["right_eye", "left_eye", "right_ear", "left_ear"]
    write(tmp_path / "team_0007_keypoints.json", {"people": [{"pose_keypoints_2d": person(18)}]})
    (found,) = load_detections(tmp_path, photo())
    assert found.keypoint_set == "coco17"
    for index, name in enumerate(joint_names("coco17")):
        assert found.keypoints_px[index, 0] == 100 + layout.index(name)


def test_boxes_of_imported_people_end_at_the_borders_of_the_picture(tmp_path: Path) -> None:
    far, inside = np.array(person(25)).reshape(-1, 3), np.array(person(25)).reshape(-1, 3)
    far[:2, :2] = [[-30, -20], [700, 520]]
    inside[:2, :2] = [[150, 10], [630, 470]]  # farther right than the picture is high
    people = [{"pose_keypoints_2d": points.reshape(-1).tolist()} for points in (far, inside)]
    write(tmp_path / "team_0007_keypoints.json", {"people": people})
    found = sorted(load_detections(tmp_path, photo()), key=lambda d: d.keypoints_px[:, 0].min())
    assert [d.box_px.tolist() for d in found] == [[0, 0, 640, 480], [102, 10, 630, 470]]
    assert found[0].keypoints_px[1].tolist() == [700, 520], "keypoints stay where they are"


def test_unseen_people_and_points(tmp_path: Path) -> None:
    values = person(25)
    values[3:6] = [0.0, 0.0, 0.0]
    people = [{"pose_keypoints_2d": values}, {"pose_keypoints_2d": [0.0] * 75}]
    write(tmp_path / "team_0007_keypoints.json", {"people": people})
    (found,) = load_detections(tmp_path, photo())
    assert found.confidence[1] == 0 and found.box_px[0] == 100
    write(tmp_path / "team_0007_keypoints.json", {"people": []})
    assert load_detections(tmp_path, photo()) == []


def coco(**row: Any) -> dict[str, Any]:
    images = [{"id": 3, "file_name": "team_0007.jpg"}, {"id": 4, "file_name": "other.jpg"}]
    return {"images": images, "annotations": [{"image_id": 3, **row}, {"image_id": 4, **row}]}


def test_coco_annotations_of_this_picture_only(tmp_path: Path) -> None:
    keypoints = np.array(person(17)).reshape(-1, 3)
    keypoints[:, 2] = 2
    keypoints[3, 2], keypoints[4] = 1, 0
    path = write(tmp_path / "coco.json", coco(keypoints=keypoints.reshape(-1).tolist(), bbox=[1, 2, 3, 4]))
    (found,) = load_detections(path, photo())
    assert found.keypoint_set == "coco17"
    assert found.confidence[[0, 3, 4]].tolist() == [1.0, 0.5, 0.0]
    with pytest.raises(DetectionError, match=r"third\.jpg"):
        load_detections(path, photo("third.jpg"))


@pytest.mark.parametrize("image_id", [7, "team_0007.jpg", "team_0007"])
def test_coco_results_name_the_picture(tmp_path: Path, image_id: Any) -> None:
    rows = [{"image_id": image_id, "keypoints": person(17)}, {"image_id": 70, "keypoints": person(17)}]
    assert len(load_detections(write(tmp_path / "results.json", rows), photo())) == 1


@pytest.mark.parametrize(
    "data",
    [
        {"some/where.jpg": [], "team_0007.jpg": [[10, 20, 30, 40]]},
        coco(bbox=[10, 20, 30, 40]),
        [{"image_id": 7, "bbox": [10, 20, 30, 40]}],
    ],
)
def test_boxes_become_corners_and_reach_the_detector(tmp_path: Path, data: Any) -> None:
    path = write(tmp_path / "boxes.json", data)
    assert load_boxes(path, Path("team_0007.jpg")).tolist() == [[10, 20, 40, 60]]

    class Fake:
        def detect_in_boxes(self, picture: Photo, boxes: np.ndarray, source: str) -> list[Any]:
            return [picture.path.name, boxes.tolist(), source]

    result = load_detections(path, photo(), Fake())  # type: ignore[arg-type]
    assert result == ["team_0007.jpg", [[10, 20, 40, 60]], "boxes.json"]


def test_kind_chooses_where_a_coco_file_holds_both(tmp_path: Path) -> None:
    path = write(tmp_path / "both.json", coco(keypoints=person(17), bbox=[10, 20, 30, 40]))

    class Fake:
        def detect_in_boxes(self, *_: Any) -> list[str]:
            return ["from boxes"]

    assert load_detections(path, photo(), Fake(), kind="boxes") == ["from boxes"]  # type: ignore[arg-type, comparison-overlap]
    assert load_detections(path, photo(), Fake())[0].keypoint_set == "coco17"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("", "not valid JSON"),
        ("{'people': 1}", "not valid JSON"),
        ({"people": 5}, "not a list"),
        ({"people": [{"pose_keypoints_2d": person(21)}]}, "BODY_25"),
        ({"people": [{"pose_keypoints_2d": [1, 2]}]}, "flat list"),
        ({"people": [{"pose_keypoints_2d": None}]}, "flat list"),
        ({"people": ["someone"]}, "flat list"),
        ({"people": [{"pose_keypoints_2d": [float("nan")] * 75}]}, "finite"),
        ({"images": []}, "neither an OpenPose file"),
        ("3", "neither an OpenPose file"),
        ([{"keypoints": person(17)}], "no image_id"),
        ([{"image_id": 7, "keypoints": person(16)}], "COCO's 17"),
        ({"team_0007.jpg": [[1, 2, 3]]}, "four numbers"),
        ({"team_0007.jpg": [[1, 2, 0, 5]]}, "positive width"),
        ({"team_0007.jpg": [[1, 2, "x", 5]]}, "four numbers"),
        ({"another.jpg": [[1, 2, 3, 4]]}, "no boxes for team_0007.jpg"),
    ],
)
def test_wrong_files_are_named_with_what_was_expected(tmp_path: Path, data: Any, says: str) -> None:
    path = write(tmp_path / "team_0007.json", data)
    with pytest.raises(DetectionError, match=says) as caught:
        load_detections(path, photo(), object())  # type: ignore[arg-type]
    assert "team_0007.json" in str(caught.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DetectionError, match="team_0007_keypoints"):
        load_detections(tmp_path, photo())
    with pytest.raises(DetectionError, match="does not exist"):
        load_detections(tmp_path / "nowhere", photo())


def test_the_published_openpose_example() -> None:
    found = load_detections(photos(), photo(str(photos() / "COCO_val_0544.jpg"), 640, 427))
    assert len(found) == 8 and {d.keypoint_set for d in found} == {"openpose25"}
    left = [float(d.box_px[0] + d.box_px[2]) for d in found]
    assert left == sorted(left)


def detection(score: float, size: float) -> Detection:
    return Detection(np.array([0, 0, size, size]), score, "coco17", np.zeros((17, 2)), np.zeros(17))


def test_select_people() -> None:
    people = [detection(0.9, 10), detection(0.3, 50), detection(0.7, 30)]

    def chosen(*args) -> list[tuple[float, int | None]]:
        return [(float(d.box_px[2]), d.number) for d in select_people(people, *args)]

    assert chosen() == [(10, 0), (50, 1), (30, 2)]
    assert chosen("all", 0.5) == [(10, 0), (30, 1)]
    assert chosen("largest") == [(50, 1)]
    assert chosen("largest", 0.5) == [(30, 1)]
    assert chosen("largest:2") == [(50, 1), (30, 2)]  # still from the left
    assert chosen("largest:2", 0.5) == [(10, 0), (30, 1)]
    assert chosen("largest:9") == chosen("all")
    assert chosen("1", 0.5) == [(30, 1)]
    assert chosen("0") == [(10, 0)] and chosen("0", 0.5) == [(10, 0)]  # the first, not everybody
    assert chosen("5") == [] and select_people([], "largest") == []
    for wrong in ("biggest", "-1", "1.5", "", "largest:", "largest:0", "largest:-1", "largest:two", "all:2"):
        with pytest.raises(UsageError, match="largest"):
            select_people(people, wrong)
