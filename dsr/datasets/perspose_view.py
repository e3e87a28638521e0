"""A record as PersPose trains on it: the camera turned towards the person, labels in the turned camera.

PersPose (ICCV 2025, arXiv 2508.17239), specification sections 3, 4 and 8; :mod:`dsr.losses.perspose` tells the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dsr.body import Body
from dsr.body.measure import standing_height_m
from dsr.body.perspose_ik import twist_labels
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.camera import (
    crop_affine,
    homography,
    intrinsics_matrix,
    perspective_crop,
    perspective_rotation,
    rotate_body,
    rotate_points,
    transform_pixels,
    warp_crop,
)
from dsr.camera.crop import MAX_ANGLE_DEG, STRETCH_LIMITS
from dsr.camera.network_input import UNKNOWN_FOCAL, normalise_image
from dsr.datasets.augment import COCO17_TO_SPIN24, Random
from dsr.datasets.dsr_view import Sample, shaped
from dsr.datasets.pictures import read_picture
from dsr.datasets.pixels import augment_pixels
from dsr.errors import CameraError, DatasetError
from dsr.synthetic.records import PersonRecord

DEFAULT_HEIGHT_M = 1.8
BEDLAM_UV_WEIGHT = 0.1


@dataclass(frozen=True)
class PersPoseAugment:
    """One draw of the crop's geometry.

    Attributes:
        rotation_deg: turn of the camera about its axis.
        scale: factor on the crop's focal length.
        aim: (2,) where the box's middle is brought to, off the principal point, in longer sides of the box.
        pixels: change the pixels too (:func:`~dsr.datasets.pixels.augment_pixels`).
    """

    rotation_deg: float = 0.0
    scale: float = 1.0
    aim: tuple[float, float] = (0.0, 0.0)
    pixels: bool = False


def draw_perspose(rng: Random, *, aim_jitter: float = 0.0) -> PersPoseAugment:
    """Draw with the published probabilities; one crop in five stays as it is."""
    if rng.uniform() < 0.2:
        return PersPoseAugment()
    rotation = rng.uniform(-30, 30) if rng.uniform() < 0.5 else 0.0
    scale = rng.uniform(0.7, 1.1) if rng.uniform() < 0.2 else 1.0
    aim = rng.uniform(-aim_jitter, aim_jitter, 2) if aim_jitter else (0.0, 0.0)
    return PersPoseAugment(float(rotation), float(scale), (float(aim[0]), float(aim[1])), pixels=True)


@dataclass(frozen=True)
class PersPoseView:
    """Turns records into what PersPose's network and losses take.

    Attributes:
        image_size: side S of the crop in pixels.
        augment: change geometry and pixels at random.
        bodies: gender to body for records with SMPL labels; what is not named is ``neutral``. One body stands for all.
            ``open``, where given, is that of records whose betas are the open body's; those betas are no labels then.
        aim_jitter: how far from the middle the person may come to lie, in longer sides of its box: 0.1 in the
            published ``w_be_3dhp`` configuration, 0 in the others.
        reduce: as in :class:`~dsr.datasets.dsr_view.DsrView`.
        regressor17: (17, V) of the licensed ``J_regressor_h36m_correct.npy``, legs right first, for bodies of V
            vertices; others, or all where it is None, take the body's own ``h36m17``.
    """

    image_size: int = 256
    augment: bool = True
    bodies: Body | Mapping[str, Body] = field(default_factory=dict)
    aim_jitter: float = 0.0
    reduce: bool = False
    regressor17: np.ndarray | None = None

    def __call__(self, record: PersonRecord, rng: Random) -> Sample:
        """One sample; the keys are described in :mod:`dsr.losses.perspose`.

        A record gives body labels where it has pose, betas, transl and K; otherwise 3D joints where it has ``h36m17``
        in the camera and K; otherwise 2D keypoints where it has ``coco17`` (or SPIN's 24).

        Args:
            record: the person.
            rng: where the augmentation is drawn from.

        Raises:
            DatasetError: naming the record or file and what is wrong with it.
        """
        drawn = draw_perspose(rng, aim_jitter=self.aim_jitter) if self.augment else PersPoseAugment()
        return self.sample(record, drawn, rng)

    def sample(self, record: PersonRecord, drawn: PersPoseAugment, rng: Random | None = None) -> Sample:
        """The sample for a given draw; ``rng`` is needed where it changes pixels."""
        where = f"{record.source}/{record.key}"
        labels = self._smpl(record, where)
        try:
            R, H, K_crop = self._geometry(record, drawn, labels)
        except CameraError as error:
            raise DatasetError(f"{where}: no crop can be made of its K and box ({error})") from error
        scale = torch.linalg.vector_norm(H[:2, 0]) if record.K is None else K_crop[0, 0] / float(record.K[0, 0])
        picture, factor = read_picture(record.image, where, reduce=1 / float(scale) if self.reduce else 1.0)
        crop = warp_crop(picture, H @ torch.diag(H.new_tensor([factor, factor, 1.0])), self.image_size)
        if drawn.pixels and rng is not None:
            crop = augment_pixels(crop, rng)
        sample: Sample = {
            "image": normalise_image(crop),
            "K_crop": K_crop.float(),
            "encode": torch.tensor(record.K is not None),
            "uv_weight": torch.tensor(BEDLAM_UV_WEIGHT if record.source.startswith("bedlam") else 1.0),
            "source": record.source,
            "key": record.key,
        }
        sample.update(self._empty())
        if labels is not None:
            sample.update(follow_rotation(labels, R), has_smpl=torch.tensor(True))
            sample["height"], sample["has_betas"] = labels["height"], labels["has_betas"]
        elif record.K is not None and "h36m17" in record.joints_m:
            joints = _rows(record.joints_m["h36m17"], 17, f"{where}: joints_m['h36m17']")
            sample["joints17"] = rotate_points(torch.from_numpy(joints[:, :3]), R).float()
            sample["has_joints17"] = torch.tensor(True)
        elif (points := _coco17(record, where)) is not None:
            sample["keypoints"] = _map_keypoints(points, H, self.image_size)
            sample["has_keypoints"] = torch.tensor(True)
        if record.height_m is not None:
            sample["height"] = torch.tensor(float(record.height_m))
        return {key: value.float() if _is_double(value) else value for key, value in sample.items()}

    def _empty(self) -> Sample:
        no = torch.tensor(False)
        return {
            "has_smpl": no,
            "has_betas": no,
            "has_joints17": no,
            "has_keypoints": no,
            "height": torch.tensor(DEFAULT_HEIGHT_M),
            "joints24": torch.zeros(24, 3),
            "joints17": torch.zeros(17, 3),
            "twist": torch.zeros(24, 3),
            "pose_rotmat": torch.eye(3).repeat(24, 1, 1),
            "betas": torch.zeros(11),
            "transl": torch.zeros(3),
            "keypoints": torch.zeros(17, 3),
        }

    def _smpl(self, record: PersonRecord, where: str) -> dict[str, Tensor] | None:
        """Body labels in the record's camera, vertices included; None where the record has none."""
        parts = (record.pose_aa, record.betas, record.transl, record.K)
        if any(part is None for part in parts):
            return None
        bodies = {"neutral": self.bodies} if isinstance(self.bodies, Body) else self.bodies
        stranger = record.shape_of == "open" and "open" in bodies
        body = bodies["open"] if stranger else bodies.get(record.gender) or bodies.get("neutral")
        if body is None:
            raise DatasetError(f"{where} has SMPL labels; give the view a body for {record.gender} or neutral ones.")
        pose = axis_angle_to_rotmat(torch.from_numpy(shaped(record.pose_aa, (24, 3), f"{where}: pose_aa")))[None]
        transl = torch.from_numpy(shaped(record.transl, (3,), f"{where}: transl"))[None]
        betas = np.asarray(record.betas, dtype=np.float64).ravel()
        shape = torch.from_numpy(betas[: body.num_betas])[None]
        with torch.no_grad():
            posed = body(shape, pose[:, 1:], pose[:, :1], transl)
            rest = body.rest_joints(shape)
            joints17 = self._joints17(body, posed.vertices)
        height = record.height_m
        if height is None:
            height = float(standing_height_m(body.asset, betas[: body.num_betas]))
        return {
            "vertices": posed.vertices[0].double(),
            "joints24": posed.joints[0].double(),
            "joints17": joints17[0].double(),
            "pose_rotmat": pose[0],
            "twist": twist_labels(pose, rest.double())[0],
            "rest_root": rest[0, 0].double(),
            "transl": transl[0],
            "betas": torch.from_numpy(np.pad(betas[:11], (0, max(0, 11 - betas.size)))),
            "height": torch.tensor(height),
            "has_betas": torch.tensor(not stranger),
        }

    def _joints17(self, body: Body, vertices: Tensor) -> Tensor:
        """Human3.6M's joints of posed vertices (1, V, 3); about their mean, as published (specification, section 9)."""
        if self.regressor17 is None or self.regressor17.shape[1] != body.num_vertices:
            return body.keypoints(vertices, "h36m17")
        middle = vertices.mean(1, keepdim=True)
        return torch.from_numpy(self.regressor17).to(vertices) @ (vertices - middle) + middle

    def _geometry(
        self, record: PersonRecord, drawn: PersPoseAugment, labels: dict[str, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rotation of the camera, homography and intrinsics of the crop (specification, section 4)."""
        S = self.image_size
        box = torch.from_numpy(np.asarray(record.box_px, dtype=np.float64))
        if record.K is None:
            H = _square_crop(box, S, drawn.rotation_deg)
            K_crop = intrinsics_matrix(UNKNOWN_FOCAL * S / 256, S, S)
            return torch.eye(3).to(H), _zoom(drawn.scale, S) @ H, K_crop
        K = torch.from_numpy(np.asarray(record.K, dtype=np.float64))
        middle, longer = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max()
        aim = K[:2, 2] + longer * K.new_tensor(drawn.aim) if any(drawn.aim) else None
        R = about_axis(drawn.rotation_deg) @ perspective_rotation(K, middle, aim)
        if labels is None:
            crop = perspective_crop(K, box, S, rotation=R)
            H, K_crop = crop.homography, crop.K_crop
        else:
            C = _fit_vertices(rotate_points(labels["vertices"], R), K, S)
            H, K_crop = C @ homography(K, R), C @ K
        zoom = _zoom(drawn.scale, S)
        return R, zoom @ H, zoom @ K_crop


def follow_rotation(labels: Mapping[str, Tensor], R: Tensor) -> dict[str, Tensor]:
    """Body labels after the camera was turned: ``X' = R X`` (specification, section 4).

    Args:
        labels: ``joints24``, ``joints17``, ``twist``, ``pose_rotmat`` (joint 0 in the camera), ``transl``, ``betas``,
            and ``rest_root`` (3,): rest place of joint 0 of the shaped body.
        R: (3, 3).

    Returns:
        All but ``rest_root``, in the turned camera.
    """
    orient, transl = rotate_body(labels["pose_rotmat"][0], labels["transl"], labels["rest_root"], R)
    return {
        **{key: rotate_points(labels[key], R) for key in ("joints24", "joints17", "twist") if key in labels},
        "pose_rotmat": torch.cat([orient[None], labels["pose_rotmat"][1:]]),
        "transl": transl,
        "betas": labels["betas"],
    }


def _fit_vertices(vertices: Tensor, K: Tensor, size: int) -> Tensor:
    """The crop, symmetric about the principal point, that holds all vertices (N, 3) of the turned camera."""
    limit = np.tan(np.radians(MAX_ANGLE_DEG))
    in_front = vertices[:, 2:] > 0
    slopes = torch.where(in_front, vertices[:, :2].abs() / vertices[:, 2:].clamp_min(1e-9), limit).clamp_max(limit)
    extent = 2 * slopes.amax(0) * torch.stack([K[0, 0], K[1, 1]])
    return crop_affine(K[:2, 2], extent, size, stretch=(K[1, 1] / K[0, 0]).clamp(*STRETCH_LIMITS))


def _square_crop(box: Tensor, size: int, rotation_deg: float) -> Tensor:
    """Crop about a box's middle, turned about it; the turned box fills it."""
    turn = about_axis(rotation_deg)[:2, :2]
    extent = turn.abs() @ (box[2:] - box[:2])
    if not (torch.isfinite(box).all() and (box[2:] > box[:2]).all()):
        raise CameraError(f"A box must be finite with x0 < x1 and y0 < y1, got {box.tolist()}.")
    middle = (box[:2] + box[2:]) / 2
    about = torch.eye(3, dtype=box.dtype)
    about[:2, :2], about[:2, 2] = turn, middle - turn @ middle
    return crop_affine(middle, extent, size) @ about


def about_axis(degrees: float) -> Tensor:
    """Turn of the camera's picture about its axis, (3, 3) float64."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)


def _zoom(factor: float, size: int) -> Tensor:
    """Scale about the crop's middle, (3, 3) float64."""
    shift = (1 - factor) * size / 2
    return torch.tensor([[factor, 0.0, shift], [0.0, factor, shift], [0.0, 0.0, 1.0]], dtype=torch.float64)


def _map_keypoints(points: np.ndarray, H: Tensor, size: int) -> Tensor:
    """Keypoints (17, 3) in the crop; visibility 0 outside it."""
    moved = torch.from_numpy(points)
    uv = transform_pixels(moved[:, :2], H)
    inside = ((uv > 0) & (uv < size)).all(-1)
    return torch.cat([uv, torch.where(inside, moved[:, 2], 0.0)[:, None]], -1)


def _coco17(record: PersonRecord, where: str) -> np.ndarray | None:
    sets = record.keypoints_px
    if "coco17" in sets:
        points = shaped(sets["coco17"], (17, 3), f"{where}: keypoints_px['coco17']")
    elif "spin24" in sets:
        points = shaped(sets["spin24"], (24, 3), f"{where}: keypoints_px['spin24']")[list(COCO17_TO_SPIN24)]
    else:
        return None
    return np.where(np.isfinite(points).all(-1, keepdims=True), points, 0.0)


def _rows(values: Any, count: int, what: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] != count or array.shape[1] not in (3, 4):
        raise DatasetError(f"{what} has shape {array.shape}; ({count}, 3 or 4) is needed.")
    return array


def _is_double(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.float64
