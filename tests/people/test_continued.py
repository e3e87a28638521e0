"""People followed from frame to frame: where the landmark model looks, and that left stays left."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest
from shared_data import real_views

from dsr.body.joints import flip_permutation
from dsr.image import read_photo
from dsr.people import PeopleDetector
from dsr.people.continued import body_region, continued, exchanged
from dsr.people.landmarks import LandmarkModel, RegionLandmarks
from dsr.people.regions import Pyramid, Region

MIRROR = np.array(flip_permutation("blazepose33"))
PYRAMID = cast(Pyramid, None)  # the models here look at nothing
SURE = np.full(33, 0.9)
UPPER = [11, 12, 13, 14, 15, 16, 23, 24]


def standing() -> np.ndarray:
    """(33, 2) somebody of 400 pixels who faces us: left on the right."""
    left = np.array([i % 2 == 1 for i in range(33)])
    points = np.stack([np.where(left, 240.0, 160.0), np.linspace(20.0, 420.0, 33)], -1)
    points[12::2, 1] = points[11:-1:2, 1]
    points[0, 0] = 200.0
    return points


def with_mirrored(rows: list[int]) -> np.ndarray:
    points = standing()
    points[rows] = points[MIRROR][rows]
    return points


def seen(points: np.ndarray, region: Region, presence: float = 1.0) -> RegionLandmarks:
    return RegionLandmarks(region, presence, points, SURE, np.zeros((33, 3)), region, np.zeros((256, 256)))


@dataclass
class Model:
    """Says what it is told for a region; ``refined`` passes on what it gets."""

    answer: Any
    looks: list[tuple[Region, bool]] = field(default_factory=list)

    def __call__(self, pyramid: Pyramid, region: Region, mirrored: bool = False) -> RegionLandmarks:
        self.looks.append((region, mirrored))
        return seen(self.answer(region, mirrored), region)

    def refined(self, pyramid: Pyramid, first: RegionLandmarks, passes: int) -> RegionLandmarks:
        return first


def ask(model: Model, points: np.ndarray) -> np.ndarray:
    return continued(cast(LandmarkModel, model), PYRAMID, points, SURE, 2).points


def test_the_region_is_turned_with_the_body_and_holds_it() -> None:
    points = standing()
    upright = body_region(points, SURE)
    assert (
        abs(upright.angle) < 1e-9 and upright.side / 2 > np.linalg.norm(points - [upright.u, upright.v], axis=1).max()
    )
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])  # the head to the right
    lying = body_region((points - 200) @ turn.T + 200, SURE)
    assert lying.angle == pytest.approx(np.pi / 2) and lying.side == pytest.approx(upright.side)
    hidden = np.where(np.arange(33) >= 25, 0.05, 0.9)
    assert body_region(points, hidden).side < upright.side


def test_sides_are_exchanged_as_a_whole_or_in_part() -> None:
    before = standing()
    assert not exchanged(before + 15, before, 10.0)
    assert exchanged(before[MIRROR], before, 10.0)
    assert exchanged(with_mirrored(UPPER), before, 10.0)
    assert exchanged(with_mirrored([25, 26, 27, 28]), before, 10.0)
    assert not exchanged(before[MIRROR], before, 100.0)  # in profile the sides are no distance apart


def test_who_goes_on_as_before_gets_no_second_look() -> None:
    model = Model(lambda region, mirrored: standing() + 5)
    assert np.allclose(ask(model, standing()), standing() + 5) and len(model.looks) == 1


def test_one_look_that_sees_the_sides_as_before_is_believed() -> None:
    def answer(region: Region, mirrored: bool) -> np.ndarray:
        first = body_region(standing(), SURE).side
        return standing() + 5 if mirrored and region.side > 1.1 * first else with_mirrored(UPPER)

    assert np.allclose(ask(Model(answer), standing()), standing() + 5)


def test_where_no_look_does_the_new_sides_hold() -> None:
    model = Model(lambda region, mirrored: standing()[MIRROR])
    assert np.allclose(ask(model, standing()), standing()[MIRROR]) and len(model.looks) > 4


def test_somebody_who_leans_far_is_followed_as_the_search_sees_him() -> None:
    """A real man on one leg, followed from where he was a little ago."""
    photo = read_photo(real_views() / "single_042_cam02.jpg")
    detector = PeopleDetector(threads=1)
    found = max(detector.detect(photo), key=lambda d: float(np.ptp(d.keypoints_px[:, 1])))
    size = float(np.ptp(found.keypoints_px, axis=0).max())
    before = replace(found, keypoints_px=found.keypoints_px + 0.03 * size)
    (followed,) = detector.follow(photo, [before])
    limbs = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
    apart = np.linalg.norm(followed.keypoints_px[limbs] - found.keypoints_px[limbs], axis=1)
    assert apart.mean() < 0.03 * size
