"""Screen coordinates through a lens that bends: the nine intrinsics of Human3.6M's cameras, and their inverse."""

from __future__ import annotations

import torch
from torch import Tensor

from dsr.errors import CameraError

MIRRORED_SIGNS = (1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0, -1.0, 1.0)
"""Factors on the nine intrinsics for mirrored pictures: of the centre's x and of the first tangential coefficient."""
_UNBEND_STEPS = 20


def project_screen(points: Tensor, intrinsic: Tensor, distortion: bool = True) -> Tensor:
    """Screen coordinates of points, as the lifters' data sets have them (VideoPose3D's camera model).

    Args:
        points: (..., J, 3) metres in the camera. Slopes X/Z and Y/Z are kept within [-1, 1], as published: points far
            aside or behind the camera come out at that edge, without a gradient.
        intrinsic: (..., 9) or (9,): focal lengths and centre, screen-normalised (:func:`screen_intrinsic`), three
            radial and two tangential coefficients.
        distortion: off: the straight rays of a pinhole.

    Returns:
        (..., J, 2) screen coordinates.
    """
    slopes = (points[..., :2] / points[..., 2:]).clamp(-1.0, 1.0)
    focal, centre, radial, tangential = _parts(intrinsic)
    if distortion:
        factor, shift = _bending(slopes, radial, tangential)
        slopes = slopes * factor + shift
    return focal * slopes + centre


def screen_slopes(screen: Tensor, intrinsic: Tensor) -> Tensor:
    """Slopes (X/Z, Y/Z) of the rays through screen coordinates: the inverse of :func:`project_screen`.

    Args:
        screen: (..., J, 2).
        intrinsic: (..., 9) or (9,).

    Returns:
        (..., J, 2), by fixed-point steps: exact to rounding for lenses that bend less than a few parts in ten.
    """
    focal, centre, radial, tangential = _parts(intrinsic)
    straight = (screen - centre) / focal
    slopes = straight
    for _ in range(_UNBEND_STEPS if bool((intrinsic[..., 4:] != 0).any()) else 0):
        factor, shift = _bending(slopes, radial, tangential)
        slopes = (straight - shift) / factor
    return slopes


def screen_intrinsic(K: Tensor, width: float, height: float) -> Tensor:
    """The nine screen-normalised intrinsics of a pinhole camera; both axes by the width, as keypoints are.

    Args:
        K: (..., 3, 3) in pixels.
        width: of the picture, pixels.
        height: of the picture, pixels.

    Returns:
        (..., 9), its lens coefficients zero.

    Raises:
        CameraError: if the size or a focal length is not positive.
    """
    if not (width > 0 and height > 0 and bool((torch.diagonal(K, dim1=-2, dim2=-1)[..., :2] > 0).all())):
        raise CameraError(f"Size {width:g}x{height:g} and focal lengths of a camera must be positive pixels.")
    focal = torch.stack((K[..., 0, 0], K[..., 1, 1]), -1) * (2.0 / width)
    centre = K[..., :2, 2] * (2.0 / width) - K.new_tensor([1.0, height / width])
    return torch.cat((focal, centre, K.new_zeros(*K.shape[:-2], 5)), -1)


def _bending(slopes: Tensor, radial: Tensor, tangential: Tensor) -> tuple[Tensor, Tensor]:
    """What a lens multiplies slopes (..., J, 2) by, and adds to them."""
    square = slopes.square().sum(-1, keepdim=True)
    bent = 1 + (radial * torch.cat((square, square**2, square**3), -1)).sum(-1, keepdim=True)
    return bent + (tangential * slopes).sum(-1, keepdim=True), tangential * square


def _parts(intrinsic: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Focal lengths, centre, radial and tangential coefficients, each with an axis for the joints."""
    if intrinsic.shape[-1:] != (9,):
        raise CameraError(f"Intrinsics are nine numbers per camera, got shape {tuple(intrinsic.shape)}.")
    focal, centre, radial, tangential = intrinsic[..., None, :].split([2, 2, 3, 2], -1)
    return focal, centre, radial, tangential
