"""How far a detector's keypoints and 3D landmarks are off: standard deviations per joint, and per person.

Measured on 971 people of :mod:`dsr.synthetic`, 175 renders and 28 photographs with 3D truth, all with the same result
to a few millimetres: after turning nothing and aligning place and size, landmarks are off by about as much across the
line of sight everywhere, and by two to three times as much along it, the farther from the trunk the more. Most of that
is common to all joints of a person (96 renders, 23 photographs): the whole leans by 6 degrees, is turned about its own
axis by 8, and is too flat or too deep by a third; what remains along the line of sight is half as much.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dsr.body.joints import joint_names

LANDMARK_SIGMA_M = {
    "shoulder": (0.03, 0.045),
    "hip": (0.03, 0.05),
    "elbow": (0.035, 0.052),
    "knee": (0.035, 0.075),
    "wrist": (0.045, 0.085),
    "ankle": (0.045, 0.08),
}
"""Errors of the detector's 3D landmarks by a part of their name, across and along the line of sight, metres."""
LEAN_RAD, YAW_RAD, FLAT = 0.15, 0.14, 0.35
"""Errors that all joints of a person share: a turn about the axis across the line of sight and about the upright one,
and depths as a share of themselves."""
HANGING_SIGMA_M = (0.05, 0.07)
"""The same of points on hands, feet and the face, relative to wrists, ankles and shoulders."""
ACROSS, ALONG = 1.75, 1.2
"""Factors on them in a fit: errors of one person's landmarks go together, and across the line of sight they are those
of the keypoints, which are fitted already."""
PIXEL_SIGMA = 0.012
"""Error of a keypoint as a share of the person's box side."""
USUAL_DISAGREEMENT = 0.015
"""How far a detector's 3D landmarks are at least from its own keypoints, as a share of the box side: the least of 1174
people. Where they agree better, somebody knows better than a detector."""
LEAST_FACTOR = 0.06


@lru_cache(maxsize=8)
def landmark_sigma(keypoint_set: str) -> Tensor:
    """(K, 3) standard deviations of a detector's 3D landmarks, metres, the last along the line of sight."""
    rows = []
    for name in joint_names(keypoint_set):
        across, along = next((s for part, s in LANDMARK_SIGMA_M.items() if part in name), HANGING_SIGMA_M)
        limb = any(part in name for part in LANDMARK_SIGMA_M)
        across, along = (ACROSS * across, ALONG * along) if limb else (across, along)
        rows.append((across, across, along))
    return torch.tensor(rows, dtype=torch.float64)


def common_errors(landmarks: Tensor, keypoint_set: str) -> Tensor:
    """Standard deviations of the errors that the limbs' 3D landmarks share.

    Args:
        landmarks: (B, K, 3) metres, in a camera that looks straight at everybody.
        keypoint_set: theirs.

    Returns:
        (B, 3, K, 3) metres: leaning, turned, too flat or too deep.
    """
    limbs = limb_weight(keypoint_set).to(landmarks)
    middle = (limbs[:, None] * landmarks).sum(1, keepdim=True) / limbs.sum()
    x, y, z = (limbs * part for part in (landmarks - middle).unbind(-1))
    no = torch.zeros_like(x)
    leaning, turned, flat = (torch.stack(parts, -1) for parts in ((no, -z, y), (z, no, -x), (no, no, z)))
    return torch.stack([LEAN_RAD * leaning, YAW_RAD * turned, FLAT * flat], 1)


def disagreement(rays: Tensor, landmarks: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """How far people's 3D landmarks are from their keypoints once they are put where they fit best.

    Args:
        rays: (B, K, 2) x/z, y/z of the keypoints.
        landmarks: (B, K, 3) metres, same camera.
        weight: (B, K).
        scale: (B,) box side in the units of the rays.

    Returns:
        (B,) weighted root mean square, as a share of the box side.
    """
    # x + tx - u (z + tz) = 0 and the same for y: three unknowns
    batch, count = weight.shape
    system = torch.zeros(batch, count, 2, 3).to(rays)
    system[..., 0, 0] = system[..., 1, 1] = 1.0
    system[..., 2] = -rays
    goal = rays * landmarks[..., 2:] - landmarks[..., :2]
    root = weight.sqrt()[..., None]
    a, b = (system * root[..., None]).flatten(1, 2), (goal * root).flatten(1)
    normal = a.transpose(1, 2) @ a + 1e-9 * torch.eye(3).to(rays)
    place = torch.linalg.solve(normal, (a.transpose(1, 2) @ b[..., None])[..., 0])
    placed = landmarks + place[:, None]
    off = placed[..., :2] / placed[..., 2:].clamp(min=0.1) - rays
    mean = (weight * off.square().sum(-1)).sum(1) / weight.sum(1).clamp(min=1e-9)
    return mean.sqrt() / scale


def person_factor(off: Tensor) -> Tensor:
    """(B,) factor on a person's standard deviations, by their :func:`disagreement`; 1 for whatever a detector gives."""
    return (off / USUAL_DISAGREEMENT).clamp(LEAST_FACTOR, 1.0)


@lru_cache(maxsize=8)
def limb_weight(keypoint_set: str) -> Tensor:
    """(K,) 1 for the joints of the limbs, 0 for all other keypoints."""
    limbs = tuple(LANDMARK_SIGMA_M)
    return torch.from_numpy(np.array([float(name.endswith(limbs)) for name in joint_names(keypoint_set)]))
