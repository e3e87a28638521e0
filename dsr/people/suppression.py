"""One body per person: which candidates and landmark results stay when several describe one person or a part of one.

The detector fires on people, on one person at two scales, on parts of people (a glove, a raised arm) and on things.
Candidates are merged only where they clearly agree; the landmark results then decide: presence, landmarks, masks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from dsr.people.candidates import body_length, box_iou
from dsr.people.faces import REGION_SIDE, Face
from dsr.people.landmarks import CROP_SIZE, RegionLandmarks, region_mask, sigmoid
from dsr.people.regions import Region

HIP_DISTANCE = 0.4
HEAD_IOU = 0.3
SURE_PRESENCE = 0.9  # bodies above are kept before all others and taken out of the picture to look behind them
MAX_COVERED = 0.75
MIN_CONSISTENCY = 0.4
_HEAD_DISTANCE = 0.4  # of a face's side, to the head of the body below it
_UNCLEAR_DISTANCE = 0.6  # the same for profiles, where points on the far side are guessed
_SEEN_HEAD, _ON_BONES, _NEAR = 0.85, 0.07, 0.2
TURNED = np.radians(60)
PEELED_MAX_ANGLE = np.radians(45)
_PEELED_SURE, _HALF = 0.7, 0.5
_COVERED_WITH_FACE = 0.85  # as MAX_COVERED, for a body with what may be a face of its own
_HEAD = list(range(11))
_TORSO, _EXCHANGED = [11, 12, 23, 24], [12, 11, 24, 23]
_BONES = [(11, 12), (23, 24), (11, 23), (12, 24), (11, 24), (12, 23), (0, 11), (0, 12), (11, 13), (12, 14)]
_BONES += [(13, 15), (14, 16), (15, 19), (16, 20), (23, 25), (24, 26), (25, 27), (26, 28), (27, 31), (28, 32)]
_LIMBS = [0, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]


def merge_candidates(candidates: np.ndarray) -> np.ndarray:
    """Greedy suppression of candidates (N, 13) from several tiles and scales, best first.

    Two candidates are one person where their hips are closer than 0.4 x the smaller |p1 - p0| and, so that people in
    front of each other survive, their head boxes overlap or one is less than half as sure as the other.
    """
    order = np.argsort(-candidates[:, 0], kind="stable")
    candidates = candidates[order]
    size = body_length(candidates) / 2
    kept: list[int] = []
    for i in np.flatnonzero(size > 0).tolist():
        best = candidates[kept]
        distance = np.hypot(best[:, 5] - candidates[i, 5], best[:, 6] - candidates[i, 6])
        near = distance < HIP_DISTANCE * np.minimum(size[kept], size[i])
        same_head = box_iou(candidates[i, 1:5], best[:, 1:5]) > HEAD_IOU
        weak = candidates[i, 0] < 0.75 * best[:, 0]
        if not np.any(near & (same_head | weak)):
            kept.append(i)
    return candidates[kept]


@dataclass(frozen=True, eq=False)
class Body:
    """A landmark result with the score of the candidate it came from.

    Attributes:
        landmarks: what the landmark model says.
        candidate_score: of the person detector or of the face, 0 to 1.
        face: the face that is this body's head, where one was looked for and is there.
    """

    landmarks: RegionLandmarks
    candidate_score: float
    face: Face | None = None

    @property
    def has_clear_face(self) -> bool:
        """Whether the body's head is a face for sure."""
        return self.face is not None and self.face.clear

    @property
    def score(self) -> float:
        """0 to 1: geometric mean of the candidate's score and the landmark model's presence."""
        return float(np.sqrt(self.candidate_score * self.landmarks.presence))

    @property
    def rank(self) -> float:
        """What decides between two bodies of one person: sure, many seen landmarks, on its silhouette, rather large."""
        marks = self.landmarks
        return marks.presence * float(marks.confidence.mean()) * self.consistency * self.size**0.25

    @cached_property
    def consistency(self) -> float:
        """0 to 1: how much the seen landmarks lie on the body's own silhouette; low for mixtures of two people."""
        seen = self.landmarks.confidence >= 0.5
        return float(mask_at(self, self.landmarks.points[seen]).mean()) if np.any(seen) else 0.0

    @property
    def size(self) -> float:
        """Rough standing height, pixels."""
        return self.landmarks.region.side / 1.25

    @property
    def bones(self) -> np.ndarray:
        """(N, 2, 2) ends of the bones, pixels."""
        return self.landmarks.points[np.array(_BONES)]


def is_plausible(body: Body) -> bool:
    """False for mixtures of two people, and for lying or upside-down bodies unless everything speaks for them.

    Real people who lie or stand on their hands score like others (0.75 and more in turned photographs); things
    taken for a person (a book shelf, legs, an arm) are mostly turned and score less.
    """
    if body.consistency < MIN_CONSISTENCY:
        return False
    turned = abs(body.landmarks.region.angle) > TURNED
    return not turned or (body.candidate_score >= 0.75 and body.landmarks.presence >= 0.95)


