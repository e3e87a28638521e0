"""People whom the person detector does not see, by candidates of the network for groups; a made-up landmark model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsr.people.group_bodies import EVIDENCE, Proposed, evidence, likelihood
from dsr.people.groups import GROUP_COLUMNS
from dsr.people.keypoint_sets import GROUP_JOINTS
from dsr.people.landmarks import CROP_SIZE, RegionLandmarks
from dsr.people.neighbours import SCORE, corroborated, is_group, with_neighbours
from dsr.people.regions import Pyramid, Region
from dsr.people.suppression import Body

HEIGHT = 200.0
PICTURE = np.full((500, 900, 3), 120, np.uint8)
ROW = [(100.0, 250.0), (190.0, 250.0), (280.0, 250.0), (370.0, 250.0)]


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

    def __init__(self, *places: tuple[float, float], mirrored: float = 1.0) -> None:
        self.places, self.mirrored, self.looks = places, mirrored, 0

    def __call__(self, pyramid: Pyramid, region: Region, mirrored: bool = False) -> RegionLandmarks:
        self.looks += 1
        picture = np.asarray(pyramid.level(1.0)[0])
        for u, v in self.places:
            near = np.hypot(u - region.u, v - region.v) < 0.15 * HEIGHT
            if near and picture[int(v), int(u), 0] == 255:
                return marks(u, v, region, self.mirrored if mirrored else 1.0)
        return marks(region.u, region.v, region, 0.0)


def picture_of(*places: tuple[float, float]) -> np.ndarray:
    """White where people stand."""
    picture = PICTURE.copy()
    for u, v in places:
        picture[int(v - 0.5 * HEIGHT) : int(v + 0.5 * HEIGHT), int(u - 0.12 * HEIGHT) : int(u + 0.12 * HEIGHT)] = 255
    return picture


def known(*places: tuple[float, float]) -> list[Body]:
    return [Body(marks(u, v, Region(u, v, 1.25 * HEIGHT, 0.0), 1.0), 0.9) for u, v in places]


def candidates(*places: tuple[float, float], score: float = 0.8) -> np.ndarray:
    rows = []
    for u, v in places:
        joints = marks(u, v, Region(u, v, 1.25 * HEIGHT, 0.0), 1.0).points[list(GROUP_JOINTS)]
        scales = np.full(len(GROUP_JOINTS), 0.03 * HEIGHT)
        rows.append(np.r_[score, 0, 0, 1, 1, u, v, u, v - HEIGHT / 2, u, v, u, v, joints.ravel(), scales])
    return np.array(rows).reshape(-1, GROUP_COLUMNS)


def finished(pyramid: Pyramid, body: Body) -> Body | None:
    return body


def places_of(bodies: list[Body]) -> list[tuple[int, int]]:
    return sorted(tuple(body.landmarks.points.mean(0).round().astype(int).tolist()) for body in bodies)


def test_whoever_is_proposed_and_seen_is_found_once() -> None:
    rows = candidates(*ROW, *((u + 8, v) for u, v in ROW), (700.0, 250.0))
    people = with_neighbours(People(*ROW), picture_of(*ROW), known(ROW[0]), rows, finished)  # type: ignore[arg-type]
    assert places_of(people) == ROW


def test_where_everybody_is_known_nobody_is_looked_at() -> None:
    model = People(*ROW)
    assert len(with_neighbours(model, picture_of(*ROW), known(*ROW), candidates(*ROW), finished)) == 4  # type: ignore[arg-type]
    assert model.looks == 0


def test_who_stands_close_behind_somebody_is_looked_at_with_them_taken_out() -> None:
    behind, front = (100.0, 250.0), (136.0, 250.0)

    class Shadowed(People):
        """Shows the one in front as long as they are in the picture."""

        def __call__(self, pyramid: Pyramid, region: Region, mirrored: bool = False) -> RegionLandmarks:
            self.looks += 1
            picture = np.asarray(pyramid.level(1.0)[0])
            there = picture[int(front[1]), int(front[0] + 10), 0] == 255
            return marks(*(front if there else behind), region, 1.0)

    picture = picture_of(behind, front)
    people = with_neighbours(Shadowed(), picture, known(front), candidates(front, behind), finished)  # type: ignore[arg-type]
    assert places_of(people) == sorted([behind, front])
    alone = with_neighbours(Shadowed(), picture, known(front), candidates(front), finished)  # type: ignore[arg-type]
    assert places_of(alone) == [front], "nobody without a candidate"


def test_a_look_at_a_neighbour_or_beside_the_candidate_is_less_likely_somebody_new() -> None:
    (proposed,) = (Proposed(row) for row in candidates((190.0, 250.0)))
    there, neighbour, beside = known((190.0, 250.0), (100.0, 250.0), (230.0, 250.0))
    right = likelihood(proposed, there, there, [neighbour])
    assert right > likelihood(proposed, neighbour, neighbour, [neighbour])
    assert right > likelihood(proposed, beside, beside, [neighbour])
    assert right > likelihood(Proposed(candidates((190.0, 250.0), score=0.42)[0]), there, there, [neighbour])
    assert evidence(proposed, there, there, []).shape == (len(EVIDENCE),)


def test_a_candidate_nearer_to_somebody_known_than_all_others_is_them() -> None:
    model = People(*ROW)
    rows = candidates(*((u + 0.12 * HEIGHT, v) for u, v in ROW))
    assert len(with_neighbours(model, picture_of(*ROW), known(*ROW), rows, finished)) == 4  # type: ignore[arg-type]
    assert model.looks == 0


def test_doubtful_bodies_are_surer_where_the_network_proposes_them_too() -> None:
    doubtful = [replace(body, candidate_score=0.5) for body in known(*ROW[:2])]
    assert [body.candidate_score for body in corroborated(doubtful, candidates(ROW[0]))] == [SCORE, 0.5]


def test_a_doubtful_body_in_the_place_of_a_larger_person_is_left_out() -> None:
    doubtful = [replace(body, candidate_score=0.5) for body in known(*ROW[:2])]
    larger = candidates(*ROW[:2])
    larger[0, 8] -= 0.2 * HEIGHT  # of the first one: 40 percent larger
    assert [body.candidate_score for body in corroborated(doubtful, larger)] == [SCORE]
    sure = known(ROW[0])
    assert corroborated(sure, larger) == sure


def giant() -> Body:
    """A body as the person detector puts over a whole row, all of which its silhouette covers."""
    over = Region(235.0, 250.0, 10 * HEIGHT, 0.0)
    everything = np.full((CROP_SIZE, CROP_SIZE), 8.0)
    return Body(replace(marks(235.0, 250.0, over, 0.93), region=over, mask_logits=everything), 0.8)


def test_a_body_made_of_a_whole_group_is_left_out_however_sure() -> None:
    people = [*known(ROW[0]), giant()]
    assert corroborated(people, candidates(*ROW)) == people[:1]
    assert corroborated(people, candidates(*ROW[:2])) == people, "two may stand before a large one"
    itself = candidates((235.0, 250.0))
    itself[0, 7:9] = 235.0, 250.0 - 4 * HEIGHT
    assert corroborated(people, np.concatenate([candidates(*ROW), itself])) == people, "the network sees them too"


def test_several_sure_candidates_beside_somebody_are_a_group() -> None:
    assert is_group(candidates(*ROW), known(ROW[0]))
    assert not is_group(candidates(*ROW[:2]), known(ROW[0])), "one more"
    assert not is_group(candidates(*ROW, score=0.55), known(ROW[0])), "unsure"


def found_beside(bodies: list[Body], score: float, mirrored: float, plainly: bool = False) -> int:
    model, rows = People(*ROW, mirrored=mirrored), candidates(*ROW, score=score)
    return len(with_neighbours(model, picture_of(*ROW), bodies, rows, finished, plainly))  # type: ignore[arg-type]


def test_beside_nobody_the_surest_is_found_and_who_is_with_them() -> None:
    assert found_beside([], 0.8, 0.5) == 4
    assert found_beside([], 0.8, 0.2) == 0, "not to be seen in the mirror"
    assert found_beside([], 0.5, 1.0) == 4, "six sure looks"
    assert found_beside([], 0.5, 0.8) == 0
    assert found_beside([], 0.39, 1.0) == 0


def test_beside_one_clear_person_only_who_is_plain_to_see_is_found() -> None:
    assert found_beside(known(ROW[0]), 0.8, 1.0, plainly=True) == 4
    assert found_beside(known(ROW[0]), 0.8, 0.8, plainly=True) == 1
    assert found_beside(known(ROW[0]), 0.8, 0.8) == 4


def test_where_the_model_sees_nothing_at_all_nobody_is_made_up() -> None:
    blind = People()
    assert len(with_neighbours(blind, picture_of(*ROW), known(ROW[0]), candidates(*ROW), finished)) == 1  # type: ignore[arg-type]
    assert blind.looks > 0
