"""PersPose's changes to pixels: a picture stays a picture, and each change comes as often as published."""

import numpy as np
import pytest

from dsr.datasets.pixels import augment_pixels, cut_out

DRAWS = 500


def test_noise_rectangles_and_grey_pictures_have_their_probabilities():
    rng = np.random.default_rng(0)
    plain = np.full((32, 32, 3), (60, 120, 160), np.uint8)
    changed = np.stack([augment_pixels(plain, rng) for _ in range(DRAWS)]).astype(int)
    noisy = np.median(np.abs(np.diff(changed, axis=2)).reshape(DRAWS, -1), axis=1) > 0
    assert noisy.mean() == pytest.approx(0.3, abs=0.06)
    ground = np.median(changed.reshape(DRAWS, -1, 3), axis=1)[:, None, None]
    covered = (np.abs(changed - ground).max(-1) > 2).any((1, 2))
    assert covered[~noisy].mean() == pytest.approx(0.4, abs=0.07)
    grey = (np.ptp(changed, axis=-1) == 0).all((1, 2))
    assert grey.mean() == pytest.approx(0.1, abs=0.04)


def test_pixels_change_but_stay_a_picture():
    image = np.random.default_rng(1).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    before = image.copy()
    changed = [augment_pixels(image, np.random.default_rng(seed)) for seed in range(60)]
    np.testing.assert_array_equal(image, before)
    assert all(c.shape == image.shape and c.dtype == np.uint8 for c in changed)
    assert np.mean([not np.array_equal(c, image) for c in changed]) > 0.8
    np.testing.assert_array_equal(changed[7], augment_pixels(image, np.random.default_rng(7)))
    for seed in range(20):
        white = np.full((100, 100, 3), -1.0, np.float32)
        cut_out(white, np.random.default_rng(seed))
        assert 0.03 < (white >= 0).all(-1).mean() < 0.41
