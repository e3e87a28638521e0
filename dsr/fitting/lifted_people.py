"""A second opinion on depth: the shipped single-frame lifter, joined with the detector's 3D landmarks of a picture.

The lifter sees no picture, only keypoints, and errs in its own way: where landmarks make knees and elbows too straight
it bends them too far. Of 28 photographs with 3D truth the landmarks are off by 72 mm, the lifter by 76, both
together by 64 (PA-MPJPE).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from dsr.body.joints import joint_names
from dsr.errors import CheckpointError
from dsr.fitting.problem import FitProblem
from dsr.fitting.sigmas import limb_weight
from dsr.lifting.base import WindowLifter

LIFTER_SIGMA = 1.2
"""Errors of the lifter's joints as a multiple of the landmarks'."""
_SCREEN = 1000.0  # pixels; the lifter brings people to one size by itself
_USED = 0.11  # the least confidence of a keypoint that is used as it is: one person is no sequence to fill gaps from


def with_lifted_limbs(problem: FitProblem) -> FitProblem:
    """The problem with its limbs' 3D landmarks between the detector's and the lifter's, by how sure both are.

    Without 3D landmarks of ``blazepose33``, or without the lifter's file, it comes back as it is.
    """
    landmarks = problem.targets.landmarks
    lifter = shipped_lifter()
    if landmarks is None or lifter is None or problem.detections[0].keypoint_set != "blazepose33":
        return problem
    names, lifted_names = joint_names("blazepose33"), joint_names("h36m17")
    limbs = torch.nonzero(limb_weight("blazepose33"))[:, 0].to(landmarks.device)
    rows = [lifted_names.index(names[i]) for i in limbs.tolist()]
    seen = np.stack([d.confidence for d in problem.detections])
    lifted = torch.as_tensor(lift_people(problem.targets.rays.cpu().numpy(), seen, lifter)[:, rows]).to(landmarks)
    mine = landmarks[:, limbs]
    middle = mine.mean(1, keepdim=True)
    centred, other = mine - middle, lifted - lifted.mean(1, keepdim=True)
    size = [points.square().sum((1, 2)).clamp(min=1e-9).sqrt() for points in (centred, other)]
    other = other * (size[0] / size[1])[:, None, None]
    known = torch.stack([torch.as_tensor(d.confidence).to(landmarks)[limbs].amin() > 0 for d in problem.detections])
    factor2 = problem.factor.square() * known  # a limb that nobody has seen would bend all others
    share = (factor2 / (factor2 + LIFTER_SIGMA**2))[:, None, None]
    moved = torch.zeros_like(landmarks)
    moved[:, limbs] = share * (other - centred)
    moved = moved + problem.model.hanging @ moved  # hands, feet and face go with what they hang on
    return replace(problem, targets=replace(problem.targets, landmarks=landmarks + moved))


@lru_cache(maxsize=1)
def shipped_lifter() -> WindowLifter | None:
    """The shipped lifter, read once; None where this installation lacks it."""
    from dsr.lifting.shipped import load_shipped

    try:
        return load_shipped("single")
    except CheckpointError:
        return None


def lift_people(rays: np.ndarray, confidence: np.ndarray, lifter: WindowLifter) -> np.ndarray:
    """Human3.6M's joints of people by a single-frame lifter.

    Args:
        rays: (B, 33, 2) x/z, y/z of BlazePose's keypoints in cameras that look straight at everybody.
        confidence: (B, 33) 0 to 1.
        lifter: the shipped one (:func:`shipped_lifter`).

    Returns:
        (B, 17, 3) metres in these cameras, the pelvis at 0.
    """
    from dsr.lifting import lift_sequence
    from dsr.tracks import detector_to_h36m17

    pixels = rays * _SCREEN + _SCREEN / 2
    sure = np.maximum(confidence, _USED)[..., None]
    keypoints = detector_to_h36m17(np.concatenate([pixels, sure], -1), "blazepose33")
    return lift_sequence(lifter, keypoints, (_SCREEN, _SCREEN)).joints_m
