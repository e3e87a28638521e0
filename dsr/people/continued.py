"""The landmarks of somebody who was seen a moment ago: where to look, and which side is left.

A look at an upright box is a poor start for somebody who leans or lies; the region comes from the body of the frame
before, turned as it was turned. The landmark model may also take the front of somebody who leans for the back, in one
frame and not in the next. Nobody turns around between two frames, so there other looks are asked.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dsr.body.joints import flip_permutation
from dsr.people.landmarks import LandmarkModel, RegionLandmarks, mean_landmarks
from dsr.people.regions import Pyramid, Region

_SHOULDERS, _HIPS = [11, 12], [23, 24]
_UPPER, _LEGS = [11, 12, 13, 14, 15, 16, 23, 24], [25, 26, 27, 28]
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


def body_region(points: np.ndarray, confidence: np.ndarray) -> Region:
    """The region that BlazePose would look at next, from a body's 33 landmarks (K, 2) and their confidence (K,)."""
    hips, shoulders = points[_HIPS].mean(0), points[_SHOULDERS].mean(0)
    up = shoulders - hips
    seen = confidence >= min(_SEEN, float(confidence.max()))
    reach = float(np.linalg.norm(points[seen] - hips, axis=1).max())
    reach = max(_ROOM * reach, 1.5 * float(np.hypot(*up)), 4.0)
    return Region(float(hips[0]), float(hips[1]), 2 * _SCALE * reach, math.atan2(float(up[0]), -float(up[1])))


def exchanged(points: np.ndarray, before: np.ndarray, reach: float) -> bool:
    """Whether landmarks (33, 2) have left and right the other way round than those a moment before.

    Trunk and arms may be exchanged while the legs are not, and the legs alone. Distances up to ``reach`` (pixels) are
    motion.
    """
    for group in (_UPPER, _LEGS):
        alike, other = (
            float(np.linalg.norm(points[group] - b[group], axis=1).mean()) for b in (before, before[_MIRROR])
        )
        if alike > reach and other < _EXCHANGED * alike:
            return True
    return False


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
