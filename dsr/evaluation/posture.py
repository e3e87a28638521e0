"""How somebody stands, from twelve limb joints: lean of trunk and legs, angles of knees and elbows.

Joints are (12, 3) in the order of :data:`LIMB12_NAMES`, any unit, OpenCV camera axes (x right, y down, z away from the
camera). Angles are in degrees; NaN where a joint is not known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIMB12_NAMES = tuple(
    f"{side}_{part}" for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
)
"""Limb joints of ``blazepose33`` that truth, fit and detector all have."""
LIMB12_HIPS = (LIMB12_NAMES.index("left_hip"), LIMB12_NAMES.index("right_hip"))
_SHOULDERS, _ELBOWS, _WRISTS, _HIPS, _KNEES, _ANKLES = (slice(i, i + 2) for i in range(0, 12, 2))


@dataclass(frozen=True, eq=False)
class Posture:
    """Directions and angles of one body.

    Attributes:
        trunk: (3,) unit vector from the middle of the hips to the middle of the shoulders.
        legs: (3,) unit vector from the middle of the ankles to the middle of the hips.
        knees_deg: (2,) angle between thigh and shin, left and right; 180 is straight.
        elbows_deg: (2,) angle between upper arm and forearm; 180 is straight.
    """

    trunk: np.ndarray
    legs: np.ndarray
    knees_deg: np.ndarray
    elbows_deg: np.ndarray


def posture(joints: np.ndarray) -> Posture:
    """The posture of (12, 3) limb joints."""
    points = np.asarray(joints, np.float64)
    hips = points[_HIPS].mean(0)
    return Posture(
        trunk=_unit(points[_SHOULDERS].mean(0) - hips),
        legs=_unit(hips - points[_ANKLES].mean(0)),
        knees_deg=_bend(points[_HIPS], points[_KNEES], points[_ANKLES]),
        elbows_deg=_bend(points[_SHOULDERS], points[_ELBOWS], points[_WRISTS]),
    )


def between_deg(first: np.ndarray, second: np.ndarray) -> float:
    """Angle between two unit vectors (3,), 0 to 180."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(first, second)), np.dot(first, second))))


def towards_camera_deg(up: np.ndarray) -> float:
    """How far a unit vector (3,) that points up the body leans out of the picture plane; positive: to the camera."""
    return float(np.degrees(np.arctan2(-up[2], np.hypot(up[0], up[1]))))


def _bend(upper: np.ndarray, middle: np.ndarray, lower: np.ndarray) -> np.ndarray:
    return np.array([between_deg(_unit(a - b), _unit(c - b)) for a, b, c in zip(upper, middle, lower, strict=True)])


def _unit(vector: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else np.full(3, np.nan)
