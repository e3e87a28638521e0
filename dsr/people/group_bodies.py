"""Somebody as the network for groups sees them, and how likely a look of the landmark model shows them and nobody else.

The landmark model looks at one person in a square; of whom others hide by half it is never sure, and it may show the
neighbour instead. The network for groups says where head and trunk are: with what is known of everybody around, that
tells a look at somebody new from one at a neighbour, at a mixture, or at nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dsr.people.candidates import CANDIDATE_COLUMNS, body_length
from dsr.people.groups import joint_distance, joints_of
from dsr.people.keypoint_sets import GROUP_JOINTS
from dsr.people.landmarks import sigmoid
from dsr.people.regions import Region
from dsr.people.suppression import Body, agreement, covered_fraction

_BONES = [(0, 3), (0, 4), (3, 4), (3, 9), (4, 10), (9, 10), (3, 10), (4, 9), (3, 5), (5, 7), (4, 6), (6, 8)]
_BONES += [(9, 11), (11, 13), (10, 12), (12, 14)]
_FAR, _FARTHER = 0.3, 0.5  # distances in sizes from which on more makes no difference
EVIDENCE = (
    ("score of the candidate", 2.03),
    ("presence of the look, logit", 0.03),
    ("presence of the other look, logit", 0.09),
    ("distance of head and trunk from the candidate's, sizes", -6.40),
    ("the same from the nearest body's", -0.54),
    ("agreement with the body it agrees with most", -3.97),
    ("agreement of both looks", -0.25),
    ("mean confidence", 3.30),
    ("share of the landmarks that lie on bodies", -2.70),
    ("always", 0.11),
)
"""Weights of what speaks for a look, a logistic regression on drawn pictures (benchmarks/group_evidence.py)."""


@dataclass(frozen=True, eq=False)
class Proposed:
    """A candidate of the network for groups.

    Attributes:
        row: (58,) of :mod:`dsr.people.groups`.
    """

    row: np.ndarray

    @property
    def score(self) -> float:
        """0 to 1."""
        return float(self.row[0])

    @cached_property
    def size(self) -> float:
        """Rough standing height, pixels."""
        return float(body_length(self.row[None])[0])

    @property
    def region(self) -> Region:
        """Where the landmark model is to look."""
        return Region.from_points(self.row[5:7], self.row[7:9])

    @cached_property
    def joints(self) -> np.ndarray:
        """(15, 2) pixels."""
        return joints_of(self.row[None])[0][0]

    @property
    def bones(self) -> np.ndarray:
        """(N, 2, 2) ends of the bones, pixels."""
        return self.joints[np.array(_BONES)]

    def distance(self, bodies: list[Body]) -> np.ndarray:
        """Mean distance (N,) of head and trunk to those of bodies, in the smaller size; sure joints count most."""
        if not bodies:
            return np.zeros(0)
        points = np.stack([body.landmarks.points[list(GROUP_JOINTS)] for body in bodies])
        size = np.minimum(self.size, [body.size for body in bodies])
        return np.asarray(joint_distance(self.joints, joints_of(self.row[None])[1][0], points) / size)

    def as_seen(self, body: Body) -> Proposed:
        """The candidate with a body's joints."""
        joints = body.landmarks.points[list(GROUP_JOINTS)].ravel()
        return Proposed(np.concatenate([self.row[:CANDIDATE_COLUMNS], joints, self.row[-len(GROUP_JOINTS) :]]))


def evidence(proposed: Proposed, look: Body, other: Body, bodies: list[Body]) -> np.ndarray:
    """(10,) what speaks for a look, as in :data:`EVIDENCE`.

    Args:
        proposed: the candidate.
        look: a look at its region.
        other: the mirrored one, or the plain one.
        bodies: who is known.
    """
    presence = [float(np.clip(each.landmarks.presence, 0.002, 0.998)) for each in (look, other)]
    logits = np.log(presence) - np.log(1 - np.array(presence))
    near = proposed.as_seen(look).distance(bodies)
    values = [
        proposed.score,
        *logits,
        min(float(proposed.distance([look])[0]), _FAR),
        min(float(near.min()), _FARTHER) if len(bodies) else _FARTHER,
        max((agreement(look, body) for body in bodies), default=0.0),
        agreement(look, other),
        float(look.landmarks.confidence.mean()),
        covered_fraction(look, bodies),
        1.0,
    ]
    return np.array(values)


def likelihood(proposed: Proposed, look: Body, other: Body, bodies: list[Body]) -> float:
    """0 to 1: how likely a look shows the candidate, and the candidate is somebody new."""
    return float(sigmoid(evidence(proposed, look, other, bodies) @ [weight for _, weight in EVIDENCE]))
