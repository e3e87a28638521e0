"""People of one picture on one floor: sizes and distances that agree, and those who are not on it."""

import dataclasses

import numpy as np
import pytest
from standing_people import CAMERA, level_to_camera, person, seen

from dsr.body import load_body
from dsr.camera.tilt import Gravity, up_vector
from dsr.fitting import find_clip_floor, find_floor, find_stances, fit_people
from dsr.fitting.floor import shared_floor
from dsr.fitting.stance import Stance
from dsr.options import FitOptions
from dsr.results import TrackResult

PITCH = 8.0
UP = up_vector(PITCH, 0)
GRAVITY = Gravity(UP, PITCH, 0, 1.5, 0.5)
TILTED = dataclasses.replace(CAMERA, gravity=GRAVITY)


@pytest.fixture(scope="module")
def body():
    return load_body("open")


def stance(standing=1.0, carries=(1.0, 1.0), feet=(1.0, 1.0), sitting=0.0):
    legs = np.ones(2) * standing
    return Stance(standing, legs, np.array(carries), np.array(feet), 1.0, sitting, standing, legs)


def below(*metres):
    return np.repeat(np.array(metres)[:, None], 2, 1)


def test_people_of_different_size_share_a_floor(body):
    """As average adults they would stand 1.5 * 7 % apart."""
    level = level_to_camera(PITCH, 0)
    places = [((-1.2, 1.5, 4.0), 1.06), ((0.0, 1.5, 5.5), 0.95), ((1.6, 1.5, 7.0), 1.0)]
    found = [seen(body, person(body, place=p, scale=s, level=level)) for p, s in places]
    people = fit_people(found, TILTED, body, FitOptions())
    low = np.array([(p.vertices_cam_m @ UP).min() for p in people])
    assert np.ptp(low) < 0.05
    alone = [fit_people([d], TILTED, body, FitOptions())[0] for d in found]
    assert np.ptp([(p.vertices_cam_m @ UP).min() for p in alone]) > 0.08
    assert people[0].height_m > people[2].height_m > people[1].height_m
    floor = find_floor(people, find_stances(found, TILTED, GRAVITY), GRAVITY, body.asset)
    np.testing.assert_allclose(floor.normal, UP)
    assert floor.people == ["p0", "p1", "p2"] and floor.confidence > 0.7
    assert abs(floor.offset_m - low.mean()) < 0.03
    assert max(p.residuals["fit"]["reprojection_rel"] for p in people) < 0.015


def test_who_jumps_stays_in_the_air(body):
    level = level_to_camera(PITCH, 0)
    heights = (1.5, 1.5, 0.9)
    found = [
        seen(body, person(body, place=(x, y, 5.0), level=level)) for x, y in zip((-1.5, 0, 1.5), heights, strict=True)
    ]
    people = fit_people(found, TILTED, body, FitOptions())
    low = [(p.vertices_cam_m @ UP).min() for p in people]
    assert abs(low[0] - low[1]) < 0.05 and low[2] - low[0] > 0.4
    floor = find_floor(people, find_stances(found, TILTED, GRAVITY), GRAVITY, body.asset)
    assert floor.people == ["p0", "p1"]


def test_a_child_among_adults_is_a_child(body):
    """As an adult it would be far away and below the others' floor."""
    level = level_to_camera(PITCH, 0)
    places = [((-1.2, 1.5, 4.5), 1.0), ((0.0, 1.5, 4.0), 0.68), ((1.2, 1.5, 5.0), 1.0)]
    found = [seen(body, person(body, place=p, scale=s, level=level)) for p, s in places]
    people = fit_people(found, TILTED, body, FitOptions())
    assert people[1].height_m < 1.3 < 1.5 < min(people[0].height_m, people[2].height_m)
    assert np.ptp([(p.vertices_cam_m @ UP).min() for p in people]) < 0.06


def test_a_size_that_the_user_gave_stays(body):
    level = level_to_camera(PITCH, 0)
    found = [seen(body, person(body, place=(x, 1.5, 5.0), scale=s, level=level)) for x, s in ((-1, 1.08), (1, 0.94))]
    assert [round(p.height_m, 2) for p in fit_people(found, TILTED, body, FitOptions(height=1.8))] == [1.8, 1.8]


def test_consensus():
    shared = shared_floor(below(1.5, 1.6, 3.0), [stance(), stance(), stance()])
    assert shared.standing.tolist() == [True, True, True]  # the third is a child, or stands somewhere else
    assert 1.5 < shared.height_m < 1.6 and 0.4 < shared.scale[2] < 0.6
    higher = shared_floor(below(1.5, 1.6, 0.8), [stance(), stance(), stance()])
    assert higher.standing.tolist() == [True, True, False] and higher.scale[2] == 1
    runner = shared_floor(below(1.5, 1.5, 1.8), [stance(), stance(), stance(0.1)])
    assert runner.standing.tolist() == [True, True, False]
    cut = stance(0.0, (0.0, 0.0), (0.0, 0.0))
    assert shared_floor(below(1.5, 1.55), [stance(), cut]).standing.tolist() == [True, True]
    seated = stance(0.0, (0.0, 0.0), (0.0, 0.0), sitting=1.0)
    assert shared_floor(below(1.5, 1.55), [stance(), seated]).standing.tolist() == [True, False]
    assert shared_floor(below(1.5), [stance(0.0, (0.0, 0.0))]) is None
    assert shared_floor(np.zeros((0, 2)), []) is None
    lying_camera = shared_floor(below(0.05, 0.08), [stance(), stance()])
    assert lying_camera.standing.all() and (lying_camera.scale == 1).all()


