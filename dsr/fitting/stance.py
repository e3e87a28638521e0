"""Who stands, as far as a picture tells by itself: legs below the body, feet below both, nothing of it in depth.

Depth is what the stance is needed for, so it is not asked here, but for sitting: thighs that come towards the camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dsr.body.joints import joint_names
from dsr.people.types import Detection

SIDES = ("left", "right")
_SEEN = (0.35, 0.6)  # confidences from which on a keypoint begins to count, and counts
_LEGS = ("knee", "ankle")
_SURELY_SEEN, _ON_BODY, _NEAR = 0.85, 0.2, 0.02  # confidence; probability of the silhouette; in sides of the box
_SHARE = (0.66, 0.86)  # of a straight leg's length by the trunk's, along the picture's vertical
_LEG_BY_TRUNK = 1.45  # hip to ankle by shoulders to hips, as detectors see them
_FLEXED_DEG = (11.0, 22.0)  # trunk against legs, which landmarks tell to 5 degrees: straight, and bent over
_STRETCHED_DEG, _BENT_OVER_DEG = (5.0, 13.0), (16.0, 30.0)  # of knees in the picture; of the trunk by landmarks
_TRUNK_BY_SHOULDERS = 1.35  # a foreshortened trunk is no measure; shoulders seen from the front are


@dataclass(frozen=True)
class Stance:
    """One person's, every number 0 to 1.

    Attributes:
        standing: how surely the person stands upright on the feet.
        legs: (2,) how surely the left and the right leg is straight and below the body.
        carries: (2,) how surely the left and the right foot is down.
        feet: (2,) how well the feet are seen.
        hips: how well the hips are seen.
        sitting: how surely the person sits.
        calm: how surely somebody just stands: on both feet, trunk upright, legs together.
        stretched: (2,) how surely the knees are straight. From anywhere but right in front or behind a bent knee is
            seen bent in the picture.
    """

    standing: float
    legs: np.ndarray
    carries: np.ndarray
    feet: np.ndarray
    hips: float
    sitting: float
    calm: float
    stretched: np.ndarray


class NamedPoints:
    """A person's keypoints by name, whatever set they are of."""

    def __init__(self, detection: Detection, size: tuple[int, int]) -> None:
        self._row = {name: k for k, name in enumerate(joint_names(detection.keypoint_set))}
        self._pixels, self._confidence = detection.keypoints_px, detection.confidence
        self._world, self._size = detection.world_m, size
        self._mask, self._reach = detection.mask, _NEAR * float((detection.box_px[2:] - detection.box_px[:2]).max())

    def row(self, name: str) -> int:
        """Place of a keypoint in its set."""
        return self._row[name]

    def pixel(self, name: str) -> np.ndarray:
        """(2,) u, v."""
        return np.asarray(self._pixels[self._row[name]], np.float64)

    def world(self, name: str) -> np.ndarray | None:
        """(3,) the detector's landmark, or None."""
        return None if self._world is None else np.asarray(self._world[self._row[name]], np.float64)

    def seen(self, name: str) -> float:
        """0 to 1; 0 outside the picture, and for legs that are behind something: off the person's silhouette."""
        if name not in self._row:
            return 0.0
        u, v = self.pixel(name)
        inside = 0 <= u < self._size[0] and 0 <= v < self._size[1]
        confidence = self._confidence[self._row[name]]
        if confidence < _SURELY_SEEN and name.endswith(_LEGS) and not self._on_silhouette(u, v):
            return 0.0
        return ramp(confidence, *_SEEN) if inside else 0.0

    def _on_silhouette(self, u: float, v: float) -> bool:
        """Whether the silhouette is near a pixel; true where there is none."""
        if self._mask is None:
            return True
        (x0, y0, x1, y1), probability = self._mask.box_px, self._mask.probability
        height, width = probability.shape
        columns, rows = width / max(x1 - x0, 1e-6), height / max(y1 - y0, 1e-6)
        left, right = (math.floor((u + side * self._reach - x0) * columns) for side in (-1, 1))
        top, bottom = (math.floor((v + side * self._reach - y0) * rows) for side in (-1, 1))
        near = probability[max(top, 0) : max(bottom + 1, 0), max(left, 0) : max(right + 1, 0)]
        return bool(near.size) and float(near.max()) >= _ON_BODY


