"""Landmarks of people turned until they stand as people do.

The detector's 3D landmarks err together: a whole body is seen leaning towards the camera. Their error is one turn about
the horizontal axis across the line of sight; how far it goes is weighed against how far people lean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import median_filter

from dsr.body.joints import joint_names
from dsr.camera import PictureCamera
from dsr.camera.tilt import Gravity
from dsr.fitting.balance import MASS_M
from dsr.fitting.gravity import find_stances
from dsr.fitting.stance import Stance
from dsr.people.types import Detection

OVER_FEET_M = 0.05
"""How far the mass of somebody who stands is from over the feet, metres."""
STANDING_DEG, BENDING_DEG, SITTING_DEG, CUT_DEG, ACTING_DEG = 6.0, 15.0, 12.0, 7.0, 25.0
"""How far a trunk leans: of people who just stand, who do something on their feet, who sit, whose legs are not seen,
and who do something else."""
LANDMARKS_DEG = 11.0
"""By how much the landmarks of a whole body lean wrongly."""
_STEADY_S = 1.0
"""A track's landmarks are turned by the median of so many seconds."""
_LEFT, _RIGHT = "left_", "right_"


def trunk_factors(stances: Sequence[Stance], tilt: float) -> tuple[np.ndarray, float]:
    """How upright trunks are expected to be.

    Args:
        stances: of B people.
        tilt: standard deviation of what is upright, radians.

    Returns:
        (B,) one over the standard deviation of their lean, per radian; and the share of the lean of somebody's mass
        that is the error of what is upright, which the trunk's lean shares.
    """
    standing, calm = np.array([s.standing for s in stances]), np.array([s.calm for s in stances])
    sitting = np.array([s.sitting for s in stances])
    unseen = 1 - np.array([s.feet.max() for s in stances])
    alone = (OVER_FEET_M / MASS_M) ** 2
    both = tilt**2 / (alone + tilt**2)
    # the trunk's lean is taken given the mass's
    spread = np.radians(calm * STANDING_DEG + (1 - calm) * BENDING_DEG)
    trunk = standing / np.sqrt(spread**2 + tilt**2 * (1 - both))
    rest = 1 - standing
    for share, degrees in (
        (rest * sitting, SITTING_DEG),
        (rest * (1 - sitting) * unseen, CUT_DEG),
        (rest * (1 - sitting) * (1 - unseen), ACTING_DEG),
    ):
        trunk = trunk + share / np.hypot(np.radians(degrees), tilt)
    return trunk, both


def upright_detections(
    detections: Sequence[Detection | None], camera: PictureCamera, gravity: Gravity, fps: float
) -> list[Detection | None]:
    """A track's detections with their 3D landmarks turned, steadily.

    Args:
        detections: T consecutive frames; None where the person was not seen.
        camera: of the clip.
        gravity: which way is up there.
        fps: frames per second.
    """
    known = [t for t, d in enumerate(detections) if d is not None and d.world_m is not None]
    result = list(detections)
    if not known:
        return result
    seen = [d for t in known if (d := detections[t]) is not None]
    stances, tilt = find_stances(seen, camera, gravity), float(np.radians(gravity.pitch_sigma_deg))
    trunk, _ = trunk_factors(stances, tilt)
    names, inverse = joint_names(seen[0].keypoint_set), np.linalg.inv(camera.K)
    errors, aways = [], []
    for detection, stance, factor in zip(seen, stances, trunk, strict=True):
        centre = (np.asarray(detection.box_px[:2], np.float64) + detection.box_px[2:]) / 2
        sight = inverse @ np.append(centre, 1.0)
        away = sight - (sight @ gravity.up) * gravity.up
        aways.append(away / max(float(np.linalg.norm(away)), 1e-6))
        points = np.asarray(detection.world_m, np.float64)
        errors.append(lean_error(points, names, gravity.up, aways[-1], stance, float(factor), tilt, 1.0))
    steady = median_filter(np.array(errors), size=max(1, round(_STEADY_S * fps)) | 1, mode="nearest")
    for t, detection, away, error in zip(known, seen, aways, steady, strict=True):
        points = np.asarray(detection.world_m, np.float64)
        result[t] = replace(detection, world_m=turned_back(points, gravity.up, away, float(error)))
    return result


def lean_error(
    points: np.ndarray,
    names: tuple[str, ...],
    up: np.ndarray,
    away: np.ndarray,
    stance: Stance,
    trunk: float,
    tilt: float,
    factor: float,
) -> float:
    """By how much somebody's landmarks (K, 3) likely lean away from the camera in error, radians."""

    def middle(part: str) -> np.ndarray:
        return (points[names.index(_LEFT + part)] + points[names.index(_RIGHT + part)]) / 2

    def lean(direction: np.ndarray) -> float:
        return float(np.arctan2(direction @ away, direction @ up))

    error2 = (factor * np.radians(LANDMARKS_DEG)) ** 2
    shoulders, hips = middle("shoulder"), middle("hip")
    angle = lean(shoulders - hips) * error2 / (error2 + 1 / max(trunk, 1e-6) ** 2)
    if stance.standing > 0:
        mass = hips + 0.25 * (shoulders - hips)
        feet = [_foot(points, names, side) for side in (_LEFT, _RIGHT)]
        over = [
            lean(mass - foot)
            for foot, down in zip(feet, stance.carries, strict=True)
            if down > 0.3 * stance.carries.max()
        ]
        off = min(over, key=abs) if min(over) * max(over) > 0 else 0.0
        sigma2 = (OVER_FEET_M / MASS_M) ** 2 + tilt**2
        angle += stance.standing * (off * error2 / (error2 + sigma2) - angle)
    return float(angle)


def turned_back(points: np.ndarray, up: np.ndarray, away: np.ndarray, angle: float) -> np.ndarray:
    """Points (K, 3) turned towards the camera by an angle, about the axis across the line of sight."""
    axis, along, above = np.cross(up, away), points @ away, points @ up
    cos, sin = np.cos(angle), np.sin(angle)
    turned = np.outer(points @ axis, axis)
    return turned + np.outer(cos * along - sin * above, away) + np.outer(sin * along + cos * above, up)


def _foot(points: np.ndarray, names: tuple[str, ...], side: str) -> np.ndarray:
    """Where somebody stands, between heel and toes; below the ankle where a set has neither."""
    for heel, toes in (("heel", "foot_index"), ("heel", "big_toe")):
        if side + heel in names and side + toes in names:
            return 0.6 * points[names.index(side + heel)] + 0.4 * points[names.index(side + toes)]
    return points[names.index(side + "ankle")]
