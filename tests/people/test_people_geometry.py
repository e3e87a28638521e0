"""Anchors, decoding, suppression, crops and masks: everything around the two models that needs no picture."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dsr.people.candidates import (
    CANDIDATE_COLUMNS,
    SquareDetector,
    anchor_grid,
    body_angle,
    body_length,
    decode,
    tile_starts,
    weighted_nms,
)
from dsr.people.detector import keypoint_box
from dsr.people.landmarks import CROP_SIZE, RegionLandmarks, refine_by_heatmap, region_mask, rotate_world
from dsr.people.proposals import SETTINGS, Proposals, hints_at_small_people, is_crowd
from dsr.people.regions import Pyramid, Region
from dsr.people.suppression import (
    Body,
    covered_fraction,
    merge_candidates,
    stands_apart,
    suppress_bodies,
    without_bodies,
)


def candidate(score: float, hips: tuple[float, float], top: tuple[float, float]) -> np.ndarray:
    head = (top[0] - 5, top[1] - 5, top[0] + 5, top[1] + 5)
    return np.array([score, *head, *hips, *top, 0, 0, 0, 0])


def test_anchors_cover_the_input_in_layer_order() -> None:
    anchors = anchor_grid()
    assert anchors.shape == (2254, 2)
    assert np.all((anchors > 0) & (anchors < 1))
    parts = np.split(anchors, [28 * 28 * 2, 28 * 28 * 2 + 14 * 14 * 2])
    assert [len(np.unique(part, axis=0)) for part in parts] == [28 * 28, 14 * 14, 7 * 7]
    assert np.allclose(anchors[0], 4 / 224) and np.allclose(anchors[1], anchors[0])
    assert np.allclose(anchors[2], [12 / 224, 4 / 224])  # along a row first
    assert np.allclose(anchors[-6:], 1 - 16 / 224)


def test_decode_adds_the_anchor_and_sorts_by_score() -> None:
    anchors = np.array([[0.25, 0.5], [0.75, 0.5], [0.5, 0.5]])
    rows = np.zeros((3, 12))
    rows[1] = [22.4, 0, 44.8, 22.4, 0, 22.4, 0, -22.4, 11.2, 0, 0, 0]
    found = decode(rows, np.array([[0.0], [3.0], [-500.0]]), anchors, 0.5)
    assert found.shape == (2, 13)
    assert found[0, 0] == pytest.approx(1 / (1 + math.exp(-3)))
    assert found[0, 1:5] == pytest.approx([0.75, 0.45, 0.95, 0.55])
    assert found[0, 5:9] == pytest.approx([0.75, 0.6, 0.75, 0.4])
    assert found[1, 0] == pytest.approx(0.5)


def test_weighted_nms_merges_overlapping_boxes_by_their_scores() -> None:
    rows = np.zeros((3, 13))
    rows[:, 0] = [0.6, 0.9, 0.7]
    rows[:, 1:5] = [[1, 0, 11, 10], [0, 0, 10, 10], [50, 50, 60, 60]]
    merged = weighted_nms(rows)
    assert merged[:, 0].tolist() == [0.9, 0.7]
    assert merged[0, 1] == pytest.approx(0.6 / 1.5)
    assert weighted_nms(np.zeros((0, 13))).shape == (0, 13)


def test_candidates_of_one_person_merge_and_couples_stay() -> None:
    one = [candidate(0.9, (100, 100), (100, 50)), candidate(0.8, (103, 104), (101, 52))]
    assert len(merge_candidates(np.array(one))) == 1
    couple = [candidate(0.9, (100, 100), (100, 50)), candidate(0.8, (110, 100), (125, 52))]
    assert len(merge_candidates(np.array(couple))) == 2
    apart = [candidate(0.5, (100, 100), (100, 50)), candidate(0.9, (200, 100), (200, 50))]
    assert merge_candidates(np.array(apart))[:, 0].tolist() == [0.9, 0.5]
    assert merge_candidates(np.zeros((0, 13))).shape == (0, 13)


def test_body_length_and_angle_of_candidates() -> None:
    rows = np.array([candidate(1, (0, 0), (0, -10)), candidate(1, (0, 0), (10, 0)), candidate(1, (0, 0), (0, 10))])
    assert body_length(rows).tolist() == [20, 20, 20]
    assert np.abs(body_angle(rows)) == pytest.approx([0, math.pi / 2, math.pi])


@pytest.mark.parametrize("extent", [100.0, 224.0, 225.0, 336.0, 448.0, 1000.0])
def test_tiles_cover_the_picture_with_half_overlap(extent: float) -> None:
    starts = tile_starts(extent, 224)
    if extent <= 224:
        assert starts == [(extent - 224) / 2]
        return
    assert starts[0] == 0 and starts[-1] == pytest.approx(extent - 224)
    assert max(np.diff(starts)) <= 112 + 1e-9


def test_hints_at_small_people() -> None:
    small = candidate(0.4, (100, 100), (100, 90))
    large = candidate(0.9, (100, 100), (100, 20))
    middle = [candidate(0.9, (u, 100), (u, 40)) for u in (20, 90, 160)]
    assert hints_at_small_people(np.array([large, small]), 200)
    assert not hints_at_small_people(np.array([large]), 200)
    assert not hints_at_small_people(np.array(middle[:2]), 200)
    assert hints_at_small_people(np.array(middle), 200)


def test_a_crowd_is_many_small_people() -> None:
    small = np.array([candidate(0.9, (u, 100), (u, 40)) for u in range(0, 600, 100)])
    assert is_crowd(small, 200)
    assert not is_crowd(small[:5], 200) and not is_crowd(small, 150)
    assert not is_crowd(small * np.where(np.arange(13) == 0, 0.5, 1.0), 200), "hints are no crowd"


@pytest.fixture
def tile_sides(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Sides of the tiles searched in pictures that show small people in tiles of at most 810 pixels."""
    sides: list[float] = []

    def in_tiles(self: SquareDetector, pyramid: Pyramid, side: float, *rest: float) -> np.ndarray:
        sides.append(side)
        found = [candidate(0.9, (u, 100.0), (u, 30.0)) for u in range(50, 1550, 250) if side <= 810]
        return np.array(found).reshape(-1, CANDIDATE_COLUMNS)

    monkeypatch.setattr(SquareDetector, "in_tiles", in_tiles)
    monkeypatch.setattr(SquareDetector, "in_region", lambda *_: np.zeros((0, CANDIDATE_COLUMNS)))
    return sides


