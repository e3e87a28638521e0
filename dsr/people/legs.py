"""Pictures that show nobody's face or trunk, only legs: a last look where nobody was found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsr.people.landmarks import LandmarkModel, RegionLandmarks
from dsr.people.regions import Pyramid, Region

_LEGS = [23, 24, 25, 26, 27, 28]
_UPPER_BODY = list(range(23))
_REGIONS = ((2.4, 0.05), (1.8, 0.2), (3.0, -0.1))  # side and middle (of the hips) in heights of the picture
_MAX_ANGLE = 0.8
_WIDER = 1.12
MIN_PRESENCE, MIN_SEEN, MAX_SPREAD = 0.85, 0.75, 0.04
"""What three looks (plain, mirrored, wider) must agree on: presence, confidence of knees and ankles, and how far they
put hips, knees and ankles from each other, in heights of the body. Pictures of things reach a spread of 0.065."""
UNSEEN = 0.05  # confidence of everything above the hips: the model guesses it at the border


def legs_alone(model: LandmarkModel, pyramid: Pyramid) -> RegionLandmarks | None:
    """Landmarks of somebody of whom a picture shows the legs alone, or None.

    Args:
        model: landmark model.
        pyramid: a picture in which nobody was found.
    """
    best: RegionLandmarks | None = None
    least = MAX_SPREAD
    for side, middle in _REGIONS:
        region = Region(0.5 * pyramid.width, middle * pyramid.height, side * pyramid.height, 0.0)
        first = model(pyramid, region)
        if first.presence < 0.5:
            continue
        if abs(first.next_region.angle) < _MAX_ANGLE:
            first = model(pyramid, first.next_region)
        region = first.region
        looks = [first, model(pyramid, region, mirrored=True)]
        looks.append(model(pyramid, replace(region, side=_WIDER * region.side)))
        points = np.stack([look.points[_LEGS] for look in looks])
        spread = 1.25 / region.side * float(np.linalg.norm(points - points.mean(0), axis=-1).mean())
        seen = float(np.mean([look.confidence[_LEGS[2:]] for look in looks]))
        if min(look.presence for look in looks) >= MIN_PRESENCE and seen >= MIN_SEEN and spread < least:
            best, least = first, spread
    if best is None:
        return None
    confidence = best.confidence.copy()
    confidence[_UPPER_BODY] = np.minimum(confidence[_UPPER_BODY], UNSEEN)
    return replace(best, confidence=confidence)