def has_face(body: Body, face: Face) -> bool:
    """True where a face is the head of a body."""
    ratio = body.landmarks.region.side / (REGION_SIDE * face.side)
    if not 0.5 < ratio < 2.0:
        return False
    distance = face.head_distance(body.landmarks)
    return distance < _HEAD_DISTANCE or (distance < _UNCLEAR_DISTANCE and not face.clear)


def lies_on_bones(face: Face, bodies: list[Body]) -> bool:
    """True where what looks like a face is a part of somebody: a chest, a number, a knee."""
    return any(bone_distance(face.middle[None], body)[0] < _ON_BONES for body in bodies)


def is_near(face: Face, bodies: list[Body]) -> bool:
    """True where the body below a face would touch others."""
    return any(bone_distance(face.bones.reshape(-1, 2), body).min() < _NEAR for body in bodies)


def shows_head_and_shoulders(body: Body) -> bool:
    """True where a body's head and shoulders are seen."""
    seen = body.landmarks.confidence
    return bool(seen[_HEAD].mean() >= _SEEN_HEAD and seen[11:13].mean() >= _SEEN_HEAD)


def with_face(body: Body, faces: list[Face]) -> Body:
    """A body with the face that is its head, where there is one."""
    heads = [face for face in faces if has_face(body, face)]
    return replace(body, face=min(heads, key=lambda face: face.head_distance(body.landmarks))) if heads else body


def suppress_bodies(bodies: list[Body]) -> list[Body]:
    """Bodies of different people, sure ones first: a body that repeats a better one or lies on others is left out."""
    kept: list[Body] = []
    for body in sorted(bodies, key=_order):
        if not repeats(body, kept):
            # A larger body may turn up after a part of it: the part goes.
            kept = [other for other in kept if not lies_on(other, [body])] + [body]
    return kept


def repeats(body: Body, kept: list[Body]) -> bool:
    """True where a body is one of those kept, or lies on them."""
    return any(same_person(body, other) for other in kept) or lies_on(body, kept)


def lies_on(body: Body, others: list[Body]) -> bool:
    """True where a body without a clear face of its own lies on others."""
    most = MAX_COVERED if body.face is None else _COVERED_WITH_FACE
    return not body.has_clear_face and covered_fraction(body, others) > most


def _order(body: Body) -> tuple[bool, float, float, float]:
    marks = body.landmarks
    return (marks.presence < SURE_PRESENCE, -body.rank, marks.region.u, marks.region.v)


def same_person(a: Body, b: Body) -> bool:
    """True where two bodies share a head, a torso, or most landmarks; another clear face is somebody else."""
    if a.has_clear_face and b.has_clear_face:
        return a.face is b.face
    scale = min(a.size, b.size)
    p, q = a.landmarks.points, b.landmarks.points
    head = np.hypot(*(p[_HEAD].mean(0) - q[_HEAD].mean(0))) / scale
    torso = min(np.hypot(*(p[_TORSO] - q[sides]).T).mean() for sides in (_TORSO, _EXCHANGED)) / scale
    return bool(agreement(a, b) > 0.45 or torso < 0.1 or head < 0.06)


def same_region(body: Body, region: Region) -> bool:
    """True where a region is the one a sure body was found in, so that the model would say the same again."""
    seen_region = body.landmarks.region
    apart = np.hypot(seen_region.u - region.u, seen_region.v - region.v) / seen_region.side
    turned = abs((seen_region.angle - region.angle + np.pi) % (2 * np.pi) - np.pi)
    sure = body.landmarks.presence >= SURE_PRESENCE
    return bool(sure and apart < 0.06 and abs(np.log(seen_region.side / region.side)) < 0.2 and turned < 0.3)


def is_clearly(body: Body, first: Body) -> bool:
    """True where the first pass on a candidate shows a body that is sure already, no smaller and no better."""
    better = body.landmarks.presence >= SURE_PRESENCE and body.rank >= first.rank and body.size >= 0.9 * first.size
    return better and agreement(body, first) > 0.7


def agreement(a: Body, b: Body) -> float:
    """How well the landmarks of two bodies lie on each other: 1 where they are the same, 0 where they are far apart."""
    distance = np.hypot(*(a.landmarks.points[_LIMBS] - b.landmarks.points[_LIMBS]).T)
    return float(np.exp(-0.5 * (distance / (0.08 * min(a.size, b.size))) ** 2).mean())


def spread(looks: list[Body]) -> float:
    """How far several looks at one body put its head and trunk from each other, pixels."""
    points = np.stack([look.landmarks.points[[0, *_TORSO]] for look in looks])
    return float(np.linalg.norm(points - points.mean(axis=0), axis=-1).mean())


def covered_fraction(body: Body, others: list[Body]) -> float:
    """How much of a body's seen landmarks lies along the limbs and trunks of others, 0 to 1.

    Parts of a person (a glove, a raised arm) reach 0.85 and more; silhouettes do not tell, they run over onto
    neighbours.
    """
    points = body.landmarks.points[body.landmarks.confidence >= 0.3]
    if not others:
        return 0.0
    if len(points) == 0:
        return 1.0
    return float(np.any([bone_distance(points, other) < 0.07 for other in others], axis=0).mean())


