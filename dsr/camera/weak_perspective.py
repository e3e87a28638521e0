"""DSR's weak-perspective camera (s, tx, ty) of a crop, and the same body in the camera of the whole picture.

In the crop (specification, 2.5): translation t = (tx, ty, 2 f / (S s)) with f = 5000 and S = 224, and a point X is seen
at ``2 f / S * (X + t)_xy / (X + t)_z``, -1 to 1 across the crop, y down. That is s (X + t)_xy seen from so far away
(tz = 44.6 / s metres) that perspective hardly shows.

In the picture the body stands as far away as the true focal length says, and is seen along the ray through the crop's
middle c, at an angle theta to the optical axis; R turns that ray onto the axis (:func:`perspective_rotation`). About
c, a camera turned by R magnifies areas by ``fx fy / cos(theta)^3`` at unit depth, so that the body's origin lies at
depth ``d = 2 sqrt(fx fy) cos(theta)^-1.5 / (b s)`` of the turned camera for a crop of b pixels. It lies on the ray
through its own pixel ``c + b / 2 * s (tx, ty)``. Turning back by R^T gives global orientation and translation in the
picture's camera. Limbs nearer than the origin look larger from there than they did to the network: joints move by the
share depth offset / d, unless ``points`` lets the translation make up for it (:func:`dsr.camera.fit_translation`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dsr.camera import perspective_rotation, rotate_body_to_original, unproject
from dsr.camera.pinhole import as_like, check_intrinsics
from dsr.camera.placement import fit_translation
from dsr.errors import CameraError

FOCAL = 5000.0
"""Focal length of DSR's crop camera, pixels of the 224-pixel crop."""
CROP = 224
"""Side of DSR's crop, pixels."""
LEAST_SCALE = 0.02
"""Scales below this (a body of 2 % of the crop, or behind the camera) count as this when a body is placed."""


def camera_to_translation(camera: Tensor, focal: float = FOCAL, size: float = CROP) -> Tensor:
    """Translation in the crop's camera, as published: (tx, ty, 2 f / (S s + 1e-9)).

    Args:
        camera: (..., 3) s, tx, ty.
        focal: focal length assumed, pixels of the crop.
        size: side of the crop, pixels.

    Returns:
        (..., 3) metres.

    Example:
        >>> camera_to_translation(torch.tensor([1.0, 0.0, 0.0]))
        tensor([ 0.0000,  0.0000, 44.6429])
    """
    scale, tx, ty = camera.unbind(-1)
    return torch.stack((tx, ty, 2 * focal / (size * scale + 1e-9)), -1)


def project_weak(points: Tensor, camera: Tensor, focal: float = FOCAL, size: float = CROP) -> Tensor:
    """Points of a body as the network sees them in its crop.

    Args:
        points: (..., N, 3) metres, of the body without translation, global orientation applied.
        camera: (..., 3) s, tx, ty.
        focal: focal length assumed, pixels of the crop.
        size: side of the crop, pixels.

    Returns:
        (..., N, 2), -1 to 1 across the crop, y down.
    """
    moved = points + camera_to_translation(camera, focal, size)[..., None, :]
    return moved[..., :2] / moved[..., 2:] * (2 * focal / size)


def translation_to_camera(transl: Tensor, focal: float = FOCAL, size: float = CROP) -> Tensor:
    """The inverse of :func:`camera_to_translation` for bodies in front of the camera: (s, tx, ty), shape (..., 3)."""
    return torch.cat(((2 * focal / (size * transl[..., 2:])), transl[..., :2]), -1)


@dataclass(frozen=True)
class PlacedBody:
    """A body in the camera of the whole picture.

    Attributes:
        global_orient: (B, 3, 3).
        transl: (B, 3) metres, SMPL's translation.
        rotation: (B, 3, 3) the picture's camera to the one that looks at the crop's middle, ``X_crop = R X_cam``.
    """

    global_orient: Tensor
    transl: Tensor
    rotation: Tensor


def place_in_picture(
    global_orient: Tensor,
    camera: Tensor,
    root_joint_rest: Tensor,
    K: Tensor,
    centre_px: Tensor,
    side_px: Tensor | float,
    *,
    points: Tensor | None = None,
    confidence: Tensor | None = None,
) -> PlacedBody:
    """Put a body that was predicted from a square crop into the picture the crop was cut from.

    Args:
        global_orient: (B, 3, 3) in the crop's camera.
        camera: (B, 3) s, tx, ty; scales below :data:`LEAST_SCALE` count as that.
        root_joint_rest: (B, 3) rest place of joint 0 of the shaped body, metres.
        K: (3, 3) or (B, 3, 3) true intrinsics of the whole picture, pixels.
        centre_px: (B, 2) middle of the crop in picture pixels.
        side_px: side of the crop in picture pixels, (B,) or one number.
        points: (B, N, 3) joints of the body in the crop's camera without translation. Where given, the translation is
            the one that brings them nearest to where the network sees them (less error off the axis and close up).
        confidence: (B, N) weights of the points.

    Returns:
        Orientation and translation; the body layer with them gives vertices and joints in the picture's camera.

    Raises:
        CameraError: if K, a crop's middle or its side makes no sense.
    """
    K = check_intrinsics(as_like(K, camera))
    centre, side = as_like(centre_px, camera), as_like(side_px, camera)
    if not (torch.isfinite(side).all() and (side > 0).all()):
        raise CameraError(f"The side of a crop must be a positive number of pixels, got {side.tolist()}.")
    camera = torch.cat((camera[..., :1].clamp_min(LEAST_SCALE), camera[..., 1:]), -1)
    R = perspective_rotation(K, centre)
    # cos(theta) of the crop's ray is the z of the turned camera's axis; see the module's text for the depth
    focal = (K[..., 0, 0] * K[..., 1, 1]).sqrt() * R[..., 2, 2].clamp_min(1e-3) ** -1.5
    depth = 2 * focal / (side * camera[..., 0])
    origin_px = centre + (side / 2 * camera[..., 0])[..., None] * camera[..., 1:]
    ray = (R @ unproject(origin_px[..., None, :], 1.0, K)[..., 0, :, None])[..., 0]
    transl = depth[..., None] * ray / ray[..., 2:]
    orient, placed = rotate_body_to_original(global_orient, transl, root_joint_rest, R)
    if points is not None:
        pixels = centre[..., None, :] + side[..., None, None] / 2 * project_weak(points, camera)
        turned = points @ R  # R^T applied to rows
        shift = fit_translation(turned, pixels, K, confidence)
        root = as_like(root_joint_rest, camera)
        fitted = shift + (root[..., None, :] @ R)[..., 0, :] - root
        ahead = (turned[..., 2] + shift[..., 2:]).amin(-1, keepdim=True) > 0
        placed = torch.where(ahead, fitted, placed)
    return PlacedBody(orient, placed, R.expand_as(orient))