def test_tiles_grow_smaller_with_a_crowd_and_stay_large_where_people_were_taken_out(tile_sides: list[float]) -> None:
    proposals, pyramid = Proposals(SETTINGS["standard"]), Pyramid(np.zeros((1600, 1600, 3), np.uint8))
    _, searched = proposals.candidates(pyramid)
    assert [round(1600 / side) for side in tile_sides] == [1, 2, 3, 5, 8] and searched == 3
    for peeled, smaller, parts in ((True, 0, [1, 2]), (True, 3, [1, 2, 3]), (False, 1, [1, 2, 3])):
        tile_sides.clear()
        proposals.candidates(pyramid, peeled, smaller)
        assert [round(1600 / side) for side in tile_sides] == parts


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2, math.pi / 2, 3.0])
def test_region_maps_points_back_and_forth(angle: float) -> None:
    region = Region(310.0, 205.5, 180.0, angle)
    points = np.random.default_rng(0).uniform(-50, 300, (20, 2))
    assert np.allclose(region.to_crop(region.to_picture(points, 256), 256), points)
    assert np.allclose(region.to_picture(np.array([128.0, 128.0]), 256), [310, 205.5])


def test_region_points_up_from_hips_to_head() -> None:
    for head in ((100.0, 40.0), (160.0, 100.0), (60.0, 140.0)):
        region = Region.from_points(np.array([100.0, 100.0]), np.array(head))
        crop = region.to_crop(np.array(head), 256)
        assert crop == pytest.approx([128, 128 - 256 / 2.5])
        assert -math.pi <= region.angle <= math.pi


