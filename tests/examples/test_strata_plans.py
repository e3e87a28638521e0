"""The set of people in strata: shares, determinism, and pictures that are of what they say (without Blender)."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from shared_data import makehuman

sys.path.insert(0, str(Path("examples").resolve()))

from _plans import STRATA, strata_plans


def people_by_stratum(plans) -> dict[str, int]:
    return {name: sum(plan.people for plan in plans if plan.stratum == name) for name in STRATA}


def test_shares_hold_for_every_beginning():
    assert sum(STRATA.values()) == 300
    plans = strata_plans(300, 1, 320, 1)
    assert plans == strata_plans(300, 1, 320, 1)
    for end in (60, 120, len(plans)):
        made = people_by_stratum(plans[:end])
        total = sum(made.values())
        assert all(abs(made[name] - STRATA[name] * total / 300) <= 8 for name in STRATA), made
    few = strata_plans(20, 1, 320, 1)
    assert few == plans[: len(few)] and sum(plan.people for plan in few) >= 20
    assert {plan.seed for plan in plans} == set(range(1, 1 + len(plans)))


def test_a_stratum_is_what_it_says():
    plans = strata_plans(300, 1, 320, 1)
    of = {name: [plan for plan in plans if plan.stratum == name] for name in STRATA}
    assert all(len(p.poses) == 1 and abs(p.yaw_deg[0]) < 60 for p in of["frontal"])
    assert {p.cut_at for p in of["cut"]} == {"knees", "hips", "chest"}
    assert all(2 <= p.people <= 4 and p.deep for p in of["several"]) and all(p.people >= 5 for p in of["crowd"])
    focals = [p.focal35 for p in of["focal"]]
    assert min(focals) < 27 and max(focals) > 120 and all(20 <= f <= 26 or 90 <= f <= 200 for f in focals)
    heights = [p.eye_height for p in of["view"]]
    assert min(heights) < 0.4 and max(heights) > 2.6
    assert all(p.place != "room" for p in of["view"] if p.eye_height > 2)
    assert all(p.child for p in of["child"]) and {p.mass for p in of["mass"]} == {-1, 1}


@pytest.fixture(scope="module")
def clothes(tmp_path_factory):
    archive = makehuman() / "makehuman_assets_cc0.tar.xz"
    from dsr.synthetic.wardrobe import Wardrobe, unpack

    folder = tmp_path_factory.mktemp("garments")
    return Wardrobe(unpack(archive, folder))


def drawn(plan, clothes, occluders=()):
    """The people of a plan and its truth."""
    import _camera
    import render_people

    rng = np.random.default_rng(plan.seed)
    people = render_people.draw_people(plan, rng, clothes)
    view = _camera.draw_view(plan, rng, people)
    return people, view, render_people.truth_of(plan, view, clothes, occluders)


def first(stratum: str, **fields):
    plans = strata_plans(300, 7, 320, 1)
    return next(p for p in plans if p.stratum == stratum and all(getattr(p, k) == v for k, v in fields.items()))


def test_the_floor_of_the_truth_is_under_everybody(clothes):
    people, view, truth = drawn(first("several"), clothes)
    normal, offset = np.array(truth["floor_cam"][:3]), truth["floor_cam"][3]
    assert np.linalg.norm(normal) == pytest.approx(1, abs=1e-5) and normal[1] < -0.5
    for person in people:
        camera = person.vertices @ view.rotation.T + view.translation
        assert -0.01 < (camera @ normal).min() - offset < 0.06  # soles of shoes between


def test_people_are_cut_where_the_plan_says(clothes):
    _, _, truth = drawn(first("cut", cut_at="hips"), clothes)
    (person,) = truth["people"]
    names = ("left_hip", "left_knee", "nose", "left_shoulder")
    from dsr.body import joint_names

    heights = {n: person["keypoints"]["coco17"]["px"][joint_names("coco17").index(n)][1] for n in names}
    bottom = truth["image_size"][1]
    assert heights["nose"] > 0 and heights["left_shoulder"] < bottom < heights["left_knee"]
    assert "cut at the hips" in person["strata"] and person["visible_share"] < 0.9


def test_children_are_small_and_heavy_people_are_heavy(clothes):
    from dsr.body.measure import measure_body

    child = drawn(first("child"), clothes)[2]["people"][0]
    assert child["height_m"] < 1.6
    girths = [
        measure_body(clothes.body, np.array(drawn(first("mass", mass=mass), clothes)[2]["people"][0]["betas"])).waist_m
        for mass in (1, -1)
    ]
    assert girths[0] > 1.2 * girths[1]


def test_what_stands_before_somebody_hides_them(clothes):
    plan = first("occluded")
    people, _, truth = drawn(plan, clothes)
    wall = (
        np.array([-5, 0, people[0].vertices[:, 2].max() + 0.1]),
        np.array([5, 3, people[0].vertices[:, 2].max() + 0.2]),
    )
    seen, hidden = truth["people"][0], drawn(plan, clothes, [wall])[2]["people"][0]
    assert seen["head_px"] > 8 and seen["trunk_px"] > 20
    assert hidden["head_px"] == 0 and hidden["trunk_px"] == 0


def test_a_crowd_overlaps_but_nobody_stands_in_anybody(clothes):
    from scipy.spatial import cKDTree

    people, _, truth = drawn(first("crowd"), clothes)
    for i, one in enumerate(people):
        for other in people[:i]:
            assert np.linalg.norm(one.joints[0] - other.joints[0]) > 0.5
            assert cKDTree(one.vertices[::7]).query(other.joints[[0, 3, 6, 9]])[0].min() > 0.1
    boxes = sorted(p["box_px"] for p in truth["people"])
    assert any(left[2] > right[0] for left, right in pairwise(boxes))
