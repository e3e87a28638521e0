"""What a picture says about one person's silhouette: mask, what hides it, and where it shows skin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dsr.camera import PictureCamera
from dsr.clothing.groups import GROUP_OF_LABEL
from dsr.errors import FittingError
from dsr.people.clothing_map import ClothingMap
from dsr.people.crop_grid import person_grid
from dsr.people.types import Detection
from dsr.results.picture import PersonResult


@dataclass(frozen=True)
class MaskCrop:
    """What the picture says about one person's silhouette, in a square of S pixels around them.

    Attributes:
        camera: of the crop.
        mask: (S, S) probability of the person.
        visible: (S, S) 1 where the mask can be believed: inside the picture, and nobody nearer in the way; else 0.
        coverage: (S, S) how much it counts that the body covers a pixel of the mask: 1 on skin, less on clothing.
        labels: (S, S) clothing label ids, -1 where unknown.
    """

    camera: PictureCamera
    mask: np.ndarray
    visible: np.ndarray
    coverage: np.ndarray
    labels: np.ndarray


def mask_crop(
    people: Sequence[PersonResult],
    detections: Sequence[Detection],
    i: int,
    camera: PictureCamera,
    clothes: ClothingMap | None,
    *,
    weights: Mapping[int, float] | None,
    side: int,
) -> MaskCrop:
    """The crop of person ``i`` of a picture.

    Args:
        people: everybody in the picture; who is nearer hides others.
        detections: the same people, in the same order.
        i: who; they have a mask.
        camera: of the full, upright picture.
        clothes: labels of this person, or None: then all of them is skin of an unknown kind.
        weights: how much it counts that a pixel of each group (:mod:`dsr.clothing.groups`) is covered, skin 1; None:
            everything counts as skin.
        side: of the crop, pixels.

    Raises:
        FittingError: if the person has no mask.
    """
    mask = detections[i].mask
    if mask is None:
        raise FittingError("a person without a mask has no crop of it.")
    grid = person_grid(detections[i], side)
    u, v = grid.pixels()
    mine = grid.sample(mask)
    width, height = camera.size
    visible = ((v > 0) & (v < height))[:, None] & ((u > 0) & (u < width))[None]
    for k, other in enumerate(detections):
        if k != i and other.mask is not None and people[k].transl[2] < people[i].transl[2]:
            visible &= ~((grid.sample(other.mask) > 0.5) & (mine < 0.5))
    labels = np.full((side, side), -1) if clothes is None else clothes.at(u, v)[0]
    coverage = np.ones((side, side))
    if weights is not None:
        of_group = np.array([weights.get(group, 1.0) for group in range(int(GROUP_OF_LABEL.max()) + 1)])
        of_group[0] = min(weights.values())  # what the parser takes for background although the mask does not
        coverage = np.where(labels >= 0, of_group[GROUP_OF_LABEL[labels]], min(weights.values()))
    return MaskCrop(grid.camera(camera), mine, visible.astype(float), coverage, labels)
