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
from dsr.people import Detection, InputNames, load_boxes, load_detections, select_people


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
    inside[2:, 1] += 150  # somebody else
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


def test_boxes_that_are_no_people_and_boxes_written_twice_are_left_out(tmp_path: Path) -> None:
    rows = [
        {"image_id": 3, "category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.9},
        {"image_id": 3, "category_id": 1, "bbox": [10, 20, 30, 41], "score": 0.3},
        {"image_id": 3, "category_id": 1, "bbox": [200, 20, 30, 40], "score": 0.2},
        {"image_id": 3, "category_id": 18, "bbox": [90, 20, 30, 40]},
        {"image_id": 3, "category_id": 1, "iscrowd": 1, "bbox": [0, 0, 640, 40]},
        {"image_id": 3, "category_id": 1, "bbox": [0, 0, 0, 0]},
    ]
    categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
    path = write(tmp_path / "boxes.json", {**coco(), "annotations": rows, "categories": categories})
    asked: list[Any] = []

    class Fake:
        def detect_in_boxes(self, *given: Any) -> list[Any]:
            asked.extend(given)
            return []

    said: list[str] = []
    assert load_detections(path, photo(), Fake(), "boxes", None, said) == []  # type: ignore[arg-type]
    assert asked[1].tolist() == [[10, 20, 40, 60], [200, 20, 230, 60]] and asked[3] == [0.9, 0.2]
    assert "1 of 4 people left out: a box has no positive width" in said[0]
    assert "1 of 3 rows are of a person who has another" in said[1]


def test_one_odd_row_does_not_spoil_the_picture_and_boxes_alone_are_looked_into(tmp_path: Path) -> None:
    rows = [
        {"image_id": 3, "category_id": 1, "keypoints": person(17), "bbox": [100, 50, 20, 40], "score": 0.7},
        {"image_id": 3, "category_id": 1, "keypoints": [0] * 51, "bbox": [300, 50, 20, 40]},
        {"image_id": 3, "category_id": 1, "keypoints": person(16), "bbox": [300, 50, 20, 40]},
        {"image_id": 3, "category_id": 1, "keypoints": [0] * 51},
    ]
    path = write(tmp_path / "coco.json", {**coco(), "annotations": rows})

    class Fake:
        def detect_in_boxes(self, picture: Photo, boxes: np.ndarray, source: str) -> list[Detection]:
            return [Detection(boxes[0], 0.4, "coco17", np.zeros((17, 2)), np.zeros(17), source=source)]

    said: list[str] = []
    found = load_detections(path, photo(), Fake(), "keypoints", None, said)  # type: ignore[arg-type]
    assert [(d.box_px.tolist(), d.score) for d in found] == [([100, 50, 116, 82], 0.7), ([300, 50, 320, 90], 0.4)]
    assert "1 of 4 people left out: a person has 16 keypoints" in said[0]
    assert "1 of 3 people have no keypoints and no box" in said[1]
    alone = load_detections(path, photo(), None, "keypoints", None, said)
    assert [d.score for d in alone] == [0.7] and "1 people with a box and no keypoints left out" in said[-1]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("results_team_0007.json", {"meta_info": {}, "instance_info": "people"}),
        ("team_0007.json", "people"),
    ],
)
def test_mmpose_predictions(tmp_path: Path, name: str, data: Any) -> None:
    points = np.array(person(17)).reshape(-1, 3)
    one = {"keypoints": points[:, :2].tolist(), "keypoint_scores": points[:, 2].tolist(), "bbox_score": 0.6}
    people = [{**one, "bbox": [[90, 40, 130, 100]]}]
    write(tmp_path / name, people if data == "people" else {**data, "instance_info": people})
    (found,) = load_detections(tmp_path, photo(), kind="keypoints")
    assert found.score == 0.6 and np.allclose(found.keypoints_px, points[:, :2]) and np.all(found.confidence == 0.8)


