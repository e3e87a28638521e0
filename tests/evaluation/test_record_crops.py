"""Crops of the people of data sets: what a picture without intrinsics gets."""

import numpy as np
import torch

from dsr.evaluation.record_crops import crop_record
from dsr.regressors import build_regressor
from dsr.regressors.crops import PeopleCrops
from dsr.synthetic.records import PersonRecord


def record(K):
    picture = np.random.default_rng(0).integers(0, 255, (80, 60, 3), dtype=np.uint8)
    return PersonRecord("toy", "0", picture, np.array([10.0, 5, 50, 70]), K=K)


def test_a_picture_without_intrinsics_gets_the_crop_of_coco():
    model = build_regressor("perspose", image_size=64, width=4, modules=(1, 1, 1), blocks=1)
    K = np.array([[90.0, 0, 30], [0, 90, 40], [0, 0, 1]])
    known, unknown = (crop_record(record(k), model) for k in (K, None))
    assert bool(known.known) and not bool(unknown.known)
    torch.testing.assert_close(unknown.K_crop[0], torch.tensor([[150.0, 0, 32], [0, 150, 32], [0, 0, 1]]).double())
    torch.testing.assert_close(unknown.rotation[0], torch.eye(3).double())
    joined = PeopleCrops.join([known, unknown])
    assert len(joined) == 2 and joined.select(slice(1, 2)).known.tolist() == [False]
