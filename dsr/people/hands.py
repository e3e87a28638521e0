"""Hands of people who were found: 21 landmarks each, from MediaPipe's hand models in regions that the body gives.

A region comes from wrist and knuckles of the body (twice refined), or else from the palm detector. Which hand it is the
body says; the hand model only has a veto. Nothing is made up: a hand that is hidden, tiny or unclear is left out.
Regions, decoding and thresholds are those of the public graphs of the models; hand landmarks are in their order (0
wrist, then four each of thumb, index, middle, ring and little finger, from the palm to the tip).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from dsr.body.joints import joint_names
from dsr.people.candidates import anchor_grid, decode, weighted_nms
from dsr.people.landmarks import rotate_world
from dsr.people.models import LiteModel
from dsr.people.regions import Pyramid, Region

HAND_MODEL = "hand_landmark/hand_landmark_full.tflite"
FIRST_MODEL = "hand_landmark/hand_landmark_lite.tflite"
"""Half as dear, for the first look at a hand, which only says where to look again."""
RECROP_MODEL = "holistic_landmark/hand_recrop.tflite"
PALM_MODEL = "palm_detection/palm_detection_full.tflite"
HAND_POINTS = 21
MIN_SIDE = 32.0
"""Side of the smallest region that is looked at, working pixels; a hand fills about half of it."""
MIN_PRESENCE = 0.5
SAME_HAND = 0.3  # of a region's side: landmarks nearer than that on average are one hand
_MIN_WRIST = 0.1  # confidence of a wrist whose hand is looked for (the model's public graph)
_OPPOSITE = 0.25  # probability of its side below which a hand is the other one
_FAR_FROM_WRIST = 0.5  # of the region's side between the hand's wrist and the body's
_INNER = ("model_1/model/global_average_pooling2d/Mean", "model_1/model/add_8/add")
FEATURES, MAP = 1152, (7, 7, 192)
"""Size of the layer that the landmark model makes its answer from, and of the map before it."""
_HAND_SIZE, _RECROP_SIZE, _PALM_SIZE = 224, 256, 192
_Z_SCALE = 0.4
_PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True, eq=False)
class Hand:
    """One hand of a person.

    Attributes:
        side: which hand of the person, ``left`` or ``right``.
        region: where the landmark model ran, working pixels.
        presence: 0 to 1, how sure the model is that there is a hand.
        side_probability: 0 to 1, how well the hand looks like one of that side.
        points: (21, 3) working pixels u, v, and depth on their scale, from the wrist, away from the camera.
        world_m: (21, 3) metres, axes of a camera that looks straight at the hand (x right, y down, z away). Lengths are
            the model's mean hand, not the person's: directions count.
        wrist_distance: between the hand's wrist and the body's, in sides of the region.
        features: (1152 + 7 x 7 x 192,) what the landmark model makes all of that from: its last layer, then the map
            before it; of right hands in a mirror.
    """

    side: Side
    region: Region
    presence: float
    side_probability: float
    points: np.ndarray
    world_m: np.ndarray
    wrist_distance: float
    features: np.ndarray | None = None

    @property
    def size(self) -> float:
        """Longer side of the box around the landmarks, working pixels."""
        return float(np.ptp(self.points[:, :2], axis=0).max())


class HandFinder:
    """Finds the hands of people by their body's keypoints (one set of interpreters; not for several threads at once).

    Args:
        threads: of every interpreter.

    Raises:
        MissingExtraError: if mediapipe or ai-edge-litert is not installed.
        DetectionError: if the installed mediapipe lacks a model.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._landmarks = LiteModel(HAND_MODEL, threads, _INNER)
        self._recrop = LiteModel(RECROP_MODEL, threads)
        self._first = LiteModel(FIRST_MODEL, threads)
        self._palm, self._anchors = LiteModel(PALM_MODEL, threads), anchor_grid(_PALM_SIZE, ((8, 2), (16, 6)))

    def __call__(
        self, pyramid: Pyramid, keypoints: Sequence[np.ndarray], confidences: Sequence[np.ndarray], keypoint_set: str
    ) -> list[dict[Side, Hand]]:
        """The hands of everybody in a picture; whoever shares a hand with somebody else keeps it if it fits better.

        Args:
            pyramid: the picture.
            keypoints: (K, 2) of every person, working pixels; the set must have wrists and knuckles (``blazepose33``).
            confidences: (K,) of every person, 0 to 1.
            keypoint_set: of the keypoints.

        Returns:
            Per person the hands that are seen.
        """
        claims = [
            (person, hand)
            for person, (points, confidence) in enumerate(zip(keypoints, confidences, strict=True))
            for side in SIDES
            if (hand := self.find(pyramid, side, points, confidence, keypoint_set)) is not None
        ]
        return hands_of_people(claims, len(keypoints))

    def find(
        self, pyramid: Pyramid, side: Side, keypoints: np.ndarray, confidence: np.ndarray, keypoint_set: str
    ) -> Hand | None:
        """One hand of a person, whether or not somebody else claims it too; None where it is not seen.

        Args:
            pyramid: the picture.
            side: which hand.
            keypoints: (K, 2) of the person, working pixels.
            confidence: (K,), 0 to 1.
            keypoint_set: of the keypoints.
        """
        names = joint_names(keypoint_set)
        wrist, little, index = (names.index(f"{side}_{part}") for part in ("wrist", "pinky", "index"))
        if confidence[wrist] <= _MIN_WRIST:
            return None
        return self._find(pyramid, side, keypoints[wrist], keypoints[little], keypoints[index])

    def _find(
        self, pyramid: Pyramid, side: Side, wrist: np.ndarray, little: np.ndarray, index: np.ndarray
    ) -> Hand | None:
        search = search_region(wrist, little, index)
        if search.side < MIN_SIDE:
            return None
        best: Hand | None = None
        for region in self._regions(pyramid, search):
            best = self.look(pyramid, side, region, wrist)
            if best.presence >= MIN_PRESENCE:
                break
        return best if best is not None and is_clear(best) else None

    def region(self, pyramid: Pyramid, search: Region) -> Region | None:
        """Where the landmark model looks for a hand that is searched for in a region; None where there is none."""
        return next(self._regions(pyramid, search), None)

    def _regions(self, pyramid: Pyramid, search: Region) -> Iterator[Region]:
        """As :meth:`region`, the first choice and then the second, each from a first look at it."""
        for look in (self._recropped, self._by_palm):
            region = look(pyramid, search)
            if region is None or region.side < MIN_SIDE:
                continue
            rows, presence, _, _ = self._first(pyramid.crop(region, _HAND_SIZE).astype(np.float32) / 255.0)
            if float(presence.reshape(-1)[0]) >= MIN_PRESENCE:
                points = rows.reshape(HAND_POINTS, 3)[:, :2].astype(np.float64)
                yield region_of_landmarks(region.to_picture(points, _HAND_SIZE))

    def look(self, pyramid: Pyramid, side: Side, region: Region, wrist: np.ndarray) -> Hand:
        """What the landmark model says of a hand in a region; right hands are looked at in a mirror.

        Args:
            pyramid: the picture.
            side: which hand it is.
            region: working pixels.
            wrist: (2,) of the body, working pixels.
        """
        mirrored = side == "right"
        crop = pyramid.crop(region, _HAND_SIZE)
        rows, presence, right, world, *inner = self._landmarks(
            (crop[:, ::-1] if mirrored else crop).astype(np.float32) / 255.0
        )
        rows, world = (each.reshape(HAND_POINTS, 3).astype(np.float64) for each in (rows, world))
        if mirrored:
            rows[:, 0] = _HAND_SIZE - rows[:, 0]
            world[:, 0] *= -1
        points = region.to_picture(rows[:, :2], _HAND_SIZE)
        depth = rows[:, 2:] * (region.side / _HAND_SIZE / _Z_SCALE)
        return Hand(
            side=side,
            region=region,
            presence=float(presence.reshape(-1)[0]),
            side_probability=1 - float(right.reshape(-1)[0]),
            points=np.concatenate([points, depth], 1),
            world_m=rotate_world(world, region.angle),
            wrist_distance=float(np.hypot(*(points[0] - wrist))) / region.side,
            features=np.concatenate([each.reshape(-1) for each in inner]),
        )

    def _recropped(self, pyramid: Pyramid, search: Region) -> Region | None:
        """The region that the recrop model makes of the body's: its first point is the middle, the second below it."""
        crop = pyramid.crop(search, _RECROP_SIZE)
        found = self._recrop(crop.astype(np.float32) / 255.0)[0].reshape(2, 2)
        middle, below = search.to_picture(found, _RECROP_SIZE)
        du, dv = below - middle
        angle = -math.pi / 2 - math.atan2(-dv, du)
        return _shifted(Region(float(middle[0]), float(middle[1]), 2 * math.hypot(du, dv), angle), 0.1, 1.0)

    def _by_palm(self, pyramid: Pyramid, search: Region) -> Region | None:
        """The region of the palm that the detector sees nearest to where the body has it; None where it sees none."""
        around = search.upright()
        rows, logits = self._palm(pyramid.crop(around, _PALM_SIZE).astype(np.float32) / 255.0)
        found = weighted_nms(decode(rows, logits, self._anchors, MIN_PRESENCE, _PALM_SIZE))
        if not len(found):
            return None
        corners = around.to_picture(found[:, 1:].reshape(len(found), -1, 2), 1.0)
        middle = corners[:, :2].mean(1)
        nearest = int(np.argmin(np.hypot(*(middle - [search.u, search.v]).T)))
        low, high = corners[nearest, :2]
        angle = pointing_up(corners[nearest, 2], corners[nearest, 4])
        palm = Region(float(middle[nearest, 0]), float(middle[nearest, 1]), float((high - low).max()), angle)
        return _shifted(palm, 0.5, 2.6)


