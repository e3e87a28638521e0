"""What the chain of a clip hands on: the people who are sure enough, and its own frame rate."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import dsr

COUNT = 6


@pytest.fixture
def clip(tmp_path):
    """A folder of frames, and beside it keypoints of two people: one with a score of 0.8, one with 0.3."""
    folder, keypoints = tmp_path / "walk", tmp_path / "keypoints"
    folder.mkdir()
    keypoints.mkdir()
    for n in range(COUNT):
        Image.new("RGB", (320, 240), (40 * n, 90, 90)).save(folder / f"f{n}.png")
        people = []
        for u, confidence in ((100.0, 0.8), (200.0, 0.3)):
            points = np.c_[u + np.arange(25.0), 50 + 4 * np.arange(25.0), np.full(25, confidence)]
            people.append({"pose_keypoints_2d": points.ravel().tolist()})
        (keypoints / f"f{n}_keypoints.json").write_text(json.dumps({"people": people}))
    return folder, keypoints


@pytest.mark.parametrize(("min_score", "scores"), [(0.2, [0.8, 0.3]), (0.5, [0.8]), (0.9, [])])
def test_people_are_followed_who_are_sure_enough_at_the_rate_of_the_clip(clip, monkeypatch, min_score, scores):
    followed = []

    def seen(frames, fps, max_gap_s):
        followed.append(([[d.score for d in people] for people in frames], fps, max_gap_s))
        return []  # nothing to fit: that is not what this is about

    monkeypatch.setattr("dsr.people.tracking.track_people", seen)
    folder, keypoints = clip
    options = dsr.FitOptions(body="open-light", keypoints=keypoints, min_score=min_score)
    result = dsr.fit_sequence(folder, options, dsr.SequenceOptions(fps=12.5, lifter="none", max_gap_s=1.5))
    assert result.status == "no_person", result.message
    assert (f"scores below --min-score {min_score:g}" in result.message) == (not scores)
    ((frames, fps, max_gap_s),) = followed
    assert (fps, max_gap_s) == (12.5, 1.5)
    assert frames == [pytest.approx(scores)] * COUNT
    said = "the detector sees nobody as 12 of 12 people there lie; are the coordinates pixels of these frames"
    assert sum(said in sentence for sentence in result.warnings) == 1
