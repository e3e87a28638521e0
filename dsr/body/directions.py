"""Rotations between directions, for PersPose's inverse kinematics and twists; adds to :mod:`dsr.body.rotations`.

Any leading dimensions, dtype kept, matrices act on column vectors, quaternions are (w, x, y, z). Every function gives
finite values for finite input: a direction that is undefined (zero vectors, parallel ones) is chosen, not NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsr.body.rotations import axis_angle_to_rotmat, rotmat_to_quaternion


def unit(vector: Tensor, fallback: Tensor | None = None) -> Tensor:
    """Unit vectors (..., 3); a zero vector gives ``fallback`` (unit, broadcast), by default the x axis."""
    tiny = torch.finfo(vector.dtype).tiny ** 0.5
    length = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
    if fallback is None:
        fallback = vector.new_tensor([1.0, 0.0, 0.0])
    short = length < tiny
    return torch.where(short, fallback, vector / torch.where(short, torch.ones_like(length), length))


def unit_across(vector: Tensor, axis: Tensor) -> Tensor:
    """Unit vectors (..., 3) along the part of ``vector`` that is perpendicular to the unit ``axis``.

    Where the vector is zero or parallel to the axis (to rounding), some direction perpendicular to the axis.
    """
    direction = unit(vector)
    across = direction - (direction * axis).sum(-1, keepdim=True) * axis
    lost = torch.linalg.vector_norm(across, dim=-1, keepdim=True) < 16 * torch.finfo(axis.dtype).eps
    across = torch.where(lost, _least_axis(axis), across)
    across = unit(across - (across * axis).sum(-1, keepdim=True) * axis)  # a second time: exact after cancellation
    return unit(across - (across * axis).sum(-1, keepdim=True) * axis)


def frame(first: Tensor, second: Tensor) -> Tensor:
    """Rotation (..., 3, 3) with columns along ``first``, along ``second`` across ``first``, and their cross product."""
    x = unit(first)
    y = unit_across(second, x)
    return torch.stack((x, y, torch.linalg.cross(x, y, dim=-1)), -1)


def angle_between(a: Tensor, b: Tensor) -> Tensor:
    """Angle (...) between directions (..., 3), radians in [0, pi], exact at both ends."""
    return torch.atan2(torch.linalg.vector_norm(torch.linalg.cross(a, b, dim=-1), dim=-1), (a * b).sum(-1))


def swing(start: Tensor, target: Tensor) -> Tensor:
    """Smallest rotation (..., 3, 3) that turns the direction ``start`` to ``target``, both (..., 3).

    At 180 degrees the axis is not unique; one is chosen.
    """
    a, b = unit(start), unit(target)
    axis = unit_across(torch.linalg.cross(a, b, dim=-1), a)
    return axis_angle_to_rotmat(axis * angle_between(a, b).unsqueeze(-1))


def swing_twist(rotmat: Tensor, axis: Tensor) -> tuple[Tensor, Tensor]:
    """Split rotations into a twist about an axis, then a swing: ``rotmat = swing @ twist``.

    Args:
        rotmat: (..., 3, 3).
        axis: (..., 3), any length.

    Returns:
        The twist's angle (...) about the axis, radians in [-pi, pi], and the swing (..., 3, 3), whose axis is
        perpendicular to it.
    """
    axis = unit(axis)
    quaternion = rotmat_to_quaternion(rotmat)
    angle = 2 * torch.atan2((quaternion[..., 1:] * axis).sum(-1), quaternion[..., 0])
    return angle, rotmat @ axis_angle_to_rotmat(-angle.unsqueeze(-1) * axis)


def quaternion_multiply(a: Tensor, b: Tensor) -> Tensor:
    """Product (..., 4): the rotation ``b`` first, then ``a``."""
    aw, av, bw, bv = a[..., :1], a[..., 1:], b[..., :1], b[..., 1:]
    vector = aw * bv + bw * av + torch.linalg.cross(av, bv, dim=-1)
    return torch.cat((aw * bw - (av * bv).sum(-1, keepdim=True), vector), -1)


def quaternion_rotate(quaternion: Tensor, vector: Tensor) -> Tensor:
    """Vectors (..., 3) turned by unit quaternions (..., 4)."""
    w, v = quaternion[..., :1], quaternion[..., 1:]
    across = 2 * torch.linalg.cross(v, vector, dim=-1)
    return vector + w * across + torch.linalg.cross(v, across, dim=-1)


def _least_axis(direction: Tensor) -> Tensor:
    """The coordinate axis (..., 3) that a unit direction is furthest from."""
    return torch.nn.functional.one_hot(direction.abs().argmin(-1), 3).to(direction)
