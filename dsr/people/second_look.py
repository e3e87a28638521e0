"""A second look at bodies that may be wrong: mixtures of two people, and people whose sides may be exchanged.

The landmark model looks at one square. Where that shows two people it may give one skeleton over both, and of somebody
who leans far to one side it may take the front for the back. In both cases other squares (tighter, less turned,
mirrored) give other answers, so they are asked where an answer shows signs of it, and must agree with each other.
"""

from __future__ import annotations

from dataclasses import replace

from dsr.people.landmarks import LandmarkModel, RegionLandmarks, mean_landmarks, side_vote
from dsr.people.regions import Pyramid
from dsr.people.suppression import Body, agreement

MIXED = 0.95
"""Consistency below which a body may be a mixture; of 101 people in pictures 23 are below."""
LEANING = 0.5
"""Turn of a region, radians, from which on front and back are looked at again."""
_TIGHTER = (0.8, 0.7)
_BETTER, _SAME, _KEPT = 1.05, 0.9, 0.9  # quality and presence over those of before; agreement of the two tighter looks
_PROMISING = 0.95  # quality of the plain look below which the mirrored one would not help
_FIRST = ((1.0, 0.85, False), (1.0, 0.85, True), (0.5, 1.0, False), (0.5, 1.0, True))  # turn, size, mirrored
_MORE = (
    (1.0, 1.0, False), (1.0, 1.0, True), (0.5, 0.85, False), (0.5, 0.85, True),
    (0.0, 0.85, False), (0.0, 0.85, True), (0.0, 1.0, False), (0.0, 1.0, True),
)  # fmt: skip
_FEWEST_VOTES = 3


def unmixed(model: LandmarkModel, pyramid: Pyramid, body: Body) -> Body:
    """A body as tighter regions show it, where its landmarks do not lie on its own silhouette.

    A tighter look is taken where plain and mirrored agree on it and it is better by itself. On rendered people that
    holds for 4 of 18, and every one of them is nearer to its truth then.
    """
    if body.consistency >= MIXED:
        return body
    best, most = body, _BETTER * _quality(body)
    for scale in _TIGHTER:
        region = replace(body.landmarks.region, side=scale * body.landmarks.region.side)
        plain = replace(body, landmarks=model(pyramid, region))
        if _quality(plain) < _PROMISING * most:
            continue
        mirrored = replace(body, landmarks=model(pyramid, region, mirrored=True))
        looks = [plain.landmarks, mirrored.landmarks]
        tighter = replace(body, landmarks=mean_landmarks(looks, looks[0]))
        sure = tighter.landmarks.presence >= _KEPT * body.landmarks.presence
        if sure and agreement(plain, mirrored) >= _SAME and _quality(tighter) >= most:
            best, most = tighter, _quality(tighter)
    return best


def _quality(body: Body) -> float:
    """0 to 1: rank without size."""
    return body.rank / max(body.size, 1e-9) ** 0.25


def right_sided(model: LandmarkModel, pyramid: Pyramid, body: Body) -> Body:
    """A body whose left and right are those most looks see, where it leans or its own passes disagreed on them."""
    marks = body.landmarks
    if abs(marks.region.angle) < LEANING and marks.sides_agree:
        return body
    same: list[RegionLandmarks] = []
    exchanged: list[RegionLandmarks] = []
    for looks in (_FIRST, _MORE):
        for turn, size, mirrored in looks:
            region = replace(marks.region, angle=turn * marks.region.angle, side=size * marks.region.side)
            look = model(pyramid, region, mirrored)
            vote = side_vote(look, marks)
            if vote:
                (same if vote > 0 else exchanged).append(look)
        if not exchanged:
            return body
    if len(exchanged) < _FEWEST_VOTES or len(exchanged) <= len(same):
        return body
    exchanged.sort(key=lambda look: look.presence * float(look.confidence.mean()))
    return replace(body, landmarks=mean_landmarks(exchanged, exchanged[0]))
