"""Crops of people out of a picture, with the way back: plain squares for DSR, views of a turned camera for PersPose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from dsr.camera import crop_affine, perspective_crop, perspective_rotation, warp_crop
from dsr.camera.network_input import CROP_MARGIN, UNKNOWN_FOCAL, normalise_image

if TYPE_CHECKING:
    from dsr.people import Detection

PERSPECTIVE_MARGIN = 1.3
"""Factor on the box of the keypoints for PersPose: its 1.2 is for detector boxes, which include crown and toes."""

_CONFIDENT = 0.2


@dataclass(frozen=True)
class PeopleCrops:
    """Crops of N people, of one picture or many, with the way back to their pictures.

    Attributes:
        image: (N, 3, S, S) float32 RGB, normalised.
        K_crop: (N, 3, 3) float64 intrinsics of the crops' cameras, pixels of the crop.
        K: (N, 3, 3) float64 intrinsics of the full pictures.
        rotation: (N, 3, 3) float64, original camera to the camera that looks at the middle of the crop.
        centre_px: (N, 2) float64 middle of the person's box or square in the full picture.
        side_px: (N,) float64 side of the square in full-picture pixels (for the square kind).
        known: (N,) bool, False where K is made up.
    """

    image: Tensor
    K_crop: Tensor
    K: Tensor
    rotation: Tensor
    centre_px: Tensor
    side_px: Tensor
    known: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def select(self, rows: slice | Tensor) -> PeopleCrops:
        """Some of the people."""
        return PeopleCrops(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def join(cls, parts: Sequence[PeopleCrops]) -> PeopleCrops:
        """People of several pictures together."""
        return cls(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)))


def square_of(detection: Detection) -> tuple[np.ndarray, float]:
    """Middle (2,) and side of DSR's crop of a person found, full-picture pixels.

    As in its demo the side is 1.2 times the larger extent of the keypoints seen. The middle is that of their box, as in
    training; the demo takes the keypoints' mean instead, which for OpenPose's 25 is done here too.
    """
    seen = detection.keypoints_px[detection.confidence > _CONFIDENT]
    low, high = (seen.min(0), seen.max(0)) if len(seen) > 1 else (detection.box_px[:2], detection.box_px[2:])
    side = CROP_MARGIN * float(max(*(high - low), 1.0))
    centre = seen.mean(0) if detection.keypoint_set == "openpose25" and len(seen) > 1 else (low + high) / 2
    return np.asarray(centre, np.float64), side


def crop_detections(
    rgb: np.ndarray, scale: float, K: np.ndarray, detections: Sequence[Detection], model: Any
) -> PeopleCrops:
    """Crops of the people found in one photograph.

    Args:
        rgb: (h, w, 3) uint8, upright, at working size.
        scale: working pixels per full pixel (:class:`dsr.image.Photo`).
        K: (3, 3) intrinsics of the full picture, pixels.
        detections: at least one person.
        model: the network they are for; its ``crop`` and ``image_size`` are used.
    """
    squares = [square_of(d) for d in detections]
    boxes = np.stack([np.asarray(d.box_px, np.float64) for d in detections])
    return crop_people(
        rgb,
        K,
        model.crop,
        model.image_size,
        centres_px=np.stack([s[0] for s in squares]),
        sides_px=np.array([s[1] for s in squares]),
        boxes_px=boxes,
        margin=PERSPECTIVE_MARGIN,
        scale=scale,
    )


def crop_people(
    rgb: np.ndarray,
    K: np.ndarray,
    kind: Literal["square", "perspective"],
    size: int,
    *,
    centres_px: np.ndarray,
    sides_px: np.ndarray,
    boxes_px: np.ndarray,
    margin: float = 1.0,
    scale: float = 1.0,
    known: bool = True,
    smooth: bool = True,
) -> PeopleCrops:
    """Cut the crops of N people out of one picture.

    Args:
        rgb: (h, w, 3) uint8.
        K: (3, 3) intrinsics of the full picture, pixels.
        kind: as the network's ``crop``.
        size: side of the crops, pixels.
        centres_px: (N, 2) middles of the squares, full-picture pixels (the published code rounds them).
        sides_px: (N,) sides of the squares, likewise.
        boxes_px: (N, 4) x0, y0, x1, y1 for the perspective crops.
        margin: factor on the boxes.
        scale: pixels of ``rgb`` per full pixel.
        known: whether K is the picture's own; a perspective crop of a picture whose K is not is not turned.
        smooth: low-pass filter pictures that are scaled down to less than half; the published crops are not.

    Returns:
        The crops, on the CPU.
    """
    camera = torch.as_tensor(np.asarray(K, np.float64)).expand(len(boxes_px), 3, 3)
    boxes = torch.as_tensor(np.asarray(boxes_px, np.float64))
    if kind == "square":
        centres = torch.as_tensor(np.asarray(centres_px, np.float64))
        sides = torch.as_tensor(np.asarray(sides_px, np.float64).clip(2.0))
        homography = crop_affine(centres, sides[:, None].expand(-1, 2), size)
        K_crop, rotation = homography @ camera, perspective_rotation(camera, centres)
    else:
        cut = perspective_crop(camera, boxes, size, margin=margin, rotate=known)
        homography, K_crop, rotation = cut.homography, cut.K_crop, cut.rotation
        centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, size * camera[:, 0, 0] / K_crop[:, 0, 0]
        if not known:
            focal = UNKNOWN_FOCAL * size / 256
            K_crop = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1.0]]).double().expand_as(K_crop)
    pyramid = {1: (rgb, scale, scale)}
    crops = []
    for M, side in zip(homography.numpy(), sides.tolist(), strict=True):
        reduce = max(1, int(side * scale / size)) if smooth else 1
        if reduce not in pyramid:
            pyramid[reduce] = _shrink(rgb, scale, reduce)
        picture, across, down = pyramid[reduce]
        crops.append(warp_crop(picture, M @ np.diag([1 / across, 1 / down, 1.0]), size))
    return PeopleCrops(
        image=normalise_image(np.stack(crops)),
        K_crop=K_crop,
        K=camera,
        rotation=rotation,
        centre_px=centres,
        side_px=sides,
        known=torch.full((len(boxes),), known),
    )


def _shrink(rgb: np.ndarray, scale: float, reduce: int) -> tuple[np.ndarray, float, float]:
    """The picture at 1/reduce of its size by averaging, and its pixels per full pixel across and down."""
    import cv2

    height, width = rgb.shape[:2]
    small = cv2.resize(rgb, (max(1, width // reduce), max(1, height // reduce)), interpolation=cv2.INTER_AREA)
    return small, scale * small.shape[1] / width, scale * small.shape[0] / height