@pytest.mark.parametrize(
    ("size", "dot", "radius", "region"),
    [
        ((1000, 800), (400.5, 300.5), 3, Region(420, 330, 500, 0.4)),
        ((2000, 1500), (812.3, 655.1), 12, Region(900, 700, 1700, -0.7)),
        ((300, 300), (100.0, 120.0), 2, Region(110, 125, 120, 1.2)),
        ((640, 480), (20.0, 30.0), 4, Region(40, 60, 300, 0.3)),  # reaches outside the picture
    ],
)
def test_crop_puts_a_dot_where_the_region_says(size, dot, radius, region) -> None:  # type: ignore[no-untyped-def]
    """Pixel centres at +0.5 in the picture, in its halved copies and in the crop."""
    v, u = np.mgrid[: size[1], : size[0]] + 0.5
    blob = 255 * np.exp(-((u - dot[0]) ** 2 + (v - dot[1]) ** 2) / (2 * radius**2))
    pyramid = Pyramid(np.repeat(blob.astype(np.uint8)[..., None], 3, axis=2))
    crop = pyramid.crop(region, 256)[..., 0].astype(float)
    v, u = np.mgrid[:256, :256] + 0.5
    middle = np.array([(crop * u).sum(), (crop * v).sum()]) / crop.sum()
    assert middle == pytest.approx(region.to_crop(np.array(dot), 256), abs=0.03)
    small = pyramid.resized(224 / size[0])[..., 0].astype(float)
    v, u = np.mgrid[: small.shape[0], : small.shape[1]] + 0.5
    middle = np.array([(small * u).sum(), (small * v).sum()]) / small.sum()
    assert middle == pytest.approx(np.array(dot) * small.shape[1::-1] / size, abs=0.05)


def test_crop_repeats_the_edge_outside_the_picture() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[:, :10] = 200
    crop = Pyramid(picture).crop(Region(0, 50, 100, 0.0), 100)
    assert np.all(crop[:, :58] == 200) and np.all(crop[:, 62:] == 0)
    far = Pyramid(picture).crop(Region(-500, 50, 100, 0.0), 64)
    assert np.all(far == 200)


def test_heatmap_moves_a_point_only_where_it_is_sure() -> None:
    heatmaps = np.full((64, 64, 2), -10.0)
    heatmaps[20, 30, 0] = 5.0
    heatmaps[20, 30, 1] = -3.0
    points = np.array([[4 * 31.0, 4 * 21.0], [4 * 31.0, 4 * 21.0]])
    refined = refine_by_heatmap(points, heatmaps)
    assert refined[0] == pytest.approx([120, 80], abs=0.1)
    assert refined[1] == pytest.approx(points[1])
    outside = np.array([[-3.0, 400.0], [5.0, 5.0]])
    assert np.array_equal(refine_by_heatmap(outside, heatmaps), outside)


def test_world_turns_with_the_region_and_keeps_depth() -> None:
    world = np.array([[0.0, -1.0, 0.3]])  # up in the crop, away from the camera
    region = Region.from_points(np.array([0.0, 0.0]), np.array([1.0, 0.0]))  # head to the right in the picture
    assert rotate_world(world, region.angle) == pytest.approx(np.array([[1.0, 0.0, 0.3]]), abs=1e-9)


def test_mask_of_a_turned_crop_lies_on_the_picture() -> None:
    """An ellipse painted in crop logits comes back at its place, upright, in full-picture pixels."""
    v, u = np.mgrid[:CROP_SIZE, :CROP_SIZE] + 0.5
    logits = np.where(((u - 140) / 30) ** 2 + ((v - 110) / 70) ** 2 < 1, 8.0, -8.0).astype(np.float32)
    region = Region(300, 260, 400, 0.6)
    scale = 0.5
    mask = region_mask(logits, region, 640, 480, scale)
    assert mask is not None
    height, width = mask.probability.shape
    assert max(height, width) <= 256
    box = mask.box_px
    cells = [(np.arange(n) + 0.5) / n for n in (width, height)]
    u, v = np.meshgrid(box[0] + cells[0] * (box[2] - box[0]), box[1] + cells[1] * (box[3] - box[1]))
    inside = mask.probability > 0.5
    middle = np.array([u[inside].mean(), v[inside].mean()])
    assert middle == pytest.approx(region.to_picture(np.array([140.0, 110.0]), CROP_SIZE) / scale, abs=2)
    area = inside.sum() * (box[2] - box[0]) * (box[3] - box[1]) / (height * width)
    assert area == pytest.approx(math.pi * 30 * 70 * (400 / 256) ** 2 / scale**2, rel=0.03)


