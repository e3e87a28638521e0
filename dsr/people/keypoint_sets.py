"""Detections of one clip in one keypoint set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dsr.body.joints import COCO17_NAMES, joint_names
from dsr.people.types import Detection


def in_one_set(frames: Sequence[Sequence[Detection]]) -> list[list[Detection]]:
    """The detections of a clip in one keypoint set: as they are, or COCO's 17 of each where sets differ."""
    if len({detection.keypoint_set for people in frames for detection in people}) < 2:
        return [list(people) for people in frames]
    return [[_as_coco17(detection) for detection in people] for people in frames]


def _as_coco17(detection: Detection) -> Detection:
    names = joint_names(detection.keypoint_set)
    index = [names.index(name) for name in COCO17_NAMES]
    return replace(
        detection,
        keypoint_set="coco17",
        keypoints_px=detection.keypoints_px[index],
        confidence=detection.confidence[index],
        world_m=None,
    )
