"""People as other programs write them: their keypoint layouts, scores, categories, and a person written twice.

Layouts are told by their number of points: COCO 17 and with feet 23, OpenPose COCO 18 and BODY_25, Halpe 26 and 136
(AlphaPose, RTMPose), COCO-WholeBody 133; each as x, y, confidence, as x, y alone, or as pairs with a list of scores
beside them (MMPose).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

_COCO17 = tuple(range(17))
# COCO-18 of OpenPose: nose, neck, right arm, left arm, right leg, left leg, eyes, ears -> COCO-17 (no neck).
_COCO17_OF_OPENPOSE18 = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)
# BODY_25 of COCO's 17, then head, neck and hip (Halpe only), then toes and heels; -1: not there.
_OPENPOSE25_OF_HALPE = (0, 18, 6, 8, 10, 5, 7, 9, 19, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3, 20, 22, 24, 21, 23, 25)
_OPENPOSE25_OF_WHOLEBODY = (0, -1, 6, 8, 10, 5, 7, 9, -1, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3, 17, 18, 19, 20, 21, 22)
_Layouts = dict[int, tuple[str, tuple[int, ...]]]
OPENPOSE: _Layouts = {18: ("coco17", _COCO17_OF_OPENPOSE18), 25: ("openpose25", tuple(range(25)))}
"""Number of points of OpenPose's layouts to the keypoint set and the places of its points."""
COCO: _Layouts = {
    17: ("coco17", _COCO17),
    23: ("openpose25", _OPENPOSE25_OF_WHOLEBODY),
    26: ("openpose25", _OPENPOSE25_OF_HALPE),
    133: ("openpose25", _OPENPOSE25_OF_WHOLEBODY),
    136: ("openpose25", _OPENPOSE25_OF_HALPE),
}
"""The same of the layouts that begin with COCO's 17."""
_KNOWN = {
    18: "OpenPose's BODY_25 (25) or COCO (18) layout",
    17: "COCO's 17 (23 with feet), Halpe's 26 or 136, or COCO-WholeBody's 133",
}
_FARTHEST = 1e6
"""Pixels from the picture's corner; points farther away are as good as not finite."""
_SAME_POINT = 0.04
"""Of a person's size: the median distance between two readings of one person; two people are never so near."""
_SAME_BOX = 0.9


@dataclass(frozen=True)
class PersonRow:
    """One person of a file of detections.

    Attributes:
        points: (K, 3) u, v and confidence (0: not seen) of ``keypoint_set``; None where there is a box alone.
        keypoint_set: ``coco17`` or ``openpose25``; "" without points.
        score: 0 to 1, or None where the file gives none.
        box: (4,) x0, y0, x1, y1, or None.
    """

    points: np.ndarray | None
    keypoint_set: str = ""
    score: float | None = None
    box: np.ndarray | None = None

    @property
    def seen(self) -> int:
        """How many points were seen."""
        return 0 if self.points is None else int(np.count_nonzero(self.points[:, 2]))