def search_region(wrist: np.ndarray, little: np.ndarray, index: np.ndarray) -> Region:
    """Where a hand is looked for, from wrist and knuckles (2,) of the body (the holistic graph's formula)."""
    middle = (2 * index + little) / 3
    reach = 2 * float(np.hypot(*(middle - wrist)))
    return _shifted(Region(float(middle[0]), float(middle[1]), reach, pointing_up(wrist, middle)), 0.1, 2.7)


def region_of_landmarks(points: np.ndarray) -> Region:
    """Where to look again, from the landmarks (21, 2) of a first look: around the palm, fingers up."""
    angle = pointing_up(points[0], ((points[5] + points[13]) / 2 + points[9]) / 2)
    turn = Region(0.0, 0.0, 1.0, angle).rotation
    local = points[_PALM] @ turn
    low, high = local.min(0), local.max(0)
    middle = turn @ ((low + high) / 2)
    return _shifted(Region(float(middle[0]), float(middle[1]), float((high - low).max()), angle), 0.1, 2.0)


def is_clear(hand: Hand) -> bool:
    """Whether there is a hand, where the body has it, and not clearly one of the other side."""
    near = hand.wrist_distance <= _FAR_FROM_WRIST
    return (
        hand.presence >= MIN_PRESENCE and hand.region.side >= MIN_SIDE and near and hand.side_probability >= _OPPOSITE
    )


