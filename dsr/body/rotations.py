"""Rotations: axis-angle, matrices, quaternions (w, x, y, z) and the 6D form; exact and differentiable at 0 and at pi.

All functions take any leading dimensions and keep the dtype; angles are radians; matrices act on column vectors.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dsr.camera.directions import unit

_SMALL = 1e-6  # below this squared angle the series is exact to double precision


def axis_angle_to_rotmat(axis_angle: Tensor) -> Tensor:
    """Rotation matrices by Rodrigues' formula; the zero vector gives the exact identity and finite gradients.

    Args:
        axis_angle: (..., 3) radians.

    Returns:
        (..., 3, 3).

    Example:
        >>> axis_angle_to_rotmat(torch.zeros(3))
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 1.]])
    """
    angle2 = (axis_angle * axis_angle).sum(-1)
    small = angle2 < _SMALL
    safe = torch.where(small, torch.ones_like(angle2), angle2)
    angle = safe.sqrt()
    sinc = torch.where(small, 1 - angle2 / 6 + angle2 * angle2 / 120, angle.sin() / angle)
    half = (angle / 2).sin()
    cosc = torch.where(small, 0.5 - angle2 / 24 + angle2 * angle2 / 720, 2 * half * half / safe)  # (1 - cos) / angle^2
    x, y, z = axis_angle.unbind(-1)
    sx, sy, sz = (sinc.unsqueeze(-1) * axis_angle).unbind(-1)
    cx, cy, cz = (cosc.unsqueeze(-1) * axis_angle).unbind(-1)
    xx, yy, zz, xy, xz, yz = cx * x, cy * y, cz * z, cx * y, cx * z, cy * z
    rows = (1 - yy - zz, xy - sz, xz + sy, xy + sz, 1 - xx - zz, yz - sx, xz - sy, yz + sx, 1 - xx - yy)
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def rotmat_to_quaternion(rotmat: Tensor) -> Tensor:
    """Unit quaternions (w, x, y, z) with w >= 0, from the best-conditioned of the four formulas.

    Args:
        rotmat: (..., 3, 3) rotation matrices.

    Returns:
        (..., 4).
    """
    m = rotmat.flatten(-2)
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = m.unbind(-1)
    squares = torch.stack(
        (1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22), -1
    )  # 4 w^2, 4 x^2, 4 y^2, 4 z^2: the largest is at least 1
    roots = squares.clamp_min(0.1).sqrt().unsqueeze(-1)
    products = torch.stack(
        (
            torch.stack((squares[..., 0], m21 - m12, m02 - m20, m10 - m01), -1),
            torch.stack((m21 - m12, squares[..., 1], m10 + m01, m02 + m20), -1),
            torch.stack((m02 - m20, m10 + m01, squares[..., 2], m21 + m12), -1),
            torch.stack((m10 - m01, m02 + m20, m21 + m12, squares[..., 3]), -1),
        ),
        -2,
    )
    best = squares.argmax(-1)[..., None, None]
    quaternion = (products / (2 * roots)).gather(-2, best.expand(*best.shape[:-2], 1, 4)).squeeze(-2)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def quaternion_to_rotmat(quaternion: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4) in (w, x, y, z) order, normalised first."""
    w, x, y, z = normalize(quaternion, dim=-1, eps=1e-12).unbind(-1)
    rows = (
        1 - 2 * (y * y + z * z),
        2 * (x * y - w * z),
        2 * (x * z + w * y),
        2 * (x * y + w * z),
        1 - 2 * (x * x + z * z),
        2 * (y * z - w * x),
        2 * (x * z - w * y),
        2 * (y * z + w * x),
        1 - 2 * (x * x + y * y),
    )
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def quaternion_to_axis_angle(quaternion: Tensor) -> Tensor:
    """Axis-angle (..., 3) with angles in [0, pi] of unit quaternions (..., 4); finite gradients at the identity."""
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    w, v = quaternion[..., 0], quaternion[..., 1:]
    sine2 = (v * v).sum(-1)
    small = sine2 < _SMALL
    sine = torch.where(small, torch.ones_like(sine2), sine2).sqrt()
    safe_w = torch.where(small, w, torch.ones_like(w))
    ratio2 = torch.where(small, sine2, torch.zeros_like(sine2)) / (safe_w * safe_w)
    series = 2 / safe_w * (1 - ratio2 / 3 + ratio2 * ratio2 / 5)
    factor = torch.where(small, series, 2 * torch.atan2(sine, w) / sine)
    return factor.unsqueeze(-1) * v


def rotmat_to_axis_angle(rotmat: Tensor) -> Tensor:
    """Axis-angle (..., 3) of rotation matrices (..., 3, 3); right at 0 and at pi, with finite gradients.

    At exactly pi both axes are valid; the one returned has its largest component positive.
    """
    return quaternion_to_axis_angle(rotmat_to_quaternion(rotmat))


def rot6d_to_rotmat(rot6d: Tensor) -> Tensor:
    """Rotation matrices of the continuous 6D form (Zhou et al., CVPR 2019), in the layout of SPIN, DSR and PersPose.

    Args:
        rot6d: (..., 6), read as a 3x2 matrix row by row: its columns are orthonormalised.

    Returns:
        (..., 3, 3) with columns b1, b2, b1 x b2.
    """
    a1, a2 = rot6d.unflatten(-1, (3, 2)).unbind(-1)
    b1 = normalize(a1, dim=-1, eps=1e-6)
    b2 = normalize(a2 - (b1 * a2).sum(-1, keepdim=True) * b1, dim=-1, eps=1e-6)
    return torch.stack((b1, b2, torch.linalg.cross(b1, b2, dim=-1)), -1)


def rotmat_to_rot6d(rotmat: Tensor) -> Tensor:
    """The 6D form (..., 6) of rotation matrices (..., 3, 3): the first two columns, row by row."""
    return rotmat[..., :2].flatten(-2)


def nearest_rotmat(matrix: Tensor) -> Tensor:
    """The rotation nearest to any 3x3 matrix in the Frobenius norm, by SVD; shapes (..., 3, 3)."""
    u, _, vt = torch.linalg.svd(matrix)
    sign = torch.linalg.det(u @ vt)
    ones = torch.ones_like(sign)
    return u @ (torch.stack((ones, ones, sign), -1).unsqueeze(-1) * vt)


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
