"""Which way is down in a photograph: its straight lines, how photographs are usually taken, and its people.

People stand and sit upright, give or take; the detector's landmarks see that with errors of their own; cameras are held
by people, at about eye height above the floor on which others stand; and people of one picture mostly share that floor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dsr.camera import PictureCamera
from dsr.camera.scene_lines import SceneLines
from dsr.camera.tilt import GRID_UP, Gravity, gravity_of, usual_tilt
from dsr.fitting.stance import SIDES, NamedPoints, Stance, stance_of
from dsr.people.types import Detection

_ACROSS_DEG, _ALONG_DEG = 5.0, 11.0
"""How far upright people lean, in the picture and along the line of sight as the landmarks have it."""
_OTHERWISE = 0.25
"""Share of people who lean otherwise."""
_ANKLE_TO_SHOULDER_M = 1.3
_CAMERA_M, _CAMERA_LOG, _CAMERA_OTHER = 1.5, 0.35, 0.35
"""Height of a camera above the floor, its spread as a logarithm, and the share of cameras held quite otherwise."""
_FLOOR_LOG, _FLOOR_OTHER = 0.1, 0.4
"""By how much people of one floor differ in their size, and the share that stands elsewhere."""
_LEAST_M = 0.1
"""A camera that stands lower than this among people's feet tells nothing by its height."""
_TRUSTED = 0.7
"""People's evidence is not independent: the landmarks' errors go the same way."""


def find_gravity(detections: Sequence[Detection], camera: PictureCamera, lines: SceneLines | None = None) -> Gravity:
    """Which way is down, and how surely.

    Args:
        detections: everybody in the picture.
        camera: of the full, upright picture.
        lines: straight edges in it, as this camera sees them, if known.
    """
    known = usual_tilt()
    if lines is not None:
        known = known + lines.tilt()
    gravity = gravity_of(known)
    for _ in range(2):  # who stands depends on what is down
        stances = find_stances(detections, camera, gravity)
        gravity = gravity_of(known + _people(detections, stances, camera))
    return gravity


def find_stances(detections: Sequence[Detection], camera: PictureCamera, gravity: Gravity) -> list[Stance]:
    """Who stands, of everybody in a picture."""
    return [stance_of(d, camera.size, _level_view(gravity.up, d, camera)) for d in detections]


def _level_view(up: np.ndarray, detection: Detection, camera: PictureCamera) -> np.ndarray:
    """(K, 2) where a camera in the same place that is held level and turned to the person would see the keypoints.

    There, lengths along the vertical of somebody upright are in proportion, whatever the true camera's pitch is.
    """
    inverse = np.linalg.inv(camera.K)
    homogeneous = np.c_[detection.keypoints_px, np.ones(len(detection.keypoints_px))] @ inverse.T
    middle = np.append((np.asarray(detection.box_px[:2], np.float64) + detection.box_px[2:]) / 2, 1.0)
    sight = inverse @ middle
    forward = sight - (sight @ up) * up
    forward = forward / max(float(np.linalg.norm(forward)), 1e-9)
    level = homogeneous @ np.stack([np.cross(-up, forward), -up, forward]).T
    return level[:, :2] / np.maximum(level[:, 2:], 0.05) * camera.K[0, 0]


def _people(detections: Sequence[Detection], stances: Sequence[Stance], camera: PictureCamera) -> np.ndarray:
    """(P, R) log likelihoods of everybody's body."""
    up = GRID_UP.reshape(-1, 3)
    total = np.zeros(len(up))
    heights, sure = [], []
    for detection, stance in zip(detections, stances, strict=True):
        points = NamedPoints(detection, camera.size)
        shoulders = min(points.seen(f"{side}_shoulder") for side in SIDES)
        low = "ankle" if stance.standing > 0.3 else "hip"
        trust = shoulders * (stance.standing if low == "ankle" else stance.hips * 0.7)
        if trust < 0.1:
            continue
        ends = [np.mean([points.pixel(f"{side}_{part}") for side in SIDES], 0) for part in (low, "shoulder")]
        bottom, top = (np.append((end - camera.K[:2, 2]) / camera.K[[0, 1], [0, 1]], 1.0) for end in ends)
        total += trust * _lean(up, np.cross(bottom, top), _ACROSS_DEG)
        world = [points.world(f"{side}_{part}") for part in ("shoulder", low) for side in SIDES]
        known = [p for p in world if p is not None]
        if len(known) == len(world):
            body = known[0] + known[1] - known[2] - known[3]
            # what the picture itself says of the body's lean is said above: here along the line of sight alone
            side = np.cross(body, (bottom + top) / 2)
            total += trust * _lean(up, np.cross(body, side), _ALONG_DEG)
        if low == "ankle":
            size = np.linalg.norm(top - bottom)
            if size > 1e-3:
                away = top / np.linalg.norm(top)
                reach = bottom - (bottom @ away) * away  # of the foot's ray, across the ray of the shoulders
                far = _ANKLE_TO_SHOULDER_M * np.maximum(-up @ reach, 1e-3) / (reach @ reach)
                high = -(up @ bottom) * far
                heights.append(np.where(high > _LEAST_M, np.log(np.maximum(high, _LEAST_M)), np.inf))
                sure.append(trust)
    if heights:
        every, weight = np.stack(heights), np.array(sure)
        camera_high = _mixture(every - np.log(_CAMERA_M), _CAMERA_LOG, _CAMERA_OTHER, 2.0)
        total += weight.max() * (weight @ camera_high) / weight.sum()
        if len(every) > 1:
            middle = np.sort(every, 0)[(len(every) - 1) // 2]  # the lower median: not infinite where half are known
            off = np.where(np.isfinite(every), every - np.where(np.isfinite(middle), middle, 0.0), np.inf)
            total += weight @ _mixture(off, _FLOOR_LOG, _FLOOR_OTHER, 2.0)
    return _TRUSTED * total.reshape(GRID_UP.shape[:2])


def _lean(up: np.ndarray, across: np.ndarray, sigma_deg: float) -> np.ndarray:
    """(N,) log likelihoods of upward directions that should lie at a right angle to ``across``."""
    length = float(np.linalg.norm(across))
    if length < 1e-9:
        return np.zeros(len(up))
    return _mixture(np.degrees(np.arcsin(np.clip(up @ across / length, -1, 1))), sigma_deg, _OTHERWISE, 90.0)


def _mixture(off: np.ndarray, sigma: float, otherwise: float, span: float) -> np.ndarray:
    """Log density of a Gaussian in a flat ground over ``span``."""
    peak = (1 - otherwise) / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * (off / sigma) ** 2)
    return np.log(otherwise / span + peak)
