"""Camera geometry: intrinsics, projection, PersPose's perspective rotation, crop and encoding, DSR's weak perspective.

Camera frame: x right, y down, z forward, metres. Pixels: u right, v down, pixel centres at +0.5. Everything is torch,
takes any leading batch dimensions that broadcast, and passes gradients on; :class:`PictureCamera` alone is numpy.
Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.camera.crop import PerspectiveCrop as PerspectiveCrop
    from dsr.camera.crop import crop_affine as crop_affine
    from dsr.camera.crop import perspective_crop as perspective_crop
    from dsr.camera.crop import perspective_encoding as perspective_encoding
    from dsr.camera.crop import warp_crop as warp_crop
    from dsr.camera.network_input import IMAGE_MEAN as IMAGE_MEAN
    from dsr.camera.network_input import IMAGE_STD as IMAGE_STD
    from dsr.camera.picture_camera import PictureCamera as PictureCamera
    from dsr.camera.pinhole import intrinsics_matrix as intrinsics_matrix
    from dsr.camera.pinhole import project as project
    from dsr.camera.pinhole import transform_pixels as transform_pixels
    from dsr.camera.pinhole import unproject as unproject
    from dsr.camera.placement import fit_translation as fit_translation
    from dsr.camera.placement import translation_from_rays as translation_from_rays
    from dsr.camera.rotation import homography as homography
    from dsr.camera.rotation import perspective_rotation as perspective_rotation
    from dsr.camera.rotation import rotate_body as rotate_body
    from dsr.camera.rotation import rotate_body_to_original as rotate_body_to_original
    from dsr.camera.rotation import rotate_points as rotate_points
    from dsr.camera.rotation import rotate_points_to_original as rotate_points_to_original
    from dsr.camera.weak_perspective import PlacedBody as PlacedBody
    from dsr.camera.weak_perspective import camera_to_translation as camera_to_translation
    from dsr.camera.weak_perspective import place_in_picture as place_in_picture
    from dsr.camera.weak_perspective import project_weak as project_weak
    from dsr.camera.weak_perspective import translation_to_camera as translation_to_camera

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "crop": ("PerspectiveCrop", "crop_affine", "perspective_crop", "perspective_encoding", "warp_crop"),
        "network_input": ("IMAGE_MEAN", "IMAGE_STD"),
        "picture_camera": ("PictureCamera",),
        "pinhole": ("intrinsics_matrix", "project", "transform_pixels", "unproject"),
        "placement": ("fit_translation", "translation_from_rays"),
        "rotation": (
            "homography",
            "perspective_rotation",
            "rotate_body",
            "rotate_body_to_original",
            "rotate_points",
            "rotate_points_to_original",
        ),
        "weak_perspective": (
            "PlacedBody",
            "camera_to_translation",
            "place_in_picture",
            "project_weak",
            "translation_to_camera",
        ),
    },
)
