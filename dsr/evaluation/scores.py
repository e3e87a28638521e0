"""Scores of one body of the generated benchmark: joints, vertices, sizes, silhouettes, and BlazePose's landmarks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from dsr.body import BodyAsset, joint_names, pose_vertices
from dsr.body.numpy_lbs import rodrigues
from dsr.body.smpl24 import smpl24_joints
from dsr.camera import PictureCamera
from dsr.camera.picture_camera import NEAR_M
from dsr.errors import BodyError
from dsr.evaluation.posture import LIMB12_HIPS, LIMB12_NAMES
from dsr.evaluation.truth import TruePerson, TruePicture

if TYPE_CHECKING:
    from dsr.body.measure import Measurements
    from dsr.people import Detection
    from dsr.results.picture import PersonResult

_SWAP = [i ^ 1 for i in range(12)]
_LEFT_OUT_OF_H36M = ("pelvis", "spine", "neck_nose")
_RASTER = 160
"""Longer side of the raster on which silhouettes are compared, pixels."""


@dataclass
class PersonScore:
    """What was measured on one true person; None where nobody was found or a figure does not apply.

    Errors of sizes are fitted minus true, of the shape in the rest pose (:func:`dsr.body.measure.measure_body`).
    ``body_iou`` is the overlap of the fitted body's silhouette with that of the true **body** inside the picture: the
    person without clothes and hair, whoever stands in front. ``mask_iou`` is the overlap with the detector's mask of
    the dressed person, what the refinement sees. ``unrefined`` scores the same person before the refinement.
    ``plain``: head or trunk is seen on 40 pixels or more. ``strata``: what the person is a case of; angles and feet off
    the floor are those of :mod:`dsr.evaluation.strata`. Figures that need the true vertices are None where the truth
    was made with another mesh.
    """

    picture: str
    person: int
    visible_share: float
    found: bool = False
    mpjpe_mm: float | None = None
    pa_mpjpe_mm: float | None = None
    mpjpe_smpl24_mm: float | None = None
    pa_mpjpe_smpl24_mm: float | None = None
    mpjpe_h36m14_mm: float | None = None
    pa_mpjpe_h36m14_mm: float | None = None
    pve_mm: float | None = None
    yaw_error_deg: float | None = None
    facing_right: bool | None = None
    sides_right: bool | None = None
    height_error_m: float | None = None
    waist_error_m: float | None = None
    hip_error_m: float | None = None
    chest_error_m: float | None = None
    depth_error_m: float | None = None
    behind_camera: bool | None = None
    reprojection_percent: float | None = None
    body_iou: float | None = None
    mask_iou: float | None = None
    refined: bool | None = None
    blazepose_mpjpe_mm: float | None = None
    blazepose_turned_mpjpe_mm: float | None = None
    blazepose_pa_mpjpe_mm: float | None = None
    strata: list[str] = field(default_factory=list)
    plain: bool | None = None
    trunk_error_deg: float | None = None
    trunk_upright_deg: float | None = None
    true_trunk_upright_deg: float | None = None
    knees_bent_deg: float | None = None
    true_knees_bent_deg: float | None = None
    feet_off_floor_m: float | None = None
    floor_tilt_deg: float | None = None
    feet_off_own_floor_m: float | None = None
    fitted_id: str = ""
    unrefined: PersonScore | None = None


def score_body(
    score: PersonScore,
    picture: TruePicture,
    truth: TruePerson,
    person: PersonResult,
    asset: BodyAsset | None,
    fitted_asset: BodyAsset,
) -> None:
    """Fill in what a fitted body gets.

    Args:
        score: filled in.
        picture: the picture the person is in.
        truth: the true person.
        person: the fitted one.
        asset: body of the truth; None where it is not installed, and only vertices and keypoints are known.
        fitted_asset: body of the fit.
    """
    from dsr.evaluation.metrics import mpjpe, pa_mpjpe

    score.found, score.fitted_id = True, person.id
    vertices = np.asarray(person.vertices_cam_m, dtype=np.float64)
    fitted = np.asarray(fitted_asset.keypoint_regressor("blazepose33") @ vertices)[limb12_index()]
    real = truth.keypoints_cam_m["blazepose33"][limb12_index()]
    score.mpjpe_mm = 1000 * float(mpjpe(fitted, real, root=LIMB12_HIPS))
    score.pa_mpjpe_mm = 1000 * float(pa_mpjpe(fitted, real))
    chosen = [i for i, joint in enumerate(joint_names("h36m17")) if joint not in _LEFT_OUT_OF_H36M]
    names = [joint_names("h36m17")[i] for i in chosen]
    hips = (names.index("left_hip"), names.index("right_hip"))
    fitted14 = np.asarray(fitted_asset.keypoint_regressor("h36m17") @ vertices)[chosen]
    real14 = truth.keypoints_cam_m["h36m17"][chosen]
    score.mpjpe_h36m14_mm = 1000 * float(mpjpe(fitted14, real14, root=hips))
    score.pa_mpjpe_h36m14_mm = 1000 * float(pa_mpjpe(fitted14, real14))
    joints = np.asarray(person.joints_cam_m, dtype=np.float64)
    joints = joints[list(smpl24_joints(len(joints)))]
    score.mpjpe_smpl24_mm = 1000 * float(mpjpe(joints, truth.joints_cam_m[:24]))
    score.pa_mpjpe_smpl24_mm = 1000 * float(pa_mpjpe(joints, truth.joints_cam_m[:24]))
    score.yaw_error_deg = yaw_error_deg(person.global_orient, truth.global_orient)
    score.facing_right = score.yaw_error_deg < 90.0
    score.sides_right = sides_right(fitted, real)
    score.height_error_m = float(person.height_m) - truth.height_m
    sizes, true_sizes = _sizes(fitted_asset, person.betas), None if asset is None else _sizes(asset, truth.betas)
    if sizes is not None and true_sizes is not None:
        score.waist_error_m = sizes.waist_m - true_sizes.waist_m
        score.hip_error_m = sizes.hip_m - true_sizes.hip_m
        score.chest_error_m = sizes.chest_m - true_sizes.chest_m
    score.depth_error_m = float(joints[0, 2] - truth.joints_cam_m[0, 2])
    score.behind_camera = bool(joints[0, 2] <= NEAR_M)
    true_px = truth.keypoints_px["blazepose33"][limb12_index()]
    inside = ((true_px >= 0) & (true_px < picture.camera.size)).all(1) & (real[:, 2] > NEAR_M)
    if inside.any():  # what is outside may be behind the camera, where pixels mean nothing
        apart = np.linalg.norm(picture.camera.project(fitted) - true_px, axis=1)[inside].mean()
        score.reprojection_percent = 100 * float(apart / (truth.box_px[3] - truth.box_px[1]))
    _score_surface(score, picture, truth, vertices, joints[0], asset, fitted_asset)
    residuals = person.residuals.get("semantic", person.residuals.get("fit", {}))
    score.mask_iou = residuals.get("silhouette_iou")
    score.refined = "semantic" in person.residuals


def _score_surface(
    score: PersonScore,
    picture: TruePicture,
    truth: TruePerson,
    vertices: np.ndarray,
    root: np.ndarray,
    asset: BodyAsset | None,
    fitted_asset: BodyAsset,
) -> None:
    """Vertices and silhouette of a fit against the true ones, where both bodies are of one mesh."""
    from dsr.evaluation.metrics import pve

    if asset is not None:
        real = pose_vertices(asset, truth.betas, truth.body_pose, truth.global_orient, truth.transl)
        same_mesh = len(vertices) == asset.num_vertices and fitted_asset.sha256 == asset.sha256
        faces = _outside(asset)
    elif truth.vertices_cam_m is not None and len(truth.vertices_cam_m) == fitted_asset.num_vertices:
        real, same_mesh, faces = truth.vertices_cam_m, True, _outside(fitted_asset)
    else:
        return
    if same_mesh:
        skin = np.ones(len(vertices), dtype=bool)
        if len(fitted_asset.interior):
            skin[np.unique(fitted_asset.faces[fitted_asset.interior])] = False
        errors = pve(vertices, real, skin, predicted_root=root, target_root=truth.joints_cam_m[0])
        score.pve_mm = 1000 * float(errors)
    score.body_iou = silhouettes_iou((vertices, _outside(fitted_asset)), (real, faces), picture.camera)


def score_landmarks(score: PersonScore, picture: TruePicture, truth: TruePerson, person: Detection) -> None:
    """BlazePose's landmarks live in the camera of its crop: score them as they are, and turned by the crop's ray."""
    import torch

    from dsr.camera import perspective_rotation
    from dsr.evaluation.metrics import mpjpe, pa_mpjpe

    if person.world_m is None:
        return
    landmarks = np.asarray(person.world_m, dtype=np.float64)[limb12_index()]
    real = truth.keypoints_cam_m["blazepose33"][limb12_index()]
    box = np.asarray(person.box_px, dtype=np.float64)
    turn = perspective_rotation(torch.as_tensor(picture.camera.K), torch.as_tensor((box[:2] + box[2:]) / 2)).numpy()
    score.blazepose_mpjpe_mm = 1000 * float(mpjpe(landmarks, real, root=LIMB12_HIPS))
    score.blazepose_turned_mpjpe_mm = 1000 * float(mpjpe(landmarks @ turn, real, root=LIMB12_HIPS))
    score.blazepose_pa_mpjpe_mm = 1000 * float(pa_mpjpe(landmarks, real))


def limb12_index() -> list[int]:
    """Places of :data:`LIMB12_NAMES` in ``blazepose33``."""
    names = joint_names("blazepose33")
    return [names.index(name) for name in LIMB12_NAMES]


def yaw_error_deg(fitted: np.ndarray, real: np.ndarray) -> float:
    """Angle between where two pelvises face, about the true body's vertical axis, 0 to 180 degrees.

    Args:
        fitted: (3,) axis-angle of the fitted global orientation.
        real: (3,) axis-angle of the true one.
    """
    local = rodrigues(np.asarray(real, float)).T @ rodrigues(np.asarray(fitted, float))[:, 2]
    return float(abs(np.degrees(np.arctan2(local[0], local[2]))))


def sides_right(fitted: np.ndarray, real: np.ndarray) -> bool:
    """Whether left and right are as they should be: the (12, 3) limbs fit better as they are than exchanged."""
    from dsr.evaluation.metrics import mpjpe

    return bool(float(mpjpe(fitted, real, root=LIMB12_HIPS)) <= float(mpjpe(fitted[_SWAP], real, root=LIMB12_HIPS)))


def silhouettes_iou(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], camera: PictureCamera
) -> float | None:
    """Overlap of the silhouettes of two bodies inside a picture: intersection over union.

    Args:
        first: vertices (V, 3) in metres, camera frame, and outer faces (F, 3), counter-clockwise from outside.
        second: the other body.
        camera: of the picture.

    Returns:
        0 to 1, on a raster of 160 pixels across the longer side of the box around both; None where the picture shows
        neither.
    """
    from dsr.evaluation.image_metrics import mask_iou
    from dsr.rendering import rasterise

    low, high = np.asarray(camera.size, float), np.zeros(2)
    for vertices, _ in (first, second):
        ahead = vertices[vertices[:, 2] > NEAR_M]
        if len(ahead):
            pixels = camera.project(ahead)
            low, high = np.minimum(low, pixels.min(0)), np.maximum(high, pixels.max(0))
    low, high = np.clip(low, 0, camera.size), np.clip(high, 0, camera.size)
    if (high - low).min() <= 0:
        return None
    scale = _RASTER / (high - low).max()
    wide, tall = (max(round(float(side)), 1) for side in (high - low) * scale)
    to_crop = np.array([[scale, 0, -low[0] * scale], [0, scale, -low[1] * scale], [0, 0, 1]])
    crop = camera.warped(to_crop, (wide, tall))
    drawn = [rasterise(v, faces, crop.K, crop.size, cull_back=True).covered for v, faces in (first, second)]
    overlap = float(mask_iou(drawn[0], drawn[1]))
    return overlap if np.isfinite(overlap) else None


def _outside(asset: BodyAsset) -> np.ndarray:
    return asset.faces[~asset.interior] if len(asset.interior) else asset.faces


def _sizes(asset: BodyAsset, betas: np.ndarray) -> Measurements | None:
    """Sizes of a shape; None for bodies that say nothing about their parts."""
    return _measured(asset, np.asarray(betas, np.float64).tobytes())


@lru_cache(maxsize=64)
def _measured(asset: BodyAsset, betas: bytes) -> Measurements | None:
    from dsr.body.measure import measure_body

    try:
        return measure_body(asset, np.frombuffer(betas, np.float64))
    except BodyError:
        return None
