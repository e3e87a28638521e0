"""What speaks for a look at somebody in a group: python benchmarks/group_evidence.py FOLDER...

The folders are drawn by `dsr-eval people FOLDER --draw 42 --seed N`. Everybody whom the network for groups proposes and
the two detectors do not know is looked at; a look is right if its landmarks are those of somebody who is not known
(mean distance below 20 percent of the box, as `dsr-eval people` counts). Prints the weights of a logistic regression
for `dsr.people.group_bodies.EVIDENCE`, and how many looks it takes at which likelihood, right and wrong, on pictures
that it was not made from.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from dsr.evaluation.coco_people import AnnotatedPicture, load_annotations
from dsr.evaluation.matching import assign
from dsr.evaluation.people_found import FOUND_DISTANCE, distance
from dsr.image import read_photo
from dsr.people import PeopleDetector, neighbours, search
from dsr.people.detector import to_detection
from dsr.people.group_bodies import EVIDENCE, evidence
from dsr.people.regions import Pyramid
from dsr.people.suppression import Body, without_bodies

_FOLDS, _RIDGE = 6, 3.0


class Looks:
    """Takes the place of the search beside those who are known, and keeps what every look shows."""

    def __init__(self) -> None:
        self.features: list[np.ndarray] = []
        self.right: list[bool] = []
        self.picture: list[int] = []
        self.candidate: list[int] = []
        self.person: list[int] = []
        self.now: Any = None
        self.count = 0

    def __call__(
        self, model: Any, rgb: np.ndarray, bodies: list[Body], rows: np.ndarray, finish: Any, plainly: bool = False
    ) -> list[Body]:
        """Look at everybody who is proposed and not known; the bodies as they are."""
        number, truth, photo = self.now

        def costs(some: list[Body]) -> np.ndarray:
            seen = [to_detection(body, photo) for body in some]
            table = [[distance(who, d.keypoint_set, d.keypoints_px) for d in seen] for who in truth.people]
            return np.array(table, np.float64).reshape(len(truth.people), len(some))

        known = set(assign(costs(bodies), FOUND_DISTANCE))
        for proposed in neighbours.unknown(rows, bodies):
            near = neighbours.beside(proposed, bodies)
            pictures = [rgb, *([without_bodies(rgb, near, keep=proposed)] if near else [])]
            for picture in map(Pyramid, pictures):
                pair = neighbours.looks(model, picture, proposed)
                for look, other in (pair, pair[::-1]):
                    apart = costs([look])[:, 0]
                    best = int(apart.argmin()) if len(apart) else -1
                    right = best >= 0 and apart[best] < FOUND_DISTANCE and best not in known
                    self.features.append(evidence(proposed, look, other, bodies))
                    self.right.append(bool(right))
                    self.picture.append(number)
                    self.candidate.append(self.count)
                    self.person.append(best)
            self.count += 1
        return bodies


def fitted(features: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Weights of a logistic regression with a little ridge, by Newton's method."""
    spread = np.append(features[:, :-1].std(0), 1.0) + 1e-9
    scaled, weights = features / spread, np.zeros(features.shape[1])
    ridge = np.diag(np.append(np.full(len(weights) - 1, _RIDGE), 1e-6))
    for _ in range(30):
        p = 1 / (1 + np.exp(-scaled @ weights))
        curve = scaled.T @ (scaled * (p * (1 - p) + 1e-6)[:, None]) + ridge
        weights = weights - np.linalg.solve(curve, scaled.T @ (p - right) + ridge @ weights)
    return weights / spread


def main() -> None:
    """Run the command line."""
    looks = Looks()
    search.with_neighbours = looks
    detector = PeopleDetector()
    pictures: list[AnnotatedPicture] = [p for folder in sys.argv[1:] for p in load_annotations(Path(folder))]
    for number, picture in enumerate(pictures):
        photo = read_photo(picture.path)
        looks.now = number, picture, photo
        detector.detect(photo)
    report(looks)


def report(looks: Looks) -> None:
    """Print weights and what they take."""
    features, right, picture = np.stack(looks.features), np.array(looks.right), np.array(looks.picture)
    chance = np.zeros(len(right))
    for fold in range(_FOLDS):
        apart = picture % _FOLDS == fold
        chance[apart] = 1 / (1 + np.exp(-features[apart] @ fitted(features[~apart], right[~apart])))
    best: dict[int, int] = {}
    for k in np.argsort(-chance, kind="stable").tolist():
        best.setdefault(looks.candidate[k], k)
    sys.stdout.write(f"{looks.count} candidates, {len(right)} looks, {100 * right.mean():.0f} % right\n")
    for least in (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95):
        taken = [k for k in best.values() if chance[k] >= least]
        people = {(looks.picture[k], looks.person[k]) for k in taken if right[k]}
        wrong = sum(not right[k] for k in taken)
        sys.stdout.write(f"likelihood {least}: {len(taken)} taken, {len(people)} people, {wrong} wrong\n")
    for (name, _), weight in zip(EVIDENCE, fitted(features, right).tolist(), strict=True):
        sys.stdout.write(f'    ("{name}", {weight:.2f}),\n')


if __name__ == "__main__":
    main()
