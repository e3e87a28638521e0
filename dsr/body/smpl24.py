"""SMPL's 24 joints on bodies that have fingers in place of SMPL's hands: SMPL-H, SMPL-X and open-x.

The first 22 joints of such a body are SMPL's. SMPL's hand joint is the middle knuckle and turns the fingers.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from dsr.body.joints import SMPL24_NAMES, SMPLH52_NAMES, SMPLX55_NAMES
from dsr.errors import BodyError

_Pose = TypeVar("_Pose", np.ndarray, Tensor)

_FINGERS = ("index1", "middle1", "pinky1", "ring1", "thumb2")
"""What SMPL's hand joint turns; the thumb's first bone lies in the palm."""
_NAMES = {len(names): names for names in (SMPL24_NAMES, SMPLH52_NAMES, SMPLX55_NAMES)}


def smpl24_joints(num_joints: int) -> tuple[int, ...]:
    """Which joints of a body of 24, 52 or 55 are SMPL's 24: the first 22 and the middle knuckles.

    Raises:
        BodyError: for another number of joints.

    Example:
        >>> smpl24_joints(55)[20:]
        (20, 21, 28, 43)
    """
    names = _names(num_joints)
    hands = (22, 23) if num_joints == len(SMPL24_NAMES) else (names.index("left_middle1"), names.index("right_middle1"))
    return (*range(22), *hands)


def pose_from_smpl24(body_pose: _Pose, num_joints: int) -> _Pose:
    """The pose of a body with fingers that a pose of SMPL's 24 joints stands for.

    The body in it is the one of 24 joints exactly while the hand joints are at rest, as in everything that is fitted
    here. A turned hand joint turns every finger by as much about its own knuckle, where SMPL turns them all about the
    middle one: directions of fingers are the same, the knuckles stay in the palm. Jaw and eyes are at rest.

    Args:
        body_pose: (..., 23, 3) axis-angle or (..., 23, 3, 3) matrices, numpy or torch.
        num_joints: of the body: 24, 52 or 55.

    Returns:
        (..., num_joints - 1, 3) or (..., num_joints - 1, 3, 3).

    Raises:
        BodyError: if the pose has not 23 joints or the body another number of joints.

    Example:
        >>> pose_from_smpl24(torch.zeros(1, 23, 3), 55).shape
        torch.Size([1, 54, 3])
    """
    matrices = _is_matrices(body_pose, 23, "A pose of SMPL's 24 joints")
    names, at_rest = _names(num_joints), 23
    sources = [
        joint - 1 if joint < 22 or num_joints == 24 else _hand(names[joint], at_rest) for joint in range(1, num_joints)
    ]
    if matrices:
        return _with_rest(body_pose, np.eye(3), -3)[..., sources, :, :]
    return _with_rest(body_pose, np.zeros(3), -2)[..., sources, :]


def pose_to_smpl24(body_pose: _Pose, num_joints: int) -> _Pose:
    """SMPL's 23 rotations in a pose (..., num_joints - 1, 3) or (..., num_joints - 1, 3, 3) of a body with fingers.

    Raises:
        BodyError: if the pose does not belong to a body of that many joints.
    """
    kept = [joint - 1 for joint in smpl24_joints(num_joints)[1:]]
    matrices = _is_matrices(body_pose, num_joints - 1, f"A pose of {num_joints} joints")
    return body_pose[..., kept, :, :] if matrices else body_pose[..., kept, :]


def _names(num_joints: int) -> tuple[str, ...]:
    if num_joints not in _NAMES:
        raise BodyError(f"A body of {num_joints} joints is none of SMPL (24), SMPL-H (52) and SMPL-X (55).")
    return _NAMES[num_joints]


def _hand(name: str, at_rest: int) -> int:
    """Which of the 23 rotations a finger's joint takes over."""
    side, _, finger = name.partition("_")
    return {"left": 21, "right": 22}[side] if finger in _FINGERS else at_rest


def _is_matrices(pose: np.ndarray | Tensor, count: int, what: str) -> bool:
    shape = tuple(pose.shape)
    if shape[-3:] == (count, 3, 3):
        return True
    if shape[-2:] != (count, 3):
        raise BodyError(f"{what} is (..., {count}, 3) or (..., {count}, 3, 3), not {shape}.")
    return False


def _with_rest(pose: _Pose, rest: np.ndarray, axis: int) -> _Pose:
    """The pose with one more joint, at rest, behind the others."""
    shape = (*pose.shape[:axis], 1, *rest.shape)
    if isinstance(pose, np.ndarray):
        return np.concatenate([pose, np.broadcast_to(rest.astype(pose.dtype), shape)], axis)
    return torch.cat([pose, torch.from_numpy(rest).to(pose).expand(shape)], axis)
