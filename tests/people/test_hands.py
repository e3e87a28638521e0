"""Hands in pictures: regions, sides, double claims, and what is found in photographs."""

from dataclasses import replace

import numpy as np
import pytest
from shared_data import photos

from dsr.people.hands import Hand, in_full_pixels, is_clear, region_of_landmarks, search_region, settled
from dsr.people.regions import Region

THUMB = [[-20, -12], [-32, -26], [-40, -38], [-48, -48]]
INDEX, MIDDLE = [[-16, -50], [-18, -72], [-19, -86], [-20, -98]], [[-2, -52], [-2, -78], [-2, -94], [-2, -108]]
RING, LITTLE = [[10, -49], [12, -72], [13, -87], [14, -99]], [[22, -43], [26, -60], [28, -71], [30, -82]]
OPEN_HAND = np.array([[0, 0], *THUMB, *INDEX, *MIDDLE, *RING, *LITTLE], float)
"""Landmarks of a right hand held up, its back to the camera, pixels."""


def hand(side="right", at=(100.0, 100.0), **changes):
    points = np.c_[OPEN_HAND + at, np.zeros(21)]
    region = region_of_landmarks(points[:, :2])
    made = Hand(side, region, 0.95, 0.97, points, points / 1000, 0.05)
    return replace(made, **changes)


def test_fingers_are_up_in_the_crop_however_the_hand_is_held():
    for degrees in (0, 50, 170, -100):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        points = OPEN_HAND @ np.array([[c, -s], [s, c]]).T + 300
        region = region_of_landmarks(points)
        local = region.to_crop(points, 1.0)
        assert (local[[8, 12, 16, 20], 1] < local[0, 1] - 0.3).all()
        assert local.min() > 0 and local.max() < 1  # all of the hand is in it
        np.testing.assert_allclose(local, region_of_landmarks(OPEN_HAND).to_crop(OPEN_HAND, 1.0), atol=1e-9)


def test_search_region_of_a_body_is_the_graphs():
    wrist, little, index = np.array([0.0, 0.0]), np.array([3.0, -30.0]), np.array([-3.0, -30.0])
    region = search_region(wrist, little, index)
    reach = 2 * np.hypot(1.0, 30.0)
    assert region.side == pytest.approx(2.7 * reach)
    assert np.degrees(region.angle) == pytest.approx(-np.degrees(np.arctan(1 / 30)))
    assert np.hypot(region.u + 1, region.v + 30) == pytest.approx(0.1 * reach)


def test_a_hand_that_both_wrists_claim_goes_to_the_side_it_looks_like():
    right, left = hand("right"), hand("left", side_probability=0.12)
    assert [claim for _, claim in settled([(0, left), (0, right)])] == [right]


def test_of_two_people_the_nearer_wrist_has_the_hand():
    near, far = hand(wrist_distance=0.1), hand(wrist_distance=0.4, at=(103.0, 100.0))
    elsewhere = hand("left", at=(400.0, 100.0))
    assert [person for person, _ in settled([(0, far), (1, near), (2, elsewhere)])] == [1, 2]


@pytest.mark.parametrize(
    "changes",
    [
        {"presence": 0.3},
        {"side_probability": 0.02},
        {"wrist_distance": 0.8},
        {"region": Region(100.0, 60.0, 20.0, 0.0)},
    ],
)
def test_hidden_tiny_far_and_other_hands_are_none(changes):
    assert is_clear(hand()) and not is_clear(hand(**changes))


def test_full_pixels():
    full = in_full_pixels(hand(), 0.5)
    np.testing.assert_allclose(full.points, 2 * hand().points)
    assert full.region.side == 2 * hand().region.side and full.region.u == 2 * hand().region.u


def test_hands_of_people_in_a_photograph():
    from dsr.image import read_photo
    from dsr.people import PeopleDetector
    from dsr.people.hands import HandFinder
    from dsr.people.regions import Pyramid

    photo = read_photo(photos() / "astronauts_public_domain.jpg")
    people = PeopleDetector("fast", 1).detect(photo)
    found = HandFinder(1)(
        Pyramid(photo.rgb),
        [person.keypoints_px * photo.scale for person in people],
        [person.confidence for person in people],
        "blazepose33",
    )
    assert len(found) == 3 and sum(len(hands) for hands in found) >= 4
    for person, hands in zip(people, found, strict=True):
        for side, each in hands.items():
            assert each.side == side and each.side_probability > 0.5
            wrist = person.keypoints_px[15 if side == "left" else 16] * photo.scale
            assert np.hypot(*(each.points[0, :2] - wrist)) < 0.5 * each.region.side
            assert each.world_m[:, 2].std() > 0.003 and np.linalg.norm(each.world_m[9] - each.world_m[0]) < 0.12
