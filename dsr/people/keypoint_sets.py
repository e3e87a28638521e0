"""Detections of one clip in one keypoint set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dsr.body.joints import BLAZEPOSE33_NAMES, COCO17_NAMES, joint_names
from dsr.people.types import Detection


def in_one_set(frames: Sequence[Sequence[Detection]]) -> list[list[Detection]]:
    """The detections of a clip in one keypoint set.

    As they are, or, where sets differ: BlazePose's 33 if anybody has them, points that others lack as not seen; else
    COCO's 17 of each.
    """
    sets = {detection.keypoint_set for people in frames for detection in people}
    if len(sets) < 2:
        return [list(people) for people in frames]
    convert = _as_blazepose33 if "blazepose33" in sets else _as_coco17
    return [[convert(detection) for detection in people] for people in frames]


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


def _as_blazepose33(detection: Detection) -> Detection:
    if detection.keypoint_set == "blazepose33":
        return detection
    names = joint_names(detection.keypoint_set)
    middle = (np.asarray(detection.box_px[:2], np.float64) + detection.box_px[2:]) / 2
    points, confidence = np.tile(middle, (len(BLAZEPOSE33_NAMES), 1)), np.zeros(len(BLAZEPOSE33_NAMES))
    for row, name in enumerate(BLAZEPOSE33_NAMES):
        if name in names:
            points[row], confidence[row] = (
                a[names.index(name)] for a in (detection.keypoints_px, detection.confidence)
            )
    return replace(detection, keypoint_set="blazepose33", keypoints_px=points, confidence=confidence, world_m=None)


GROUP_JOINTS = (0, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""BlazePose's numbers of the joints that the network for groups says: nose, ears, and limbs without hands and feet."""
