"""What is known of one person in a picture before any body is fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PersonMask:
    """A person's silhouette inside a box of the full, upright picture.

    Attributes:
        box_px: (4,) x0, y0, x1, y1 of the area the mask covers, full-picture pixels.
        probability: (h, w) float32, 0 to 1; row 0 is the top of the box.
    """

    box_px: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class Detection:
    """One person found in a picture.

    Attributes:
        box_px: (4,) x0, y0, x1, y1 around the visible keypoints, full-picture pixels.
        score: 0 to 1.
        keypoint_set: ``blazepose33``, ``coco17`` or ``openpose25``.
        keypoints_px: (K, 2) full-picture pixels, may lie outside the picture.
        confidence: (K,) 0 to 1; 0 means not seen.
        world_m: (K, 3) metres, hips at the origin, camera-aligned axes (x right, y down, z away from the
            camera), or None.
        mask: silhouette, or None.
        source: ``blazepose`` or the name of the imported file.
        number: place in the picture counted from the left, starting at 0; set when people are selected.
        warnings: sentences for the user about how the person was read from a file.
        world_sigma_m: (K,) standard deviations of ``world_m`` where its source knows them, infinite where it says
            nothing; None: a detector's usual ones.
    """

    box_px: np.ndarray
    score: float
    keypoint_set: str
    keypoints_px: np.ndarray
    confidence: np.ndarray
    world_m: np.ndarray | None = None
    mask: PersonMask | None = None
    source: str = "blazepose"
    number: int | None = None
    warnings: tuple[str, ...] = ()
    world_sigma_m: np.ndarray | None = None
