"""Detectors' keypoints to the 17 joints of the lifters, by HoT's rule for COCO keypoints (specification, section 9)."""

from __future__ import annotations

import numpy as np

from dsr.body.joints import COCO17_NAMES, H36M17_NAMES, JOINT_SETS
from dsr.errors import UsageError

_COPIED = tuple(name for name in H36M17_NAMES if name in COCO17_NAMES)


def detector_to_h36m17(keypoints: np.ndarray, kind: str = "coco17") -> np.ndarray:
    """Keypoints of a detector as Human3.6M's 17 joints in the picture.

    Limbs are copied. Pelvis and spine come from hips and shoulders, thorax, neck and head from the face as well; the
    rule moves points along the picture's axes, so it means people who are not upside down.

    Args:
        keypoints: (..., K, 2) pixels, y down, or (..., K, 3) with confidences; NaN where missing.
        kind: ``coco17``, or a set that holds COCO's points: ``blazepose33``, ``openpose25``.

    Returns:
        (..., 17, 2 or 3); the confidence of a composed joint is the least of its parts', and it is NaN where one of
        them is; only the face needs no more than one of its own.

    Raises:
        UsageError: for a set without COCO's points, or another number of keypoints.

    Example:
        >>> detector_to_h36m17(np.zeros((5, 33, 3)), "blazepose33").shape
        (5, 17, 3)
    """
    names = JOINT_SETS.get(kind, ())
    missing = [name for name in COCO17_NAMES if name not in names]
    if missing:
        why = f"lack {missing[0]}" if names else "are no known set"
        if kind == "h36m17":
            why = "are the lifters' own joints already"
        raise UsageError(f"Keypoints {kind!r} {why}; use coco17 or blazepose33.")
    keypoints = np.asarray(keypoints)
    if keypoints.ndim < 2 or keypoints.shape[-2] != len(names) or keypoints.shape[-1] not in (2, 3):
        raise UsageError(f"{kind} has {len(names)} keypoints (u, v, confidence), got an array of {keypoints.shape}.")
    at = {name: keypoints[..., names.index(name), :2] for name in COCO17_NAMES}
    eyes, ears = ([at[f"{side}_{part}"] for side in ("left", "right")] for part in ("eye", "ear"))
    nose = at["nose"]
    if np.isnan([nose, *eyes, *ears]).any():  # of a face turned away, what is seen stands for the rest
        face = _mean_seen([nose, *eyes, *ears])
        eyes = [_or(_or(eyes[i], eyes[1 - i]), face) for i in (0, 1)]
        ears, nose = [_or(ear, face) for ear in ears], _or(nose, face)
    shoulders = (at["left_shoulder"] + at["right_shoulder"]) / 2
    hips = (at["left_hip"] + at["right_hip"]) / 2
    eyes_v = (eyes[0] + eyes[1])[..., 1] / 2
    face_u = (eyes[0] + eyes[1] + ears[0] + ears[1])[..., 0] / 4

    made = {name: at[name] for name in _COPIED}
    made["pelvis"] = hips
    made["neck_nose"] = nose - (nose - shoulders) / 4
    made["head"] = np.stack((face_u, 2 * eyes_v - nose[..., 1]), -1)
    made["thorax"] = shoulders + (nose - shoulders) / 3
    made["thorax"][..., 1] -= (eyes_v - nose[..., 1]) * 2 / 3
    made["spine"] = (shoulders + hips) / 2
    made["spine"][..., 0] += 2 * (made["spine"] - (made["pelvis"] + made["thorax"]) / 2)[..., 0]
    joints = np.stack([made[name] for name in H36M17_NAMES], -2)
    if keypoints.shape[-1] == 2:
        return joints
    score = {name: keypoints[..., names.index(name), 2] for name in COCO17_NAMES}
    least = {name: score[name] for name in _COPIED}
    trunk = [score[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "hip")]
    least["pelvis"] = np.minimum(score["left_hip"], score["right_hip"])
    least["spine"] = np.minimum.reduce(trunk)
    least["thorax"] = np.minimum(score["left_shoulder"], score["right_shoulder"])
    least["neck_nose"] = least["head"] = score["nose"]
    return np.concatenate((joints, np.stack([least[name] for name in H36M17_NAMES], -1)[..., None]), -1)


def _mean_seen(points: list[np.ndarray]) -> np.ndarray:
    """Mean of the points (..., 2) that are not NaN; NaN where all are."""
    seen = ~np.isnan(points)
    count = seen.sum(0)
    total = np.where(seen, points, 0.0).sum(0) / np.maximum(count, 1)
    return np.where(count > 0, total, np.nan)


def _or(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Points, and others where they are NaN."""
    return np.where(np.isnan(points), others, points)