def test_alphapose_results_with_26_points(tmp_path: Path) -> None:
    row = {"image_id": "team_0007.jpg", "category_id": 1, "keypoints": person(26), "score": 2.9}
    (found,) = load_detections(write(tmp_path / "alphapose-results.json", [row]), photo())
    assert found.keypoint_set == "openpose25" and found.score == pytest.approx(0.8), "its scores are no probabilities"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_files_with_byte_order_marks(tmp_path: Path, encoding: str) -> None:
    text = json.dumps({"people": [{"pose_keypoints_2d": person(25)}]})
    (tmp_path / "team_0007_keypoints.json").write_bytes(text.encode(encoding))
    assert len(load_detections(tmp_path, photo())) == 1


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


def test_keypoints_in_other_units_come_with_a_sentence(tmp_path: Path) -> None:
    pixels = np.array(person(25)).reshape(-1, 3)
    fractions = pixels / [640, 480, 1]
    canvas = {
        "canvas_width": 1280,
        "canvas_height": 960,
        "people": [{"pose_keypoints_2d": (pixels * [2, 2, 1]).ravel().tolist()}],
    }
    for data, says in (
        ({"people": [{"pose_keypoints_2d": fractions.ravel().tolist()}]}, "0 to 1"),
        ({"people": [{"pose_keypoints_2d": (fractions * [2, 2, 1] - [1, 1, 0]).ravel().tolist()}]}, "-1 to 1"),
        (canvas, "1280 x 960"),
        ([canvas], "1280 x 960"),
    ):
        (found,) = load_detections(write(tmp_path / "team_0007.json", data), photo())
        np.testing.assert_allclose(found.keypoints_px, pixels[:, :2], atol=1e-9)
        assert len(found.warnings) == 1 and says in found.warnings[0]
        assert found.box_px.tolist() == pytest.approx([100, 50, 124, 98])


def test_coco_sizes_are_scaled_and_other_pictures_refused(tmp_path: Path) -> None:
    data = coco(keypoints=person(17), bbox=[100, 50, 40, 60])
    data["images"][0] |= {"width": 320, "height": 240}
    path = write(tmp_path / "coco.json", data)
    (found,) = load_detections(path, photo())
    assert found.keypoints_px[0].tolist() == [200, 100] and "320 x 240" in found.warnings[0]

    class Fake:
        def detect_in_boxes(self, picture: Photo, boxes: np.ndarray, source: str) -> list[Detection]:
            return [Detection(box, 1.0, "coco17", np.zeros((17, 2)), np.ones(17)) for box in boxes]

    (boxed,) = load_detections(path, photo(), Fake(), kind="boxes")  # type: ignore[arg-type]
    assert boxed.box_px.tolist() == [200, 100, 280, 220] and "320 x 240" in boxed.warnings[0]
    fractions = write(tmp_path / "boxes.json", {"team_0007.jpg": [[0.25, 0.5, 0.5, 0.25]]})
    (boxed,) = load_detections(fractions, photo(), Fake())  # type: ignore[arg-type]
    assert boxed.box_px.tolist() == [160, 240, 480, 360]
    data["images"][0] |= {"width": 480, "height": 640}
    with pytest.raises(DetectionError, match="turned upright"):
        load_detections(write(path, data), photo())
    far = {"people": [{"pose_keypoints_2d": person(25, 3000)}]}
    with pytest.raises(DetectionError, match="lie outside of the picture"):
        load_detections(write(tmp_path / "team_0007_keypoints.json", far), photo())


