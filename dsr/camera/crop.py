"""Perspective crop and perspective encoding: a square picture of one person as a camera that looks straight at them.

PersPose, arXiv 2508.17239, sections 3 and 4 (specification sections 4 and 5.1). The crop's principal point is its
middle and its two focal lengths are equal, so the encoding carries the crop's focal length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dsr.camera.pinhole import as_like, check_intrinsics, unproject
from dsr.camera.rotation import homography, perspective_rotation
from dsr.errors import CameraError

MAX_ANGLE_DEG = 80.0
"""A crop reaches at most this far from its axis to each side; beyond 90 degrees there is no picture."""
STRETCH_LIMITS = (0.5, 2.0)
"""Range of fy / fx that the crop makes square (specification section 4, 3)."""


@dataclass(frozen=True)
class PerspectiveCrop:
    """Geometry of a crop; leading dimensions as given to :func:`perspective_crop`.

    Attributes:
        rotation: (..., 3, 3) original camera to crop camera, ``X_crop = rotation @ X_cam``.
        homography: (..., 3, 3) full-picture pixels to crop pixels.
        K_crop: (..., 3, 3) intrinsics of the crop; projecting ``X_crop`` with it gives crop pixels.
        size: side of the crop in pixels.
    """

    rotation: Tensor
    homography: Tensor
    K_crop: Tensor
    size: int


def perspective_crop(
    K: Tensor,
    box_xyxy: Tensor,
    size: int = 256,
    *,
    margin: float = 1.0,
    rotate: bool = True,
    rotation: Tensor | None = None,
) -> PerspectiveCrop:
    """Turn the camera towards a box and crop a square around it.

    The box is warped by the rotation, made symmetric about the principal point and scaled so that its longer half fills
    the crop. Where a warped corner would come near or behind the camera plane (very wide lenses), the crop ends
    80 degrees from its axis instead. With fx != fy the shorter focal length's axis is stretched afterwards, as
    published, and may reach over the crop's border.

    Args:
        K: intrinsics of the full picture, shape (..., 3, 3), pixels.
        box_xyxy: box x0, y0, x1, y1 in full-picture pixels, shape (..., 4); not x, y, width, height.
        size: side of the square crop in pixels.
        margin: factor on the box's width and height about its centre, before everything else.
        rotate: False leaves the camera as it is and crops about the box's middle (pictures without intrinsics: COCO).
        rotation: turn the camera by this, shape (..., 3, 3), instead of towards the box's middle (in training the box
            is the extent of the true mesh and the camera looks at the detector's box).

    Returns:
        Rotation, full-picture-to-crop homography and crop intrinsics.

    Raises:
        CameraError: if K or a box is not finite, a focal length is not positive, or a box has no area.
    """
    K = check_intrinsics(K)
    box = _check_box(as_like(box_xyxy, K), margin)
    centre = (box[..., :2] + box[..., 2:]) / 2
    if not rotate:
        K, centre, extent = _broadcast(K, centre, box[..., 2:] - box[..., :2])
        R = torch.eye(3).to(K).expand_as(K)
        C = crop_affine(centre, extent, size)
        return PerspectiveCrop(R, C, C @ K, size)
    R = perspective_rotation(K, centre) if rotation is None else as_like(rotation, K)
    focal = torch.stack([K[..., 0, 0], K[..., 1, 1]], dim=-1)
    half = _half_extent(R, box, K) * focal
    stretch = (K[..., 1, 1] / K[..., 0, 0]).clamp(*STRETCH_LIMITS)
    K, principal, extent = _broadcast(K, K[..., :2, 2], 2 * half)
    C = crop_affine(principal, extent, size, stretch=stretch)
    return PerspectiveCrop(R, C @ homography(K, R), C @ K, size)


def crop_affine(centre_px: Tensor, extent_px: Tensor, size: int, *, stretch: Tensor | float = 1.0) -> Tensor:
    """Similarity (and stretch) that puts a box into the middle of a square crop, its longer side filling it.

    Args:
        centre_px: middle of the box, shape (..., 2).
        extent_px: width and height of the box, shape (..., 2).
        size: side of the crop in pixels.
        stretch: fy / fx; above 1 the crop's x is scaled by it, below 1 its y by the inverse, shape (...).

    Returns:
        Matrix C, shape (..., 3, 3), picture pixels to crop pixels.
    """
    scale = size / extent_px.amax(dim=-1)
    stretch = as_like(stretch, scale)
    scale_uv = torch.stack([scale * stretch.clamp(min=1.0), scale / stretch.clamp(max=1.0)], dim=-1)
    C = torch.diag_embed(torch.cat([scale_uv, torch.ones_like(scale_uv[..., :1])], dim=-1))
    shift = size / 2 - scale_uv * centre_px
    return torch.cat([torch.cat([C[..., :2, :2], shift[..., None]], dim=-1), C[..., 2:, :]], dim=-2)


def perspective_encoding(K_crop: Tensor, size: int = 256) -> Tensor:
    """PersPose's encoding map: normalised image-plane coordinates of every 4 x 4 cell of the crop (specification 5.1).

    Args:
        K_crop: intrinsics of the crops, shape (..., 3, 3), pixels.
        size: side of the crop in pixels, a multiple of 4.

    Returns:
        Map, shape (..., 2, size / 4, size / 4); channel 0 is ``(u - cx) / fx``, channel 1 ``(v - cy) / fy``.

    Raises:
        CameraError: if K_crop is not usable or the size is not a multiple of 4.
    """
    K_crop = check_intrinsics(K_crop)
    if size <= 0 or size % 4:
        raise CameraError(f"The crop size must be a positive multiple of 4, got {size}.")
    cells = size // 4
    ticks = (torch.arange(cells, dtype=K_crop.dtype, device=K_crop.device) + 0.5) * 4
    x = (ticks - K_crop[..., 0, 2, None]) / K_crop[..., 0, 0, None]
    y = (ticks - K_crop[..., 1, 2, None]) / K_crop[..., 1, 1, None]
    shape = (*K_crop.shape[:-2], cells, cells)
    return torch.stack([x[..., None, :].expand(shape), y[..., :, None].expand(shape)], dim=-3)


def warp_crop(
    image: np.ndarray, homography: Tensor | np.ndarray, size: int = 256, *, pixel_centre: float = 0.5
) -> np.ndarray:
    """Resample a picture into a crop: bilinear, black outside, one resampling only.

    A crop much smaller than what it shows is not low-pass filtered, exactly as published.

    Args:
        image: (h, w, 3) or (h, w), uint8 or float32.
        homography: (3, 3) picture pixels to crop pixels; for a picture at working size multiply a full-picture one from
            the right by ``diag(1 / scale, 1 / scale, 1)``.
        size: side of the crop in pixels.
        pixel_centre: where the first pixel's centre lies; 0.5 here as everywhere in this package, 0.0 reproduces the
            published crops, half a picture pixel away.

    Returns:
        Crop, (size, size[, 3]), of the picture's type.

    Raises:
        CameraError: if the homography is not a finite (3, 3) matrix.
    """
    import cv2

    if isinstance(homography, Tensor):
        homography = homography.detach().cpu().numpy()
    M = np.asarray(homography, dtype=np.float64)
    if M.shape != (3, 3) or not np.isfinite(M).all():
        raise CameraError(f"The homography must be a finite (3, 3) matrix, got shape {M.shape}.")
    shift = np.array([[1.0, 0.0, pixel_centre], [0.0, 1.0, pixel_centre], [0.0, 0.0, 1.0]])
    return cv2.warpPerspective(
        image, np.linalg.inv(shift) @ M @ shift, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )


def _check_box(box: Tensor, margin: float) -> Tensor:
    """Box (..., 4) with its margin, or the reason why it cannot be one."""
    if box.shape[-1] != 4:
        raise CameraError(f"Boxes must have shape (..., 4) as x0, y0, x1, y1, got {tuple(box.shape)}.")
    extent = box[..., 2:] - box[..., :2]
    if not (torch.isfinite(box).all() and (extent > 0).all()):
        raise CameraError(f"A box must be finite with x0 < x1 and y0 < y1, got {box.detach().tolist()}.")
    if not (math.isfinite(margin) and margin > 0):
        raise CameraError(f"The box margin must be a positive factor, got {margin}.")
    centre, half = (box[..., :2] + box[..., 2:]) / 2, extent / 2 * margin
    return torch.cat([centre - half, centre + half], dim=-1)


def _half_extent(R: Tensor, box: Tensor, K: Tensor) -> Tensor:
    """Largest |x / z| and |y / z| of the box in the rotated camera, (..., 2), at most the tangent of MAX_ANGLE_DEG."""
    x0, y0, x1, y1 = box.unbind(-1)
    corners = torch.stack([x0, y0, x1, y0, x1, y1, x0, y1], dim=-1).reshape(*box.shape[:-1], 4, 2)
    rays = unproject(corners, 1.0, K) @ R.transpose(-1, -2)
    in_front = rays[..., 2:] > 0
    limit = math.tan(math.radians(MAX_ANGLE_DEG))
    slopes = torch.where(in_front, rays[..., :2].abs() / torch.where(in_front, rays[..., 2:], 1.0), limit)
    return slopes.amax(dim=-2).clamp(max=limit)


def _broadcast(K: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give K (..., 3, 3) and two (..., 2) tensors the same leading dimensions."""
    lead = torch.broadcast_shapes(K.shape[:-2], a.shape[:-1], b.shape[:-1])
    return K.expand(*lead, 3, 3), a.expand(*lead, 2), b.expand(*lead, 2)
