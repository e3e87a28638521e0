"""Which of the people found are fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from dsr.options import split_person
from dsr.people.types import Detection

T = TypeVar("T")


def select_people(detections: list[Detection], person: str = "all", min_score: float = 0.0) -> list[Detection]:
    """The people a user asked for, in the order given (left to right).

    Args:
        detections: people of one picture, left to right.
        person: ``all``, ``largest`` (by the area of the box), ``largest:N`` for up to N people, or a number counted
            from the left, starting at 0, among those with enough score.
        min_score: people below are left out, 0 to 1.

    Returns:
        The people with their ``number``; empty where there is nobody, or fewer people than the number asks for.

    Raises:
        UsageError: if ``person`` is none of these words and not a number of at least 0.
    """
    number, count = split_person(person)
    sure = [d for d in detections if d.score >= min_score]
    sure = [replace(d, number=i) for i, d in enumerate(sure)]
    if number is not None:
        return sure[number : number + 1]
    return sure if count is None else largest(sure, count, box_area)


def box_area(detection: Detection) -> float:
    """Area of a person's box, square pixels."""
    return float(np.prod(detection.box_px[2:] - detection.box_px[:2]))


def largest(people: list[T], count: int, area: Callable[[T], float]) -> list[T]:
    """The ``count`` largest by ``area``, in the order given; of equals the first."""
    kept = sorted(range(len(people)), key=lambda i: -area(people[i]))[:count]
    return [people[i] for i in sorted(kept)]
