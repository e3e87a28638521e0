"""dsr-eval people: who of annotated people is found, with made-up pictures and fits that cost nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from shared_data import people_found

from dsr.body import joint_names, load_asset
from dsr.cli.eval import main
from dsr.cli.eval_people import table
from dsr.errors import DatasetError
from dsr.evaluation.coco_people import extent, load_annotations
from dsr.evaluation.people_found import PeopleReport, distance, score_picture

NAMES = ["Left Shoulder", "Right Shoulder", "Left Hip", "Right Hip", "Left Knee", "Right Knee", "Left Ankle"]
NAMES += ["Right Ankle", "Head top"]
PLAIN = [name.lower().replace(" ", "_") for name in NAMES]
STANDING = np.array(
    [[60, 60], [40, 60], [55, 110], [45, 110], [55, 150], [45, 150], [55, 190], [45, 190], [50, 20]], float
)
"""Pixels of the joints of somebody 200 pixels tall."""


def row(image: int, x: float, visible: int = 9, **changes) -> dict:
    """An annotation, moved to the right by x; only the first so many joints are labelled."""
    points = np.c_[STANDING + np.array([x, 0]), np.where(np.arange(9) < visible, 2, 0)]
    points[visible:] = 0
    return {"id": int(x), "image_id": image, "category_id": 1, "bbox": [30 + x, 10, 40, 190]} | {
        "keypoints": points.ravel().tolist(),
        **changes,
    }


def write_folder(folder: Path, rows: list[dict], grey: int = 128) -> Path:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (600, 220), (grey,) * 3).save(folder / name)
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    document = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "person", "keypoints": NAMES}]}
    (folder / "truth.json").write_text(json.dumps(document))
    return folder


def person(x: float, spread: float = 0.0) -> SimpleNamespace:
    """Somebody found at x: BlazePose's points where the annotated joints are, ``spread`` pixels off."""
    names = joint_names("blazepose33")
    points = np.full((33, 3), 0.0)
    points[:, :2] = STANDING.mean(0) + np.array([x, 0])
    points[:, 2] = 1
    for name, place in zip(PLAIN, STANDING, strict=True):
        if name in names:
            points[names.index(name), :2] = place + np.array([x + spread, 0])
    box = np.array([30 + x, 10, 70 + x, 200])
    return SimpleNamespace(keypoint_set="blazepose33", keypoints_px=points, box_px=box, vertices_cam_m=None)


def scored(folder: Path, *people: SimpleNamespace, grey: int = 128) -> PeopleReport:
    """The report on the first picture."""
    report = PeopleReport()
    result = SimpleNamespace(
        status="ok",
        message="",
        people=list(people),
        K=None,
        image_size=(600, 220),
        overlay_rgb=np.full((220, 600, 3), grey),
    )
    score_picture(load_annotations(folder)[0], result, load_asset("open"), report)
    return report


def test_annotations_are_read_by_the_names_of_their_joints(tmp_path):
    folder = write_folder(tmp_path, [row(1, 0), row(1, 200, iscrowd=1), row(2, 100, keypoints=[0] * 27)])
    first, second = load_annotations(folder)
    (someone,) = first.people
    assert someone.names == tuple(PLAIN) and first.crowds_px.tolist() == [[230, 10, 270, 200]]
    np.testing.assert_allclose(someone.box_px, [30, 10, 70, 200])
    np.testing.assert_allclose(someone.keypoints_px, STANDING)
    assert second.people == ()  # a box without joints


def test_how_much_is_seen_is_what_is_labelled(tmp_path):
    rows = [row(1, 10 * i, visible) for i, visible in enumerate((9, 6, 4, 2))]
    rows[0]["keypoints"][2] = 3  # AI Challenger: not in the picture
    people = load_annotations(write_folder(tmp_path, rows))[0].people
    assert [extent(p) for p in people] == ["whole", "to the knees", "to the waist", "head and shoulders"]
    assert people[0].visibility[0] == 0


def test_everybody_is_counted_once(tmp_path):
    """Two annotated; found: one of them, the same again, a stranger, and somebody in a crowd."""
    folder = write_folder(tmp_path, [row(1, 0), row(1, 200), row(1, 500, iscrowd=1)])
    report = scored(folder, person(0, 4), person(2, 14), person(380), person(500))
    assert [p.found for p in report.people] == [True, False]
    (picture,) = report.pictures
    assert (picture.annotated, picture.found, picture.second, picture.unannotated) == (2, 1, 1, 1)
    assert report.people[0].distance_percent == pytest.approx(100 * 4 / 190)
    assert report.people[0].joints == 8 and report.people[0].detector_right == 8
    summary = report.summary()
    assert summary["all"]["found_percent"] == 50 and summary["strata"]["whole"]["annotated"] == 2


