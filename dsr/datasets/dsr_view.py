"""A record as DSR trains on it: square crop, augmentation, 49 keypoints, pose, joints and semantic targets.

DSR specification, sections 4 and 7. The published defects are corrected; ``compat=True`` brings them back: crop and
keypoints rounded to whole pixels, label colours mixed by bilinear resampling, and left and right labels not exchanged
in mirrored crops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dsr.body.rotations import axis_angle_to_rotmat
from dsr.camera import warp_crop
from dsr.camera.network_input import CROP_MARGIN, normalise_image
from dsr.camera.weak_perspective import CROP, FOCAL
from dsr.clothing.labels import IGNORE, PALETTE_RGB, keep_window, keypoint_window, mirror_labels, palette_to_labels
from dsr.clothing.targets import MIN_PIXELS, clothed_target, minimally_clothed_target
from dsr.datasets.augment import (
    COCO17_TO_SPIN24,
    FLIP49,
    SPIN24_FLIP,
    DsrAugment,
    Random,
    crop_matrix,
    draw_dsr,
    turn_joints,
    turn_pose,
)
from dsr.datasets.pictures import read_labels, read_picture, warp_labels
from dsr.errors import DatasetError
from dsr.synthetic.records import PersonRecord

Sample = dict[str, Any]
_WINDOW_MARGIN = 30.0  # pixels of the published crop, as MIN_PIXELS


@dataclass(frozen=True)
class DsrView:
    """Turns records into what DSR's network and losses take.

    Attributes:
        image_size: side S of the crop in pixels.
        augment: draw mirror, turn, scale and channel gains.
        compat: as published, defects included (see above).
        targets: make the semantic targets; without, ``mc_*`` and ``c_*`` are empty and ``has_labels`` is False.
        reduce: decode JPEGs at 1/2, 1/4 or 1/8 where the crop is smaller still, which is faster and low-pass filters
            them. Evaluation does not, as published, and neither does ``compat``.
        flip_probability: of a mirrored crop.
        noise_factor: channel gains are uniform in 1 -+ this.
        rotation_deg: standard deviation of the turn.
        scale_factor: standard deviation of the scale.
    """

    image_size: int = CROP
    augment: bool = True
    compat: bool = False
    targets: bool = True
    reduce: bool = False
    flip_probability: float = 0.5
    noise_factor: float = 0.4
    rotation_deg: float = 30.0
    scale_factor: float = 0.25

    def __call__(self, record: PersonRecord, rng: Random) -> Sample:
        """One sample.

        Args:
            record: the person.
            rng: where the augmentation is drawn from; a ``RandomState`` with ``compat`` gives the released numbers.

        Returns:
            * ``image`` (3, S, S) float32 RGB, normalised;
            * ``keypoints`` (49, 3) float32: u, v in [-1, 1] over the crop, confidence (0 where unknown): OpenPose's
              25, then SPIN's 24 (from COCO's 17 where the record has only those);
            * ``pose_rotmat`` (24, 3, 3), ``pose_aa`` (72,), ``betas`` (10,) float32 and ``has_smpl`` () bool;
              ``open_shape`` () bool: the betas are the open body's, not SMPL's;
            * ``joints3d`` (24, 4) float32: SPIN's 24, metres, confidence, and ``has_joints3d`` () bool;
            * ``mc_mask``, ``mc_distance`` (S, S) float32, ``mc_valid`` (5,) bool, ``c_classes`` (S, S) int64 with -1
              where the label is unknown (beyond the picture's border, say: leave those pixels out of both semantic
              losses), ``c_weights`` (8,) float32 and ``has_labels`` () bool
              (:mod:`dsr.clothing.targets`; False also where no keypoint tells whose labels they are);
            * ``K_crop`` (3, 3) float32: the record's intrinsics in the crop, else DSR's camera; in the mirrored and
              turned crop they belong to the mirrored and turned body;
            * ``source`` and ``key``, strings.

        Raises:
            DatasetError: naming the file and what is wrong with it.
        """
        drawn = (
            draw_dsr(
                rng,
                flip_probability=self.flip_probability,
                noise_factor=self.noise_factor,
                rotation_deg=self.rotation_deg,
                scale_factor=self.scale_factor,
            )
            if self.augment
            else DsrAugment()
        )
        return self.sample(record, drawn)

    def sample(self, record: PersonRecord, drawn: DsrAugment) -> Sample:
        """The sample for a given draw; see :meth:`__call__`."""
        where = f"{record.source}/{record.key}"
        centre, scale = published_crop(record)
        S, side = self.image_size, 200 * scale * drawn.scale
        if not (np.isfinite(centre).all() and np.isfinite(side) and side > 1):
            raise DatasetError(f"{where}: its centre {centre.tolist()} and scale {scale} make no crop; check the box.")
        M = crop_matrix(centre, side, S, drawn.rotation_deg)
        pixels = crop_matrix(np.round(centre), round(side), S, drawn.rotation_deg) if self.compat else M
        crop, picture_size = self._image(record, where, pixels, side / S, drawn)
        keypoints = self._keypoints(record, M, drawn.flip, where)
        return {
            "image": crop,
            "keypoints": keypoints,
            **_smpl(record, drawn, where),
            **_joints(record, drawn, where),
            **self._semantics(record, where, pixels, keypoints, picture_size, drawn.flip),
            "K_crop": _intrinsics(record, M, S, drawn.flip),
            "source": record.source,
            "key": record.key,
        }

    def _image(
        self, record: PersonRecord, where: str, M: np.ndarray, reduce: float, drawn: DsrAugment
    ) -> tuple[Tensor, tuple[int, int]]:
        """Normalised crop, and the (height, width) of the picture."""
        picture, factor = read_picture(record.image, where, reduce=reduce if self.reduce and not self.compat else 1.0)
        if self.compat:
            crop = warp_crop(picture.astype(np.float32), M, self.image_size, pixel_centre=0.0)
        else:
            crop = warp_crop(picture, M @ np.diag([factor, factor, 1.0]), self.image_size)
        if drawn.flip:
            crop = crop[:, ::-1]
        size = (round(picture.shape[0] * factor), round(picture.shape[1] * factor))
        return normalise_image(crop, drawn.gains), size

    def _keypoints(self, record: PersonRecord, M: np.ndarray, flip: bool, where: str) -> Tensor:
        points = keypoints49(record, where)
        moved = points[:, :2] @ M[:2, :2].T + M[:2, 2]
        if self.compat:
            moved = np.trunc(moved) + 1.0
        points[:, :2] = 2 * moved / self.image_size - 1
        if flip:
            points = points[list(FLIP49)]
            points[:, 0] *= -1
        return torch.from_numpy(points.astype(np.float32))

    def _semantics(
        self, record: PersonRecord, where: str, M: np.ndarray, keypoints: Tensor, picture: tuple[int, int], flip: bool
    ) -> Sample:
        """Targets of DSR-MC and DSR-C; all empty where there are no labels."""
        S = self.image_size
        labels = self._labels(record, where, M, keypoints, picture, flip) if self.targets else None
        if labels is None:
            return {
                "mc_mask": torch.zeros(S, S),
                "mc_distance": torch.zeros(S, S),
                "mc_valid": torch.zeros(5, dtype=torch.bool),
                "c_classes": torch.full((S, S), IGNORE, dtype=torch.int64),
                "c_weights": torch.zeros(8),
                "has_labels": torch.tensor(False),
            }
        min_pixels = max(1, round(MIN_PIXELS * (S / CROP) ** 2))
        tight = minimally_clothed_target(labels, min_pixels=min_pixels, compat=self.compat)
        clothed = clothed_target(labels, min_pixels=min_pixels, compat=self.compat)
        return {
            "mc_mask": tight.mask[0],
            "mc_distance": tight.distance[0, ..., 0] if self.compat else tight.distance[0],
            "mc_valid": tight.valid[0],
            "c_classes": clothed.classes[0],
            "c_weights": clothed.weights[0],
            "has_labels": torch.tensor(True),
        }

    def _labels(
        self, record: PersonRecord, where: str, M: np.ndarray, keypoints: Tensor, picture: tuple[int, int], flip: bool
    ) -> Tensor | None:
        """Label ids of the crop (1, S, S), those of other people removed; None where nothing is known."""
        if record.labels is None:
            return None
        S = self.image_size
        in_crop = keypoints.clone()
        in_crop[:, :2] = 0.5 * S * (keypoints[:, :2] + 1)
        margin = _WINDOW_MARGIN * S / CROP
        window = keypoint_window(in_crop[None], (S, S), margin=margin, compat=self.compat)
        if (window[0, 2:] <= window[0, :2]).any():
            return None
        stored = read_labels(record.labels, where)
        if stored.shape[:2] != picture:
            raise DatasetError(
                f"{where}: the label map is {stored.shape[1]} x {stored.shape[0]} pixels and the picture "
                f"{picture[1]} x {picture[0]}; make the label map from this picture."
            )
        if self.compat:
            return keep_window(_published_labels(stored, M, S, flip), window)
        ids = torch.from_numpy(warp_labels(stored, M, S))[None]
        ids = mirror_labels(ids) if flip else ids
        # what lies beyond the picture stays unknown: a person cut off by its border goes on there
        return torch.where(ids == IGNORE, IGNORE, keep_window(ids, window))


def published_crop(record: PersonRecord) -> tuple[np.ndarray, float]:
    """Middle (2,) of a record's crop and its side / 200 px: the record's own, or from its box."""
    box = np.asarray(record.box_px, dtype=np.float64)
    centre = (box[:2] + box[2:]) / 2 if record.centre_px is None else np.asarray(record.centre_px, dtype=np.float64)
    if record.scale is None:
        return centre, float(CROP_MARGIN * (box[2:] - box[:2]).max() / 200)
    return centre, float(record.scale)


def keypoints49(record: PersonRecord, where: str = "") -> np.ndarray:
    """The 49 keypoints of a record in picture pixels, (49, 3) float64; confidence 0 where it has none."""
    points = np.zeros((49, 3))
    sets = record.keypoints_px
    if "openpose25" in sets:
        points[:25] = shaped(sets["openpose25"], (25, 3), f"{where}: keypoints_px['openpose25']")
    if "spin24" in sets:
        points[25:] = shaped(sets["spin24"], (24, 3), f"{where}: keypoints_px['spin24']")
    elif "coco17" in sets:
        points[[25 + i for i in COCO17_TO_SPIN24]] = shaped(sets["coco17"], (17, 3), f"{where}: keypoints_px['coco17']")
    points[~np.isfinite(points).all(-1)] = 0.0
    return points


def shaped(values: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """The values as float64, or a :class:`~dsr.errors.DatasetError` that says which shape ``what`` should have."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise DatasetError(f"{what} has shape {array.shape}; {shape} is needed.")
    return array


