"""Which people are fitted: what the add-on asks for is what the real worker understands."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import partial

import pytest
from cheap_bodies import cheap_fitter, find_people
from dsr_fit_body.core.messages import Sentence, warning_sentence

from dsr import load_result
from dsr.cli.serve import Worker


@pytest.mark.parametrize(
    ("options", "people"),
    [
        ({"person": "all"}, 3),
        ({"person": "largest"}, 1),
        ({"person": "largest:2"}, 2),
        ({"person": "largest:9"}, 3),
        ({"person": "1"}, 1),
        ({"person": "all", "min_score": 0.95}, 0),
    ],
)
def test_worker_fits_the_people_asked_for(make_picture, tmp_path, options, people):
    picture = make_picture(tmp_path / "photo.png", people=3)
    request = {"request": "fit", "id": 1, "inputs": [str(picture)], "out": str(tmp_path / "out"), "options": options}
    answers = io.StringIO()
    Worker(io.StringIO(json.dumps(request) + "\n"), answers, make_fitter=cheap_fitter).run()
    events = [json.loads(line) for line in answers.getvalue().splitlines()]
    result = next(event for event in events if event["event"] == "result")
    assert result["people"] == people and result["status"] == ("ok" if people else "no_person")
    assert len(load_result(result["path"]).people) == people


def test_people_left_out_become_a_warning(make_picture, tmp_path):
    """The sentence is one the add-on knows, so that it can say it in another language."""

    def with_scores(photo):
        return [replace(d, score=s) for d, s in zip(find_people(photo), (0.9, 0.4, 0.8), strict=True)]

    make_fitter = partial(cheap_fitter, people_finder=with_scores)
    picture = make_picture(tmp_path / "photo.png", people=3)
    for limit, expected_text in ((0.5, "1 of 3 people skipped: score below 0.5"), (0.85, "2 of 3 people"), (0.1, "")):
        request = {"request": "fit", "id": 1, "inputs": [str(picture)], "out": str(tmp_path / f"out{limit}")}
        answers = io.StringIO()
        request |= {"options": {"min_score": limit}}
        Worker(io.StringIO(json.dumps(request) + "\n"), answers, make_fitter=make_fitter).run()
        events = [json.loads(line) for line in answers.getvalue().splitlines()]
        warnings = [warning_sentence(event["message"]) for event in events if event["event"] == "warning"]
        assert len(warnings) == (1 if expected_text else 0)
        assert all(isinstance(one, Sentence) and str(one).startswith(expected_text) for one in warnings)


def test_worker_refuses_other_values(tmp_path):
    request = {"request": "fit", "id": 1, "inputs": ["a.jpg"], "out": str(tmp_path), "options": {"person": "largest:0"}}
    answers = io.StringIO()
    Worker(io.StringIO(json.dumps(request) + "\n"), answers).run()
    error = next(event for event in map(json.loads, answers.getvalue().splitlines()) if event["event"] == "error")
    assert error["code"] == "usage" and "largest:N" in error["message"]
