"""Crops of masks: where they lie, what hides a person, and how skin and clothing count."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dsr.body.joints import joint_names
from dsr.camera import PictureCamera
from dsr.clothing.groups import HAIR, LOWER, SKIN
from dsr.clothing.labels import LABELS
from dsr.errors import FittingError
from dsr.fitting.mask_crop import mask_crop
from dsr.people.clothing_map import ClothingMap
from dsr.people.types import Detection, PersonMask

SIZE = (640, 480)
CAMERA = PictureCamera([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]], SIZE)
NAMES = joint_names("blazepose33")
SIDE = 128
CROP = {"weights": None, "side": SIDE}


def person(x0, y0, x1, y1):
    """A rectangle of a person with face and hands in the upper third, the rest unseen, and a mask of the picture."""
    mask = np.zeros((SIZE[1], SIZE[0]), np.float32)
    mask[max(y0, 0) : y1, max(x0, 0) : x1] = 1
    middle, head = (x0 + x1) / 2, y0 + (y1 - y0) / 6
    bare = ("nose", "eye", "ear", "mouth", "wrist", "pinky", "left_index", "right_index", "thumb")
    seen = np.array([any(part in name for part in bare) for name in NAMES])
    points = np.stack([np.full(33, middle), np.where(seen, head, y1 - 10)], 1)
    box = np.array([x0, y0, x1, y1], float)
    return Detection(box, 0.9, "blazepose33", points, 0.9 * seen, None, PersonMask(np.array([0.0, 0, *SIZE]), mask))


def at(depth):
    return SimpleNamespace(transl=np.array([0.0, 0.0, depth]))


def test_the_crop_is_centred_on_the_person():
    detection = person(200, 100, 300, 400)
    crop = mask_crop([at(3.0)], [detection], 0, CAMERA, None, **CROP)
    rows, cols = np.nonzero(crop.mask > 0.5)
    scale = SIDE / (1.15 * 300)  # the longer side of the box and a little more
    assert crop.camera.size == (SIDE, SIDE)
    np.testing.assert_allclose(crop.camera.K[[0, 1], [0, 1]], 600 * scale)
    np.testing.assert_allclose([cols.mean() + 0.5, rows.mean() + 0.5], [SIDE / 2, SIDE / 2], atol=0.6)
    assert abs(np.ptp(rows) + 1 - 300 * scale) < 2 and abs(np.ptp(cols) + 1 - 100 * scale) < 2
    np.testing.assert_allclose(crop.camera.K[:2, 2] - SIDE / 2, scale * np.array([320 - 250, 240 - 250]))


def test_outside_the_picture_and_behind_somebody_nothing_is_known():
    left, front = person(-60, 100, 60, 400), person(40, 100, 140, 400)
    alone = mask_crop([at(3.0)], [left], 0, CAMERA, None, **CROP)
    assert (alone.visible == 0).mean() > 0.3 and alone.visible[:, -1].all()
    in_front = mask_crop([at(3.0), at(2.0)], [left, front], 0, CAMERA, None, **CROP)
    behind = mask_crop([at(3.0), at(4.0)], [left, front], 0, CAMERA, None, **CROP)
    assert in_front.visible.sum() < 0.8 * alone.visible.sum()
    np.testing.assert_array_equal(behind.visible, alone.visible)
    assert in_front.visible[in_front.mask > 0.5].mean() == alone.visible[alone.mask > 0.5].mean()


def test_every_group_counts_as_it_is_weighed():
    detection = person(200, 100, 300, 400)
    labels = np.full((4, 1), LABELS.index("pants"))
    labels[0], labels[1], labels[3] = LABELS.index("face"), LABELS.index("hair"), -1
    clothes = ClothingMap(np.array([200.0, 100, 300, 400]), labels, np.ones((4, 1), np.float32))
    weights = {SKIN: 1.0, HAIR: 0.3, LOWER: 0.7}
    crop = mask_crop([at(3.0)], [detection], 0, CAMERA, clothes, weights=weights, side=SIDE)
    column, scale = SIDE // 2, SIDE / (1.15 * 300)
    rows = [int(SIDE / 2 + scale * (v - 250)) for v in (130, 210, 290, 370)]
    assert crop.coverage[rows, column].tolist() == [1.0, 0.3, 0.7, 0.3]
    assert crop.labels[rows, column].tolist() == [LABELS.index("face"), LABELS.index("hair"), LABELS.index("pants"), -1]
    plain = mask_crop([at(3.0)], [detection], 0, CAMERA, clothes, weights=None, side=SIDE)
    assert (plain.coverage == 1).all()
    unknown = mask_crop([at(3.0)], [detection], 0, CAMERA, None, weights=weights, side=SIDE)
    assert (unknown.labels == -1).all() and (unknown.coverage == 0.3).all()


def test_a_person_without_a_mask_has_no_crop():
    detection = person(200, 100, 300, 400)
    detection = replace(detection, mask=None)
    with pytest.raises(FittingError, match="without a mask"):
        mask_crop([at(3.0)], [detection], 0, CAMERA, None, **CROP)
