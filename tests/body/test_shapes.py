"""Shapes by their measures: what is asked for is met, the likelier sex is taken, and bodies without marks refuse."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from marked_bodies import marked_body

from dsr.body import Body, betas_for, load_asset, measure_shape, shape_direction
from dsr.body.asset_file import read_asset, save_asset
from dsr.body.likely_shapes import most_likely
from dsr.body.shapes import measure_tensor
from dsr.body.tape import MEASURES
from dsr.errors import BodyError

MEASURE_OF = {
    "height_m": ("stature", 1),
    "mass_kg": ("weight", 1),
    "chest_cm": ("chest_girth", 100),
    "waist_cm": ("waist_girth", 100),
    "hip_cm": ("buttock_girth", 100),
    "crotch_height_mm": ("crotch_height", 1000),
}


@pytest.mark.parametrize(
    "targets",
    [
        {"height_m": 1.8},
        {"height_m": 1.78, "mass_kg": 75},
        {"height_m": 1.68, "chest_cm": 100, "waist_cm": 92},
        {"height_m": 1.7, "mass_kg": 70, "hip_cm": 100, "crotch_height_mm": 800},
    ],
)
def test_a_shape_has_the_measures_asked_of_it(targets):
    asset = marked_body()
    betas = betas_for(asset, **targets)
    assert betas.shape == (11,) and betas[10] == 0
    sizes = measure_shape(asset, betas)
    for key, value in targets.items():
        name, scale = MEASURE_OF[key]
        assert scale * float(sizes[name]) == pytest.approx(value, rel=0.006), key
    np.testing.assert_array_equal(Body(asset).betas_for(**targets), betas)


def test_nothing_asked_gives_the_average_of_the_sex():
    asset = marked_body()
    for number, sex in enumerate(("male", "female")):
        np.testing.assert_allclose(betas_for(asset, sex)[:10], asset.sex_mean[number], atol=1e-9)
    with pytest.raises(BodyError, match="at least one measure"):
        betas_for(asset)


def test_the_shape_is_the_most_likely_one():
    """No step that keeps stature and mass makes it likelier."""
    asset = marked_body()
    betas = betas_for(asset, "male", height_m=1.85, mass_kg=80)[:10]
    at = torch.from_numpy(betas)[None].requires_grad_()
    slopes = torch.stack([torch.autograd.grad(v.sum(), at)[0][0] for v in measure_tensor(asset, at, ("stature",))])
    mass = torch.autograd.grad(measure_tensor(asset, at, ("weight",))[0].sum(), at)[0]
    uphill = np.linalg.solve(asset.sex_cov[0], betas - asset.sex_mean[0])
    span = torch.cat([slopes, mass]).numpy().T
    left_over = uphill - span @ np.linalg.lstsq(span, uphill, rcond=None)[0]
    assert np.linalg.norm(left_over) < 1e-3 * np.linalg.norm(uphill)


def test_the_likelier_sex_is_taken():
    asset = marked_body()
    sizes = np.full((2, len(MEASURES)), np.nan)
    sizes[:, 0] = 1.85, 1.5
    both = most_likely(asset, sizes)
    np.testing.assert_allclose(both[0], betas_for(asset, "male", height_m=1.85), atol=1e-9)
    np.testing.assert_allclose(both[1], betas_for(asset, "female", height_m=1.5), atol=1e-9)
    assert not np.allclose(both[0], betas_for(asset, "female", height_m=1.85))


@pytest.mark.parametrize("name", [n for n in DIRECTIONS if n != "sex"])
def test_a_named_direction_moves_its_measure_and_not_the_others(name):
    asset = marked_body()
    step = shape_direction(asset, name)
    before, after = (measure_shape(asset, b) for b in (0 * step, 0.2 * step))
    moved, *kept = DIRECTIONS[name]
    assert after[moved] > before[moved] * 1.001
    for other in kept:
        assert float(after[other]) == pytest.approx(float(before[other]), rel=0.003)


def test_the_direction_of_sex_leads_to_the_average_woman():
    asset = marked_body()
    np.testing.assert_allclose(shape_direction(asset, "sex")[:10], asset.sex_mean[1])


@pytest.mark.parametrize("bad", [{"height": 1.8}, {"nose_cm": 5}, {"chest_kg": 80}, {"mass_m": 2}])
def test_unknown_measures_are_refused(bad):
    with pytest.raises(BodyError, match=f"{next(iter(bad))}: .*measure"):
        betas_for(marked_body(), **bad)


@pytest.mark.parametrize("value", [0, -1.8, float("nan"), float("inf")])
def test_values_that_are_no_size_are_refused(value):
    with pytest.raises(BodyError, match=r"height_m is .* positive number"):
        betas_for(marked_body(), height_m=value)


def test_other_sexes_and_directions_are_refused():
    with pytest.raises(BodyError, match="'male' or 'female'"):
        betas_for(marked_body(), "men", height_m=1.8)
    with pytest.raises(BodyError, match="age: no direction"):
        shape_direction(marked_body(), "age")


def test_bodies_without_marks_or_people_refuse():
    shipped = load_asset("open")
    assert shipped.tape is None, "the shipped body has marks now: let the tests of shapes use it"
    with pytest.raises(BodyError, match="Body open holds no marked points"):
        Body(shipped).measure()
    with pytest.raises(BodyError, match="Body open does not say how people are distributed"):
        betas_for(shipped, height_m=1.8)
    marked = marked_body()
    with pytest.raises(BodyError, match="its tape marks no nipple"):
        measure_shape(replace(marked, tape_names=tuple("x" if n == "nipple" else n for n in marked.tape_names)))
    with pytest.raises(BodyError, match="names no left_shoulder joint"):
        measure_shape(replace(marked, joint_names=()))
    with pytest.raises(BodyError, match="holds no marked points"):
        betas_for(replace(marked, tape=None, tape_names=()), height_m=1.8)


def test_marks_and_people_are_kept_in_a_file(tmp_path):
    marked = marked_body()
    save_asset(marked, tmp_path / "marked.npz")
    again = read_asset(tmp_path / "marked.npz")
    assert again.tape_names == marked.tape_names and (again.tape != marked.tape).nnz == 0
    np.testing.assert_array_equal(again.sex_cov, marked.sex_cov)
    fewer = load_asset(tmp_path / "marked.npz", num_betas=4)
    assert fewer.sex_mean.shape == (2, 4) and betas_for(fewer, height_m=1.75).shape == (4,)


@pytest.mark.parametrize(
    "broken", [{"tape_names": ("crown",)}, {"sex_cov": np.eye(10)}, {"sex_mean": np.zeros((2, 12))}, {"sex_mean": None}]
)
def test_arrays_that_do_not_fit_are_named(broken):
    if "sex_mean" in broken and broken["sex_mean"] is not None:
        broken = broken | {"sex_cov": np.stack([np.eye(12)] * 2)}
    with pytest.raises(BodyError, match=r"tape|sex_cov|sex_mean"):
        replace(marked_body(), **broken).check()
