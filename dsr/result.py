"""FitResult: what a fit found in one picture, and the two files (JSON + NPZ) it lives in.

Everything is in the original camera (OpenCV axes: x right, y down, z forward; metres) and in pixels of the full, upright
picture. The files hold plain arrays: numpy and json alone can read them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dsr.errors import DsrError

SCHEMA_VERSION = 1


@dataclass
class PersonResult:
    """One fitted person.

    Attributes:
        id: stable name, ``p0`` is the leftmost person of the picture.
        box_px: (4,) x0, y0, x1, y1 in full-picture pixels.
        score: detection score, 0 to 1.
        keypoint_set: name of the keypoint convention, ``blazepose33`` for the built-in detector.
        keypoints_px: (K, 3) u, v in full-picture pixels and confidence 0 to 1.
        betas: (B,) shape coefficients of the body asset.
        global_orient: (3,) axis-angle, body frame to original camera, radians.
        body_pose: (J-1, 3) axis-angle, radians.
        transl: (3,) metres; ``vertices = skinned + transl`` as in SMPL.
        vertices_cam_m: (V, 3) metres, camera frame.
        joints_cam_m: (J, 3) metres, camera frame.
        joint_uncertainty_mm: (J,) millimetres, or None until a model predicts it.
        height_m: standing height of the fitted shape, metres.
        residuals: per stage, e.g. ``{"fit": {"reprojection_px": 3.1, "reprojection_rel": 0.008, "silhouette_iou": 0.8}}``.
        warnings: sentences for the user about this person.
    """

    id: str
    box_px: np.ndarray
    score: float
    keypoint_set: str
    keypoints_px: np.ndarray
    betas: np.ndarray
    global_orient: np.ndarray
    body_pose: np.ndarray
    transl: np.ndarray
    vertices_cam_m: np.ndarray
    joints_cam_m: np.ndarray
    height_m: float
    joint_uncertainty_mm: np.ndarray | None = None
    residuals: dict[str, dict[str, float | None]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass
class FitResult:
    """Everything found in one picture.

    Attributes:
        status: ``ok``, ``no_person``, ``unreadable``, ``unsupported``, ``too_small``, ``too_large`` or ``failed``.
        message: one sentence where the status is not ``ok``.
        input_path: the picture as it was named.
        input_sha256: hex digest of the file ("" where it could not be read).
        image_size: (width, height) of the full, upright picture in pixels.
        upright_differs: True where Blender would not show the file as we saw it (orientation, format), so that an upright
            copy is written beside the result.
        K: (3, 3) intrinsics of the full, upright picture.
        focal_source: ``flag``, ``sidecar``, ``exif``, ``name`` or ``default``.
        focal_detail: how the focal length was worked out, a short sentence.
        body: name, licence and sha256 of the body asset.
        people: fitted people, left to right.
        warnings: sentences for the user about the picture.
        timing_s: seconds per stage.
        seed: the seed used.
        overlay_rgb: the upright picture at working size, (h, w, 3) uint8; in memory only, for overlays.
    """

    status: str
    input_path: str
    message: str = ""
    input_sha256: str = ""
    image_size: tuple[int, int] = (0, 0)
    upright_differs: bool = False
    K: np.ndarray | None = None
    focal_source: str = ""
    focal_detail: str = ""
    body: dict[str, str] = field(default_factory=dict)
    people: list[PersonResult] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    timing_s: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    overlay_rgb: np.ndarray | None = field(default=None, repr=False, compare=False)
