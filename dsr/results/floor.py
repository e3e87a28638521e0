"""The floor of a picture or clip, and which way is up there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dsr.results.files import json_number, json_numbers


@dataclass
class Floor:
    """A plane in the camera frame and who stands on it.

    Attributes:
        normal: (3,) unit vector, up: against gravity.
        offset_m: d of the plane normal . x = d, metres: minus the camera's height above the floor; None where nobody
            stands, so that only the direction is known.
        confidence: 0 to 1, how sure it is that this is a floor on which people stand.
        tilt_sigma_deg: standard deviation of the normal's direction along the line of sight, degrees.
        people: ids of those who stand on it.
    """

    normal: np.ndarray
    offset_m: float | None = None
    confidence: float = 0.0
    tilt_sigma_deg: float = 0.0
    people: list[str] = field(default_factory=list)


def floor_document(floor: Floor | None) -> dict[str, Any] | None:
    """What stands in a result's JSON file."""
    if floor is None:
        return None
    return {
        "normal": json_numbers(floor.normal),
        "offset_m": None if floor.offset_m is None else json_number(floor.offset_m),
        "confidence": json_number(floor.confidence),
        "tilt_sigma_deg": json_number(floor.tilt_sigma_deg),
        "people": list(floor.people),
    }


def floor_from_document(entry: dict[str, Any] | None) -> Floor | None:
    """The floor that :func:`floor_document` wrote; None of files without one."""
    if entry is None:
        return None
    return Floor(
        np.asarray(entry["normal"], np.float64),
        entry["offset_m"],
        entry["confidence"],
        entry["tilt_sigma_deg"],
        list(entry["people"]),
    )
