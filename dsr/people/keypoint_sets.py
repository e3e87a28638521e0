"""Keypoint conventions by name: order of points and which point mirrors which. Left is the person's left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dsr.people.types import Detection

_FACE = ["left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer"]
_ENDS = ["left_ear", "right_ear", "mouth_left", "mouth_right"]


def _pairs(*parts: str) -> list[str]:
    return [f"{side}_{part}" for part in parts for side in ("left", "right")]


NAMES: dict[str, tuple[str, ...]] = {
    "blazepose33": (
        "nose",
        *_FACE,
        *_ENDS,
        *_pairs("shoulder", "elbow", "wrist", "pinky", "index", "thumb"),
        *_pairs("hip", "knee", "ankle", "heel", "foot_index"),
    ),
    "coco17": (
        "nose",
        *_pairs("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"),
    ),
    "openpose25": (
        "nose",
        "neck",
        *("right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
        "mid_hip",
        *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
        *("right_eye", "left_eye", "right_ear", "left_ear"),
        *("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"),
    ),
}


def mirror_order(keypoint_set: str) -> np.ndarray:
    """Index (K,) that exchanges left and right points: ``mirrored = points[mirror_order(name)]``."""
    names = NAMES[keypoint_set]
    other = {"left": "right", "right": "left"}
    swapped = ["_".join(other.get(word, word) for word in name.split("_")) for name in names]
    return np.array([names.index(name) for name in swapped])


def in_one_set(frames: Sequence[Sequence[Detection]]) -> list[list[Detection]]:
    """The detections of a clip in one keypoint set: as they are, or COCO's 17 of each where sets differ."""
    if len({detection.keypoint_set for people in frames for detection in people}) < 2:
        return [list(people) for people in frames]
    return [[_as_coco17(detection) for detection in people] for people in frames]


def _as_coco17(detection: Detection) -> Detection:
    own = NAMES[detection.keypoint_set]
    index = [own.index(name) for name in NAMES["coco17"]]
    return replace(
        detection,
        keypoint_set="coco17",
        keypoints_px=detection.keypoints_px[index],
        confidence=detection.confidence[index],
        world_m=None,
    )
