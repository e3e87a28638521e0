"""People beside and behind others whom the person detector does not see: proposed by the network for groups.

In a tight group the person detector fires on those in front and is silent about the rest, at any scale. The network for
groups is not. Who of its candidates is known already is told by head and trunk; the others are looked at in the picture
as it is, then with their neighbours taken out around their joints, and the likeliest look is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dsr.people.candidates import body_length
from dsr.people.group_bodies import Proposed, likelihood
from dsr.people.landmarks import LandmarkModel
from dsr.people.regions import Pyramid
from dsr.people.suppression import Body, covered_fraction, is_plausible, mask_at, touching, without_bodies

SCORE = 0.75  # of somebody whom the person detector did not see
_LEAST_SCORE = (0.4, 0.5, 0.45)  # of a candidate beside nobody, few and several: below, photographs show things
_LIKELY = 0.7  # of a look that is taken
_SCALES, _WORTH = (1.0, 1.15, 0.87), 0.3  # of the region; likelihood that makes another look worth its time
_THERE, _SEVERAL = (0.5, 0.1), 5  # presence in one of two looks, beside few and beside so many people
_PLAIN, _PLAINLY = 0.9, 0.97  # presence in both looks and likelihood of who is plain to see, whatever their size
_FIRST = (0.65, 0.3, 0.9)  # beside nobody: score, presence in both looks, likelihood;
_STEADY = (0.4, 0.9, 0.8)  # or in six looks, of which no thing looked at was so sure
_COVERED = (0.75, 0.9)  # share of the landmarks that lie on others
_ALIKE_LOG = 0.7  # of sizes: beside somebody are people of about their size
_CONSISTENT = 0.25  # of a look; half hidden people's landmarks lie on their own silhouette less than others'
_LEAST_PX = 64.0  # size of people who are looked for: in less there is too little to see to tell them from things
_KNOWN, _NEAREST = 0.07, 0.16  # distance of head and trunk, in sizes: somebody known, and the candidate nearest to them
_TAKEN, _TAKEN_LOG = 0.18, 0.45  # of the smaller size, and of sizes: a candidate whose hips are a body's
_AS_LARGE = 0.3  # the same for a body that is doubtful: on parts of somebody lie smaller ones
_SURELY = 0.6  # score of a candidate that counts for or against a doubtful body
_RATHER = 0.5  # of one that counts for a body whose head and trunk are its own
_MORE = 2  # so many of these beside one clear person are a group
_GROUP, _MUCH_SMALLER, _ON_IT = 3, 0.5, 0.3  # so many candidates of such sizes, their hips on its silhouette: no body
_MOST_CANDIDATES = 60
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def with_neighbours(
    model: LandmarkModel,
    rgb: np.ndarray,
    bodies: list[Body],
    rows: np.ndarray,
    finish: Callable[[Pyramid, Body], Body | None],
    plainly: bool = False,
) -> list[Body]:
    """Bodies, and those of candidates that are somebody else; beside nobody, those of the surest and who is with them.

    Args:
        model: landmark model.
        rgb: (h, w, 3) uint8 picture.
        bodies: who is known.
        rows: (N, 58) candidates, best first.
        finish: all further passes on a body of a picture; None where nobody is left.
        plainly: only who is plain to see.
    """
    whole = Pyramid(rgb)
    if not bodies:
        bodies = _first(model, whole, rows, finish)
        if not bodies:
            return bodies
    left, company = unknown(rows, bodies), _company(bodies)
    for peeled in (False, True):
        refused = []
        for proposed in left:
            if (proposed.distance(bodies) < _KNOWN).any():
                continue
            picture = whole
            if peeled:
                near = beside(proposed, bodies)
                if not near:
                    continue
                picture = Pyramid(without_bodies(rgb, near, keep=proposed))
            body = _there(model, picture, proposed, bodies, finish, plainly)
            if body is None:
                refused.append(proposed)
            else:
                bodies = [*bodies, body]
        left = [] if plainly else refused
    if _company(bodies) > company and not plainly:  # beside several people less is asked of a candidate than beside few
        return with_neighbours(model, rgb, bodies, rows, finish)
    return bodies


def _first(
    model: LandmarkModel, picture: Pyramid, rows: np.ndarray, finish: Callable[[Pyramid, Body], Body | None]
) -> list[Body]:
    """The body of the best candidate (N, 58) that is somebody beyond doubt, one or none."""
    for proposed in unknown(rows, []):
        presence = 1.0  # in the worst look so far
        for scale in _SCALES:
            pair = looks(model, picture, proposed, scale)
            best, _, likely = _likelier(proposed, pair, [])
            presence = min(presence, *(look.landmarks.presence for look in pair))
            score, there, enough = _STEADY if scale == _SCALES[-1] else _FIRST
            if proposed.score >= score and presence >= there and likely >= enough and is_plausible(best):
                return [finish(picture, best) or best]
            if presence < _FIRST[1]:
                break
    return []


def unknown(rows: np.ndarray, bodies: list[Body]) -> list[Proposed]:
    """Candidates (N, 58) that count and are nobody of bodies: each body is the nearest one, and all that are very near.

    Args:
        rows: best first.
        bodies: who is known.
    """
    rows = rows[(rows[:, 0] >= _LEAST_SCORE[_company(bodies)]) & (body_length(rows) >= _LEAST_PX)]
    candidates = [Proposed(row) for row in rows[:_MOST_CANDIDATES]]
    if not bodies or not candidates:
        return candidates
    apart = np.stack([proposed.distance(bodies) for proposed in candidates])
    known = (apart < _KNOWN).any(1)
    known[apart.argmin(0)[apart.min(0) < _NEAREST]] = True
    return [proposed for proposed, it_is in zip(candidates, known.tolist(), strict=True) if not it_is]


def is_group(rows: np.ndarray, bodies: list[Body]) -> bool:
    """True where candidates (N, 58) say surely that several people are beside bodies."""
    return sum(proposed.score >= _SURELY for proposed in unknown(rows, bodies)) >= _MORE


def _company(bodies: list[Body]) -> int:
    """0 beside nobody, 1 beside few people, 2 beside several."""
    return 0 if not bodies else 1 + (len(bodies) >= _SEVERAL)


def beside(proposed: Proposed, bodies: list[Body]) -> list[Body]:
    """Bodies that reach into the region of a candidate."""
    return touching(proposed.region.to_picture(_CORNERS, 1.0), bodies)


def _there(
    model: LandmarkModel,
    picture: Pyramid,
    proposed: Proposed,
    bodies: list[Body],
    finish: Callable[[Pyramid, Body], Body | None],
    plainly: bool,
) -> Body | None:
    """The body of a candidate after all passes, where a look most likely shows somebody new."""
    several = len(bodies) >= _SEVERAL
    for scale in _SCALES:
        pair = looks(model, picture, proposed, scale, _PLAIN if plainly else 0.0)
        presence = [look.landmarks.presence for look in pair]
        if len(pair) < 2 or max(presence) < _THERE[several]:
            return None
        best, other, likely = _likelier(proposed, pair, bodies)
        plain = min(presence) >= _PLAIN and likely >= _PLAINLY
        alike = any(abs(np.log(best.size / body.size)) < _ALIKE_LOG for body in bodies)
        lies_on = covered_fraction(best, bodies) > _COVERED[several]
        if likely < _WORTH or not (plain or (alike and not plainly)) or lies_on:
            return None
        if likely >= _LIKELY and best.consistency >= _CONSISTENT:
            body = finish(picture, best)
            kept = body is not None and is_plausible(body) and likelihood(proposed, body, other, bodies) >= _LIKELY
            return body if kept else best
    return None


def looks(
    model: LandmarkModel, picture: Pyramid, proposed: Proposed, scale: float = 1.0, least: float = 0.0
) -> list[Body]:
    """Both looks, plain and mirrored, at a candidate's region times a scale; the first alone below a least presence."""
    region = replace(proposed.region, side=scale * proposed.region.side)
    plain = Body(model(picture, region, False), SCORE)
    return [plain] if plain.landmarks.presence < least else [plain, Body(model(picture, region, True), SCORE)]


