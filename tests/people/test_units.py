"""Coordinates of imported people: fractions, other sizes, other pictures."""

import numpy as np
import pytest

from dsr.errors import DetectionError
from dsr.people.units import stated_size, to_pixels

PICTURE = (1280, 960)
PEOPLE = np.array([[861.0, 183], [710, 312], [990, 466], [866, 785]])


def placed(points, size=None):
    (scale, shift), note = to_pixels(points, PICTURE, size, "x.json")
    return points * scale + shift, note


def test_pixels_stay():
    points, note = placed(PEOPLE)
    assert note == "" and np.array_equal(points, PEOPLE)
    points, note = placed(PEOPLE, (1280, 960))
    assert note == "" and np.array_equal(points, PEOPLE)


def test_fractions_of_the_picture_are_recognised():
    points, note = placed(PEOPLE / PICTURE)
    np.testing.assert_allclose(points, PEOPLE)
    assert "read as 0 to 1 across the picture" in note and "x.json" in note
    points, note = placed(PEOPLE / PICTURE * 2 - 1)
    np.testing.assert_allclose(points, PEOPLE)
    assert "read as -1 to 1" in note
    cut = np.array([[-0.05, 0.5], [0.2, 1.02], [0.3, 0.4]])
    np.testing.assert_allclose(placed(cut)[0], cut * PICTURE)  # a little outside of the picture is no other scale


def test_fractions_are_fractions_of_a_stated_size_too():
    points, _ = placed(PEOPLE / PICTURE, (512, 384))
    np.testing.assert_allclose(points, PEOPLE)


def test_another_size_is_scaled_with_a_sentence():
    points, note = placed(PEOPLE / 2, (640, 480))
    np.testing.assert_allclose(points, PEOPLE)
    assert "are for 640 x 480 pixels and were scaled" in note


@pytest.mark.parametrize(
    ("size", "why"),
    [((640, 640), "another picture, or cropped"), ((960, 1280), "before the picture was turned upright")],
)
def test_another_shape_is_refused(size, why):
    with pytest.raises(DetectionError, match=why):
        placed(PEOPLE, size)


def test_points_of_a_larger_picture_are_refused():
    with pytest.raises(
        DetectionError, match=r"4 of 4 points lie outside of the picture of 1280 x 960 \(they reach to 3960"
    ):
        placed(PEOPLE * 4)
    with pytest.raises(DetectionError, match="lie outside"):
        placed(PEOPLE * 4, (1280, 960))
    placed(np.array([[-60.0, -40], [1330, 1000]]))  # a box that is a little larger than the picture


def test_nobody_and_hardly_anything_are_left_alone():
    assert placed(np.zeros((0, 2)))[1] == "" and placed(np.array([[1.0, 1.0]]))[1] == ""


@pytest.mark.parametrize(
    "bad", [{}, {"w": 3}, {"w": 0, "h": 3}, {"w": True, "h": 3}, {"w": "3", "h": 3}, {"w": 1e999, "h": 3}]
)
def test_sizes_that_are_none_are_not_stated(bad):
    assert stated_size(bad, "w", "h") is None
    assert stated_size({"w": 640, "h": 480.0}, "w", "h") == (640.0, 480.0)
