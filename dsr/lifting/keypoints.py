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
        keypoints: (..., K, 2) pixels, y down, or (..., K, 3) with confidences.
        kind: ``coco17``, or a set that holds COCO's points: ``blazepose33``, ``openpose25``.

    Returns:
        (..., 17, 2 or 3); the confidence of a composed joint is the least of its parts'.

    Raises:
        UsageError: for a set without COCO's points, or another number of keypoints.

    Example:
        >>> detector_to_h36m17(np.zeros((5, 33, 3)), "blazepose33").shape
        (5, 17, 3)
    """
    names = JOINT_SETS.get(kind, ())
    missing = [name for name in COCO17_NAMES if name not in names]
    if missing:
        raise UsageError(f"Keypoints {kind!r} cannot be lifted: they lack {missing[0]}; use coco17 or blazepose33.")
    keypoints = np.asarray(keypoints)
    if keypoints.ndim < 2 or keypoints.shape[-2] != len(names) or keypoints.shape[-1] not in (2, 3):
        raise UsageError(f"{kind} has {len(names)} keypoints (u, v, confidence), got an array of {keypoints.shape}.")
    at = {name: keypoints[..., names.index(name), :2] for name in COCO17_NAMES}
    nose = at["nose"]
    shoulders = (at["left_shoulder"] + at["right_shoulder"]) / 2
    hips = (at["left_hip"] + at["right_hip"]) / 2
    eyes_v = (at["left_eye"] + at["right_eye"])[..., 1] / 2
    face_u = (at["left_eye"] + at["right_eye"] + at["left_ear"] + at["right_ear"])[..., 0] / 4

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
