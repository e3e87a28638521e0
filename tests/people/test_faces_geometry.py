"""What leads from a face to a body, and whose face is whose; no picture needed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from test_people_geometry import body

from dsr.people.faces import Face, distinct_faces
from dsr.people.landmarks import RegionLandmarks, mean_landmarks
from dsr.people.proposals import tile_side
from dsr.people.regions import DARK, brightened
from dsr.people.suppression import Body, has_face, lies_on_bones, repeats, suppress_bodies, with_face


def yes(one: Face) -> bool:
    return True


def no(one: Face) -> bool:
    return False


def face(middle: tuple[float, float] = (100.0, 80.0), side: float = 40.0, score: float = 0.9, judge=no) -> Face:
    row = np.zeros(17)
    row[0], row[1:5] = score, (*np.subtract(middle, side / 2), *np.add(middle, side / 2))
    around = np.array([(-0.2, -0.2), (0.2, -0.2), (0, 0.1), (0, 0.3), (-0.4, 0), (0.4, 0)])
    row[5:] = (np.array(middle) + side * around).ravel()
    return Face.from_row(row, judge)


def below(one: Face, shift: float = 0.0, height: float = 400.0) -> Body:
    """A stick figure whose head is on a face, moved to the right by ``shift`` sides of it."""
    figure = body((float(one.middle[0]), float(one.middle[1] + 0.45 * height)), height)
    points = figure.landmarks.points.copy()
    eyes, nose, mouth, ears = one.points + np.array([shift * one.side, 0])
    points[[2, 5]], points[0], points[[9, 10]], points[[7, 8]] = eyes, nose, mouth, ears
    region = replace(figure.landmarks.region, side=13.0 * one.side)
    return replace(figure, landmarks=replace(figure.landmarks, points=points, region=region))


@pytest.mark.parametrize("turn", [0.0, 0.5, -0.5])
def test_the_body_lies_below_its_face(turn: float) -> None:
    """Below is where the mouth is seen from the eyes."""
    upright = face()
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    turned = replace(upright, points=(upright.points - upright.middle) @ rotation.T + upright.middle)
    region = turned.region()
    assert turned.angle == pytest.approx(turn) and region.angle == pytest.approx(turn)
    hips = np.array([region.u, region.v]) - turned.middle
    down = turned.points[2] - turned.points[0]
    assert hips @ down == pytest.approx(np.linalg.norm(hips) * np.linalg.norm(down))
    assert 3 < np.linalg.norm(hips) / turned.side < 5
    assert turned.region(turn=0.0).angle == 0
    assert turned.region(scale=0.5).side == pytest.approx(0.5 * region.side)


def test_a_face_is_the_head_of_a_body_only_where_they_meet() -> None:
    one = face(judge=yes)
    assert has_face(below(one), one)
    assert not has_face(below(one, shift=0.5), one)
    assert has_face(below(one, shift=0.5), replace(one, judge=no))  # points of profiles are guessed
    small = below(one)
    region = replace(small.landmarks.region, side=4 * one.side)  # a body of four faces is none
    assert not has_face(replace(small, landmarks=replace(small.landmarks, region=region)), one)
    other = face((130.0, 90.0))
    assert with_face(below(one), [other, one]).face is one
    assert with_face(below(one, shift=9.0), [other, one]).face is None


def test_people_with_different_faces_are_different_people() -> None:
    """Two in line share trunk and legs in the picture; only their faces tell them from one person found twice."""
    one, two = face(judge=yes), face((108.0, 60.0), judge=yes)
    front, behind = replace(below(one), face=one), replace(below(one), face=two)
    assert len(suppress_bodies([front, behind])) == 2
    assert len(suppress_bodies([front, replace(behind, face=None)])) == 1
    assert len(suppress_bodies([front, replace(behind, face=one)])) == 1
    unclear = replace(two, judge=no)  # a number on a shirt is no reason
    assert len(suppress_bodies([front, replace(behind, face=unclear)])) == 1
    assert repeats(replace(behind, face=unclear), [front])


def test_what_looks_like_a_face_on_somebody_is_part_of_them() -> None:
    figure = body((200, 200), 300)
    assert lies_on_bones(face((200.0, 210.0)), [figure])
    assert not lies_on_bones(face((330.0, 100.0)), [figure])
    assert not lies_on_bones(face((200.0, 210.0)), [])


def test_a_face_is_kept_once() -> None:
    chin, far = face((104.0, 92.0), 26.0, 0.5), face((160.0, 80.0), 40.0, 0.6)
    best = face(score=0.95)
    assert distinct_faces([chin, far, best]) == [best, far]
    assert distinct_faces([replace(best, side=0.0)]) == []


def test_legs_that_one_pass_takes_for_the_others_do_not_meet_in_the_middle() -> None:
    figure = body((200, 200), 300).landmarks
    legs = list(range(25, 33))
    points = figure.points.copy()
    points[legs[0::2], 0], points[legs[1::2], 0] = 120.0, 280.0
    apart = replace(figure, points=points)
    swapped_points = points.copy()
    swapped_points[legs[0::2], 0], swapped_points[legs[1::2], 0] = 280.0, 120.0
    swapped = replace(figure, points=swapped_points)

    def mean(*results: RegionLandmarks, first: RegionLandmarks) -> np.ndarray:
        return mean_landmarks(list(results), first).points[legs]

    assert np.array_equal(mean(apart, swapped, first=apart), points[legs])
    assert np.array_equal(mean(swapped, apart, first=swapped), swapped_points[legs])
    assert np.array_equal(mean(apart, swapped, apart, first=swapped), points[legs])
    near = replace(apart, points=points + 2.0)
    assert np.allclose(mean(apart, near, first=apart), points[legs] + 1.0)


def test_dark_pictures_are_brightened_and_others_left_alone() -> None:
    light = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    assert brightened(light) is light
    dark = (light * 0.1).astype(np.uint8)
    lifted = brightened(dark)
    assert dark.mean() < DARK < lifted.mean() < 170
    order = np.argsort(dark.ravel(), kind="stable")
    assert np.all(np.diff(lifted.ravel()[order].astype(int)) >= 0)
    assert np.array_equal(brightened(np.zeros((20, 20, 3), np.uint8)), np.zeros((20, 20, 3)))


def test_tiles_of_wide_pictures_are_as_high_as_the_picture() -> None:
    assert tile_side(1920, 1080, 2) == 1080
    assert tile_side(1600, 1200, 2) == 800
    assert tile_side(1920, 1080, 1) == 1920
    assert tile_side(3000, 500, 2) == 1500
