"""Directions in space and the smallest rotations between them.

Any leading dimensions, dtype kept, matrices act on column vectors. Every function gives finite values for finite input:
a direction that is undefined (zero vectors, parallel ones) is chosen, not NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor


def unit(vector: Tensor, fallback: Tensor | None = None) -> Tensor:
    """Unit vectors (..., 3); a zero vector gives ``fallback`` (unit, broadcast), by default the x axis."""
    tiny = torch.finfo(vector.dtype).tiny ** 0.5
    length = _length(vector)
    if fallback is None:
        fallback = vector.new_tensor([1.0, 0.0, 0.0])
    short = length < tiny
    return torch.where(short, fallback, vector / torch.where(short, torch.ones_like(length), length))


def unit_across(vector: Tensor, axis: Tensor) -> Tensor:
    """Unit vectors (..., 3) along the part of ``vector`` that is perpendicular to the unit ``axis``.

    Where the vector is zero or parallel to the axis (to rounding), some direction perpendicular to the axis.
    """
    across = _without(vector, axis)
    near_parallel = _length(across) <= 0.1 * _length(vector)  # cancellation has cost digits
    careful = _without(unit(vector), axis)
    lost = _length(careful) < 16 * torch.finfo(axis.dtype).eps
    careful = unit(_without(torch.where(lost, _least_axis(axis), careful), axis))
    return unit(torch.where(near_parallel, _without(careful, axis), across))


def frame(first: Tensor, second: Tensor) -> Tensor:
    """Rotation (..., 3, 3) with columns along ``first``, along ``second`` across ``first``, and their cross product."""
    x = unit(first)
    y = unit_across(second, x)
    return torch.stack((x, y, torch.linalg.cross(x, y, dim=-1)), -1)


def angle_between(a: Tensor, b: Tensor) -> Tensor:
    """Angle (...) between directions (..., 3), radians in [0, pi], exact at both ends."""
    return torch.atan2(torch.linalg.vector_norm(torch.linalg.cross(a, b, dim=-1), dim=-1), (a * b).sum(-1))


def cross_matrix(vector: Tensor) -> Tensor:
    """Matrices [v] (..., 3, 3) of vectors (..., 3) with ``[v] x = v x x``."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def swing(start: Tensor, target: Tensor) -> Tensor:
    """Smallest rotation (..., 3, 3) that turns the direction ``start`` to ``target``, both (..., 3) of any length.

    ``R = I + [v] + [v]^2 / (1 + c)`` with ``v = a x b`` and ``c = a . b`` of the unit vectors a and b: exact and
    differentiable for the smallest angles too. Beyond 90 degrees it is two half turns, about a and about the direction
    h halfway to b, ``R = (2 h h^T - I) (2 a a^T - I)``, which stays a rotation up to 180 degrees; there the axis is not
    unique and one is chosen. A zero target turns nothing.
    """
    a = unit(start)
    a, b = torch.broadcast_tensors(a, unit(target, a))
    cross = cross_matrix(torch.linalg.cross(a, b, dim=-1))
    cosine = (a * b).sum(-1)[..., None, None]
    wide = cosine < 0
    eye = torch.eye(3).to(a)
    near = eye + cross + cross @ cross / torch.where(wide, torch.ones_like(cosine), 1.0 + cosine)
    if not bool(wide.any()):
        return near
    halfway = unit_across(a + b, unit(a - b))
    far = _half_turn(halfway) @ _half_turn(a)
    return torch.where(wide, far, near)


def _half_turn(axis: Tensor) -> Tensor:
    """Rotation by 180 degrees about a unit axis."""
    return 2 * axis[..., :, None] * axis[..., None, :] - torch.eye(3).to(axis)


def _without(vector: Tensor, axis: Tensor) -> Tensor:
    """What is left of vectors without their part along a unit axis."""
    return vector - (vector * axis).sum(-1, keepdim=True) * axis


def _length(vector: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vector, dim=-1, keepdim=True)


def _least_axis(direction: Tensor) -> Tensor:
    """The coordinate axis (..., 3) that a unit direction is furthest from."""
    return torch.nn.functional.one_hot(direction.abs().argmin(-1), 3).to(direction)
