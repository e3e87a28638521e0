"""docs/worker_protocol.md names every event and field of the worker's answers, and none that it never sends."""

from __future__ import annotations

import io
import json
import re

import pages
import pytest

from dsr.cli.serve import PROTOCOL, Worker

PAGE = pages.page("docs/worker_protocol.md")
IMAGES = pages.ROOT / "examples" / "images"


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """What a worker answers to requests of every kind, good and bad."""
    folder = tmp_path_factory.mktemp("worker")
    (folder / "broken.jpg").write_bytes(b"no picture")
    fit = {"request": "fit", "out": str(folder / "out")}
    requests = [
        "not json",
        {"request": "nonsense", "id": 1},
        {"request": "check", "id": 2},
        {**fit, "id": 3, "inputs": [str(IMAGES / "room_border.jpg"), str(folder / "broken.jpg")], "format": ""},
        {"request": "quit"},
    ]
    lines = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in requests)
    answers = io.StringIO()
    Worker(io.StringIO(lines), answers).run()
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def described() -> dict[str, set[str]]:
    """Event to its fields, from the table of answers."""
    rows = [row.split("|") for row in pages.section(PAGE, "Answers").splitlines() if row.startswith("| `")][1:]
    return {cells[1].strip(" `"): pages.code_words(cells[2]) for cells in rows}


def test_every_event_is_described_and_sent(events):
    assert {one["event"] for one in events} == set(described())


def test_every_field_is_described(events):
    fields = described()
    for one in events:
        assert set(one) - {"event"} <= fields[one["event"]], one["event"]


def test_the_version_is_the_programs():
    assert pages.headings(PAGE)[0] == (1, f"Worker protocol, version {PROTOCOL}")


def test_codes_of_errors_are_described(events):
    sentence = re.search(r"Codes of `error`:.*?\n\n", PAGE, re.DOTALL)
    assert sentence
    codes = {one["code"] for one in events if one["event"] == "error"}
    assert codes and codes <= pages.code_words(sentence[0])
