"""People beside and behind others whom the person detector does not see: proposed by the network for groups.

In a tight group the person detector fires on those in front and is silent about the rest, at any scale. The network for
groups is not, and the landmark model, shown a region that it proposes, says whether somebody is there: in the picture
as it is, then with everybody known taken out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dsr.people.candidates import body_length
from dsr.people.landmarks import LandmarkModel
from dsr.people.regions import Pyramid, Region
from dsr.people.suppression import Body, agreement, is_plausible, repeats, stands_apart, without_bodies

SCORE = 0.75  # of somebody whom the person detector did not see, but at least two looks did
_WORTH, _SURE, _SAME = 0.3, 0.6, 0.5  # presence worth another look, of two looks, and how well these agree
_LIKELY, _ALIKE = 0.55, 0.75  # the same where the looks differ in presence, but hardly in where the body is
_SCALES = (1.0, 1.2, 0.85)  # of the region
_LEAST_SEEN, _SEEN_SHOULDERS = 7, 0.35  # keypoints, and confidence
_LEAST_PX = 64.0  # size of people who are looked for: in less there is too little to see to tell them from things
_TAKEN, _TAKEN_LOG = 0.18, 0.45  # of the smaller size, and of sizes: a candidate that is somebody known
_AS_LARGE = 0.3  # the same for a body that is doubtful: on parts of somebody lie smaller ones
_SURELY, _SURE_ALONE = 0.45, 0.95  # score of a candidate that counts, and presence in both looks where it does not
_ROUNDS, _MOST_CANDIDATES = 3, 60


def with_neighbours(
    model: LandmarkModel,
    rgb: np.ndarray,
    bodies: list[Body],
    rows: np.ndarray,
    finish: Callable[[Pyramid, Body], Body | None],
) -> list[Body]:
    """Bodies, and those of candidates that are somebody else.

    Args:
        model: landmark model.
        rgb: (h, w, 3) uint8 picture.
        bodies: who is known.
        rows: (N, 13) candidates, best first.
        finish: all further passes on a body of a picture; None where nobody is left.
    """
    if not bodies:  # all that was known were things: beside nobody there are no neighbours
        return bodies
    rows = rows[body_length(rows) >= _LEAST_PX]
    left = _MOST_CANDIDATES
    for round_ in range(_ROUNDS):
        rows = np.array([row for row in rows if not is_taken(row, bodies)]).reshape(-1, rows.shape[1])
        if not len(rows):
            break
        picture = Pyramid(without_bodies(rgb, bodies) if round_ else rgb)
        known = len(bodies)
        for row in rows:
            if left == 0 or is_taken(row, bodies):
                continue
            left -= 1
            there = _there(model, picture, row, bodies, round_ > 0)
            there = None if there is None else finish(picture, there)
            if there is None or there.size < _LEAST_PX or not _is_seen(there, picture.width, picture.height):
                continue
            if is_plausible(there) and not repeats(there, bodies):
                bodies = [*bodies, there]
        if round_ and len(bodies) == known:
            break
    return bodies


def corroborated(bodies: list[Body], rows: np.ndarray) -> list[Body]:
    """Bodies with doubtful ones as the network for groups, candidates (N, 13), sees them.

    They are surer where it proposes them as well, and left out where it proposes somebody much larger or smaller in
    their place: they lie on a part of that person, or on several.
    """
    rows = rows[(rows[:, 0] >= _SURELY) & (body_length(rows) >= _LEAST_PX)]
    kept = []
    for body in bodies:
        if body.candidate_score < SCORE:
            if any(is_taken(row, [body], _AS_LARGE) for row in rows):
                body = replace(body, candidate_score=SCORE)
            elif any(is_taken(row, [body]) for row in rows):
                continue
        kept.append(body)
    return kept


def is_taken(row: np.ndarray, bodies: list[Body], size_log: float = _TAKEN_LOG) -> bool:
    """True where a candidate (13,) is one of bodies, whose size differs by a logarithm of ``size_log`` at most."""
    length = float(body_length(row[None])[0])
    for body in bodies:
        apart = np.hypot(body.landmarks.region.u - row[5], body.landmarks.region.v - row[6])
        if apart < _TAKEN * min(length, body.size) and abs(np.log(length / body.size)) < size_log:
            return True
    return False


def _there(model: LandmarkModel, picture: Pyramid, row: np.ndarray, bodies: list[Body], peeled: bool) -> Body | None:
    """The body of a candidate (13,), where a look and its mirror image agree on somebody new."""
    region = Region.from_points(row[5:7], row[7:9])
    for scale in _SCALES:
        tried = replace(region, side=scale * region.side)
        plain = Body(model(picture, tried), SCORE)
        if plain.landmarks.presence < _WORTH or repeats(plain, bodies):
            continue
        body = Body(model(picture, tried, True), SCORE)
        low, high = sorted((plain.landmarks.presence, body.landmarks.presence))
        alike = agreement(plain, body)
        if row[0] < _SURELY:  # the network is not sure: then the landmark model must be
            sure = low >= _SURE_ALONE and alike >= _ALIKE
        else:
            sure = (low >= _SURE and alike >= _SAME) or (low + high >= 2 * _LIKELY and alike >= _ALIKE)
        if sure and not repeats(body, bodies) and (not peeled or stands_apart(body, bodies)):
            return body
    return None


def _is_seen(body: Body, width: int, height: int) -> bool:
    """True where enough of a body is seen in the picture to tell a person from a thing."""
    points, seen = body.landmarks.points, body.landmarks.confidence >= 0.5
    inside = ((points >= 0) & (points < (width, height))).all(1)
    return bool((seen & inside).sum() >= _LEAST_SEEN and body.landmarks.confidence[11:13].mean() >= _SEEN_SHOULDERS)