def test_joints_are_right_within_five_percent_and_somebody_far_off_is_not_found(tmp_path):
    folder = write_folder(tmp_path, [row(1, 0)])
    assert scored(folder, person(0, 9)).people[0].detector_right == 8
    assert scored(folder, person(0, 10)).people[0].detector_right == 0
    assert scored(folder, person(0, 37)).people[0].found
    assert not scored(folder, person(0, 39)).people[0].found
    truth = load_annotations(folder)[0].people[0]
    assert distance(truth, "blazepose33", person(0, 19).keypoints_px) == pytest.approx(0.1)


def test_circumstances(tmp_path):
    folder = write_folder(tmp_path, [row(1, 0), row(1, 20), row(1, 400, bbox=[430, 10, 40, 60])])
    report = scored(folder, grey=20)
    assert "overlapped" in report.people[0].strata and "dark" in report.people[0].strata
    assert "small" in report.people[2].strata and "overlapped" not in report.people[2].strata
    assert "dark" not in scored(folder).people[0].strata


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"image_id": 1}], "COCO keypoint file"),
        ([row(1, 0, keypoints=[1, 2, 2])], "1 finite keypoints for 9 names"),
        ([row(1, 0, bbox=[0, 0, 0, 5])], "no positive width"),
        ([row(7, 0)], "COCO keypoint file"),
    ],
)
def test_broken_annotations_are_named(tmp_path, rows, says, capsys):
    assert main(["people", str(write_folder(tmp_path, rows))]) == 2
    assert says in capsys.readouterr().err


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DatasetError, match="cannot be read"):
        load_annotations(tmp_path)
    write_folder(tmp_path, [])
    (tmp_path / "b.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of its pictures .* b\.png"):
        load_annotations(tmp_path)
    (tmp_path / "truth.json").write_text("[")
    with pytest.raises(DatasetError, match="not valid JSON"):
        load_annotations(tmp_path)


def test_the_command_with_nobody_in_the_pictures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("dsr.pipeline.people_finder.PeopleFinder.__call__", lambda self, photo, *_: [])
    monkeypatch.setattr("dsr.pipeline.people_finder.PeopleFinder.prepare", lambda self: None)
    folder, out = write_folder(tmp_path, [row(1, 0)]), tmp_path / "o.json"
    other = tmp_path / "other.json"
    (folder / "truth.json").rename(other)
    assert (
        main(["people", str(folder), "--annotations", str(other), "--complete", "--json", str(out), "--verbose"]) == 0
    )
    printed = capsys.readouterr().out
    assert "a.png 0: whole" in printed and "not found" in printed and "nobody" in printed
    summary = json.loads(out.read_text())["summary"]
    assert summary["all"]["annotated"] == 1 and summary["all"]["found"] == 0 and summary["unannotated"] == 0
    assert main(["people", str(folder), "--limit", "0"]) == 2


def test_the_real_pictures_can_be_read():
    pictures = load_annotations(people_found())
    assert len(pictures) == 3 and sum(len(p.people) for p in pictures) == 9
    extents = {extent(person) for picture in pictures for person in picture.people}
    assert "whole" in extents and "head and shoulders" in extents


def test_who_is_plain_to_see_is_counted_apart(tmp_path):
    """Of three two are plain to see, one of them behind somebody; one of those two is found."""
    plain, hidden, tiny = (
        {"face_px": 12, "trunk_px": 44},
        {"face_px": 40, "trunk_px": 0},
        {"face_px": 9, "trunk_px": 39},
    )
    rows = [row(1, 0, **plain), row(1, 200, **hidden, hidden_by=["somebody"]), row(1, 400, **tiny)]
    report = scored(write_folder(tmp_path, rows), person(0), person(400))
    assert [p.plain for p in report.people] == [True, True, False]
    assert report.people[1].strata[0] == "behind somebody"
    figures = report.summary()
    assert (figures["all"]["plain"], figures["all"]["plain_found"], figures["all"]["found"]) == (2, 1, 2)
    assert figures["strata"]["behind somebody"]["plain_percent"] == 0
    text = table(report, complete=True)
    assert "behind somebody" in text and "plain: face or trunk" in text
    unknown = scored(write_folder(tmp_path, [row(1, 0)]), person(0))
    assert unknown.people[0].plain is None and "plain" not in table(unknown)


def test_pictures_are_drawn_and_looked_at(tmp_path, capsys):
    """Every person who is drawn is annotated, so the command says who is nobody; a folder is not drawn into twice."""
    folder = tmp_path / "drawn"
    command = ["people", str(folder), "--draw", "2", "--json", str(tmp_path / "out.json")]
    assert main(command) == 0
    said = json.loads((tmp_path / "out.json").read_text())
    assert said["complete"] and said["summary"]["all"]["annotated"] == sum(p["annotated"] for p in said["pictures"]) > 0
    assert "bodies where nobody is" in capsys.readouterr().out
    assert sum(len(p.people) for p in load_annotations(folder)) == said["summary"]["all"]["annotated"]
    assert main(command) == 2 and "is there already" in capsys.readouterr().err
