"""Named directions: what the shipped body's do, from the file to the body, and how they are learned."""

from dataclasses import replace

import numpy as np
import pytest
from shipped_bodies import marking, open_body

from dsr.body import Body, load_asset, measure_shape
from dsr.body.asset_file import read_asset, save_asset
from dsr.errors import BodyError

METRIC = {
    "height": ("stature", 0.01, ()),
    "mass": ("weight", 1.0, ("stature",)),
    "leg_length": ("crotch_height", 0.01, ("stature", "weight")),
    "shoulder_breadth": ("biacromial_breadth", 0.01, ("stature", "weight")),
    "hip_breadth": ("hip_breadth", 0.01, ("stature", "weight")),
}


def change(name, units):
    """What so many units of a direction of the open body change, by measure."""
    asset = open_body()
    step = units * Body(asset).directions()[name].betas
    before, after = measure_shape(asset, 0 * step), measure_shape(asset, step)
    return {measure: float(after[measure] - before[measure]) for measure in after}


@pytest.mark.parametrize("name", METRIC)
@pytest.mark.parametrize("units", [-4, 5])
def test_a_direction_moves_its_measure_by_its_unit_and_leaves_the_others(name, units):
    moved, size, kept = METRIC[name]
    changes = change(name, units)
    slack = {"mass": 0.08, "hip_breadth": 0.05}.get(name, 0.02)  # no linear ones: a volume, the widest of a ring
    assert changes[moved] == pytest.approx(units * size, rel=slack)
    for other in kept:
        assert abs(changes[other]) < {"stature": 0.002, "weight": 1.2}[other], other


def test_muscle_age_and_sex_do_what_their_names_say():
    muscle, age, sex = change("muscle", 2), change("age", 20), change("sex", 1)
    assert muscle["biceps_girth"] > 0.003 and muscle["waist_girth"] < -0.015
    assert age["waist_girth"] > 0.02 and age["thigh_girth"] < -0.01
    assert sex["buttock_girth"] > 0.03 and sex["biacromial_breadth"] < -0.008 and sex["neck_girth"] < -0.015
    for changes in (muscle, age, sex):
        assert abs(changes["stature"]) < 0.003 and abs(changes["weight"]) < 1.5


def test_a_body_names_its_directions():
    body = Body(open_body())
    directions = body.directions()
    assert list(directions)[:2] == ["height", "mass"] and len(directions) == 8
    for name, direction in directions.items():
        assert direction.name == name and direction.unit in ("cm", "kg", "sd", "years", "middle to woman")
        assert direction.betas.shape == (body.num_betas,) and direction.betas[body.asset.child_beta] == 0
        assert direction.spread > 0
    assert 5 < directions["height"].spread < 8 and directions["muscle"].spread == pytest.approx(1)


def test_a_body_without_directions_says_so():
    with pytest.raises(BodyError, match="Body open has no named directions"):
        Body(replace(open_body(), directions=None)).directions()


def test_directions_are_kept_in_a_file_and_cut_with_the_betas(tmp_path):
    save_asset(open_body(), tmp_path / "copy.npz")
    again, first = read_asset(tmp_path / "copy.npz"), open_body()
    np.testing.assert_array_equal(again.directions, first.directions)
    np.testing.assert_array_equal(again.direction_spreads, first.direction_spreads)
    assert (again.direction_names, again.direction_units) == (first.direction_names, first.direction_units)
    fewer = Body(load_asset(tmp_path / "copy.npz", num_betas=3)).directions()
    np.testing.assert_array_equal(fewer["mass"].betas, first.directions[1, :3])


@pytest.mark.parametrize(
    "broken", [{"direction_units": ("cm",)}, {"direction_spreads": np.ones(3)}, {"directions": np.ones((8, 99))}]
)
def test_directions_that_do_not_fit_are_refused(broken):
    with pytest.raises(BodyError, match="direction"):
        replace(open_body(), **broken).check()


@pytest.fixture(scope="module")
def learned():
    """Directions of made-up people: betas and, beside them, an age and a muscle that some betas know of."""
    asset, rng = open_body(), np.random.default_rng(0)
    women = np.arange(600) % 2 == 0
    scores = np.insert(rng.normal(size=(600, 40)), asset.child_beta, 0, 1)
    age = rng.uniform(18, 60, 600)
    scores[:, 30] += 0.02 * age + 0.5 * women  # changes neither stature nor mass
    variables = {**measure_shape(asset, scores), "sex": np.where(women, 1.0, -1.0), "age": age, "muscle": scores[:, 7]}
    module = marking("directions")
    arrays = module.learn(scores, variables)
    return asset, module.DIRECTIONS, dict(zip(arrays["direction_names"], arrays["directions"], strict=True)), arrays


def test_a_learned_direction_moves_its_measure_by_a_unit_and_holds_the_others(learned):
    asset, specification, rows, _ = learned
    for name in ("height", "mass", "leg_length", "shoulder_breadth", "hip_breadth"):
        _, unit, (moved, *kept) = specification[name]
        before, after = (measure_shape(asset, step * rows[name]) for step in (-1, 1))
        assert float(after[moved] - before[moved]) / 2 == pytest.approx(
            unit, rel=0.1 if name in ("mass", "hip_breadth") else 0.03
        ), name
        for other in set(kept) - {"sex"}:
            slack = 0.0005 if other == "stature" else 0.4
            assert float(after[other]) == pytest.approx(float(before[other]), abs=slack), (name, other)


def test_ages_and_sexes_are_learned_from_the_people(learned):
    _, _, rows, arrays = learned
    assert rows["age"][30] == pytest.approx(0.02, abs=0.004) and rows["sex"][30] == pytest.approx(0.25, abs=0.05)
    spreads = dict(zip(arrays["direction_names"], arrays["direction_spreads"], strict=True))
    assert spreads["muscle"] == pytest.approx(1) and spreads["age"] == pytest.approx(42 / 12**0.5, rel=0.2)


def test_betas_of_people_come_back():
    asset = open_body()
    module = marking("directions")
    scores = np.insert(np.random.default_rng(1).normal(size=(3, 40)), asset.child_beta, 0, 1)
    people = (asset.v_template + np.einsum("vcb,nb->nvc", asset.shapedirs, scores)).astype(np.float32)
    found = module.betas_of(people, asset.v_template, asset.shapedirs, asset.child_beta)
    np.testing.assert_allclose(found, scores, atol=2e-3)
