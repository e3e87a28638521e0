"""The landmarks of somebody who was seen a moment ago: where to look, and which side is left.

A look at an upright box is a poor start for somebody who leans or lies; the region comes from the body of the frame
before, turned as it was turned. The landmark model may also take the front of somebody who leans for the back, in one
frame and not in the next. Nobody turns around between two frames, so there other looks are asked.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dsr.body.joints import flip_permutation, joint_names
from dsr.people.known import keypoint_box_with_room
from dsr.people.landmarks import LandmarkModel, RegionLandmarks, mean_landmarks
from dsr.people.regions import Pyramid, Region
from dsr.people.types import Detection

_SIDED = [11, 12, 13, 14, 23, 24, 25, 26, 27, 28]
_MIRROR = np.array(flip_permutation("blazepose33"))
_SEEN = 0.3
_ROOM = 1.1
"""The landmark model's own regions reach this much further than the furthest landmark."""
_SCALE = 1.25  # room around a body in BlazePose's regions
_EXCHANGED = 0.6
"""Sides are exchanged where that brings landmarks to less than this share of their distance from those before."""
_MOTION = 0.02  # sides of the region
_LOOKS = (
    (1.0, 0.85, False), (1.0, 0.85, True), (0.5, 1.0, False), (0.5, 1.0, True),
    (1.0, 1.15, False), (1.0, 1.15, True), (0.5, 0.85, False), (0.5, 0.85, True),
)  # fmt: skip
"""Turn, size and mirroring of further looks."""


def body_region(points: np.ndarray, confidence: np.ndarray, keypoint_set: str = "blazepose33") -> Region:
    """The region that BlazePose would look at next, from a body's keypoints (K, 2) and their confidence (K,).

    Args:
        points: pixels; shoulders and hips are used whether they are seen or not.
        confidence: 0 to 1.
        keypoint_set: theirs.
    """
    names = joint_names(keypoint_set)
    hips, shoulders = (
        points[[names.index(f"{side}_{part}") for side in ("left", "right")]].mean(0) for part in ("hip", "shoulder")
    )
    up = shoulders - hips
    seen = confidence >= min(_SEEN, float(confidence.max()))
    reach = float(np.linalg.norm(points[seen] - hips, axis=1).max())
    reach = max(_ROOM * reach, 1.5 * float(np.hypot(*up)), 4.0)
    return Region(float(hips[0]), float(hips[1]), 2 * _SCALE * reach, math.atan2(float(up[0]), -float(up[1])))


def known_region(person: Detection, scale: float) -> Region:
    """Where to look for somebody whose keypoints are known, working pixels: turned with the trunk where that is seen.

    Args:
        person: with keypoints of any set.
        scale: working pixels per full pixel.
    """
    names = joint_names(person.keypoint_set)
    trunk = [names.index(f"{side}_{part}") for side in ("left", "right") for part in ("hip", "shoulder")]
    if person.confidence[trunk].min() >= _SEEN:
        return body_region(person.keypoints_px * scale, person.confidence, person.keypoint_set)
    return Region.from_box(keypoint_box_with_room(person) * scale)


def exchanged(points: np.ndarray, before: np.ndarray, reach: float) -> bool:
    """Whether landmarks (33, 2) have left and right the other way round than those a moment before.

    Only as a whole: arms alone are exchanged at moments when nobody can tell, and believing those before would keep
    what was wrong. Distances up to ``reach`` (pixels) are motion.
    """
    alike, other = (float(np.linalg.norm(points[_SIDED] - b[_SIDED], axis=1).mean()) for b in (before, before[_MIRROR]))
    return alike > reach and other < _EXCHANGED * alike


def continued(
    model: LandmarkModel, pyramid: Pyramid, points: np.ndarray, confidence: np.ndarray, passes: int
) -> RegionLandmarks:
    """Landmarks of somebody whose landmarks are known roughly.

    Args:
        model: the landmark model.
        pyramid: the picture.
        points: (33, 2) where they should be by now, working pixels.
        confidence: (33,) 0 to 1.
        passes: looks, at least 2.

    Returns:
        What most looks see; the sides are those of before if any look sees them so. A search, which knows nothing of
        before, puts right what was wrong.
    """
    region = body_region(points, confidence)
    reach = _MOTION * region.side
    marks = model.refined(pyramid, model(pyramid, region), passes)
    if not exchanged(marks.points, points, reach):
        return marks
    regions = [
        replace(marks.region, angle=turn * marks.region.angle, side=size * marks.region.side)
        for turn, size, _ in _LOOKS
    ]
    looks = [model(pyramid, region, look[2]) for region, look in zip(regions, _LOOKS, strict=True)]
    same = [look for look in looks if not exchanged(look.points, points, reach)]
    if not same:
        return marks
    same.sort(key=lambda look: look.presence * float(look.confidence.mean()))
    return mean_landmarks(same, same[0])
