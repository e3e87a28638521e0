"""A lifter's 3D joints of a clip, joined with the detector's own 3D landmarks by the uncertainty of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.body.joints import joint_names
from dsr.people.types import Detection

_DETECTOR_M = 0.1
"""How far the detector's own 3D landmarks are off, against which a lifter's uncertainty is weighed."""
_DETECTOR_TURN = 0.05
"""How far those of a whole clip are turned off together, radians."""
_LIFTER_TURN = 1.4
"""The same of a lifter, per metre of its uncertainty: it sees no picture, and errs most in lean and facing."""


@dataclass(frozen=True)
class LiftedJoints:
    """A lifter's 3D joints of a track of T frames.

    Attributes:
        joints_m: (T, 17, 3) Human3.6M joints relative to any point, metres, camera axes.
        uncertainty_mm: (T, 17) one standard deviation, millimetres.
    """

    joints_m: np.ndarray
    uncertainty_mm: np.ndarray


def turned_to_landmarks(lifted: LiftedJoints, detections: Sequence[Detection | None]) -> LiftedJoints:
    """The lifter's joints, turned together towards the detector's 3D landmarks by how uncertain the lifter is.

    Args:
        lifted: T frames.
        detections: the same T frames, None where the person was not seen.
    """
    blazepose, h36m = _limbs()
    both = [
        (d.world_m[blazepose], lifted.joints_m[t][h36m], d.confidence[blazepose] ** 2 + 1e-6)
        for t, d in enumerate(detections)
        if d is not None and _has_landmarks(d) and d.world_m is not None and np.isfinite(lifted.joints_m[t]).all()
    ]
    if not both:
        return lifted
    landmarks, joints, weight = (np.stack(part).astype(np.float64) for part in zip(*both, strict=True))
    centre = [np.einsum("tk,tkx->tx", weight, p) / weight.sum(1, keepdims=True) for p in (joints, landmarks)]
    centred = [p - c[:, None] for p, c in zip((joints, landmarks), centre, strict=True)]
    u, _, vt = np.linalg.svd(np.einsum("tk,tkx,tky->xy", weight, *centred))
    turn = Rotation.from_matrix((u * [1, 1, np.linalg.det(u @ vt)] @ vt).T)
    sigma_m = float(np.nan_to_num(lifted.uncertainty_mm[:, h36m], nan=1e3, posinf=1e3).mean()) / 1000
    weight_of_landmarks = (_LIFTER_TURN * sigma_m) ** 2 / ((_LIFTER_TURN * sigma_m) ** 2 + _DETECTOR_TURN**2)
    part = Rotation.from_rotvec(weight_of_landmarks * turn.as_rotvec()).as_matrix()
    return replace(lifted, joints_m=lifted.joints_m @ part.T)


def _has_landmarks(detection: Detection) -> bool:
    return detection.world_m is not None and detection.keypoint_set == "blazepose33"


@lru_cache(maxsize=1)
def _limbs() -> tuple[list[int], list[int]]:
    """The limbs' joints among BlazePose's points, and among Human3.6M's."""
    h36m, blazepose = joint_names("h36m17"), joint_names("blazepose33")
    limbs = [name for name in h36m if name in blazepose]
    return [blazepose.index(name) for name in limbs], [h36m.index(name) for name in limbs]


def with_lifted_limbs(detection: Detection, joints: np.ndarray, sigma_m: np.ndarray) -> Detection:
    """A detection whose limbs' 3D landmarks are moved to the lifter's, as far as the lifter is the more certain.

    Args:
        detection: one frame's; without BlazePose's 3D landmarks it comes back as it is.
        joints: (17, 3) the lifter's joints, metres, relative to any point, at any scale.
        sigma_m: (17,) their standard deviations, metres.
    """
    if not _has_landmarks(detection) or detection.world_m is None or not np.isfinite(joints).all():
        return detection
    names = joint_names("blazepose33")
    blazepose, h36m = _limbs()
    limbs = [names[i] for i in blazepose]
    world = detection.world_m.astype(np.float64).copy()
    centre, middle = joints[h36m].mean(0), world[blazepose].mean(0)
    size = np.linalg.norm(world[blazepose] - middle) / max(float(np.linalg.norm(joints[h36m] - centre)), 1e-6)
    weight = _DETECTOR_M**2 / (_DETECTOR_M**2 + np.nan_to_num(sigma_m[h36m], nan=np.inf) ** 2)
    moved = weight[:, None] * ((joints[h36m] - centre) * size + middle - world[blazepose])
    world[blazepose] += moved
    for name, shift in zip(limbs, moved, strict=True):  # what hangs on a wrist or ankle goes with it
        side = name.split("_")[0]
        hanging = {"wrist": ("pinky", "index", "thumb"), "ankle": ("heel", "foot_index")}.get(name.split("_")[-1], ())
        for part in hanging:
            world[names.index(f"{side}_{part}")] += shift
    world[:11] += moved[[limbs.index("left_shoulder"), limbs.index("right_shoulder")]].mean(0)
    return replace(detection, world_m=world)