def hands_of_people(claims: Sequence[tuple[int, Hand]], people: int) -> list[dict[Side, Hand]]:
    """The hands of so many people by their sides, of claims (person, hand), see :func:`settled`."""
    hands: list[dict[Side, Hand]] = [{} for _ in range(people)]
    for person, hand in settled(claims):
        hands[person][hand.side] = hand
    return hands


def settled(claims: Sequence[tuple[int, Hand]]) -> list[tuple[int, Hand]]:
    """Claims (person, hand) without those on a hand that fits another claim better, in the same order.

    Two claims are on one hand where their landmarks coincide: by both sides of one person, or by two people. It goes to
    the claim whose side the hand looks like, then to the nearer wrist.
    """
    order = sorted(range(len(claims)), key=lambda i: -claims[i][1].side_probability + claims[i][1].wrist_distance)
    kept: list[int] = []
    for i in order:
        if not any(same_hand(claims[i][1], claims[j][1]) for j in kept):
            kept.append(i)
    return [claims[i] for i in sorted(kept)]


def same_hand(a: Hand, b: Hand) -> bool:
    """Whether two sets of landmarks are of one hand."""
    apart = float(np.hypot(*(a.points - b.points)[:, :2].T).mean())
    return apart < SAME_HAND * max(a.region.side, b.region.side)


def in_full_pixels(hand: Hand, scale: float) -> Hand:
    """The hand with points and region in full-picture pixels; ``scale`` is working pixels per full pixel."""
    region = hand.region
    full = Region(region.u / scale, region.v / scale, region.side / scale, region.angle)
    return replace(hand, points=hand.points / scale, region=full)


def pointing_up(start: np.ndarray, end: np.ndarray) -> float:
    """Turn (radians) of a region in which the direction from one point (2,) to another is up."""
    du, dv = float(end[0] - start[0]), float(end[1] - start[1])
    return math.pi / 2 - math.atan2(-dv, du)


def _shifted(region: Region, up: float, scale: float) -> Region:
    """A region moved by so much of its side towards its top, then grown."""
    u, v = np.array([region.u, region.v]) + region.rotation @ np.array([0.0, -up * region.side])
    return Region(float(u), float(v), scale * region.side, region.angle)
