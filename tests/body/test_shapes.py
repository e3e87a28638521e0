"""Shapes by their measures: what is asked for is met, the likelier sex is taken, and bodies without marks refuse."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from shipped_bodies import open_body

from dsr.body import Body, betas_for, load_asset, load_body, measure_shape
from dsr.body.asset_file import read_asset, save_asset
from dsr.body.likely_shapes import most_likely
from dsr.body.shapes import measure_tensor, result_measures
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
    asset = open_body()
    betas = betas_for(asset, **targets)
    assert betas.shape == (asset.num_betas,) and abs(betas[asset.child_beta]) < 1e-6
    sizes = measure_shape(asset, betas)
    for key, value in targets.items():
        name, scale = MEASURE_OF[key]
        assert scale * float(sizes[name]) == pytest.approx(value, rel=0.006), key
    np.testing.assert_array_equal(Body(asset).betas_for(**targets), betas)


def test_nothing_asked_gives_the_average_of_the_sex():
    asset = open_body()
    for number, sex in enumerate(("male", "female")):
        np.testing.assert_allclose(betas_for(asset, sex), asset.sex_mean[number], atol=1e-9)
    with pytest.raises(BodyError, match="at least one measure"):
        betas_for(asset)


def test_the_shape_is_the_most_likely_one():
    """No step that keeps stature and mass makes it likelier."""
    asset = open_body()
    betas = betas_for(asset, "male", height_m=1.85, mass_kg=80)
    at = torch.from_numpy(betas)[None].requires_grad_()
    slopes = torch.stack([torch.autograd.grad(v.sum(), at)[0][0] for v in measure_tensor(asset, at, ("stature",))])
    mass = torch.autograd.grad(measure_tensor(asset, at, ("weight",))[0].sum(), at)[0]
    uphill = np.linalg.pinv(asset.sex_cov[0], rcond=1e-9) @ (betas - asset.sex_mean[0])
    span = torch.cat([slopes, mass]).numpy().T
    span[asset.child_beta] = 0  # adults do not vary along the child's beta
    left_over = uphill - span @ np.linalg.lstsq(span, uphill, rcond=None)[0]
    assert np.linalg.norm(left_over) < 1e-3 * np.linalg.norm(uphill)


def test_the_likelier_sex_is_taken():
    asset = open_body()
    sizes = np.full((2, len(MEASURES)), np.nan)
    sizes[:, 0] = 1.85, 1.5
    both = most_likely(asset, sizes)
    np.testing.assert_allclose(both[0], betas_for(asset, "male", height_m=1.85), atol=1e-9)
    np.testing.assert_allclose(both[1], betas_for(asset, "female", height_m=1.5), atol=1e-9)
    assert not np.allclose(both[0], betas_for(asset, "female", height_m=1.85))


@pytest.mark.parametrize("bad", [{"height": 1.8}, {"nose_cm": 5}, {"chest_kg": 80}, {"mass_m": 2}])
def test_unknown_measures_are_refused(bad):
    with pytest.raises(BodyError, match=f"{next(iter(bad))}: .*measure"):
        betas_for(open_body(), **bad)


@pytest.mark.parametrize("value", [0, -1.8, float("nan"), float("inf")])
def test_values_that_are_no_size_are_refused(value):
    with pytest.raises(BodyError, match=r"height_m is .* positive number"):
        betas_for(open_body(), height_m=value)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"height_m": 180}, "A stature of 180 m is nobody's"),
        ({"mass_kg": 7000}, "people's are 2 to 650 kg"),
        ({"chest_mm": 9000}, "A chest girth of 9 m is nobody's"),
    ],
)
def test_sizes_in_the_wrong_unit_are_refused(bad, said):
    with pytest.raises(BodyError, match=said):
        betas_for(open_body(), **bad)


def test_a_shape_is_found_where_gradients_are_switched_off():
    with torch.no_grad():
        np.testing.assert_array_equal(betas_for(open_body(), height_m=1.6), betas_for(open_body(), height_m=1.6))


def test_results_give_sizes_that_lead_back_to_the_shape():
    asset = open_body()
    betas = np.stack([betas_for(asset, "female", height_m=1.62, mass_kg=58), np.zeros(asset.num_betas)])
    first, second = result_measures(asset, betas)
    assert first["stature_m"] == pytest.approx(1.62, abs=0.003) and first["weight_kg"] == pytest.approx(58, abs=0.3)
    whole = measure_shape(asset, betas[1])
    for name in ("waist_girth", "crotch_height", "span"):
        assert second[f"{name}_m"] == pytest.approx(float(whole[name]), abs=1e-4)
    again = result_measures(asset, betas_for(asset, "female", **first)[None])[0]
    assert max(abs(again[name] - size) for name, size in first.items() if name != "weight_kg") < 0.004
    few = result_measures(asset, betas[:, :11])[1]
    assert few["weight_kg"] == pytest.approx(second["weight_kg"], abs=1e-3)


def test_bodies_without_marks_give_results_no_sizes():
    assert result_measures(replace(open_body(), tape=None, tape_names=()), np.zeros((2, 3))) == [{}, {}]


def test_other_sexes_are_refused():
    with pytest.raises(BodyError, match="'male' or 'female'"):
        betas_for(open_body(), "men", height_m=1.8)


def test_small_statures_are_children_and_tall_ones_are_not():
    asset = open_body()
    child = asset.child_beta
    for height, low, high in ((1.0, 0.9, 2.0), (1.2, 0.5, 1.3), (1.35, 0.2, 1.0)):
        betas = betas_for(asset, height_m=height)
        assert low < betas[child] < high
        assert float(measure_shape(asset, betas)["stature"]) == pytest.approx(height, abs=0.004)
    for sex in ("male", "female", None):  # no small women or men: near the middle but for the child's beta
        assert np.linalg.norm(np.delete(betas_for(asset, sex, height_m=1.2), child)) < 1
    for height in (1.5, 1.7, 1.9, 2.3):
        assert betas_for(asset, height_m=height)[child] == pytest.approx(0, abs=1e-6)


def test_a_child_weighs_what_children_of_its_stature_do():
    asset = open_body()
    assert float(measure_shape(asset, betas_for(asset, height_m=1.2))["weight"]) == pytest.approx(22.4, abs=0.5)
    heavier = betas_for(asset, height_m=1.2, mass_kg=30)
    assert float(measure_shape(asset, heavier)["weight"]) == pytest.approx(30, abs=0.3)
    assert heavier[asset.child_beta] > 0.4


def test_a_short_adult_who_is_heavy_is_no_child():
    asset = open_body()
    assert betas_for(asset, height_m=1.42)[asset.child_beta] > 0.2
    assert abs(betas_for(asset, height_m=1.42, mass_kg=62)[asset.child_beta]) < 1e-6


def test_bodies_without_marks_or_people_refuse():
    marked = open_body()
    bare = replace(marked, tape=None, tape_names=(), sex_mean=None, sex_cov=None)
    with pytest.raises(BodyError, match="Body open holds no marked points"):
        Body(bare).measure()
    with pytest.raises(BodyError, match="Body open does not say how people are distributed"):
        betas_for(bare, height_m=1.8)
    with pytest.raises(BodyError, match="its tape marks no nipple"):
        measure_shape(replace(marked, tape_names=tuple("x" if n == "nipple" else n for n in marked.tape_names)))
    with pytest.raises(BodyError, match="names no left_shoulder joint"):
        measure_shape(replace(marked, joint_names=()))
    with pytest.raises(BodyError, match="holds no marked points"):
        betas_for(replace(marked, tape=None, tape_names=()), height_m=1.8)


def test_marks_and_people_are_kept_in_a_file(tmp_path):
    marked = open_body()
    save_asset(marked, tmp_path / "marked.npz")
    again = read_asset(tmp_path / "marked.npz")
    assert again.tape_names == marked.tape_names and (again.tape != marked.tape).nnz == 0
    np.testing.assert_array_equal(again.sex_cov, marked.sex_cov)
    fewer = load_asset(tmp_path / "marked.npz", num_betas=4)
    assert fewer.sex_mean.shape == (2, 4) and betas_for(fewer, height_m=1.75).shape == (4,)


@pytest.mark.parametrize(
    "broken", [{"tape_names": ("crown",)}, {"sex_cov": np.eye(10)}, {"sex_mean": np.zeros((2, 99))}, {"sex_mean": None}]
)
def test_arrays_that_do_not_fit_are_named(broken):
    if "sex_mean" in broken and broken["sex_mean"] is not None:
        broken = broken | {"sex_cov": np.stack([np.eye(99)] * 2)}
    with pytest.raises(BodyError, match=r"tape|sex_cov|sex_mean"):
        replace(open_body(), **broken).check()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"height_cm": 1.8}, "A stature of 0.018 m is nobody's"),
        ({"height_m": 2.9}, "A stature of 2.9 m is nobody's"),
        ({"mass_kg": 0.07}, "A weight of 0.07 kg is nobody's"),
        ({"chest_cm": 0.95}, "A chest girth of 0.0095 m is nobody's"),
        ({"inseam_cm": 30, "height_m": 1.9}, "Nobody has these measures together: inseam_cm=30, height_m=1.9"),
        ({"height_m": 1.8, "height_cm": 170}, "height_cm: the stature is given twice"),
        ({"height_m": "1.8"}, "height_m is '1.8' where a positive number is needed"),
        ({"height_m": True}, "height_m is True where"),
        ({"height_m": [1.8, 1.7]}, "height_m is"),
    ],
)
def test_measures_that_nobody_has_are_refused(given, message):
    with pytest.raises(BodyError, match=message):
        load_body("open").betas_for(**given)


@pytest.mark.parametrize("given", [{"height_m": 0.85}, {"height_m": 2.2}, {"mass_kg": 300, "height_m": 1.7}])
def test_small_tall_and_heavy_people_are_not(given):
    body = load_body("open")
    measured = body.measure(body.betas_for(**given))
    for key, value in given.items():
        name = {"height_m": "stature", "mass_kg": "weight"}[key]
        assert float(measured[name]) == pytest.approx(value, rel=0.01)
