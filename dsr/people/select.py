"""Which of the people found are fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsr.errors import UsageError
from dsr.people.types import Detection


def select_people(detections: list[Detection], person: str = "all", min_score: float = 0.0) -> list[Detection]:
    """The people a user asked for, in the order given (left to right).

    Args:
        detections: people of one picture, left to right.
        person: ``all``, ``largest`` (by the area of the box), or a number counted from the left, starting at 0, among
            those with enough score.
        min_score: people below are left out, 0 to 1.

    Returns:
        The people with their ``number``; empty where there is nobody, or fewer people than the number asks for.

    Raises:
        UsageError: if ``person`` is none of these words and not a number of at least 0.
    """
    number = int(person) if person.isascii() and person.isdigit() else None
    if number is None and person not in ("all", "largest"):
        raise UsageError(f"person {person!r} is not known; use all, largest, or a number from the left (0, 1, ...)")
    sure = [d for d in detections if d.score >= min_score]
    sure = [replace(d, number=i) for i, d in enumerate(sure)]
    if number is not None:
        return sure[number : number + 1]
    if person == "largest":
        return sorted(sure, key=lambda d: -float(np.prod(d.box_px[2:] - d.box_px[:2])))[:1]
    return sure
