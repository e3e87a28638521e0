"""Limbs that change sides while they cross are put right by how they move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dsr.body.joints import BLAZEPOSE33_NAMES, flip_permutation
from dsr.people.steady_sides import steady_sides
from dsr.people.tracking import PersonTrack
from dsr.people.types import Detection

MIRROR = np.array(flip_permutation("blazepose33"))
UPPER, LEGS = list(range(25)), list(range(25, 33))
FPS, FRAMES = 30.0, 45


def walker() -> PersonTrack:
    """Somebody of 400 pixels seen from the side: legs and arms swing against each other and cross every half second."""
    detections = []
    for t in range(FRAMES):
        swing = np.sin(2 * np.pi * t / FPS)
        points = np.zeros((33, 2))
        for k, name in enumerate(BLAZEPOSE33_NAMES):
            way = {"left": 1.0, "right": -1.0}.get(name.split("_")[0], 0.0)
            low = {"ankle": 60.0, "heel": 60.0, "foot": 65.0, "knee": 30.0, "wrist": -50.0, "elbow": -25.0}
            reach = next((px for part, px in low.items() if part in name), 3.0)
            points[k] = [200 + 2.0 * t + way * reach * swing, 20 + 12.0 * k]
        box = np.concatenate([points.min(0), points.max(0)])
        world = np.c_[points / 230, np.arange(33) / 33.0]
        detections.append(Detection(box, 0.9, "blazepose33", points, np.full(33, 0.9), world))
    return PersonTrack("p0", np.arange(FRAMES), tuple(detections))


def with_exchanged(track: PersonTrack, frames: range, rows: list[int]) -> PersonTrack:
    order = np.arange(33)
    order[rows] = MIRROR[rows]
    detections = list(track.detections)
    for t in frames:
        d = detections[t]
        assert d.world_m is not None
        detections[t] = replace(
            d, keypoints_px=d.keypoints_px[order], confidence=d.confidence[order], world_m=d.world_m[order]
        )
    return replace(track, detections=tuple(detections))


def same(a: PersonTrack, b: PersonTrack, rows: list[int], key: str = "keypoints_px") -> bool:
    pairs = zip(a.detections, b.detections, strict=True)
    return all(np.allclose(getattr(x, key)[rows], getattr(y, key)[rows]) for x, y in pairs)


@pytest.mark.parametrize("rows", [UPPER, LEGS], ids=["upper", "legs"])
def test_limbs_exchanged_for_an_eighth_of_a_second_are_put_right(rows: list[int]) -> None:
    true = walker()
    wrong = with_exchanged(true, range(19, 23), rows)  # limbs cross at frames 15 and 30
    assert not same(wrong, true, rows)
    steady = steady_sides(wrong, FPS)
    apart = [
        float(np.abs(a.keypoints_px - b.keypoints_px).max())
        for a, b in zip(steady.detections, true.detections, strict=True)
    ]
    assert max(apart[:14] + apart[17:29] + apart[32:]) < 1e-9 and max(apart) < 60  # at a crossing nobody can tell
    assert same(steady, true, [r for r in range(33) if r not in rows])


def test_depths_go_with_the_points() -> None:
    true = walker()
    steady = steady_sides(with_exchanged(true, range(20, 24), LEGS), FPS)
    assert same(steady, true, LEGS) and same(steady, true, LEGS, "world_m")


def test_who_moves_as_seen_is_left_alone() -> None:
    true = walker()
    assert all(a is b for a, b in zip(steady_sides(true, FPS).detections, true.detections, strict=True))
    noise = np.random.default_rng(0)
    shaken = replace(
        true,
        detections=tuple(
            replace(d, keypoints_px=d.keypoints_px + noise.normal(0, 4, (33, 2))) for d in true.detections
        ),
    )
    assert all(a is b for a, b in zip(steady_sides(shaken, FPS).detections, shaken.detections, strict=True))


def test_gaps_short_tracks_and_other_keypoints_are_no_problem() -> None:
    true = walker()
    kept = [t for t in range(FRAMES) if not 10 <= t < 20]
    gap = PersonTrack("p0", np.array(kept), tuple(true.detections[t] for t in kept))
    assert steady_sides(gap, FPS).detections == gap.detections
    short = PersonTrack("p0", np.arange(2), true.detections[:2])
    assert steady_sides(short, FPS) is short
    coco = replace(
        true,
        detections=tuple(replace(d, keypoint_set="coco17", keypoints_px=np.zeros((17, 2))) for d in true.detections),
    )
    assert steady_sides(coco, FPS) is coco
    unseen = replace(true, detections=tuple(replace(d, keypoints_px=np.full((33, 2), np.nan)) for d in true.detections))
    assert len(steady_sides(unseen, FPS).detections) == FRAMES
