"""A lifter's 3D joints of a clip, turned to what its single frames say by the uncertainty of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.body.joints import joint_names

_FRAMES_TURN = 0.05
"""How far the bodies of single frames are turned off together in a whole clip, radians."""
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


def turned_to_landmarks(lifted: LiftedJoints, frames: np.ndarray, joints_m: np.ndarray) -> LiftedJoints:
    """The lifter's joints, turned together towards those of single frames by how uncertain the lifter is.

    Args:
        lifted: T frames.
        frames: (n,) numbers of frames in which the person was seen.
        joints_m: (n, 17, 3) Human3.6M joints there, metres, relative to any point.
    """
    limbs = _limbs()
    both = [
        (place[limbs], lifted.joints_m[t][limbs])
        for t, place in zip(frames, joints_m, strict=True)
        if np.isfinite(lifted.joints_m[t]).all()
    ]
    if not both:
        return lifted
    known, joints = (np.stack(part).astype(np.float64) for part in zip(*both, strict=True))
    centred = [p - p.mean(1, keepdims=True) for p in (joints, known)]
    u, _, vt = np.linalg.svd(np.einsum("tkx,tky->xy", *centred))
    turn = Rotation.from_matrix((u * [1, 1, np.linalg.det(u @ vt)] @ vt).T)
    sigma_m = float(np.nan_to_num(lifted.uncertainty_mm[:, limbs], nan=1e3, posinf=1e3).mean()) / 1000
    weight_of_frames = (_LIFTER_TURN * sigma_m) ** 2 / ((_LIFTER_TURN * sigma_m) ** 2 + _FRAMES_TURN**2)
    part = Rotation.from_rotvec(weight_of_frames * turn.as_rotvec()).as_matrix()
    return replace(lifted, joints_m=lifted.joints_m @ part.T)


@lru_cache(maxsize=1)
def _limbs() -> list[int]:
    """The limbs' joints among Human3.6M's."""
    return [i for i, name in enumerate(joint_names("h36m17")) if name in joint_names("blazepose33")]