def stance_of(detection: Detection, size: tuple[int, int], level_px: np.ndarray) -> Stance:
    """How surely somebody stands.

    Args:
        detection: the person.
        size: (width, height) of the picture, pixels.
        level_px: (K, 2) where a camera that is held level would see the keypoints, pixels.
    """
    up_px = np.array([0.0, -1.0])
    points = NamedPoints(detection, size)
    hips = min(points.seen(f"{side}_hip") for side in SIDES)
    shoulders = min(points.seen(f"{side}_shoulder") for side in SIDES)
    nothing = Stance(0.0, np.zeros(2), np.zeros(2), np.zeros(2), hips, 0.0, 0.0, np.zeros(2))
    if shoulders == 0:
        return nothing
    aside = np.array([-up_px[1], up_px[0]])
    at = {
        f"{side}_{part}": level_px[points.row(f"{side}_{part}")]
        for side in SIDES
        for part in ("shoulder", "hip", "knee", "ankle")
    }
    hip = (at["left_hip"] + at["right_hip"]) / 2
    shoulder = (at["left_shoulder"] + at["right_shoulder"]) / 2
    width = float(np.linalg.norm(at["left_shoulder"] - at["right_shoulder"]))
    trunk = max(float((shoulder - hip) @ up_px), _TRUNK_BY_SHOULDERS * width, 1e-6)
    if float((shoulder - hip) @ up_px) < 0.3 * trunk:
        return nothing  # lies, or hangs upside down
    whole = _LEG_BY_TRUNK * trunk
    legs, carries, feet, lying, stretched = np.zeros((5, 2))
    drop = [float((hip - at[f"{side}_ankle"]) @ up_px) for side in SIDES]
    for i, side in enumerate(SIDES):
        thigh, shin = at[f"{side}_hip"] - at[f"{side}_knee"], at[f"{side}_knee"] - at[f"{side}_ankle"]
        feet[i] = min(points.seen(f"{side}_ankle"), points.seen(f"{side}_knee"))
        bend = _angle(thigh, shin)
        # of two feet on a floor the nearer is lower in the picture
        carries[i] = feet[i] * (1 - ramp((max(drop) - drop[i]) / whole, 0.15, 0.35))
        legs[i] = (
            carries[i] * ramp(drop[i] / whole, *_SHARE) * (1 - ramp(bend, 20, 45)) * (1 - _knee_bent(points, side))
        )
        stretched[i] = 1 - ramp(bend, *_STRETCHED_DEG)
        level = ramp(float(thigh @ up_px) / (0.5 * whole), 0.75, 0.45)
        front = _thigh_elevation(points, side)
        lying[i] = min(points.seen(f"{side}_knee"), hips) * max(level, front * ramp(level, 0.0, 0.5))
    mass = hip + 0.35 * (shoulder - hip)
    across = [float((at[f"{side}_ankle"] - mass) @ aside) for side in SIDES]
    carrying = [across[i] for i in range(2) if carries[i] > 0.3] or across
    off = max(min(carrying), -max(carrying), 0.0) if min(carrying) * max(carrying) > 0 else 0.0
    balanced = 1 - ramp(off / whole, 0.12, 0.3)
    standing = float(legs.max() * hips * shoulders * balanced)
    shown = [
        i for i, side in enumerate(SIDES) if points.seen(f"{side}_knee") > 0.5
    ]  # of a leg behind the other, nothing
    sitting = float(min((lying[i] for i in shown), default=0.0) * (1 - standing))
    flexed = _flexed_deg(points)
    calm = float(standing * _calm(at, carries, up_px) * (1 - ramp(flexed, *_FLEXED_DEG)))
    stretched *= standing * legs * (1 - ramp(flexed, *_BENT_OVER_DEG))
    return Stance(standing, legs, carries, feet, hips, sitting, calm, stretched)


def _calm(at: dict[str, np.ndarray], carries: np.ndarray, up_px: np.ndarray) -> float:
    """How calmly somebody stands, 0 to 1, from pixels of the joints by name."""
    trunk = at["left_shoulder"] + at["right_shoulder"] - at["left_hip"] - at["right_hip"]
    legs = [at[f"{side}_hip"] - at[f"{side}_ankle"] for side in SIDES]
    return float(carries.min() * (1 - ramp(_angle(trunk, up_px), 6, 16)) * (1 - ramp(_angle(*legs), 30, 55)))


def ramp(value: float, start: float, stop: float) -> float:
    """0 at ``start``, 1 at ``stop`` and beyond, straight between; ``start`` may be the larger."""
    return min(max((float(value) - start) / (stop - start), 0.0), 1.0)


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    """Degrees between two directions of the picture."""
    length = math.hypot(*a) * math.hypot(*b)
    return math.degrees(math.acos(min(max(float(a @ b) / length, -1.0), 1.0))) if length > 0 else 0.0


def _thigh_elevation(points: NamedPoints, side: str) -> float:
    """How level the landmarks say a thigh is, 0 to 1; 0.5 where there are none."""
    hip, knee = points.world(f"{side}_hip"), points.world(f"{side}_knee")
    if hip is None or knee is None:
        return 0.5
    thigh = knee - hip
    return ramp(thigh[1] / max(math.hypot(*thigh), 1e-6), 0.8, 0.45)


def _flexed_deg(points: NamedPoints) -> float:
    """How far the landmarks bend the trunk against the legs, degrees; 0 where there are none."""
    ends = []
    for part in ("shoulder", "hip", "ankle"):
        left, right = (points.world(f"{side}_{part}") for side in SIDES)
        if left is None or right is None:
            return 0.0
        ends.append((left + right) / 2)
    return _angle(ends[0] - ends[1], ends[1] - ends[2])


def _knee_bent(points: NamedPoints, side: str) -> float:
    """How surely the landmarks see a bent knee, 0 to 1: they are wrong by up to some 30 degrees."""
    hip, knee, ankle = (points.world(f"{side}_{part}") for part in ("hip", "knee", "ankle"))
    if hip is None or knee is None or ankle is None:
        return 0.0
    return ramp(_angle(knee - hip, ankle - knee), 40, 70)
