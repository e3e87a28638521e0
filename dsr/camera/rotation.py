"""Perspective rotation: turn the virtual camera so that a person sits on the optical axis, and turn the results back.

PersPose, arXiv 2508.17239, section 3: ``X_rotated = R X_camera``; the picture follows by the homography ``K R K^-1``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsr.camera.directions import cross_matrix, swing, unit
from dsr.camera.pinhole import as_like, check_intrinsics, unproject
from dsr.errors import CameraError


def perspective_rotation(
    K: Tensor, centre_px: Tensor, aim_px: Tensor | None = None, twist_deg: Tensor | float | None = None
) -> Tensor:
    """Rotation that brings the viewing ray through a pixel onto the optical axis, without roll about it.

    The smallest rotation between two unit rays, ``R = I + [v] + [v]^2 / (1 + c)`` with ``v = d0 x d1`` and
    ``c = d0 . d1``: the turn by ``atan2(|v|, c)`` about v. It is exact and differentiable for the smallest angles too.
    The published code clamps an arc cosine instead: angles below 4.9e-4 rad become 4.9e-4 rad, the others are off by
    its 1e-8 guards against division by zero (8e-8 rad at most in the golden vectors).

    Args:
        K: intrinsics of the full picture, shape (..., 3, 3), pixels.
        centre_px: box centres (u, v), shape (..., 2), pixels.
        aim_px: pixel whose ray the centre is brought onto, shape (..., 2); the principal point where None.
        twist_deg: extra turn about the aimed ray in degrees, shape (...); none where None.

    Returns:
        Rotation matrices, shape (..., 3, 3); ``X_rotated = R @ X_camera``.

    Raises:
        CameraError: if K is not finite with positive focal lengths, or a pixel is not finite.

    Example:
        >>> perspective_rotation(torch.eye(3)[None], torch.zeros(1, 2))
        tensor([[[1., 0., 0.],
                 [0., 1., 0.],
                 [0., 0., 1.]]])
    """
    K = check_intrinsics(K)
    start = _ray(K, as_like(centre_px, K), "box centre")
    if aim_px is None:
        target = torch.zeros_like(start)
        target[..., 2] = 1.0
    else:
        target = _ray(K, as_like(aim_px, K), "aim")
    R = swing(start, target)
    if twist_deg is not None:
        angle = torch.deg2rad(as_like(twist_deg, K))[..., None, None]
        cross = cross_matrix(unit(target))
        R = (torch.eye(3).to(K) + torch.sin(angle) * cross + (1.0 - torch.cos(angle)) * (cross @ cross)) @ R
    return R


def homography(K: Tensor, R: Tensor) -> Tensor:
    """Picture of a purely rotated camera: ``H = K R K^-1`` maps original pixels to pixels of the rotated view (same K).

    Args:
        K: intrinsics, shape (..., 3, 3).
        R: rotation, shape (..., 3, 3).

    Returns:
        Homographies, shape (..., 3, 3).
    """
    K = check_intrinsics(K)
    return K @ as_like(R, K) @ torch.linalg.inv(K)


def rotate_points(points: Tensor, R: Tensor) -> Tensor:
    """Points of the original camera, seen in the rotated one.

    Args:
        points: shape (..., N, 3).
        R: result of :func:`perspective_rotation`, shape (..., 3, 3).

    Returns:
        Points, shape (..., N, 3).
    """
    return points @ as_like(R, points).transpose(-1, -2)


def rotate_points_to_original(points: Tensor, R: Tensor) -> Tensor:
    """Points of the rotated camera, back in the original one: the inverse of :func:`rotate_points`.

    Args:
        points: shape (..., N, 3).
        R: result of :func:`perspective_rotation`, shape (..., 3, 3).

    Returns:
        Points, shape (..., N, 3).
    """
    return points @ as_like(R, points)


def rotate_body(global_orient: Tensor, transl: Tensor, root_joint_rest: Tensor, R: Tensor) -> tuple[Tensor, Tensor]:
    """SMPL root orientation and translation of a body after its camera was turned by R.

    An SMPL body turns about its root joint's rest place j0, so that ``transl' = R (j0 + transl) - j0`` (PersPose
    specification, section 4). Vertices and joints then follow as ``X' = R X``.

    Args:
        global_orient: root rotation, shape (..., 3, 3).
        transl: translation, shape (..., 3), metres.
        root_joint_rest: rest position of joint 0 of the shaped body, shape (..., 3), metres.
        R: rotation of the camera, shape (..., 3, 3).

    Returns:
        global_orient (..., 3, 3) and transl (..., 3) in the rotated camera.
    """
    R = as_like(R, transl)
    root = as_like(root_joint_rest, transl)
    return R @ as_like(global_orient, transl), (R @ (root + transl)[..., None])[..., 0] - root


def rotate_body_to_original(
    global_orient: Tensor, transl: Tensor, root_joint_rest: Tensor, R: Tensor
) -> tuple[Tensor, Tensor]:
    """SMPL root orientation and translation back in the original camera: the inverse of :func:`rotate_body`.

    Args:
        global_orient: root rotation in the rotated camera, shape (..., 3, 3).
        transl: translation in the rotated camera, shape (..., 3), metres.
        root_joint_rest: rest position of joint 0 of the shaped body, shape (..., 3), metres.
        R: result of :func:`perspective_rotation`, shape (..., 3, 3).

    Returns:
        global_orient (..., 3, 3) and transl (..., 3) in the original camera.
    """
    return rotate_body(global_orient, transl, root_joint_rest, torch.as_tensor(R).transpose(-1, -2))


def _ray(K: Tensor, pixel: Tensor, name: str) -> Tensor:
    """Viewing ray through a pixel, at depth 1."""
    if not torch.isfinite(pixel).all():
        raise CameraError(f"The {name} must be finite, got {pixel.tolist()}.")
    return unproject(pixel[..., None, :], 1.0, K)[..., 0, :]
