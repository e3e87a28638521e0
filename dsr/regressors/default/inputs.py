"""What the default network sees of a person: keypoints as rays, landmarks, the lifter's joints, the silhouette.

Everything is in the camera turned to look straight at the person (PersPose, arXiv 2508.17239, section 3), so that
people at the border of a picture look like those in its middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dsr.body.joints import flip_permutation

if TYPE_CHECKING:
    from dsr.people import PersonMask

KEYPOINTS, LIFTED = 33, 17
MASK_SIZE = 24
"""Side of the silhouette that the network sees, cells."""
MASK_REACH = 0.65
"""Half of the side of the square it covers, in sides of the person's box."""
SHOWN_RAD = 0.4
"""The angle under which the network is shown everybody's box: of somebody who stands four or five metres away."""
_FINE = 2  # samples a cell and direction
_POINT_FLIP = list(flip_permutation("blazepose33"))
_LIFTED_FLIP = list(flip_permutation("h36m17"))


@dataclass(frozen=True)
class PersonInputs:
    """B people in their turned cameras (x right, y down, z forward).

    Attributes:
        rays: (B, 33, 2) x/z, y/z of BlazePose's keypoints.
        confidence: (B, 33) 0 to 1.
        world: (B, 33, 3) the detector's 3D landmarks, metres.
        lifted: (B, 17, 3) Human3.6M's joints by the single-frame lifter, metres, the pelvis at 0.
        mask: (B, 24, 24) silhouette, 0 to 1; row 0 is the top.
        scale: (B,) side of the person's box in the units of the rays.
        has: (B, 2) whether there are lifted joints and a silhouette, 0 or 1; without, they are 0.
    """

    rays: Tensor
    confidence: Tensor
    world: Tensor
    lifted: Tensor
    mask: Tensor
    scale: Tensor
    has: Tensor

    def __len__(self) -> int:
        return len(self.rays)

    def select(self, rows: Tensor | slice) -> PersonInputs:
        """Some of the people."""
        return PersonInputs(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def to(self, like: Tensor) -> PersonInputs:
        """On the device and in the precision of a tensor."""
        return PersonInputs(**{f.name: getattr(self, f.name).to(like) for f in fields(self)})

    def mirrored(self) -> PersonInputs:
        """The same people in a mirror: left is right."""
        return PersonInputs(
            self.rays[:, _POINT_FLIP] * self.rays.new_tensor([-1.0, 1.0]),
            self.confidence[:, _POINT_FLIP],
            self.world[:, _POINT_FLIP] * self.world.new_tensor([-1.0, 1.0, 1.0]),
            self.lifted[:, _LIFTED_FLIP] * self.lifted.new_tensor([-1.0, 1.0, 1.0]),
            self.mask.flip(-1),
            self.scale,
            self.has,
        )


def shown_cameras(boxes: np.ndarray) -> np.ndarray:
    """(B, 3, 3) intrinsics, pixels, of the cameras in which the network is shown people.

    The focal length of a photograph is often a guess. So everybody is shown as the detector sees them: in a camera that
    looks at the middle of their box, which fills the same angle, :data:`SHOWN_RAD`, for all.

    Args:
        boxes: (B, 4) x0, y0, x1, y1 of the people, pixels.
    """
    K = np.broadcast_to(np.eye(3), (len(boxes), 3, 3)).copy()
    side = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6).max(1)
    K[:, [0, 1], [0, 1]], K[:, :2, 2] = (side / SHOWN_RAD)[:, None], (boxes[:, :2] + boxes[:, 2:]) / 2
    return K


def rays_in(pixels: np.ndarray, K: np.ndarray) -> np.ndarray:
    """x/z, y/z (B, ..., 2) of pixels (B, ..., 2) in the cameras of :func:`shown_cameras`."""
    around = (len(K), *[1] * (pixels.ndim - 2), 2)
    return np.asarray((pixels - K[:, :2, 2].reshape(around)) / K[:, [0, 1], [0, 1]].reshape(around))


def mask_grid(scale: np.ndarray, rotation: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Where the silhouette's samples lie in the full picture, (B, S, S, 2) pixels, S a multiple of :data:`MASK_SIZE`.

    Args:
        scale: (B,) of the people, in units of the rays.
        rotation: (B, 3, 3) picture's camera to the turned ones.
        K: (B, 3, 3) intrinsics of the pictures, pixels.
    """
    count = MASK_SIZE * _FINE
    steps = (np.arange(count) + 0.5) / count * 2 - 1
    across, down = np.meshgrid(steps, steps)
    flat = np.stack([across, down], -1)[None] * (MASK_REACH * scale)[:, None, None, None]
    rays = np.concatenate([flat, np.ones_like(flat[..., :1])], -1)
    pixels = np.einsum("bij,bkj,bxyk->bxyi", K, rotation, rays)
    return np.asarray(pixels[..., :2] / np.maximum(pixels[..., 2:], 1e-3))


def averaged(samples: np.ndarray) -> np.ndarray:
    """Samples (B, S, S) of :func:`mask_grid` as the (B, 24, 24) float32 that the network sees."""
    blocks = samples.reshape(len(samples), MASK_SIZE, _FINE, MASK_SIZE, _FINE)
    return np.asarray(blocks.mean((2, 4)), np.float32)


def sample_masks(
    masks: Sequence[PersonMask | None], scale: np.ndarray, rotation: np.ndarray, K: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Silhouettes of people in one picture as the network sees them.

    Args:
        masks: of B people; None where somebody has none.
        scale: (B,) of the people, in units of the rays.
        rotation: (B, 3, 3) picture's camera to the turned ones.
        K: (3, 3) intrinsics of the picture, or (B, 3, 3) of everybody's view of it, pixels.

    Returns:
        (B, 24, 24) float32, and (B,) bool who has one.
    """
    import cv2

    grid = mask_grid(scale, rotation, np.broadcast_to(K, (len(masks), 3, 3))).astype(np.float32)
    seen = np.zeros(grid.shape[:3], np.float32)
    for i, mask in enumerate(masks):
        if mask is None:
            continue
        box = np.asarray(mask.box_px, np.float32)
        height, width = mask.probability.shape
        cells = (grid[i] - box[:2]) / (box[2:] - box[:2]) * np.array([width, height], np.float32) - 0.5
        seen[i] = cv2.remap(
            np.asarray(mask.probability, np.float32), cells[..., 0], cells[..., 1], cv2.INTER_LINEAR, borderValue=(0.0,)
        )
    return averaged(seen), np.array([mask is not None for mask in masks])


def without_pieces(inputs: PersonInputs, lifted: Tensor, mask: Tensor) -> PersonInputs:
    """The inputs with lifted joints and silhouettes taken away where (B,) is False."""
    has = inputs.has * torch.stack([lifted, mask], 1).to(inputs.has)
    return PersonInputs(
        inputs.rays,
        inputs.confidence,
        inputs.world,
        inputs.lifted * has[:, 0, None, None],
        inputs.mask * has[:, 1, None, None],
        inputs.scale,
        has,
    )
