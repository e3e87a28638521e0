"""Crops of the people of data sets for the networks that are evaluated on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dsr.camera import perspective_rotation
from dsr.datasets.dsr_view import published_crop
from dsr.datasets.perspose_view import PersPoseAugment, PersPoseView
from dsr.datasets.pictures import read_picture
from dsr.regressors.crops import PeopleCrops, crop_people
from dsr.synthetic.records import PersonRecord

if TYPE_CHECKING:
    from dsr.body import Body


def crop_record(record: PersonRecord, model: Any) -> PeopleCrops:
    """The published crop of one person of a data set; where its K is unknown, PersPose gets the crop it has for COCO.

    Args:
        record: the person; ``centre_px`` and ``scale`` give the square, or else the box does.
        model: the network it is for.

    Raises:
        DatasetError: if its picture cannot be read.
    """
    rgb, factor = read_picture(record.image, f"{record.source}/{record.key}")
    height, width = (n * factor for n in rgb.shape[:2])
    box = np.asarray(record.box_px, np.float64)
    centre, square = published_crop(record)
    K = record.K
    if K is None:
        focal = math.hypot(width, height)
        K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return crop_people(
        rgb,
        np.asarray(K, np.float64),
        model.crop,
        model.image_size,
        centres_px=centre[None],
        sides_px=np.array([200 * square]),
        boxes_px=box[None],
        margin=1.0,
        scale=1 / factor,
        known=record.K is not None,
        smooth=False,
    )


def crop_true_mesh(record: PersonRecord, model: Any, bodies: Mapping[str, Body] | None) -> PeopleCrops | None:
    """The perspective crop that holds the true mesh (PersPose specification, 4); None where that is not wanted."""
    known = all(part is not None for part in (record.pose_aa, record.betas, record.transl, record.K))
    if bodies is None or not known or model.crop != "perspective":
        return None
    sample = PersPoseView(model.image_size, augment=False, bodies=bodies).sample(record, PersPoseAugment())
    K, box = (torch.as_tensor(np.asarray(a, np.float64)) for a in (record.K, record.box_px))
    middle, K_crop = (box[:2] + box[2:]) / 2, sample["K_crop"].double()
    return PeopleCrops(
        image=sample["image"][None],
        K_crop=K_crop[None],
        K=K[None],
        rotation=perspective_rotation(K, middle)[None],
        centre_px=middle[None],
        side_px=(model.image_size * K[0, 0] / K_crop[0, 0])[None],
        known=torch.tensor([True]),
    )