def _smpl(record: PersonRecord, drawn: DsrAugment, where: str) -> Sample:
    known = record.pose_aa is not None and record.betas is not None
    pose, betas = np.zeros((24, 3)), np.zeros(10)
    if known:
        pose = turn_pose(shaped(record.pose_aa, (24, 3), f"{where}: pose_aa"), drawn.rotation_deg, drawn.flip)
        betas = np.asarray(record.betas, dtype=np.float64).ravel()
        betas = np.concatenate([betas[:10], np.zeros(max(0, 10 - betas.size))])
    aa = torch.from_numpy(pose)
    return {
        "pose_rotmat": axis_angle_to_rotmat(aa).float(),
        "pose_aa": aa.reshape(72).float(),
        "betas": torch.from_numpy(betas).float(),
        "has_smpl": torch.tensor(known),
        "open_shape": torch.tensor(record.shape_of == "open"),
    }


def _joints(record: PersonRecord, drawn: DsrAugment, where: str) -> Sample:
    joints = np.zeros((24, 4))
    known = "spin24" in record.joints_m
    if known:
        stored = shaped(record.joints_m["spin24"], (24, 4), f"{where}: joints_m['spin24']")
        joints = turn_joints(stored, drawn.rotation_deg, drawn.flip, SPIN24_FLIP)
        joints[~np.isfinite(joints).all(-1)] = 0.0
    return {"joints3d": torch.from_numpy(joints.astype(np.float32)), "has_joints3d": torch.tensor(known)}


