"""Who is who through a clip: crossing people, gaps, ghosts, duplicates; and the same answer every time."""

from dataclasses import replace

import numpy as np
import pytest

from dsr.people.tracking import select_tracks, track_people
from dsr.people.types import Detection

FPS = 25.0
RNG = np.random.default_rng(4)
SHAPE = RNG.uniform(0, 1, (33, 2)) * [60, 160]


def person(x, y=200.0, scale=1.0, score=0.9, jitter=0.0, seed=0, stretch=1.0):
    noise = np.random.default_rng(seed).normal(0, jitter, (33, 2)) if jitter else 0.0
    points = SHAPE * scale * [stretch, 1.0] + [x, y] + noise
    box = np.concatenate([points.min(0), points.max(0)])
    return Detection(box, score, "blazepose33", points, np.ones(33))


def middle(detection):
    return (detection.box_px[0] + detection.box_px[2]) / 2


def test_crossing_people_keep_their_identity():
    frames = []
    for t in range(60):
        a = person(100 + 6 * t, jitter=2, seed=t)
        b = person(460 - 6 * t, y=215, scale=1.1, jitter=2, seed=1000 + t)
        frames.append([b, a] if middle(b) < middle(a) else [a, b])  # the detector's order says nothing
    tracks = track_people(frames, FPS)
    assert [t.id for t in tracks] == ["p0", "p1"] and all(len(t.frames) == 60 for t in tracks)
    for track, way in zip(tracks, (1, -1), strict=True):
        assert np.all(way * np.diff([middle(d) for d in track.detections]) > -6)
    assert middle(tracks[0].detections[-1]) > 400 > 200 > middle(tracks[1].detections[-1])


def test_crossing_with_one_hidden_behind_the_other():
    frames = []
    for t in range(60):
        a, b = person(100 + 6 * t), person(460 - 6 * t, y=205)
        frames.append([a] if 24 <= t <= 36 else [a, b])  # b is behind a
    tracks = track_people(frames, FPS)
    assert len(tracks) == 2
    assert tracks[0].gaps == [] and tracks[1].gaps == [(24, 36)]
    assert middle(tracks[1].detections[-1]) < 200


def test_gap_longer_than_allowed_starts_somebody_new():
    frames = [[person(100 + t)] if t < 20 or t >= 60 else [] for t in range(90)]
    assert len(track_people(frames, FPS, max_gap_s=1.0)) == 2
    assert [t.gaps for t in track_people(frames, FPS, max_gap_s=2.0)] == [[(20, 59)]]


@pytest.mark.parametrize("fps", [10.0, 60.0])
@pytest.mark.parametrize(("hidden_s", "people"), [(0.8, 1), (1.2, 2)])
def test_gaps_are_counted_in_seconds_at_any_frame_rate(fps, hidden_s, people):
    gone, back = round(2 * fps), round((2 + hidden_s) * fps)
    frames = [[] if gone <= t < back else [person(100)] for t in range(back + round(2 * fps))]
    assert len(track_people(frames, fps, max_gap_s=1.0)) == people


@pytest.mark.parametrize("fps", [10.0, 60.0])
@pytest.mark.parametrize(("seen_s", "people"), [(0.1, 1), (0.4, 2)])
def test_mistakes_are_told_from_people_in_seconds_at_any_frame_rate(fps, seen_s, people):
    frames = [[person(100)] + ([person(400)] if fps <= t < (1 + seen_s) * fps else []) for t in range(round(4 * fps))]
    assert len(track_people(frames, fps)) == people


def test_ghosts_and_second_detections_are_dropped():
    frames = []
    for t in range(50):
        own = person(100 + 2 * t, jitter=1, seed=t)
        found = [own]
        if t in (10, 11, 30):
            found.append(person(400, y=50))  # a lamp post, now and then
        if 20 <= t < 40:
            found.append(replace(person(103 + 2 * t, jitter=2, seed=500 + t), score=0.6))  # the same person again
        frames.append(found)
    tracks = track_people(frames, FPS)
    assert len(tracks) == 1 and len(tracks[0].frames) == 50
    assert all(d.score == 0.9 for d in tracks[0].detections)


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_short_clips_keep_everybody(frames):
    clip = [[person(100 + 3 * t), person(300 + 3 * t)] for t in range(frames)]
    tracks = track_people(clip, 5.0)
    assert [len(t.frames) for t in tracks] == [frames, frames]


def test_order_of_appearance_then_from_the_left():
    frames = [[person(300)] + ([person(50)] if t >= 5 else []) for t in range(30)]
    tracks = track_people(frames, FPS)
    assert [int(t.frames[0]) for t in tracks] == [0, 5]
    assert {d.number for d in tracks[1].detections} == {1}
    both = track_people([[person(300), person(50)]] * 30, FPS)
    assert middle(both[0].detections[0]) < middle(both[1].detections[0])
    assert [t.id for t in select_tracks(tracks, "1")] == ["p1"] and select_tracks(tracks, "7") == []
    assert [t.id for t in select_tracks(both, "largest")] == ["p0"]
    wide = track_people([[person(50), person(300), person(600)]] * 30, FPS)
    sizes = {t.id: t.detections[0].box_px for t in wide}
    for box, grown in zip(sizes.values(), (1, 0.4, 1.2), strict=True):
        box[2:] = box[:2] + grown * (box[2:] - box[:2])
    for track in wide:
        for detection in track.detections:
            detection.box_px[:] = sizes[track.id]
    assert [t.id for t in select_tracks(wide, "largest:2")] == ["p0", "p2"]
    assert [t.id for t in select_tracks(wide, "largest:9")] == [t.id for t in select_tracks(wide, "all")]


def test_nan_keypoints_and_boxes_do_not_break_it():
    frames = []
    for t in range(30):
        d = person(100 + 2 * t)
        points = d.keypoints_px.copy()
        points[:5] = np.nan
        box = d.box_px * (np.nan if t == 7 else 1.0)
        frames.append([replace(d, keypoints_px=points, box_px=box)])
    tracks = track_people(frames, FPS)
    assert len(tracks) == 1 and tracks[0].gaps == [(7, 7)]


def test_same_answer_twice():
    frames = [[person(100 + 5 * t + 120 * k, jitter=8, seed=7 * t + k) for k in range(3)] for t in range(40)]
    first, second = track_people(frames, FPS), track_people(frames, FPS)
    assert [t.frames.tolist() for t in first] == [t.frames.tolist() for t in second]
    assert len(first) == 3


def test_nobody():
    assert track_people([], FPS) == [] and track_people([[]] * 10, FPS) == []