def bone_distance(points: np.ndarray, body: HasBones) -> np.ndarray:
    """Distance (N,) of picture points (N, 2) to the nearest bone of a body, in units of its size."""
    ends = body.bones
    bone = ends[:, 1] - ends[:, 0]
    along = ((points[:, None] - ends[:, 0]) * bone).sum(-1) / np.maximum((bone**2).sum(-1), 1e-9)
    nearest = ends[:, 0] + np.clip(along, 0, 1)[..., None] * bone
    return np.linalg.norm(points[:, None] - nearest, axis=-1).min(axis=1) / body.size


def mask_at(body: Body, points: np.ndarray) -> np.ndarray:
    """Silhouette probability (N,) of a body at picture points (N, 2); 0 outside its region."""
    marks = body.landmarks
    crop = np.floor(marks.region.to_crop(points, CROP_SIZE)).astype(int)
    valid = np.all((crop >= 0) & (crop < CROP_SIZE), axis=1)
    probability = np.zeros(len(crop))
    probability[valid] = sigmoid(marks.mask_logits[crop[valid, 1], crop[valid, 0]])
    return probability


def explained(hips: np.ndarray, bodies: list[Body]) -> bool:
    """True where a candidate's hips (2,) lie on a body that was found."""
    return any(mask_at(body, hips[None])[0] > 0.3 for body in bodies)


def stands_apart(body: Body, kept: list[Body]) -> bool:
    """True where a body found after taking others out of the picture is somebody else, not what was left of them."""
    marks = body.landmarks
    if abs(marks.region.angle) > PEELED_MAX_ANGLE:
        return False
    points = marks.points[_LIMBS]
    covered = np.max([mask_at(other, points) for other in kept], axis=0) > 0.3
    if covered.mean() < 0.5:
        return True
    # somebody behind others of whom little but head and a shoulder is seen, as no leftover has them
    sure = marks.presence >= SURE_PRESENCE and body.candidate_score >= _PEELED_SURE
    return bool(sure and not covered[0] and not covered[1:3].all() and covered_fraction(body, kept) < _HALF)


class HasBones(Protocol):
    """A skeleton in a picture."""

    @property
    def bones(self) -> np.ndarray:
        """(N, 2, 2) ends of the bones, pixels."""

    @property
    def size(self) -> float:
        """Rough standing height, pixels."""


def without_bodies(rgb: np.ndarray, bodies: list[Body], keep: HasBones | None = None) -> np.ndarray:
    """A copy of the picture (h, w, 3) uint8 with the silhouettes of bodies painted in its mean colour.

    Silhouettes run over onto neighbours: with ``keep``, what lies nearer to its bones than to theirs stays.
    """
    import cv2

    picture = rgb.copy()
    height, width = rgb.shape[:2]
    colour = rgb[::8, ::8].reshape(-1, 3).mean(axis=0).round()
    for body in bodies:
        mask = region_mask(body.landmarks.mask_logits, body.landmarks.region, width, height)
        if mask is None:
            continue
        solid = np.clip((mask.probability - 0.4) / 0.4, 0, 1)
        if keep is not None:
            solid = solid * _nearer(mask.box_px, solid.shape, body, keep)
        u0, v0, u1, v1 = mask.box_px.astype(int).tolist()
        window = picture[v0:v1, u0:u1]
        alpha = cv2.resize(solid.astype(np.float32), (u1 - u0, v1 - v0), interpolation=cv2.INTER_LINEAR)
        painted = np.full(window.shape, colour, np.uint8)
        picture[v0:v1, u0:u1] = cv2.blendLinear(window, painted, 1 - alpha, alpha)
    return picture


def _nearer(box: np.ndarray, shape: tuple[int, ...], body: Body, keep: HasBones) -> np.ndarray:
    """1 where a cell of a (h, w) grid over a box is nearer to the bones of ``body`` than to those of ``keep``."""
    step = 4
    rows, columns = np.arange(0, shape[0], step), np.arange(0, shape[1], step)
    u = box[0] + (columns + 0.5) * (box[2] - box[0]) / shape[1]
    v = box[1] + (rows + 0.5) * (box[3] - box[1]) / shape[0]
    grid = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
    nearer = (bone_distance(grid, body) < bone_distance(grid, keep)).reshape(len(rows), len(columns))
    return np.repeat(np.repeat(nearer, step, axis=0), step, axis=1)[: shape[0], : shape[1]]


def touching(points: np.ndarray, others: list[Body]) -> list[Body]:
    """Those of others whose landmarks' boxes overlap that of points (N, 2)."""
    low, high = points.min(axis=0), points.max(axis=0)
    return [
        other
        for other in others
        if np.all(other.landmarks.points.min(axis=0) < high) and np.all(other.landmarks.points.max(axis=0) > low)
    ]