def _intrinsics(record: PersonRecord, M: np.ndarray, size: int, flip: bool) -> Tensor:
    """Intrinsics of the crop: M K = K_crop R, with R the turn about the axis that the labels followed."""
    K = np.eye(3)
    if record.K is None:
        K[[0, 1], [0, 1]], K[:2, 2] = FOCAL * size / CROP, size / 2
        return torch.from_numpy(K.astype(np.float32))
    given = np.asarray(record.K, dtype=np.float64)
    scale = np.hypot(M[0, 0], M[1, 0])
    K[0, 0], K[1, 1] = scale * given[0, 0], scale * given[1, 1]
    K[:2, 2] = M[:2, :2] @ given[:2, 2] + M[:2, 2]
    if flip:
        K[0, 2] = size - K[0, 2]
    return torch.from_numpy(K.astype(np.float32))


def _published_labels(stored: np.ndarray, M: np.ndarray, size: int, flip: bool) -> Tensor:
    """Ids (1, S, S) of colours mixed by bilinear resampling, black outside, mirrored without exchanging sides."""
    if stored.ndim == 2:
        stored = np.array([*PALETTE_RGB, (0, 0, 0)], dtype=np.uint8)[stored]
    crop = warp_crop(stored.astype(np.float32), M, size, pixel_centre=0.0) / np.float32(255)
    colours = (crop * 255).astype(np.uint8)
    return palette_to_labels(np.ascontiguousarray(colours[None, :, ::-1] if flip else colours[None]))
