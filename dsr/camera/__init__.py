"""Camera geometry: intrinsics, projection, PersPose's perspective rotation, crop and encoding, and the way back.

Camera frame: x right, y down, z forward, metres. Pixels: u right, v down, pixel centres at +0.5. Everything is torch,
takes any leading batch dimensions that broadcast, and passes gradients on.
"""

from __future__ import annotations

from dsr.camera.crop import PerspectiveCrop, crop_affine, perspective_crop, perspective_encoding, warp_crop
from dsr.camera.pinhole import intrinsics_matrix, project, transform_pixels, unproject
from dsr.camera.rotation import (
    homography,
    perspective_rotation,
    rotate_body,
    rotate_body_to_original,
    rotate_points,
    rotate_points_to_original,
)

__all__ = [
    "PerspectiveCrop",
    "crop_affine",
    "homography",
    "intrinsics_matrix",
    "perspective_crop",
    "perspective_encoding",
    "perspective_rotation",
    "project",
    "rotate_body",
    "rotate_body_to_original",
    "rotate_points",
    "rotate_points_to_original",
    "transform_pixels",
    "unproject",
    "warp_crop",
]
