"""People beside and behind others whom the person detector does not see: proposed by the network for groups.

In a tight group the person detector fires on those in front and is silent about the rest, at any scale. The network for
groups is not, and the landmark model, shown a region that it proposes and the mirror image, says whether somebody is
there; everybody known who touches the region is taken out of the picture first, but for what lies nearer to the
candidate than to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dsr.people.candidates import body_length
from dsr.people.landmarks import HOPELESS_PRESENCE, LandmarkModel, mean_landmarks
from dsr.people.regions import Pyramid, Region
from dsr.people.suppression import (
    Body,
    agreement,
    bone_distance,
    is_plausible,
    lies_on,
    mask_at,
    same_person,
    without_bodies,
)

SCORE = 0.75  # of somebody whom the person detector did not see, but two looks and the network for groups did
_LEAST_SEEN, _SEEN_SHOULDERS = 7, 0.35  # keypoints, and confidence
_LEAST_PX = 64.0  # size of people who are looked for: in less there is too little to see to tell them from things
_TAKEN, _TAKEN_LOG = 0.18, 0.45  # of the smaller size, and of sizes: a candidate that is somebody known
_AS_LARGE = 0.3  # the same for a body that is doubtful: on parts of somebody lie smaller ones
_SURELY, _LIKELY, _PLAINLY = 0.45, 0.58, 0.62  # score: counts; among several people, anywhere hardly ever a thing
_COMPANY, _COMPANY_LOG = 3, 0.5  # known people of about a candidate's size who make one more likely
_STEADY = 0.75  # agreement of looks that differ in presence only
_LARGER = 1.5  # times: on a body so much larger lie things taken for people
_KEEPS = 0.5  # how well further passes must agree with the looks that were believed
_LOOKS = ((1.0, False), (1.0, True), (1.15, False))  # size of the region, mirrored
_WORTH, _SURE = 0.3, 0.6  # presence in one of two looks worth a third, and in both that is believed
_ON_HEAD, _ON_HEAD_SHARE = 0.07, 0.75  # a head of which this share is so near to somebody's bones (sizes) is on them
_ROUNDS, _MOST_CANDIDATES = 2, 60


@dataclass(frozen=True)
class _Sketch:
    """Where the body of a candidate should be: as much as is needed to leave it in the picture."""

    bones: np.ndarray
    size: float

    @classmethod
    def of(cls, row: np.ndarray) -> _Sketch:
        hips, up = row[5:7], row[7:9] - row[5:7]
        aside = np.array([-up[1], up[0]])
        head, chest, feet = hips + 0.8 * up, hips + 0.5 * up, hips - 0.8 * up
        ends = [
            [hips, head],
            [chest - 0.18 * aside, chest + 0.18 * aside],
            [hips - 0.1 * aside, feet - 0.1 * aside],
            [hips + 0.1 * aside, feet + 0.1 * aside],
        ]
        return cls(np.array(ends), float(2 * np.hypot(*up)))

    def touches(self, body: Body) -> bool:
        ends, points = self.bones.reshape(-1, 2), body.landmarks.points
        low, high = ends.min(0) - 0.15 * self.size, ends.max(0) + 0.15 * self.size
        return bool((points.min(0) < high).all() and (points.max(0) > low).all())


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
    waiting = _unclaimed(rows[body_length(rows) >= _LEAST_PX], bodies)[:_MOST_CANDIDATES]
    whole = Pyramid(rgb)
    asked: dict[int, tuple[list[Body], bool]] = {}
    done: set[int] = set()
    for _ in range(_ROUNDS):
        before = len(bodies)
        for k, row in enumerate(waiting):
            if k in done or (not bodies and row[0] < _PLAINLY):  # beside nobody there are no neighbours
                continue
            sketch, company = _Sketch.of(row), _has_company(row, bodies)
            near = [body for body in bodies if sketch.touches(body)]
            if not company and _is_part(row, near):
                continue
            if asked.get(k) == (near, company):  # the models would say the same again
                continue
            asked[k] = near, company
            picture = Pyramid(without_bodies(rgb, near, keep=sketch)) if near else whole
            there = _there(model, picture, row, bodies, company, finish)
            if there is not None and there.size >= _LEAST_PX and _is_seen(there, whole.width, whole.height):
                bodies, done = [*bodies, there], {*done, k}
        if len(bodies) == before:
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
            if any(_is(row, body, _AS_LARGE) for row in rows):
                body = replace(body, candidate_score=SCORE)
            elif any(_is(row, body) for row in rows):
                continue
        kept.append(body)
    return kept


def _is(row: np.ndarray, body: Body, size_log: float = _TAKEN_LOG) -> bool:
    """True where a candidate (13,) is a body, whose size differs by a logarithm of ``size_log`` at most."""
    length = float(body_length(row[None])[0])
    return _hips_apart(row, body) < _TAKEN * min(length, body.size) and abs(np.log(length / body.size)) < size_log


def _hips_apart(row: np.ndarray, body: Body) -> float:
    return float(np.hypot(body.landmarks.region.u - row[5], body.landmarks.region.v - row[6]))


def _unclaimed(rows: np.ndarray, bodies: list[Body]) -> list[np.ndarray]:
    """Candidates (N, 13) but for those that are somebody known: of several in somebody's place one is, the nearest.

    The others may be who stands behind; they are asked about where there are more people of that size.
    """
    claimed = set()
    for body in bodies:
        theirs = [k for k, row in enumerate(rows) if _is(row, body)]
        if theirs:
            claimed.add(min(theirs, key=lambda k: _hips_apart(rows[k], body)))
    return [
        row
        for k, row in enumerate(rows)
        if k not in claimed and (_has_company(row, bodies) or not any(_is(row, body) for body in bodies))
    ]


def _has_company(row: np.ndarray, bodies: list[Body]) -> bool:
    """True where several are known of about a candidate's (13,) size: one more is likely then."""
    length = float(body_length(row[None])[0])
    return sum(abs(np.log(length / body.size)) < _COMPANY_LOG for body in bodies) >= _COMPANY


