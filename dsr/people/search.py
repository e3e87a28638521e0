"""The search for everybody in a picture: by their trunks, by their faces, and behind those who were found."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dsr.people.candidates import body_angle, body_length
from dsr.people.faces import Face
from dsr.people.landmarks import LandmarkModel
from dsr.people.legs import legs_alone
from dsr.people.neighbours import corroborated, is_group, unknown, with_neighbours
from dsr.people.proposals import MIN_SCORE, TOGETHER, Proposals, SearchSettings, several
from dsr.people.regions import Pyramid, Region, brightened
from dsr.people.second_look import right_sided, unmixed
from dsr.people.suppression import (
    PEELED_MAX_ANGLE,
    SURE_PRESENCE,
    Body,
    agreement,
    explained,
    has_face,
    is_clearly,
    is_near,
    is_plausible,
    lies_on_bones,
    repeats,
    same_region,
    shows_head_and_shoulders,
    spread,
    stands_apart,
    suppress_bodies,
    touching,
    with_face,
    without_bodies,
)

MIN_PRESENCE = 0.5
MIN_LENGTH = 16.0  # working pixels; below that there is nothing to see of a person
MIN_PEELED_SCORE = 0.55  # what is left of people taken out looks like lying people and weak candidates
UPSIDE_DOWN, TILTED = math.radians(100), math.radians(25)
_CLEAR_PRESENCE = 0.35  # of the body below a face that is clearly one: there is somebody, whatever hides the rest
_UNCLEAR_SCORE, _UNCLEAR_PRESENCE = 0.5, 0.75  # of a face that is not, and of the body below it
_HOPELESS = 0.1
_BELOW_FACE = ((1.0, 1.0), (1.0, 0.0), (0.75, 1.0), (1.3, 1.0))  # scale and turn of the regions tried below a face


_LEGS_SCORE = 0.5  # of legs without a trunk
_LOOKS = ((1.0, False), (1.0, True), (1.15, False), (0.87, True))  # size of the region, mirrored
_MIN_PRESENCE_OF_LOOKS = (0.75, 0.6)  # of weak candidates, and of rather sure ones
_SEEN_FACE, _SEEN_SHOULDERS = 0.75, 0.35
_RATHER_SURE, _STEADY = 0.6, 0.025
_FEW_HINTS = 2
_MOST_HINTS = 12
_SMALL = 0.35  # of the picture's longer side: somebody smaller may well be one of several
_COMPANY, _ALIKE_LOG = 4, 0.6  # people, sure ones twice, who make one more of about their size likely


class PeopleSearch:
    """Finds the bodies of everybody in a picture.

    Args:
        settings: how hard to look.
        landmarks: says whether there is a body in a region.
        threads: threads of every interpreter.
    """

    def __init__(self, settings: SearchSettings, landmarks: LandmarkModel, threads: int | None = None) -> None:
        self.settings = settings
        self._landmarks = landmarks
        self._proposals = Proposals(settings, threads)

    def __call__(self, rgb: np.ndarray) -> list[Body]:
        """Bodies of everybody.

        Args:
            rgb: (h, w, 3) uint8.
        """
        rgb = brightened(rgb)
        pyramid = Pyramid(rgb)
        bodies = self._without_things(pyramid, self._everybody(rgb, pyramid))
        if bodies:
            return [self._right_sided(pyramid, body) for body in bodies]
        legs = legs_alone(self._landmarks, pyramid)
        return [] if legs is None else [Body(legs, _LEGS_SCORE)]

    def _everybody(self, rgb: np.ndarray, pyramid: Pyramid) -> list[Body]:
        """Bodies of the two detectors, then those of the network for groups."""
        everybody, candidates, clear = self._detected(rgb, pyramid)
        if not clear:
            return self._in_doubt(rgb, pyramid, everybody)
        if self.settings.beside:
            sizes, alone = [body.size for body in everybody], not self._may_be_more(pyramid, everybody, candidates)
            rows = self._proposals.in_group(pyramid, None if alone else sizes)
            if alone and unknown(rows, everybody):
                rows = self._proposals.in_group(pyramid, sizes, rows)
                alone = not is_group(rows, everybody)
            known = everybody if alone else self._without_things(pyramid, corroborated(everybody, rows))
            everybody = with_neighbours(self._landmarks, rgb, known, rows, self._finished, plainly=alone)
        return self._alone(rgb, everybody)

    def _in_doubt(self, rgb: np.ndarray, pyramid: Pyramid, doubtful: list[Body]) -> list[Body]:
        """Bodies where nobody is clear to the two detectors: those of the network for groups, or the doubtful ones."""
        if not self.settings.beside:
            return doubtful
        rows = self._proposals.in_group(pyramid, [body.size for body in doubtful])
        found = with_neighbours(self._landmarks, rgb, [], rows, self._finished)
        if not found:
            return doubtful
        return self._alone(rgb, suppress_bodies(found + [body for body in doubtful if not repeats(body, found)]))

    def _detected(self, rgb: np.ndarray, pyramid: Pyramid) -> tuple[list[Body], np.ndarray, bool]:
        """Bodies that are clear at once, behind and beside them, and doubtful; all candidates; is anybody clear?"""
        candidates, smaller = self._proposals.candidates(pyramid)
        bodies = self._bodies(pyramid, candidates[candidates[:, 0] >= MIN_SCORE])
        faces = self._proposals.faces(pyramid, candidates, bool(bodies))
        bodies = [with_face(body, faces) for body in bodies]
        bodies += self._below_faces(pyramid, faces, bodies)
        sure = suppress_bodies([body for body in bodies if _is_sure(body)])
        if not sure:
            return suppress_bodies(bodies), candidates, False
        sure = self._unmixed(pyramid, sure)
        crowd = self.settings.beside and len(sure) >= TOGETHER
        if crowd:
            every = self._proposals.beside(pyramid, candidates)
            new = every[(every[:, 0] >= MIN_SCORE) & ~(every[:, None] == candidates[None]).all(2).any(1)]
            beside = [with_face(body, faces) for body in self._bodies(pyramid, new)]
            candidates, bodies = every, bodies + beside
            sure = suppress_bodies(sure + [body for body in beside if _is_sure(body)])
        hints = np.array([row for row in candidates if not explained(row[5:7], sure)]).reshape(-1, candidates.shape[1])
        doubtful = bodies
        if crowd:  # mere hints beside several people are mostly one more of them
            doubtful = bodies + self._bodies(pyramid, hints[hints[:, 0] < MIN_SCORE][:_MOST_HINTS], sure)
        if (hints[:, 0] >= MIN_SCORE).any():
            smaller = len(self.settings.on_cue)
        for _ in range(self.settings.peels if len(sure) > 1 or len(hints) else 0):
            peeled = Pyramid(without_bodies(rgb, sure))
            if len(sure) == 1 and len(hints) <= _FEW_HINTS and hints[0, 0] < MIN_SCORE:  # nobody else is clear
                again = self._proposals.around(peeled, hints)
            else:
                again, _ = self._proposals.candidates(peeled, True, smaller)
            inside = np.all((again[:, 5:7] >= 0) & (again[:, 5:7] <= [pyramid.width, pyramid.height]), axis=1)
            upright = np.abs(body_angle(again)) < PEELED_MAX_ANGLE
            again = again[inside & upright & (again[:, 0] >= MIN_PEELED_SCORE)]
            free = [face for face in faces if not any(body.face is face for body in sure)]
            new = [with_face(body, free) for body in self._bodies(peeled, again, sure) if stands_apart(body, sure)]
            doubtful = doubtful + new
            more = suppress_bodies(sure + [body for body in new if _is_sure(body)])
            if len(more) == len(sure):
                break
            sure = more
        sure = self._behind(rgb, faces, sure)
        return sure + self._confirmed(rgb, sure, doubtful), candidates, True

    def _may_be_more(self, pyramid: Pyramid, sure: list[Body], candidates: np.ndarray) -> bool:
        """False where one person is clear and nothing hints at another."""
        if len(sure) > 1 or sure[0].size < _SMALL * max(pyramid.width, pyramid.height):
            return True
        return any(not explained(row[5:7], sure) for row in candidates[candidates[:, 0] >= MIN_SCORE])

    def in_box(self, rgb: np.ndarray, box: np.ndarray) -> Body:
        """The body in a known box (4,) x0, y0, x1, y1, whatever the model thinks of it.

        The region comes from the person detector's best candidate of that size in the box, or from the box itself.
        """
        pyramid = Pyramid(brightened(rgb))
        regions = [Region.from_box(box)]
        for candidate in self._proposals.in_region(pyramid, regions[0]):
            region = Region.from_points(candidate[5:7], candidate[7:9])
            inside = np.all(candidate[5:7] >= box[:2]) and np.all(candidate[5:7] <= box[2:])
            if inside and 0.7 < region.side / regions[0].side < 1.6:
                regions.append(region)
                break
        seen = [self._landmarks(pyramid, region) for region in regions]
        best = max(seen, key=lambda marks: marks.presence)
        body = Body(self._landmarks.refined(pyramid, best, max(2, self.settings.passes)), 1.0)
        return self._right_sided(pyramid, self._unmixed(pyramid, [body])[0])

    def _unmixed(self, pyramid: Pyramid, bodies: list[Body]) -> list[Body]:
        """Bodies after a second look at those that may be a mixture of two people."""
        if self.settings.passes < 2:
            return bodies
        return [unmixed(self._landmarks, pyramid, body) for body in bodies]

    def _right_sided(self, pyramid: Pyramid, body: Body) -> Body:
        """A body after a second look at which side is left."""
        return body if self.settings.passes < 2 else right_sided(self._landmarks, pyramid, body)

    def _without_things(self, pyramid: Pyramid, bodies: list[Body]) -> list[Body]:
        """Bodies without weak candidates that do not stand up to more looks."""
        sure = [body for body in bodies if body.candidate_score >= self.settings.doubt or body.has_clear_face]
        kept = []
        for body in bodies:
            alike = [
                other for other in bodies if other is not body and abs(np.log(body.size / other.size)) < _ALIKE_LOG
            ]
            surely = sum(_among(other, sure) for other in alike)
            among = self.settings.beside and surely >= 1 and len(alike) + surely >= _COMPANY
            doubted = not among and body.candidate_score < MIN_SCORE
            if _among(body, sure) or (not doubted and self._is_somebody(pyramid, body, among)):
                kept.append(body)
        return kept

    def _is_somebody(self, pyramid: Pyramid, body: Body, among: bool) -> bool:
        """False where a weak candidate is seen from one side only: things do not look like people in a mirror as well.

        Of 19 false bodies in 58 pictures of things and backgrounds one stays; of about 140 people in photographs that
        were cut and darkened four go. ``among`` several sure people of its size there is mostly one more of them.
        """
        region = body.landmarks.region
        looks = [
            Body(self._landmarks(pyramid, replace(region, side=region.side * scale), mirrored), 1.0)
            for scale, mirrored in _LOOKS[: 2 if among else None]
        ]
        presence = np.mean([look.landmarks.presence for look in looks])
        seen = np.mean([look.landmarks.confidence for look in looks], axis=0)
        enough = _MIN_PRESENCE_OF_LOOKS[among or body.candidate_score >= _RATHER_SURE]
        if presence < enough or seen[11:13].mean() < _SEEN_SHOULDERS:
            return False
        if among:
            return True
        rather_sure = body.candidate_score >= _RATHER_SURE
        return bool(seen[:11].mean() >= _SEEN_FACE) and (rather_sure or spread(looks) < _STEADY * body.size)

    def _below_faces(self, pyramid: Pyramid, faces: list[Face], bodies: list[Body]) -> list[Body]:
        """Bodies below faces that no sure body has yet."""
        sure = [body for body in suppress_bodies(bodies) if body.landmarks.presence >= SURE_PRESENCE]
        below = []
        for face in faces:
            if any(body.face is face for body in sure) or (not face.clear and lies_on_bones(face, sure)):
                continue
            below.append(self._below(pyramid, face))
        return [body for body in below if body is not None]

    def _behind(self, rgb: np.ndarray, faces: list[Face], sure: list[Body]) -> list[Body]:
        """The sure bodies, and those of faces nobody has yet, with the others taken out of the picture."""
        for face in faces:
            if any(body.face is face for body in sure) or not is_near(face, sure):
                continue
            if not face.clear and (face.score < _UNCLEAR_SCORE or lies_on_bones(face, sure)):
                continue
            body = self._below(Pyramid(without_bodies(rgb, sure, keep=face)), face)
            if body is not None and (face.clear or not repeats(body, sure)):
                sure = [*sure, body]
        return sure

    def _below(self, pyramid: Pyramid, face: Face) -> Body | None:
        """The body whose head a face is, or None where there is no such body."""
        if not face.clear:
            return self._below_unclear(pyramid, face)
        best: Body | None = None
        for scale, turn in _BELOW_FACE:
            body = Body(self._landmarks(pyramid, face.region(scale, turn)), max(face.score, MIN_SCORE), face)
            if has_face(body, face) and (best is None or body.landmarks.presence > best.landmarks.presence):
                best = body
            if turn == 0.0 and best is None and body.landmarks.presence < _HOPELESS:
                return None  # neither along the head nor upright is there anything
            if best is not None and best.landmarks.presence >= SURE_PRESENCE:
                break
        return None if best is None else self._refined_below(pyramid, best, face, _CLEAR_PRESENCE)

    def _below_unclear(self, pyramid: Pyramid, face: Face) -> Body | None:
        """The same for a profile or a thing: the body must be there in the mirror as well, with head and shoulders."""
        if face.score < _UNCLEAR_SCORE:
            return None
        seen = []
        for mirrored in (False, True):
            body = Body(self._landmarks(pyramid, face.region(), mirrored), face.score, face)
            marks = body.landmarks
            if marks.presence < _UNCLEAR_PRESENCE or not has_face(body, face) or not shows_head_and_shoulders(body):
                return None
            seen.append(body)
        return self._refined_below(pyramid, seen[0], face, _UNCLEAR_PRESENCE)

    def _refined_below(self, pyramid: Pyramid, first: Body, face: Face, enough: float) -> Body | None:
        """A body after all passes, or as it is where they lose its face."""
        body = replace(first, landmarks=self._landmarks.refined(pyramid, first.landmarks, self.settings.passes))
        if body.landmarks.presence < enough or not has_face(body, face):
            body = first
        return body if body.landmarks.presence >= enough and is_plausible(body) else None

    def _alone(self, rgb: np.ndarray, bodies: list[Body]) -> list[Body]:
        """Everybody who touches others once more with the others taken out: limbs go to whom they belong."""
        current, waiting = list(bodies), list(range(len(bodies)))
        for _ in range(2 if self.settings.peels else 0):  # who is refused may pass once a neighbour has been put right
            refused = []
            for index in waiting:
                body, rest = current[index], current[:index] + current[index + 1 :]
                others = touching(body.landmarks.points, rest)
                if not others:
                    continue
                picture = Pyramid(without_bodies(rgb, others, keep=body))
                again = self._body(picture, body.landmarks.region, body.candidate_score)
                if again and body.face is not None:
                    again = replace(again, face=body.face) if has_face(again, body.face) else None
                if again and is_plausible(again) and agreement(again, body) > 0.4 and not repeats(again, rest):
                    current[index] = again
                else:
                    refused.append(index)
            if len(refused) == len(waiting):
                break
            waiting = refused
        return current

    def _confirmed(self, rgb: np.ndarray, sure: list[Body], doubtful: list[Body]) -> list[Body]:
        """Doubtful bodies that are still there when all sure ones are taken out: no mixtures of two people."""
        rest = [body for body in doubtful if not _among(body, sure) and not repeats(body, sure)]
        if not rest:
            return []
        peeled = Pyramid(without_bodies(rgb, sure))
        confirmed = []
        for body in rest:
            again = self._body(peeled, body.landmarks.region, body.candidate_score)
            if again and is_plausible(again):
                confirmed.append(again)
        kept = suppress_bodies(sure + [body for body in confirmed if stands_apart(body, sure)])
        return [body for body in kept if _among(body, confirmed)]

    def _bodies(self, pyramid: Pyramid, candidates: np.ndarray, others: list[Body] | None = None) -> list[Body]:
        """Bodies of candidates, best first; those that are what is left of ``others`` get one look only."""
        bodies: list[Body] = []
        crowd = self.settings.beside and several(candidates, pyramid)
        for candidate in candidates[body_length(candidates) >= MIN_LENGTH]:
            score = float(candidate[0])
            region = Region.from_points(candidate[5:7], candidate[7:9])
            if any(same_region(body, region) for body in bodies):
                continue
            first = Body(self._landmarks(pyramid, region), score)
            if any(is_clearly(body, first) for body in bodies):
                continue  # no further pass for somebody who was found already
            if others and not stands_apart(first, others):
                continue
            bodies += self._seen(pyramid, first, TILTED if crowd else UPSIDE_DOWN)
        return bodies

    def _seen(self, pyramid: Pyramid, first: Body, turned: float) -> list[Body]:
        """The body that a first look shows after all passes, one or none; doubtful ones from an upright region too."""
        region = first.landmarks.region
        passes = [self._finished(pyramid, first)]
        if passes[0] is not None and not is_plausible(passes[0]):
            passes = list(self._unmixed(pyramid, [passes[0]]))
        doubtful = passes[0] is None or passes[0].landmarks.presence < SURE_PRESENCE
        if doubtful and abs(region.angle) > turned:  # the detector turns people whose face it cannot see
            passes.append(self._body(pyramid, region.upright(), first.candidate_score))
        seen = [body for body in passes if body is not None and is_plausible(body)]
        return sorted(seen, key=lambda body: -body.rank)[:1]

    def _body(self, pyramid: Pyramid, region: Region, score: float) -> Body | None:
        """The body in a region after all passes, or None where the model sees nobody."""
        return self._finished(pyramid, Body(self._landmarks(pyramid, region), score))

    def _finished(self, pyramid: Pyramid, first: Body) -> Body | None:
        marks = self._landmarks.refined(pyramid, first.landmarks, self.settings.passes)
        return Body(marks, first.candidate_score) if marks.presence >= MIN_PRESENCE else None


def _is_sure(body: Body) -> bool:
    """Whether a body is taken without another look."""
    return body.landmarks.presence >= SURE_PRESENCE or body.has_clear_face


def _among(body: Body, bodies: list[Body]) -> bool:
    return any(body is other for other in bodies)
