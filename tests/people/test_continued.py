"""People followed from frame to frame: where the landmark model looks, and that left stays left."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest
from shared_data import real_views

from dsr.body.joints import BLAZEPOSE33_NAMES, COCO17_NAMES, flip_permutation
from dsr.image import read_photo
from dsr.people import PeopleDetector
from dsr.people.continued import body_region, continued, exchanged, known_region
from dsr.people.keypoint_sets import in_one_set
from dsr.people.landmarks import LandmarkModel, RegionLandmarks
from dsr.people.regions import Pyramid, Region
from dsr.people.types import Detection

MIRROR = np.array(flip_permutation("blazepose33"))
PYRAMID = cast(Pyramid, None)  # the models here look at nothing
SURE = np.full(33, 0.9)


def standing() -> np.ndarray:
    """(33, 2) somebody of 400 pixels who faces us: left on the right."""
    left = np.array([i % 2 == 1 for i in range(33)])
    points = np.stack([np.where(left, 240.0, 160.0), np.linspace(20.0, 420.0, 33)], -1)
    points[12::2, 1] = points[11:-1:2, 1]
    points[0, 0] = 200.0
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
    hidden = np.where(np.arange(33) < 11, 0.05, 0.9)
    assert body_region(points, hidden).side < upright.side


def test_sides_are_exchanged_as_a_whole() -> None:
    before = standing()
    assert not exchanged(before + 15, before, 10.0)
    assert exchanged(before[MIRROR], before, 10.0)
    arms = before.copy()
    arms[[13, 14, 15, 16]] = before[MIRROR][[13, 14, 15, 16]]
    assert not exchanged(arms, before, 10.0)
    assert not exchanged(before[MIRROR], before, 100.0)  # in profile the sides are no distance apart


def test_who_goes_on_as_before_gets_no_second_look() -> None:
    model = Model(lambda region, mirrored: standing() + 5)
    assert np.allclose(ask(model, standing()), standing() + 5) and len(model.looks) == 1


def test_one_look_that_sees_the_sides_as_before_is_believed() -> None:
    def answer(region: Region, mirrored: bool) -> np.ndarray:
        first = body_region(standing(), SURE).side
        return standing() + 5 if mirrored and region.side > 1.1 * first else standing()[MIRROR]

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


def test_keypoints_of_a_clip_get_the_landmarks_of_the_person_below_them() -> None:
    """Without a search; somebody where nobody is stays as the file says."""
    photo = read_photo(real_views() / "single_022_cam01.jpg")
    detector = PeopleDetector(threads=1)
    found = max(detector.detect(photo), key=lambda d: float(np.ptp(d.keypoints_px[:, 1])))
    rows = [BLAZEPOSE33_NAMES.index(name) for name in COCO17_NAMES]
    known = replace(
        found,
        keypoint_set="coco17",
        keypoints_px=found.keypoints_px[rows],
        confidence=found.confidence[rows],
        world_m=None,
        mask=None,
    )
    nowhere = replace(known, keypoints_px=known.keypoints_px * 0.2 + [10.0, 20.0], box_px=known.box_px * 0.2)
    completed, left = detector.complete_nearby(photo, [known, nowhere])
    assert completed.keypoint_set == "blazepose33" and completed.world_m is not None
    assert np.array_equal(completed.keypoints_px[rows], known.keypoints_px)
    assert found.world_m is not None
    limbs = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
    assert np.linalg.norm(completed.world_m[limbs] - found.world_m[limbs], axis=1).mean() < 0.12
    assert left is nowhere
    unseen = replace(known, confidence=np.where(np.arange(17) < 7, 0.0, known.confidence))
    assert abs(known_region(unseen, 1.0).angle) < 1e-9  # shoulders not seen: the upright box


def test_a_clip_with_and_without_landmarks_is_in_blazeposes_set() -> None:
    whole = Detection(np.array([0.0, 0, 100, 200]), 0.9, "blazepose33", standing(), SURE, np.ones((33, 3)))
    coco = Detection(np.array([0.0, 0, 100, 200]), 0.9, "coco17", np.arange(34.0).reshape(17, 2), np.full(17, 0.7))
    ((first,), (second,)) = in_one_set([[whole], [coco]])
    assert first is whole and second.keypoint_set == "blazepose33" and second.world_m is None
    wrist = BLAZEPOSE33_NAMES.index("left_wrist")
    assert np.array_equal(second.keypoints_px[wrist], coco.keypoints_px[COCO17_NAMES.index("left_wrist")])
    assert second.confidence[wrist] == 0.7 and second.confidence[BLAZEPOSE33_NAMES.index("left_heel")] == 0
    openpose = replace(coco, keypoint_set="openpose25", keypoints_px=np.zeros((25, 2)), confidence=np.ones(25))
    assert {d.keypoint_set for (d,) in in_one_set([[openpose], [coco]])} == {"coco17"}