def test_mask_outside_the_picture_or_empty_is_none() -> None:
    logits = np.full((CROP_SIZE, CROP_SIZE), 8.0, np.float32)
    assert region_mask(logits, Region(-500, 100, 200, 0.2), 640, 480) is None
    assert region_mask(-logits, Region(300, 200, 200, 0.2), 640, 480) is None
    cut = region_mask(logits, Region(0, 0, 200, 0.0), 640, 480)
    assert cut is not None and cut.box_px.tolist() == [0, 0, 100, 100]


def body(middle: tuple[float, float], height: float, presence: float = 1.0, spread: float = 0.05) -> Body:
    """A stick of landmarks with a solid silhouette around it."""
    region = Region(*middle, 1.25 * height, 0.0)
    points = np.array(middle) + np.stack(
        [np.where(np.arange(33) % 2, spread, -spread) * height, np.linspace(-0.45, 0.45, 33) * height], -1
    )
    v, u = np.mgrid[:CROP_SIZE, :CROP_SIZE] + 0.5
    logits = np.where((np.abs(u - 128) < 30) & (np.abs(v - 128) < 110), 8.0, -8.0)
    marks = RegionLandmarks(region, presence, points, np.full(33, 0.9), np.zeros((33, 3)), region, logits)
    return Body(marks, 0.9)


def test_nobody_twice_and_parts_go_but_neighbours_stay() -> None:
    whole, again = body((200, 200), 300), body((204, 203), 290, 0.95)
    part, neighbour = body((205, 150), 80), body((330, 205), 310, 0.97)
    small = body((420, 260), 60)
    kept = suppress_bodies([part, again, neighbour, whole, small])
    assert set(map(id, kept)) == {id(whole), id(neighbour), id(small)}
    assert covered_fraction(part, [whole]) == 1.0
    assert covered_fraction(neighbour, [whole]) < 0.2


def test_bodies_behind_others_stand_upright_beside_them() -> None:
    """What is left of somebody who was painted over lies on that body, or is turned as nobody stands."""
    front, beside = body((200, 200), 300), body((420, 200), 290)
    assert stands_apart(beside, [front])
    assert not stands_apart(body((205, 205), 280), [front])
    for angle, apart in ((40, True), (-40, True), (50, False), (-50, False), (170, False)):
        turned = replace(beside.landmarks, region=replace(beside.landmarks.region, angle=math.radians(angle)))
        assert stands_apart(replace(beside, landmarks=turned), [front]) is apart, angle


def test_candidates_that_overlap_by_a_third_are_one() -> None:
    """The published threshold is 0.3 of the union."""
    for shift, count in ((5.0, 1), (5.6, 2)):  # 0.333 and 0.282 of boxes of side 10
        rows = np.zeros((2, 13))
        rows[:, 0], rows[:, 1:5] = [0.9, 0.8], [[0, 0, 10, 10], [shift, 0, 10 + shift, 10]]
        assert len(weighted_nms(rows)) == count, shift


def test_a_body_taken_out_leaves_the_mean_colour() -> None:
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[:, 200:] = 100
    without = without_bodies(picture, [body((200, 200), 300)])
    assert np.all(without[200, 200] == 50)
    assert np.array_equal(without[:, :100], picture[:, :100])
    assert np.all(picture[200, 199] == 0)


def test_box_holds_the_seen_points_inside_the_picture() -> None:
    points = np.array([[10.0, 20.0], [-5.0, 30.0], [500.0, 40.0]])
    assert keypoint_box(points, np.array([0.9, 0.8, 0.1]), 100, 100).tolist() == [0, 20, 10, 30]
    assert keypoint_box(points, np.array([0.2, 0.1, 0.1]), 100, 100).tolist() == [10, 20, 10, 20]
