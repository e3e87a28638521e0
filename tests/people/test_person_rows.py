"""People as other programs write them: layouts, scores, categories, a person written twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dsr.body import joint_names
from dsr.people.person_rows import (
    COCO,
    OPENPOSE,
    PersonRow,
    coco_row,
    merge_same_people,
    mmpose_row,
    openpose_row,
    people_rows,
    read_box,
    read_points,
    read_score,
)

BODY_25 = joint_names("openpose25")
COCO_17 = joint_names("coco17")
HALPE_26 = [*COCO_17, "top", "neck", "mid_hip", "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe"]
HALPE_26 += ["left_heel", "right_heel"]
WHOLEBODY = [*COCO_17, "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"]


def triples(count: int, confidence: float = 0.8) -> np.ndarray:
    return np.stack([10.0 + np.arange(count), 50.0 + 7 * np.arange(count), np.full(count, confidence)], -1)


@pytest.mark.parametrize(
    ("count", "names"),
    [(26, HALPE_26), (136, HALPE_26), (133, WHOLEBODY), (23, WHOLEBODY), (25, BODY_25), (17, COCO_17)],
)
@pytest.mark.parametrize("form", ["x, y, confidence", "x, y", "pairs and scores"])
def test_layouts_are_told_by_their_number_and_keep_names(count: int, names: list[str], form: str) -> None:
    written, scores = triples(count), None
    if form == "x, y":
        written = written[:, :2].reshape(-1)
    elif form == "x, y, confidence":
        written = written.reshape(-1)
    else:
        written, scores = written[:, :2], [0.8] * count
    points, keypoint_set = read_points(written.tolist(), OPENPOSE if count == 25 else COCO, scores)
    for name, (u, v, confidence) in zip(joint_names(keypoint_set), points, strict=True):
        if name in names:
            assert (u, v) == (10 + names.index(name), 50 + 7 * names.index(name)), name
            assert confidence == (1.0 if form == "x, y" else 0.8)
        else:
            assert confidence == 0, f"{name} is not in the file"
    assert sum(points[:, 2] > 0) >= 17


def test_points_without_confidence_in_the_corner_were_not_found() -> None:
    written = triples(18)[:, :2]
    written[4] = 0
    points, _ = read_points(written.reshape(-1).tolist(), OPENPOSE)
    assert points[joint_names("coco17").index("right_wrist"), 2] == 0 and sum(points[:, 2] == 1) == 16


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e300, None])
def test_one_point_out_of_range_is_not_seen_and_all_are_an_error(bad: Any) -> None:
    values = triples(17).reshape(-1).tolist()
    values[6] = bad
    points, _ = read_points(values, COCO)
    assert points[2].tolist() == [0, 0, 0] and np.all(points[[0, 1, 3], 2] == 0.8)
    for values in ([bad] * 51, [10**400] * 51):
        with pytest.raises(ValueError, match="finite numbers"):
            read_points(values, COCO)
    with pytest.raises(ValueError, match="out of range"):
        read_box([10**400, 2, 3, 4])


@pytest.mark.parametrize("bad", [["x"] * 51, [[1, 2], [3]], {"a": 1}, "x", 5, [1, 2]])
def test_what_is_no_list_of_points_is_said(bad: Any) -> None:
    with pytest.raises(ValueError, match="flat list"):
        read_points(bad, OPENPOSE)


def test_an_openpose_file_with_a_point_too_few_is_not_taken_for_coco() -> None:
    with pytest.raises(ValueError, match="17 keypoints; expected OpenPose's"):
        openpose_row({"pose_keypoints_2d": triples(17).reshape(-1).tolist()})
    with pytest.raises(ValueError, match="18 keypoints; expected COCO's"):
        coco_row({"keypoints": triples(18).reshape(-1).tolist()}, flags=False)


def test_the_old_key_and_people_of_hands_alone() -> None:
    assert openpose_row({"pose_keypoints": triples(18).reshape(-1).tolist()}).seen == 17
    assert openpose_row({"pose_keypoints_2d": [], "hand_left_keypoints_2d": [1.0, 2, 3]}).points is None


def test_mmpose_predictions_bring_their_score() -> None:
    row = mmpose_row({"keypoints": triples(17)[:, :2].tolist(), "keypoint_scores": [0.5] * 17, "bbox_score": 0.9})
    assert row.score == 0.9 and row.points is not None and row.points[3].tolist() == [13, 71, 0.5]


def test_a_confidence_of_one_is_no_flag_in_results() -> None:
    row: dict[str, Any] = {"keypoints": triples(17, 1.0).reshape(-1).tolist()}
    result, annotation = coco_row(row, flags=False), coco_row(row, flags=True)
    assert result.points is not None and np.all(result.points[:, 2] == 1.0)
    assert annotation.points is not None and np.all(annotation.points[:, 2] == 0.5), "hidden"


@pytest.mark.parametrize(("score", "expected"), [(0.3, 0.3), (2.9, None), (-1, None), (True, None), ("1", None)])
def test_scores_are_probabilities_or_nothing(score: Any, expected: float | None) -> None:
    assert read_score({"score": score}) == expected


def test_rows_of_other_things_and_crowds_are_no_people() -> None:
    rows = [{"category_id": 1, "n": 0}, {"category_id": 18, "n": 1}, {"category_id": 1, "iscrowd": 1, "n": 2}, {"n": 3}]

    def kept(*args: Any) -> list[int]:
        return [row["n"] for row in people_rows(*args)]

    assert kept(rows, [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]) == [0, 3]
    assert kept(rows, [{"id": 1, "name": "dog"}, {"id": 18, "name": "Person"}]) == [1, 3]
    assert kept(rows) == [0, 3], "COCO's 1 without categories"
    assert kept([{"category_id": 0, "n": 0}, {"category_id": 1, "n": 1}]) == [0], "counted from 0"
    assert kept([{"category_id": 7, "n": 0}, {"category_id": 7, "n": 1}]) == [0, 1], "there is nothing else"


def test_a_person_written_twice_is_one_and_neighbours_are_two() -> None:
    whole, part = triples(17), triples(17) + np.array([3.0, 0, 0])
    part[5:9] = 0
    missing = whole.copy()
    missing[0] = 0
    rows = [PersonRow(part, "coco17", 0.4), PersonRow(missing, "coco17", 0.9)]
    (merged,) = merge_same_people(rows)
    assert merged.score == 0.9 and merged.points is not None
    assert merged.points[0].tolist() == part[0].tolist(), "what only the other has"
    assert merged.points[1:].tolist() == missing[1:].tolist()
    beside = PersonRow(whole + np.array([20.0, 0, 0]), "coco17")
    assert len(merge_same_people([*rows, beside])) == 2
    box = np.array([10.0, 20, 60, 200])
    boxes = [
        PersonRow(whole, "coco17", None, box),
        PersonRow(None, "", None, box + 1),
        PersonRow(None, "", None, box + 60),
    ]
    assert [row.points is None for row in merge_same_people(boxes)] == [False, True]