def read_points(values: Any, layouts: _Layouts, scores: Any = None) -> tuple[np.ndarray, str]:
    """Keypoints of a person.

    Args:
        values: a flat list, or a list of pairs or triples.
        layouts: :data:`OPENPOSE` or :data:`COCO`: 17 points in an OpenPose file are 18 of which one is lost.
        scores: of each pair, where they stand apart.

    Returns:
        (K, 3) u, v, confidence, where a confidence of 0 means not seen, and the keypoint set. An empty list gives K = 0
        and "".

    Raises:
        ValueError: if they are none of the known layouts; the message begins with a noun.
    """
    try:
        numbers = np.array(values if isinstance(values, list) else [None], np.float64)
        if numbers.size == 0:
            return np.zeros((0, 3)), ""
        if scores is not None:
            confidence = np.array(scores, np.float64).reshape(-1, 1)
            numbers = np.concatenate([numbers.reshape(len(confidence), -1)[:, :2], confidence], axis=1)
        elif numbers.ndim == 1:
            fits = (width for width in (3, 2) if numbers.size % width == 0 and numbers.size // width in layouts)
            numbers = numbers.reshape(-1, next(fits, 3))
        if numbers.ndim != 2 or numbers.shape[1] not in (2, 3):
            raise ValueError
    except OverflowError as error:
        raise ValueError("keypoints are not finite numbers of pixels") from error
    except (TypeError, ValueError) as error:
        raise ValueError("keypoints are not a flat list of x, y, confidence or of x, y") from error
    if len(numbers) not in layouts:
        raise ValueError(f"a person has {len(numbers)} keypoints; expected {_KNOWN[min(layouts)]}")
    if numbers.shape[1] == 2:  # no confidence: what lies in the corner was not found
        numbers = np.concatenate([numbers, np.any(numbers > 0, axis=1, keepdims=True)], axis=1)
    usable = np.isfinite(numbers).all(axis=1) & (np.abs(numbers[:, :2]) <= _FARTHEST).all(axis=1)
    told = np.nan_to_num(numbers[:, 2], nan=1.0) > 0
    if not usable.any() or (told.any() and not (usable & told).any()):
        raise ValueError("keypoints are not finite numbers of pixels, or lie more than a million pixels away")
    numbers[~usable] = 0.0
    numbers[:, 2] = np.clip(numbers[:, 2], 0.0, None)
    keypoint_set, order = layouts[len(numbers)]
    missing = np.zeros((1, 3))
    return np.concatenate([numbers, missing])[list(order)], keypoint_set


def read_box(values: Any) -> np.ndarray:
    """A box (4,) x0, y0, x1, y1 from x, y, width, height.

    Raises:
        ValueError: if it is none; the message begins with a noun.
    """
    try:
        box = np.array(values, np.float64).reshape(4)
    except OverflowError as error:
        raise ValueError("a box has numbers that are out of range") from error
    except (TypeError, ValueError) as error:
        raise ValueError("a box is not four numbers") from error
    box[2:] += box[:2]
    if not np.all(np.isfinite(box)) or np.any(box[2:] <= box[:2]) or np.abs(box).max() > _FARTHEST:
        raise ValueError("a box has no positive width and height")
    return box


def read_score(row: dict[str, Any], key: str = "score") -> float | None:
    """A row's score, 0 to 1; None where there is none, or one on a scale of its own (AlphaPose's reach 3)."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)


def coco_row(row: dict[str, Any], flags: bool) -> PersonRow:
    """A person of a COCO file: keypoints where there are any, else the box.

    Args:
        row: an annotation or a result.
        flags: the third number of a point is COCO's flag (0 not labelled, 1 hidden, 2 visible), no confidence.

    Raises:
        ValueError: if it holds neither.
    """
    points, keypoint_set = read_points(row.get("keypoints", []), COCO)
    seen = bool(np.any(points[:, 2:]))
    try:
        box = read_box(row["bbox"]) if row.get("bbox") is not None else None
    except ValueError:
        if not seen:
            raise
        box = None
    if not seen:
        return PersonRow(None, "", read_score(row), box)
    if flags and np.all(np.isin(points[:, 2], (0, 1, 2))):
        points[:, 2] /= 2.0
    return PersonRow(points, keypoint_set, read_score(row), box)


def openpose_row(person: Any) -> PersonRow:
    """A person of an OpenPose file, also of its first versions; without points where only hands or a face were seen.

    Raises:
        ValueError: if it is none.
    """
    if not isinstance(person, dict):
        raise ValueError("keypoints are not a flat list: a person is no object")
    keys = [key for key in ("pose_keypoints_2d", "pose_keypoints", "joints") if key in person]
    points, keypoint_set = read_points(person[keys[0]] if keys else [], OPENPOSE)
    return PersonRow(points if np.any(points[:, 2:]) else None, keypoint_set)


def mmpose_row(person: Any) -> PersonRow:
    """A person of MMPose's predictions: pairs, and scores beside them.

    Raises:
        ValueError: if it is none.
    """
    if not isinstance(person, dict):
        raise ValueError("a person is no object")
    if "instances" in person:
        raise ValueError("it is of a video's frames: give a file per frame, NAME_000000000000.json")
    points, keypoint_set = read_points(person.get("keypoints"), COCO, person.get("keypoint_scores"))
    score = read_score(person, "bbox_score")
    return PersonRow(points if np.any(points[:, 2:]) else None, keypoint_set, score)


def people_rows(
    rows: list[dict[str, Any]], categories: Any = None, used: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """Rows of single people: no crowd regions, nothing that the file calls something else.

    Args:
        rows: of one picture.
        categories: of the file, as COCO has them; without them 1 is a person, as in COCO, or 0, where that occurs, or
            whatever number is the only one.
        used: the rows in which numbers occur: those of the whole file; by default those of the picture.
    """
    rows = [row for row in rows if not row.get("iscrowd")]
    people: set[Any] | None = None
    if isinstance(categories, list):
        named = [one for one in categories if isinstance(one, dict) and isinstance(one.get("id"), int | str)]
        people = {one["id"] for one in named if str(one.get("name", "")).casefold() in ("person", "people", "human")}
        people = people or {one["id"] for one in named if "keypoints" in one} or None
    else:
        given = [row.get("category_id") for row in (rows if used is None else used)]
        numbers = {number for number in given if isinstance(number, int)}
        if len(numbers) > 1:
            people = {0} if 0 in numbers else {1}
    if people is None:
        return rows
    return [row for row in rows if not isinstance(row.get("category_id"), int | str) or row["category_id"] in people]


def merge_same_people(people: Iterable[PersonRow]) -> list[PersonRow]:
    """Everybody once: of two readings of one person the surer one, with the points that only the other has.

    A box alone goes where a person with keypoints has the same one.
    """
    kept: list[PersonRow] = []
    for person in sorted(people, key=lambda row: (-row.seen, -(1.0 if row.score is None else row.score))):
        same = next((i for i, other in enumerate(kept) if _same_person(person, other)), None)
        if same is None:
            kept.append(person)
            continue
        known = kept[same]
        scores = [row.score for row in (known, person) if row.score is not None]
        points = known.points
        if points is not None and person.points is not None:
            points = np.where(points[:, 2:] > 0, points, person.points)
        kept[same] = replace(known, points=points, score=max(scores, default=None))
    return kept


def _same_person(person: PersonRow, other: PersonRow) -> bool:
    if person.points is None or other.points is None:
        return person.box is not None and other.box is not None and _overlap(person.box, other.box) > _SAME_BOX
    if person.keypoint_set != other.keypoint_set:
        return False
    mine, theirs = person.points[:, 2] > 0, other.points[:, 2] > 0
    both = mine & theirs
    if both.sum() < max(4, 0.5 * min(mine.sum(), theirs.sum())):
        return False
    extent = np.ptp(other.points[theirs, :2], axis=0).max()
    distance = np.hypot(*(person.points[both, :2] - other.points[both, :2]).T)
    return bool(np.median(distance) <= _SAME_POINT * max(extent, 1e-9))


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    inside = float(np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)))
    whole = math.prod((a[2:] - a[:2]).tolist()) + math.prod((b[2:] - b[:2]).tolist()) - inside
    return inside / whole if whole > 0 else 0.0
