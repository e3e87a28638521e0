"""Crops of masks: where they lie, what hides a person, and how skin and clothing count."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dsr.body.joints import joint_names
from dsr.camera import PictureCamera
from dsr.errors import FittingError
from dsr.fitting.mask_crop import mask_crop, skin_pixels
from dsr.people.types import Detection, PersonMask

SIZE = (640, 480)
CAMERA = PictureCamera([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]], SIZE)
NAMES = joint_names("blazepose33")
SKIN, SHIRT = (210, 160, 130), (40, 60, 160)
SIDE = 128
CROP = {"clothing": "auto", "cloth": 0.25, "side": SIDE}


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


def photo(detection):
    """Skin above, shirt below, a wall around."""
    rgb = np.full((SIZE[1], SIZE[0], 3), (90, 140, 90), np.uint8)
    x0, y0, x1, y1 = detection.box_px.astype(int)
    rgb[y0:y1, x0:x1] = SHIRT
    rgb[y0 : y0 + (y1 - y0) // 3, x0:x1] = SKIN
    return rgb


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


@pytest.mark.parametrize("clothing", ["auto", "tight", "off"])
def test_skin_counts_whole_and_clothing_less(clothing):
    detection = person(200, 100, 300, 400)
    crop = mask_crop([at(3.0)], [detection], 0, CAMERA, photo(detection), **{**CROP, "clothing": clothing})
    rows = np.arange(SIDE)[:, None] + 0 * np.arange(SIDE)
    inside = crop.mask > 0.9
    top = rows < SIDE / 2 - SIDE / 1.15 / 6 - 2
    if clothing == "auto":
        assert (crop.coverage[inside & top] == 1.0).mean() > 0.95
        assert (crop.coverage[inside & (rows > SIDE / 2)] == 0.25).all()
        without = mask_crop([at(3.0)], [detection], 0, CAMERA, None, **CROP)
        assert (without.coverage == 0.25).all()
    else:
        assert (crop.coverage == 1.0).all()


def test_skin_has_the_colour_of_the_face_and_hands():
    detection = person(200, 100, 300, 400)
    rgb, mask = photo(detection), detection.mask.probability
    u, v = np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5
    skin = skin_pixels(detection, mask, u, v, SIZE, rgb)
    assert skin is not None
    np.testing.assert_array_equal(skin, (rgb == SKIN).all(-1) & (mask > 0.5))
    half = skin_pixels(detection, mask, u, v, SIZE, rgb[::2, ::2])  # a photograph at working size
    assert (half == skin).mean() > 0.99
    detection.confidence[:] = 0.2
    assert skin_pixels(detection, mask, u, v, SIZE, rgb) is None


def test_a_person_without_a_mask_has_no_crop():
    detection = person(200, 100, 300, 400)
    detection = replace(detection, mask=None)
    with pytest.raises(FittingError, match="without a mask"):
        mask_crop([at(3.0)], [detection], 0, CAMERA, None, **CROP)
