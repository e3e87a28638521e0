"""What a lifter says of a clip, joined with the detector's own 3D landmarks by how sure both are."""

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
class Lifted:
    """What a lifter says about a track of T frames.

    Attributes:
        joints_m: (T, 17, 3) Human3.6M joints relative to any point, metres, camera axes.
        uncertainty_mm: (T, 17) one standard deviation, millimetres.
    """

    joints_m: np.ndarray
    uncertainty_mm: np.ndarray


def turned_to_landmarks(lifted: Lifted, seen: Sequence[Detection | None]) -> Lifted:
    """The lifter's joints of a clip, turned together towards the detector's, as far as those know better."""
    mine, theirs = _limbs()
    both = [
        (d.world_m[mine], lifted.joints_m[t][theirs], d.confidence[mine] ** 2 + 1e-6)
        for t, d in enumerate(seen)
        if d is not None and _has_landmarks(d) and d.world_m is not None and np.isfinite(lifted.joints_m[t]).all()
    ]
    if not both:
        return lifted
    wanted, ours, weight = (np.stack(column).astype(np.float64) for column in zip(*both, strict=True))
    centre = [np.einsum("tk,tkx->tx", weight, p) / weight.sum(1, keepdims=True) for p in (ours, wanted)]
    centred = [p - c[:, None] for p, c in zip((ours, wanted), centre, strict=True)]
    u, _, vt = np.linalg.svd(np.einsum("tk,tkx,tky->xy", weight, *centred))
    turn = Rotation.from_matrix((u * [1, 1, np.linalg.det(u @ vt)] @ vt).T)
    unsure = float(np.nan_to_num(lifted.uncertainty_mm[:, theirs], nan=1e3, posinf=1e3).mean()) / 1000
    share = (_LIFTER_TURN * unsure) ** 2 / ((_LIFTER_TURN * unsure) ** 2 + _DETECTOR_TURN**2)
    part = Rotation.from_rotvec(share * turn.as_rotvec()).as_matrix()
    return replace(lifted, joints_m=lifted.joints_m @ part.T)


def _has_landmarks(detection: Detection) -> bool:
    return detection.world_m is not None and detection.keypoint_set == "blazepose33"


@lru_cache(maxsize=1)
def _limbs() -> tuple[list[int], list[int]]:
    """The limbs' joints among BlazePose's points, and among Human3.6M's."""
    theirs, mine = joint_names("h36m17"), joint_names("blazepose33")
    limbs = [name for name in theirs if name in mine]
    return [mine.index(name) for name in limbs], [theirs.index(name) for name in limbs]


def with_lifted(detection: Detection, joints: np.ndarray, unsure_m: np.ndarray) -> Detection:
    """A detection whose limbs' 3D landmarks are moved to the lifter's, as far as that is the surer of the two."""
    if not _has_landmarks(detection) or detection.world_m is None or not np.isfinite(joints).all():
        return detection
    mine = joint_names("blazepose33")
    b, a = _limbs()
    limbs = [mine[i] for i in b]
    world = detection.world_m.astype(np.float64).copy()
    centre, middle = joints[a].mean(0), world[b].mean(0)
    size = np.linalg.norm(world[b] - middle) / max(float(np.linalg.norm(joints[a] - centre)), 1e-6)
    share = _DETECTOR_M**2 / (_DETECTOR_M**2 + np.nan_to_num(unsure_m[a], nan=np.inf) ** 2)
    moved = share[:, None] * ((joints[a] - centre) * size + middle - world[b])
    world[b] += moved
    for name, shift in zip(limbs, moved, strict=True):  # what hangs on a wrist or ankle goes with it
        side = name.split("_")[0]
        hanging = {"wrist": ("pinky", "index", "thumb"), "ankle": ("heel", "foot_index")}.get(name.split("_")[-1], ())
        for part in hanging:
            world[mine.index(f"{side}_{part}")] += shift
    world[:11] += moved[[limbs.index("left_shoulder"), limbs.index("right_shoulder")]].mean(0)
    return replace(detection, world_m=world)