def test_who_would_stand_below_the_others_sits():
    """Legs that are not seen: 0.4 m too low is a chair, 0.1 m another size; feet that are seen are believed."""
    cut = stance(0.0, (0.0, 0.0), (0.0, 0.0))
    shared = shared_floor(below(1.5, 1.9, 1.6), [stance(), cut, cut])
    assert shared.sits.tolist() == [False, True, False] and shared.standing.tolist() == [True, False, True]
    assert shared.scale[1] == 1 and shared.height_m == pytest.approx(1.5, abs=0.05)
    nobodys_feet = shared_floor(below(1.9, 1.5, 1.95), [cut, cut, cut])
    assert nobodys_feet.sits.tolist() == [True, False, True]
    assert not shared_floor(below(1.5, 1.9), [stance(), stance()]).sits.any()


def test_a_seated_person_at_a_table_sits(body):
    """Two people of one size to the waist, beside somebody who stands: the head of one is 40 centimetres lower."""
    level = level_to_camera(PITCH, 0)
    standing = seen(body, person(body, place=(0.0, 1.5, 4.0), level=level))
    legs = ("knee", "ankle", "heel", "foot")
    found = [
        standing,
        seen(body, person(body, place=(1.0, 1.9, 4.0), level=level), hidden=legs),
        seen(body, person(body, place=(-1.0, 1.5, 4.0), level=level), hidden=legs),
    ]
    people = fit_people(found, TILTED, body, FitOptions())
    thighs = np.array([p.joints_cam_m[[4, 5]] - p.joints_cam_m[[1, 2]] for p in people]).mean(1)
    drop = -(thighs @ UP) / np.linalg.norm(thighs, axis=1)
    assert drop[0] > 0.95 and drop[2] > 0.9 and drop[1] < 0.5
    assert people[1].height_m > 0.93 * people[0].height_m
    low = np.array([(p.vertices_cam_m @ UP).min() for p in people])
    assert abs(low[1] - low[0]) < 0.25 < abs(1.9 - 1.5)


def test_nobody_stands_and_up_is_known_all_the_same(body):
    floor = find_floor([], [], GRAVITY, body.asset)
    assert floor.offset_m is None and floor.confidence == 0 and not floor.people
    np.testing.assert_allclose(floor.normal, UP)


def track(name, ground, feet_at, frames=20):
    joints = np.zeros((frames, 24, 3))
    joints[:, [10, 11]] = feet_at
    return TrackResult(
        id=name,
        frames=np.arange(frames),
        observed=np.ones(frames, bool),
        score=1.0,
        keypoint_set="coco17",
        keypoints_px=np.zeros((frames, 17, 3)),
        boxes_px=np.zeros((frames, 4)),
        betas=np.zeros(10),
        global_orient=np.zeros((frames, 3)),
        body_pose=np.zeros((frames, 23, 3)),
        transl=np.zeros((frames, 3)),
        joints_cam_m=joints,
        contacts=np.ones((frames, 4), bool),
        height_m=1.7,
        ground=ground,
    )


def test_a_floor_that_nobody_believes_in_is_none(body, monkeypatch):
    """Which way is up stays known; a height that three of four contradict does not."""
    level = level_to_camera(PITCH, 0)
    found = [seen(body, person(body, place=(0.0, 1.5, 5.0), level=level))]
    people = fit_people(found, TILTED, body, FitOptions())
    stances = find_stances(found, TILTED, GRAVITY)
    assert find_floor(people, stances, GRAVITY, body.asset).offset_m is not None
    doubted = dataclasses.replace(shared_floor(below(1.5), stances), confidence=0.05)
    monkeypatch.setattr("dsr.fitting.floor.shared_floor", lambda *_: doubted)
    floor = find_floor(people, stances, GRAVITY, body.asset)
    assert floor.offset_m is None and floor.people == [] and floor.confidence == 0
    np.testing.assert_allclose(floor.normal, UP)


def test_tracks_of_a_clip_share_a_floor():
    level = np.array([0.0, -1.0, 0.0])
    tilted = up_vector(3, 0)
    people = [
        track("p0", np.r_[level, -1.5], [0.0, 1.47, 5.0]),
        track("p1", np.r_[tilted, tilted @ [1.0, 1.55, 4.0]], [1.0, 1.52, 4.0]),
        track("p2", np.r_[level, -0.7], [2.0, 0.68, 4.0]),
        track("p3", None, [0.0, 1.0, 3.0]),
    ]
    floor = find_clip_floor(people, Gravity(level, 0, 0, 8, 2))
    assert floor.people == ["p0", "p1"]
    assert abs(floor.offset_m + 1.52) < 0.1 and floor.normal @ level > 0.999
    nothing = find_clip_floor([people[3]], Gravity(level, 0, 0, 8, 2))
    assert nothing.offset_m is None and not nothing.people


def test_nobody_becomes_a_giant_to_stand_on_the_floor(body, monkeypatch):
    """Somebody on a step: on the others' floor he would be taller than the limit."""
    monkeypatch.setattr("dsr.fitting.floor._TALLEST_M", 1.9)
    level = level_to_camera(PITCH, 0)
    places = [((-1.2, 1.5, 4.5), 1.0), ((0.0, 1.5, 5.5), 1.0), ((1.2, 1.3, 4.0), 1.05)]
    found = [seen(body, person(body, place=p, scale=s, level=level)) for p, s in places]
    alone = fit_people(found[2:], TILTED, body, FitOptions())[0]
    people = fit_people(found, TILTED, body, FitOptions())
    low = np.array([(p.vertices_cam_m @ UP).min() for p in people])
    assert abs(people[2].height_m - alone.height_m) < 0.06
    assert abs(low[0] - low[1]) < 0.05 < 0.1 < low[2] - low[:2].mean()
