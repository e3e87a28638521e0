"""People whose boxes or keypoints are known from elsewhere: who of those found they are, and what the models add."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsr.body.joints import BLAZEPOSE33_NAMES, joint_names
from dsr.people.candidates import box_iou
from dsr.people.suppression import Body
from dsr.people.types import Detection

SAME_BOX = 0.5  # overlap of a known box with the keypoints of somebody found: the same person
_SAME_PERSON = 0.15  # mean distance of known keypoints to landmarks, in sides of the box
_SEEN = 0.05
_ROOM = 0.05  # of the box around keypoints: the top of the head and the toes have none
_FOLLOWS = {
    "left_wrist": ("left_pinky", "left_index", "left_thumb"),
    "right_wrist": ("right_pinky", "right_index", "right_thumb"),
    "left_ankle": ("left_heel", "left_foot_index"),
    "right_ankle": ("right_heel", "right_foot_index"),
}


def match_boxes(boxes: np.ndarray, bodies: list[Body], width: int, height: int) -> list[int | None]:
    """Which of the bodies found is in each of N known boxes, one to one.

    Args:
        boxes: (N, 4) x0, y0, x1, y1, working pixels.
        bodies: everybody found.
        width: of the picture.
        height: of the picture.

    Returns:
        N indices into ``bodies``, None where nobody found has this box.
    """
    from scipy.optimize import linear_sum_assignment

    overlap = np.zeros((len(boxes), len(bodies)))
    for column, body in enumerate(bodies):
        marks = body.landmarks
        for seen in (marks.confidence >= min(0.5, float(marks.confidence.max())), np.ones(len(marks.points), bool)):
            extent = np.clip(marks.points[seen], 0, [width, height])
            extent = np.concatenate([extent.min(0), extent.max(0)])
            overlap[:, column] = np.maximum(overlap[:, column], box_iou(extent, boxes))
    matched: list[int | None] = [None] * len(boxes)
    for row, column in zip(*linear_sum_assignment(-overlap), strict=True):
        if overlap[row, column] >= SAME_BOX:
            matched[row] = int(column)
    return matched


def keypoint_box_with_room(known: Detection) -> np.ndarray:
    """Box (4,) of a person from imported keypoints, with the room that the points of head and feet leave, pixels."""
    box = known.box_px
    room = _ROOM * (box[2:] - box[:2]).max()
    return np.concatenate([box[:2] - room, box[2:] + room])


def with_landmarks(known: Detection, found: Detection) -> Detection | None:
    """Known keypoints with the landmarks of the same person: what the file lacks, 3D landmarks and the silhouette.

    Args:
        known: imported keypoints of one person.
        found: ``blazepose33`` landmarks near them.

    Returns:
        A ``blazepose33`` detection whose named points are the known ones where the file has them (hands and feet move
        with wrists and ankles); None where the landmarks are somebody else's.
    """
    names = joint_names(known.keypoint_set)
    pairs = [(BLAZEPOSE33_NAMES.index(n), k) for k, n in enumerate(names) if n in BLAZEPOSE33_NAMES]
    pairs = [(b, k) for b, k in pairs if known.confidence[k] > _SEEN]
    if not pairs:
        return None
    blazepose, index = (list(column) for column in zip(*pairs, strict=True))
    shift = known.keypoints_px[index] - found.keypoints_px[blazepose]
    side = float((known.box_px[2:] - known.box_px[:2]).max())
    if np.hypot(*shift.T).mean() > _SAME_PERSON * max(side, 1.0):
        return None
    points, confidence = found.keypoints_px.copy(), found.confidence.copy()
    points[blazepose], confidence[blazepose] = known.keypoints_px[index], known.confidence[index]
    for row, move in zip(blazepose, shift, strict=True):
        followers = [BLAZEPOSE33_NAMES.index(name) for name in _FOLLOWS.get(BLAZEPOSE33_NAMES[row], ())]
        free = [point for point in followers if point not in blazepose]
        points[free] += move
    return replace(
        known,
        keypoint_set="blazepose33",
        keypoints_px=points,
        confidence=confidence,
        world_m=found.world_m,
        mask=found.mask,
    )
