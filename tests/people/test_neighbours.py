"""People whom no detector proposes, looked for beside those who are known, with a landmark model that is made up."""

from __future__ import annotations

import numpy as np
import pytest

from dsr.people.landmarks import CROP_SIZE, RegionLandmarks
from dsr.people.neighbours import is_group, with_neighbours
from dsr.people.regions import Pyramid, Region
from dsr.people.suppression import Body

HEIGHT = 200.0
PICTURE = np.full((500, 900, 3), 120, np.uint8)


def marks(u: float, v: float, region: Region, presence: float) -> RegionLandmarks:
    """A stick of landmarks that stands at a place, with its silhouette, as seen in a region."""
    sides = np.where(np.arange(33) % 2, 0.05, -0.05)
    points = np.array([u, v]) + HEIGHT * np.stack([sides, np.linspace(-0.45, 0.45, 33)], -1)
    rows, columns = np.mgrid[:CROP_SIZE, :CROP_SIZE] + 0.5
    at = region.to_picture(np.stack([columns, rows], -1), CROP_SIZE)
    on = (np.abs(at[..., 0] - u) < 0.12 * HEIGHT) & (np.abs(at[..., 1] - v) < 0.5 * HEIGHT)
    there = Region(u, v, 1.25 * HEIGHT, 0.0)
    return RegionLandmarks(
        region, presence, points, np.full(33, 0.9), np.zeros((33, 3)), there, np.where(on, 8.0, -8.0)
    )


class People:
    """A landmark model that sees whoever stands within a reach of a region's middle and was not taken out."""

    def __init__(self, *places: tuple[float, float], sure: bool = True) -> None:
        self.places, self.sure, self.looks = places, sure, 0

    def __call__(self, pyramid: Pyramid, region: Region, mirrored: bool = False) -> RegionLandmarks:
        self.looks += 1
        picture = np.asarray(pyramid.level(1.0)[0])
        for u, v in self.places:
            near = np.hypot(u - region.u, v - region.v) < 0.15 * HEIGHT
            if near and picture[int(v), int(u), 0] == 255:
                return marks(u, v, region, 1.0 if self.sure or not mirrored else 0.2)
        return marks(region.u, region.v, region, 0.0)


def picture_of(*places: tuple[float, float]) -> np.ndarray:
    """White where people stand."""
    picture = PICTURE.copy()
    for u, v in places:
        picture[int(v - 0.5 * HEIGHT) : int(v + 0.5 * HEIGHT), int(u - 0.12 * HEIGHT) : int(u + 0.12 * HEIGHT)] = 255
    return picture


def known(*places: tuple[float, float]) -> list[Body]:
    return [Body(marks(u, v, Region(u, v, 1.25 * HEIGHT, 0.0), 1.0), 0.9) for u, v in places]


def finished(pyramid: Pyramid, body: Body) -> Body | None:
    return body


def places_of(bodies: list[Body]) -> list[tuple[int, int]]:
    return sorted(tuple(body.landmarks.points.mean(0).round().astype(int).tolist()) for body in bodies)


def test_a_row_of_people_is_found_from_two_of_them() -> None:
    row = [(100.0, 250.0), (190.0, 250.0), (280.0, 250.0), (370.0, 250.0), (460.0, 250.0)]
    people = with_neighbours(People(*row), picture_of(*row), known(*row[:2]), finished)  # type: ignore[arg-type]
    assert places_of(people) == row, "who was found shows where the next one may stand; nobody is found twice"


def test_nobody_is_found_where_nobody_is() -> None:
    two = [(100.0, 250.0), (190.0, 250.0)]
    model = People(*two)
    assert len(with_neighbours(model, picture_of(*two), known(*two), finished)) == 2  # type: ignore[arg-type]
    assert 0 < model.looks < 40


def test_what_looks_like_somebody_from_one_side_only_is_a_thing() -> None:
    row = [(100.0, 250.0), (190.0, 250.0), (280.0, 250.0)]
    model = People(*row, sure=False)
    assert len(with_neighbours(model, picture_of(*row), known(*row[:2]), finished)) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "longer", "group"), [(1, 2000.0, False), (2, 500.0, False), (2, 700.0, True), (3, 300.0, True)]
)
def test_three_people_or_two_small_ones_are_a_group(count: int, longer: float, group: bool) -> None:
    assert is_group(known(*[(100.0 * k, 250.0) for k in range(count)]), longer) is group
