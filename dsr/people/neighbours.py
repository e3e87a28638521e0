"""People beside and behind others whom no detector proposes: looked for where they would stand.

In a tight group the person detector fires on those in front and is silent about the rest, at any scale. The landmark
model is not: shown a region of a neighbour's size beside a neighbour, with everybody known taken out of the picture,
it says whether somebody is there. Of those found so, others are found again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dsr.people.landmarks import LandmarkModel
from dsr.people.regions import Pyramid, Region
from dsr.people.suppression import Body, agreement, is_plausible, repeats, stands_apart, without_bodies

SCORE = 0.75  # of somebody whom no detector saw, but at least two looks did
_STEPS = tuple((u, v) for u in (-0.5, -0.35, -0.2, 0.0, 0.2, 0.35, 0.5) for v in (-0.14, 0.0))
"""Where a neighbour's hips may be, from a body's, in its sizes."""
_APART, _EMPTY = 0.1, 0.15  # how near to where was looked before nothing new is expected, and where nobody was seen
_ALIKE_LOG = 0.6  # sizes from which neighbours are guessed, over the median
_WORTH, _SURE, _SAME = 0.15, 0.8, 0.5  # presence worth another look, of two looks, and how well these agree
_CLOSER = tuple((u, v) for u in (-0.6, -0.4, -0.3, -0.1, 0.1, 0.3, 0.4, 0.6) for v in (-0.2, -0.07, 0.06))
"""Where else, in groups of which somebody was found by looking: there are mostly more."""
_ROUNDS, _MOST_LOOKS = 5, 250
_LEAST_PX = 32.0  # size of people beside whom others are looked for, and of these: in less there is nothing to see
_GROUP, _SMALL = 3, 0.35  # so many people, or two who are smaller than this part of the picture's longer side


def is_group(bodies: list[Body], longer: float) -> bool:
    """True where there may well be more people beside and behind these.

    Args:
        bodies: who is known.
        longer: longer side of the picture, pixels.
    """
    seen = [body for body in bodies if body.size >= _LEAST_PX]
    return len(seen) >= _GROUP or (len(seen) == _GROUP - 1 and all(body.size < _SMALL * longer for body in seen))


def with_neighbours(
    model: LandmarkModel, rgb: np.ndarray, bodies: list[Body], finish: Callable[[Pyramid, Body], Body | None]
) -> list[Body]:
    """Bodies, and those that stand beside or behind them.

    Args:
        model: landmark model.
        rgb: (h, w, 3) uint8 picture.
        bodies: who is known.
        finish: all further passes on a body of a picture; None where nobody is left.
    """
    height, width = rgb.shape[:2]
    looked = [(body.landmarks.region.u, body.landmarks.region.v, _APART) for body in bodies]
    middle = float(np.median([body.size for body in bodies]))
    fresh, left, known, steps = bodies, _MOST_LOOKS, len(bodies), _STEPS
    for _ in range(_ROUNDS):
        peeled = Pyramid(without_bodies(rgb, bodies))
        new: list[Body] = []
        for body in fresh:
            if body.size < _LEAST_PX or abs(np.log(body.size / middle)) > _ALIKE_LOG:
                continue
            for u, v in body.size * np.array(steps) + (body.landmarks.region.u, body.landmarks.region.v):
                if not (0 < u < width and 0 < v < height) or left == 0:
                    continue
                before = np.array(looked)
                if (np.hypot(before[:, 0] - u, before[:, 1] - v) < before[:, 2] * body.size).any():
                    continue
                left -= 1
                first = Body(model(peeled, Region(float(u), float(v), body.landmarks.region.side, 0.0)), SCORE)
                worth = first.landmarks.presence >= _WORTH
                looked.append((u, v, _APART if worth else _EMPTY))
                there = _there(model, peeled, first, bodies + new) if worth else None
                there = None if there is None else finish(peeled, there)
                seen = there is not None and there.size >= _LEAST_PX
                if there is not None and seen and is_plausible(there) and not repeats(there, bodies + new):
                    new.append(there)
        if not new and (steps is _CLOSER or len(bodies) == known):
            break
        bodies, fresh = bodies + new, new
        if not new:
            fresh, steps = bodies, _CLOSER
    return bodies


def _there(model: LandmarkModel, peeled: Pyramid, before: Body, bodies: list[Body]) -> Body | None:
    """The body at or near a look, where two looks, each where the one before points to, agree on somebody new."""
    for mirrored in (True, False, True):
        if before.landmarks.presence < _WORTH or repeats(before, bodies):
            return None
        body = Body(model(peeled, before.landmarks.next_region, mirrored), SCORE)
        sure = min(before.landmarks.presence, body.landmarks.presence) >= _SURE
        if sure and agreement(before, body) >= _SAME:
            return body if stands_apart(body, bodies) and not repeats(body, bodies) else None
        before = body
    return None