def _is_part(row: np.ndarray, bodies: list[Body]) -> bool:
    """True where head or hips of a candidate (13,) lie on somebody much larger, unless the network is rather sure."""
    length = float(body_length(row[None])[0])
    points = np.stack([(row[1:3] + row[3:5]) / 2, row[5:7]])
    larger = [body for body in bodies if body.size > _LARGER * length]
    return row[0] < _PLAINLY and any((mask_at(body, points) > 0.3).any() for body in larger)


def _there(
    model: LandmarkModel,
    picture: Pyramid,
    row: np.ndarray,
    bodies: list[Body],
    company: bool,
    finish: Callable[[Pyramid, Body], Body | None],
) -> Body | None:
    """The body of a candidate (13,), where a look and its mirror image agree on somebody new."""
    region = Region.from_points(row[5:7], row[7:9])
    looks: list[Body] = []
    for scale, mirrored in _LOOKS:
        look = Body(model(picture, replace(region, side=scale * region.side), mirrored), SCORE)
        if look.landmarks.presence < _least_presence(float(row[0]), company) or _is_known(look, bodies, company):
            return None
        pairs = [(other, look) for other, (_, side) in zip(looks, _LOOKS, strict=False) if company or side != mirrored]
        looks.append(look)
        if not pairs:
            continue
        pair = max(pairs, key=lambda two: agreement(*two))
        if _believed(float(row[0]), pair, company):
            break
        if max(each.landmarks.presence for each in looks) < _WORTH:
            return None
    else:
        return None
    first = replace(look, landmarks=mean_landmarks([each.landmarks for each in pair], pair[0].landmarks))
    body = finish(picture, first)
    if body is None or agreement(body, first) < _KEEPS or _is_known(body, bodies, company):
        unsure = min(each.landmarks.presence for each in pair) < _SURE and agreement(*pair) < _STEADY
        if body is not None and unsure and row[0] < _LIKELY:
            return None  # a closer look sees somebody else
        body = first
    if not is_plausible(body) or _is_known(body, bodies, company):
        return None
    sure = max(
        body.landmarks.presence, min(float(row[0]), 0.6)
    )  # where people hide each other the network knows better
    return replace(body, landmarks=replace(body.landmarks, presence=sure))


def _believed(score: float, looks: tuple[Body, Body], company: bool) -> bool:
    """Whether two looks at a candidate show somebody: the less sure the network, the surer they must be.

    Args:
        score: of the candidate.
        looks: of the landmark model.
        company: whether there are more people like that.
    """
    low, high = sorted(look.landmarks.presence for look in looks)
    alike = agreement(*looks)
    if score < _SURELY:
        return low >= _least_presence(score, company) and alike >= 0.75
    if (low >= _SURE and alike >= 0.5) or (low + high >= 1.1 and alike >= 0.75):
        return True
    if company:
        steady = alike >= (0.5 if high >= _WORTH or score >= _LIKELY else _STEADY)
        return high >= HOPELESS_PRESENCE and steady
    return score >= _PLAINLY and high >= 0.5 and alike >= 0.5


def _least_presence(score: float, company: bool) -> float:
    """Presence in every look at a candidate without which it cannot be believed, by its score."""
    return 0.0 if score >= _SURELY else 0.7 if company else 0.95


def _is_known(look: Body, bodies: list[Body], company: bool) -> bool:
    """True where a look at a candidate shows somebody known, or lies on somebody with its head as well.

    Among several people what is seen of somebody behind others mostly lies along their limbs, but for the head.
    """
    if any(same_person(look, body) for body in bodies):
        return True
    if not lies_on(look, bodies):
        return False
    if not company:
        return True
    head = look.landmarks.points[:11]
    return bool(np.any([bone_distance(head, body) < _ON_HEAD for body in bodies], axis=0).mean() > _ON_HEAD_SHARE)


def _is_seen(body: Body, width: int, height: int) -> bool:
    """True where enough of a body is seen in the picture to tell a person from a thing."""
    points, seen = body.landmarks.points, body.landmarks.confidence >= 0.5
    inside = ((points >= 0) & (points < (width, height))).all(1)
    return bool((seen & inside).sum() >= _LEAST_SEEN and body.landmarks.confidence[11:13].mean() >= _SEEN_SHOULDERS)
