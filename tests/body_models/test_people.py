"""Bodies of people: Anny brought to the T-pose, matching by measures, people beyond the survey, components."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from shared_data import anthropometry

from dsr.body.asset import CHILD_BETA

MODULES = ("bake", "general_people", "keypoints", "light", "match_people", "measurements", "people", "regressors")


@pytest.fixture(scope="module")
def bake():
    """A function that imports a module of the bake."""
    folder = str(Path(__file__).parents[2] / "body_models")
    sys.path.insert(0, folder)
    yield importlib.import_module
    sys.path.remove(folder)
    for name in (*MODULES, "shape_space", "tpose"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def people(bake):
    """Anny with local modifications."""
    pytest.importorskip("anny", reason="the bake needs the extra build")
    pytest.importorskip("rtree", reason="the bake needs the extra build")
    return bake("people").People()


def parameters(people, count=3):
    """Different people near the middle."""
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.uniform(0.4, 0.6, (count, 6)), rng.normal(0, 0.2, (count, len(people.names) - 6))], 1)
    return torch.from_numpy(p)


def test_people_stand_in_the_t_pose_and_are_symmetric(people):
    vertices, joints = people.only(people.body_index).tposed(parameters(people))
    np.testing.assert_allclose(joints[:, 0], 0, atol=1e-9)
    right = [2, 5, 8, 17, 19, 21]
    np.testing.assert_allclose(joints[:, [1, 4, 7, 16, 18, 20]], joints[:, right] * torch.tensor([-1, 1, 1]), atol=1e-6)
    arm = joints[:, [16, 18, 20]]
    assert float(torch.linalg.vector_norm(arm[:, 1:, 1:] - arm[:, :1, 1:], dim=2).max()) < 1e-6  # straight to the side
    leg = joints[:, [1, 4, 7]]
    assert float((leg[:, 1:, ::2] - leg[:, :1, ::2]).abs().max()) < 1e-6
    assert float(np.ptp(vertices[..., 1].numpy(), axis=1).min()) > 1.2


def test_reposing_is_that_of_the_bake(bake, people):
    both = people.only(people.body_index)
    vertices, joints = both.rest(parameters(people))
    mine = bake("people").repose(vertices, joints, both.weights)
    reference = bake("tpose").repose(vertices.numpy(), joints.numpy(), both.weights.numpy())
    for a, b in zip(mine, reference, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_body_of_made_up_measures_has_them(bake, people):
    pytest.importorskip("fast_simplification", reason="the bake needs the extra build")
    matcher = bake("match_people").Matcher(people)
    goal = parameters(people, 2)
    target = matcher.measure(goal)
    gender, age = goal[:, 0].round(), torch.tensor([30.0, 30.0])
    start = matcher.measure(matcher.prior(gender, age)[0])
    _, sizes = matcher.match(target, gender, age)
    weight = list(bake("measurements").TABLE).index("weight")
    before, after = (np.delete((1000 * (m - target)).abs().numpy(), weight, 1) for m in (start, sizes))
    assert np.median(after) < 2.5 and np.median(after) < np.median(before) / 5
    assert float((sizes - target)[:, weight].abs().max()) < 1


def test_everybody_is_matched_once_beside_people_of_the_same_sex(bake):
    match_people = bake("match_people")
    rng = np.random.default_rng(0)
    values = rng.uniform(0.5, 2, (730, len(bake("measurements").TABLE)))
    gender = (rng.random(730) < 0.4).astype(float)
    blocks = match_people.blocks(values, gender)
    np.testing.assert_array_equal(np.sort(np.concatenate(blocks)), np.arange(730))
    assert all(len(set(gender[rows])) == 1 and len(rows) <= 100 for rows in blocks)
    assert match_people.held_out(6068).sum() == 500
    np.testing.assert_array_equal(match_people.held_out(6068), match_people.held_out(6068))


def test_people_beyond_the_survey_are_heavy_thin_or_old(bake):
    names = list(bake("measurements").TABLE)
    rng = np.random.default_rng(0)
    stature, index = rng.normal(1.7, 0.08, 300), rng.normal(26, 3, 300)
    values = rng.normal(0.5, 0.02, (300, len(names))) + 0.2 * stature[:, None]
    for name, column in (("stature", stature), ("weight", index * stature**2), ("waist_girth", 0.035 * index)):
        values[:, names.index(name)] = column
    target, sex, age = bake("general_people").draw(values, np.arange(300) % 2)
    assert (sex == 0).sum() == (sex == 1).sum() == 150
    mass_index = target[:, names.index("weight")] / target[:, names.index("stature")] ** 2
    assert ((mass_index <= 20) | (mass_index >= 33) | (age >= 50)).all()
    assert (mass_index > 35).sum() > 20 and (age > 70).sum() > 20


def test_components_have_unit_variance_and_give_the_people_back(bake):
    rng = np.random.default_rng(0)
    women = np.arange(200) % 2 == 0
    scores = rng.normal(size=(200, 60)) * np.geomspace(1, 0.02, 60)
    scores[women, 0] -= 1
    basis = rng.normal(size=(60, 30, 3))
    shapes = (rng.normal(size=(30, 3)) + np.einsum("nk,kvc->nvc", scores, basis)).astype(np.float32)
    child = np.zeros((30, 3))
    space = bake("shape_space").shape_space(shapes, women, np.ones(200, bool), child, np.arange(30))
    assert space.directions.shape == (30, 3, 41) and space.sex_cov.shape == (2, 41, 41)
    np.testing.assert_allclose(space.mean + space.directions[..., CHILD_BETA], child, atol=1e-9)
    assert not space.sex_cov[:, CHILD_BETA].any() and not space.sex_mean[:, CHILD_BETA].any()
    np.testing.assert_allclose(space.mean, (shapes[women].mean(0) + shapes[~women].mean(0)) / 2, atol=1e-5)
    assert (np.diff(space.share) <= 1e-9).all() and space.share.sum() > 0.97
    adult = np.delete(np.arange(41), CHILD_BETA)
    components = space.directions[..., adult].reshape(90, 40)
    betas = np.linalg.lstsq(components, (shapes - space.mean).reshape(200, -1).T, rcond=None)[0].T
    both = [betas[women != sex] for sex in (True, False)]  # men, women
    for sex, part in enumerate(both):
        np.testing.assert_allclose(part.mean(0), space.sex_mean[sex][adult], atol=0.05)
    second = np.mean([np.mean(part**2, 0) for part in both], 0)
    np.testing.assert_allclose(second, 1, atol=0.05)
    taller = np.ptp((space.mean[..., None] + space.directions[..., adult])[:, 1], axis=0)
    assert (taller > np.ptp(space.mean[:, 1])).all()


def test_the_table_is_read_in_metres_and_kilograms(bake):
    measurements = bake("measurements")
    values, gender, age = measurements.read_table(str(anthropometry() / "ansur2.csv.xz"))
    names = list(measurements.TABLE)
    assert values.shape == (6068, 50) and int(gender.sum()) == 1986 and age.min() >= 17
    men = values[gender == 0].mean(0)
    assert men[names.index("stature")] == pytest.approx(1.756, abs=0.002)
    assert men[names.index("weight")] == pytest.approx(85.5, abs=0.2)
