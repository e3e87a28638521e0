"""Bodies of a known size: met by the likeliest shape, and by the nearest one to a shape that was predicted."""

from dataclasses import replace

import numpy as np
import pytest
from shipped_bodies import open_body

from dsr.body import betas_for, load_asset, standing_height_m
from dsr.body.known_size import known_size
from dsr.body.load import first_betas
from dsr.body.measure import measure_body, skin_mass_kg


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("height", "mass"), [(1.2, None), (1.85, None), (None, 95.0), (1.75, 60.0), (1.68, 110.0)])
def test_height_and_mass_are_met(known, height, mass):
    """Also by a body that does not know how people are distributed."""
    asset = open_body() if known else replace(open_body(), sex_mean=None, sex_cov=None)
    size = known_size(asset, 11, height, mass)
    assert size.betas.shape == (11,)
    if height is not None:
        assert float(standing_height_m(asset, size.betas)) == pytest.approx(height, abs=2e-4)
    if mass is not None:
        assert skin_mass_kg(asset, size.betas) == pytest.approx(mass, rel=1e-3)
        assert size.mass_slope @ size.betas == pytest.approx(size.mass_goal_kg)


def test_nothing_known_is_nothing_said():
    assert known_size(open_body(), 11, None, None) is None


def test_the_likeliest_shape_is_taken():
    asset = open_body()
    size = known_size(asset, 11, 1.2, None)
    np.testing.assert_allclose(size.betas, betas_for(first_betas(asset, 11), height_m=1.2), atol=0.1)
    assert size.betas[asset.child_beta] > 0.5
    unlike = known_size(replace(asset, sex_mean=None, sex_cov=None), 11, 1.2, None)
    assert abs(unlike.betas - size.betas).max() > 0.5, "without the distribution another shape is nearest"


def test_the_mass_follows_its_slope():
    asset = open_body()
    size = known_size(asset, 11, 1.75, 80.0)
    step = np.random.default_rng(0).normal(size=11) * 0.02
    grown = skin_mass_kg(asset, size.betas + step) - skin_mass_kg(asset, size.betas)
    assert size.mass_slope @ step == pytest.approx(grown, rel=0.05)


def test_the_nearest_shape_is_a_small_change():
    asset = open_body()
    betas = np.random.default_rng(0).normal(size=(3, 11)) * 0.5
    size = known_size(asset, 11, 1.8, None)
    near = size.nearest(betas)
    np.testing.assert_allclose(standing_height_m(asset, near), 1.8, atol=2e-4)
    assert (abs(near - betas)[:, :10].max(1) < 2.5).all() and (near[:, 10] == size.betas[10]).all()
    assert (known_size(asset, 11, 1.2, None).nearest(betas)[:, 10] > 0.5).all()


def test_the_quick_mass_is_that_of_the_measured_body():
    asset = load_asset("open-light")
    betas = np.array([0.5, -1.0])
    assert skin_mass_kg(asset, betas) == pytest.approx(measure_body(asset, betas).mass_kg, rel=2e-3)