def _likelier(proposed: Proposed, pair: list[Body], bodies: list[Body]) -> tuple[Body, Body, float]:
    """The likelier one of two looks, the other one, and how likely it is."""
    likely = [likelihood(proposed, look, other, bodies) for look, other in (pair, pair[::-1])]
    mirrored = likely[1] > likely[0]
    return pair[mirrored], pair[not mirrored], max(likely)


def corroborated(bodies: list[Body], rows: np.ndarray) -> list[Body]:
    """Bodies with doubtful ones as the network for groups, candidates (N, 58), sees them.

    They are surer where it proposes them as well, and left out where it proposes somebody much larger or smaller in
    their place: they lie on a part of that person, or on several. A body made of a whole group goes in any case.
    """
    every, rows = rows, rows[(rows[:, 0] >= _SURELY) & (body_length(rows) >= _LEAST_PX)]
    kept = []
    for body in bodies:
        if _is_made_of(rows, body) and not any(is_taken(row, [body]) for row in every):
            continue
        if body.candidate_score < SCORE:
            if any(_is_them(row, body) for row in every):
                body = replace(body, candidate_score=SCORE)
            elif any(is_taken(row, [body]) for row in rows):
                continue
        kept.append(body)
    return kept


def _is_them(row: np.ndarray, body: Body) -> bool:
    """True where a candidate sees a body too: surely and about there, or less surely with the same head and trunk."""
    if row[0] < _RATHER or body_length(row[None])[0] < _LEAST_PX:
        return False
    most = _NEAREST if row[0] >= _SURELY else _KNOWN
    return is_taken(row, [body], _AS_LARGE) and bool(Proposed(row).distance([body])[0] < most)


def _is_made_of(rows: np.ndarray, body: Body) -> bool:
    """True where several candidates much smaller than a body without a clear face lie on it."""
    if body.has_clear_face:
        return False
    on_it = rows[body_length(rows) < _MUCH_SMALLER * body.size]
    return bool((mask_at(body, on_it[:, 5:7]) > _ON_IT).sum() >= _GROUP)


def is_taken(row: np.ndarray, bodies: list[Body], size_log: float = _TAKEN_LOG) -> bool:
    """True where a candidate's hips are those of one of bodies, whose size differs by ``size_log`` at most."""
    length = float(body_length(row[None])[0])
    for body in bodies:
        apart = np.hypot(body.landmarks.region.u - row[5], body.landmarks.region.v - row[6])
        if apart < _TAKEN * min(length, body.size) and abs(np.log(length / body.size)) < size_log:
            return True
    return False