def test_equal_names_in_two_folders_get_their_own_people(tmp_path: Path) -> None:
    pictures = [tmp_path / "photos" / cam / "0001.jpg" for cam in ("cam1", "cam2")]
    inputs = InputNames(pictures)
    images = [{"id": i, "file_name": f"cam{i}/0001.jpg"} for i in (1, 2)]
    rows = [{"image_id": i, "keypoints": person(17, 100.0 * i)} for i in (1, 2)]
    path = write(tmp_path / "coco.json", {"images": images, "annotations": rows})
    boxes = write(tmp_path / "boxes.json", {"cam1/0001.jpg": [[1, 2, 3, 4]], "cam2/0001": [[5, 6, 7, 8]]})
    for i, picture in enumerate(pictures, 1):
        (found,) = load_detections(path, photo(str(picture)), inputs=inputs)
        assert found.keypoints_px[0, 0] == 100 * i
        assert load_boxes(boxes, picture)[0, 0] == (1, 5)[i - 1]
        (tmp_path / "kp" / f"cam{i}").mkdir(parents=True)
        write(
            tmp_path / "kp" / f"cam{i}" / "0001_keypoints.json",
            {"people": [{"pose_keypoints_2d": person(25, 100.0 * i)}]},
        )
    for i, picture in enumerate(pictures, 1):
        (found,) = load_detections(tmp_path / "kp", photo(str(picture)), inputs=inputs)
        assert found.keypoints_px[0, 0] == 100 * i


def test_a_name_that_two_pictures_share_is_refused(tmp_path: Path) -> None:
    pictures = [tmp_path / "photos" / cam / "0001.jpg" for cam in ("cam1", "cam2")]
    inputs, one = InputNames(pictures), photo(str(pictures[0]))
    (tmp_path / "flat").mkdir()
    single = write(tmp_path / "flat" / "0001_keypoints.json", {"people": [{"pose_keypoints_2d": person(25)}]})
    results = write(tmp_path / "results.json", [{"image_id": 1, "keypoints": person(17)}])
    for source in (tmp_path / "flat", single, results):
        with pytest.raises(DetectionError, match=r"could be .*cam1.*cam2"):
            load_detections(source, one, inputs=inputs)
        assert len(load_detections(source, one, inputs=InputNames(pictures[:1]))) == 1
    other = photo(str(tmp_path / "other.jpg"))
    with pytest.raises(DetectionError, match="is of one picture: give a folder of such files for 2 pictures"):
        load_detections(single, other, inputs=InputNames([pictures[0], other.path]))
    assert len(load_detections(single, other)) == 1, "one picture, one file, whatever they are called"


def test_results_without_this_picture_say_so(tmp_path: Path) -> None:
    path = write(tmp_path / "results.json", [{"image_id": 397133, "keypoints": person(17)}])
    with pytest.raises(DetectionError, match=r"results\.json does not name team_0007\.jpg"):
        load_detections(path, photo())


@pytest.mark.parametrize(("count", "spread"), [(1, 40.0), (2, 40.0), (6, 0.5)])
def test_people_of_a_point_or_two_are_left_out_with_a_sentence(tmp_path: Path, count: int, spread: float) -> None:
    """One keypoint says where somebody is, not how large or how far: a body kilometres away would fit it."""
    few = np.zeros((25, 3))
    few[:count] = np.stack([300 + spread * np.arange(count), np.full(count, 200.0), np.ones(count)], -1)
    people = [{"pose_keypoints_2d": few.reshape(-1).tolist()}, {"pose_keypoints_2d": person(25)}]
    write(tmp_path / "team_0007_keypoints.json", {"people": people})
    warnings: list[str] = []
    (found,) = load_detections(tmp_path, photo(), warnings=warnings)
    assert found.keypoints_px[0, 0] == 100
    assert any("1 people left out: at least 3 keypoints" in text for text in warnings)


def test_keypoints_a_million_pixels_away_are_refused(tmp_path: Path) -> None:
    """Somebody else's unit; not a picture without people."""
    far = np.array(person(25)).reshape(-1, 3) * [1e6, 1e6, 1]
    far[3:] = 0.0
    write(tmp_path / "team_0007_keypoints.json", {"people": [{"pose_keypoints_2d": far.reshape(-1).tolist()}]})
    with pytest.raises(DetectionError, match="more than a million pixels away"):
        load_detections(tmp_path, photo())
