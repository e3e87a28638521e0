"""The report: a row per input from its result, and both files say the same."""

import csv
import json

import pytest
from test_picture_result import make_person, make_result

from dsr.results import load_result, read_rows, row_of, save_result, write_report


def test_a_row_has_the_median_of_its_people():
    result = make_result(0)
    result.people = [make_person(i) for i in range(4)]
    for person, error in zip(result.people, (9.0, 2.0, 4.0, float("nan")), strict=True):
        person.residuals = {"fit": {"reprojection_px": error, "reprojection_rel": error / 500}}
    row = row_of(result, "sub/a", ["sub/a.json"], 1.23456)
    assert (row.reprojection_px, row.reprojection_percent, row.seconds) == (4.0, 0.8, 1.235)
    assert row.warnings == ["first of 3 frames", *(f"p{i}: cut by the border" for i in range(4))]
    assert (row.people, row.name, row.outputs, row.focal_source) == (4, "sub/a", ["sub/a.json"], "exif")
    assert row_of(make_result(0), "a", [], 0.0).reprojection_px is None


@pytest.mark.parametrize(
    ("status", "failed"),
    [("ok", False), ("no_person", False), ("unreadable", True), ("too_small", True), ("failed", True)],
)
def test_nobody_in_a_picture_is_no_failure(status, failed):
    result = make_result(0)
    result.status = status
    assert row_of(result, "a", [], 0.0).failed is failed


def test_both_files_hold_the_rows_and_are_read_back(tmp_path):
    rows = [row_of(make_result(n), f"a{n}", [f"a{n}.json", f"a{n}.npz"], 0.5) for n in (2, 0)]
    rows[1].earlier = True
    assert [p.name for p in write_report(tmp_path, rows, interrupted=True)] == ["report.csv", "report.json"]
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["schema"] == "dsr.report" and document["interrupted"] is True
    assert document["counts"] == {"no_person": 1, "ok": 1}
    with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [line["outputs"] for line in table] == ["a2.json; a2.npz", "a0.json; a0.npz"]
    assert [line["earlier"] for line in table] == ["", "yes"] and table[0]["input"] == "photos/Jürgen läuft.JPG"
    assert read_rows(tmp_path) == rows
    (tmp_path / "report.json").write_text("{")
    assert read_rows(tmp_path) == []


def test_a_row_that_something_else_has_changed_costs_the_others_nothing(tmp_path):
    good, other = (row_of(make_result(1), name, [f"{name}.json"], 0.5) for name in "ab")
    write_report(tmp_path, [good, other])
    document = json.loads((tmp_path / "report.json").read_text())
    odd = [None, 5, [], {}, {"input": 5, "status": "ok"}]
    odd += [
        {**document["rows"][0], **change}
        for change in ({"name": None}, {"outputs": 3}, {"seconds": float("nan")}, {"people": "x"}, {"warnings": [{}]})
    ]
    document["rows"][1:1] = odd
    (tmp_path / "report.json").write_text(json.dumps(document))
    assert read_rows(tmp_path) == [good, other]


def test_a_row_of_a_saved_result_is_that_of_the_result(tmp_path):
    save_result(make_result(3), tmp_path / "a.json")
    assert row_of(load_result(tmp_path / "a.json"), "a", [], 1.0) == row_of(make_result(3), "a", [], 1.0)
