"""What a picture says about one person's silhouette: mask, what hides it, and where it shows skin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dsr.body.joints import joint_names
from dsr.camera import PictureCamera
from dsr.errors import FittingError
from dsr.fitting.residuals import VISIBLE
from dsr.people.types import Detection, PersonMask
from dsr.results.picture import PersonResult

_BARE = ("nose", "eye", "ear", "mouth", "index", "pinky", "thumb", "wrist")
"""Keypoints around which skin can be expected."""


@dataclass(frozen=True)
class MaskCrop:
    """What the picture says about one person's silhouette, in a square of S pixels around them.

    Attributes:
        camera: of the crop.
        mask: (S, S) probability of the person.
        visible: (S, S) 1 where the mask can be believed: inside the picture, and nobody nearer in the way; else 0.
        coverage: (S, S) how much it counts that the body covers a pixel of the mask: 1 on skin, less on clothing.
    """

    camera: PictureCamera
    mask: np.ndarray
    visible: np.ndarray
    coverage: np.ndarray


def mask_crop(
    people: Sequence[PersonResult],
    detections: Sequence[Detection],
    i: int,
    camera: PictureCamera,
    photo_rgb: np.ndarray | None,
    *,
    clothing: str,
    cloth: float,
    side: int,
) -> MaskCrop:
    """The crop of person ``i`` of a picture.

    Args:
        people: everybody in the picture; who is nearer hides others.
        detections: the same people, in the same order.
        i: who; they have a mask.
        camera: of the full, upright picture.
        photo_rgb: (h, w, 3) uint8, the upright picture at any size, or None: then nothing counts as skin.
        clothing: as ``FitOptions.clothing``; only ``auto`` tells clothing from skin.
        cloth: how much clothing counts against skin.
        side: of the crop, pixels.

    Raises:
        FittingError: if the person has no mask.
    """
    mask = detections[i].mask
    if mask is None:
        raise FittingError("a person without a mask has no crop of it.")
    mask_box, box = np.asarray(mask.box_px, float), np.asarray(detections[i].box_px, float)
    rows, cols = mask.probability.shape
    person_pixels = mask.probability > 0.5
    if person_pixels.any():  # the mask's box may be far larger than the person
        v, u = np.flatnonzero(person_pixels.any(1)), np.flatnonzero(person_pixels.any(0))
        cell = (mask_box[2:] - mask_box[:2]) / (cols, rows)
        person = np.concatenate([mask_box[:2] + cell * (u[0], v[0]), mask_box[:2] + cell * (u[-1] + 1, v[-1] + 1)])
        box = np.concatenate([np.minimum(box[:2], person[:2]), np.maximum(box[2:], person[2:])])
    centre, size = (box[:2] + box[2:]) / 2, 1.15 * float((box[2:] - box[:2]).max())
    scale = side / size
    crop = np.array([[scale, 0, side / 2 - scale * centre[0]], [0, scale, side / 2 - scale * centre[1]], [0, 0, 1]])
    u = centre[0] + (np.arange(side) + 0.5 - side / 2) / scale
    v = centre[1] + (np.arange(side) + 0.5 - side / 2) / scale
    mine = _sample(mask, u, v)
    width, height = camera.size
    visible = ((v > 0) & (v < height))[:, None] & ((u > 0) & (u < width))[None]
    for k, other in enumerate(detections):
        if k != i and other.mask is not None and people[k].transl[2] < people[i].transl[2]:
            visible &= ~((_sample(other.mask, u, v) > 0.5) & (mine < 0.5))
    coverage = np.ones((side, side))
    if clothing == "auto":
        skin = None if photo_rgb is None else skin_pixels(detections[i], mine, u, v, camera.size, photo_rgb)
        coverage = np.full((side, side), cloth) if skin is None else np.where(skin, 1.0, cloth)
    return MaskCrop(camera.warped(crop, (side, side)), mine, visible.astype(float), coverage)


def _sample(mask: PersonMask, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Probability (len(v), len(u)) at full-picture pixels, bilinear, 0 outside of the mask's box."""
    from scipy.ndimage import map_coordinates

    x0, y0, x1, y1 = (float(value) for value in mask.box_px)
    rows, cols = mask.probability.shape
    row, col = (v - y0) / max(y1 - y0, 1e-6) * rows - 0.5, (u - x0) / max(x1 - x0, 1e-6) * cols - 0.5
    inside = ((row > -0.5) & (row < rows - 0.5))[:, None] & ((col > -0.5) & (col < cols - 0.5))[None]
    grid = np.meshgrid(row, col, indexing="ij")
    values = map_coordinates(mask.probability.astype(np.float32), grid, order=1, mode="nearest")
    return np.where(inside, values.clip(0, 1), 0.0)


def skin_pixels(
    detection: Detection, mask: np.ndarray, u: np.ndarray, v: np.ndarray, image_size: tuple[int, int], rgb: np.ndarray
) -> np.ndarray | None:
    """Pixels of the mask whose colour (Cb, Cr and a wide Y) is near that of this person's face and hands.

    Args:
        detection: the person; the keypoints of the face and the hands are used.
        mask: (R, C) probability of the person.
        u: (C,) full-picture pixels of the mask's columns.
        v: (R,) of its rows.
        image_size: (width, height) of the full picture.
        rgb: (h, w, 3) uint8, the same picture at any size.

    Returns:
        (R, C) bool, or None where too little of the face and the hands is seen to tell its colour.
    """
    names = joint_names(detection.keypoint_set)
    zoom = np.array([rgb.shape[1] / image_size[0], rgb.shape[0] / image_size[1]])
    row = (v * zoom[1]).astype(int).clip(0, rgb.shape[0] - 1)
    col = (u * zoom[0]).astype(int).clip(0, rgb.shape[1] - 1)
    colour = _ycbcr(rgb[np.ix_(row, col)])
    reach = 0.02 * (v[-1] - v[0])
    near = np.zeros(mask.shape, bool)
    for name, (x, y), confidence in zip(names, detection.keypoints_px, detection.confidence, strict=True):
        if confidence >= VISIBLE and any(part in name for part in _BARE):
            near |= (u[None] - x) ** 2 + (v[:, None] - y) ** 2 < reach**2
    samples = colour[near & (mask > 0.5)]
    if len(samples) < 12:
        return None
    centre = np.median(samples, 0)
    spread = np.maximum(1.4826 * np.median(np.abs(samples - centre), 0), (20.0, 3.0, 3.0))
    distance = np.square((colour - centre) / spread).sum(-1)
    return (distance < 9.0) & (mask > 0.5)


def _ycbcr(rgb: np.ndarray) -> np.ndarray:
    """ITU-R BT.601 luma and colour differences, (..., 3), 0 to 255."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    return rgb.astype(float) @ matrix.T
