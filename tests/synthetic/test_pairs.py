"""Pairs of what the landmark model says and the truth: near each other, the same for a seed, kept in whole shards."""

from __future__ import annotations

import numpy as np
import pytest

from dsr.errors import DatasetError
from dsr.evaluation import pa_mpjpe
from dsr.synthetic import make_pairs
from dsr.synthetic.detector_statistics import GROUPS, compare, figures, histogram, pair_figures
from dsr.synthetic.make_pairs import MakePairs, measured, read_pairs, shard_path, shards
from dsr.synthetic.pairs import SMALL, PairSource, nearby
from dsr.synthetic.people_drawn import STRATA, project, true_region

LIMBS = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
COUNT = 50


@pytest.fixture(scope="module")
def source():
    return PairSource()


@pytest.fixture(scope="module")
def pairs(source):
    found = [pair for seed in range(COUNT) if (pair := source.sample(seed)) is not None]
    return measured({name: np.stack([pair[name] for pair in found]) for name in found[0]})


def stratum(pairs, name):
    return (pairs["strata"] >> STRATA.index(name) & 1) > 0


def test_the_model_sees_people_who_are_clear_about_where_they_are(pairs):
    clear = stratum(pairs, "upright") & (pairs["presence"].min(1) > 0.9)
    for name in ("border", "occluded", "crowd", "back", "dark", "small"):
        clear &= ~stratum(pairs, name)
    assert clear.sum() >= 8
    errors, apart = [], []
    for i in np.flatnonzero(clear):
        truth = project(pairs["keypoints"][i].astype(float), pairs["K"][i].astype(float))
        side = true_region(truth).side
        errors.append(np.median(np.hypot(*(pairs["points"][i].mean(0) - truth)[LIMBS].T)) / side)
        world = pairs["world"][i].mean(0)[None, LIMBS]
        apart.append(float(pa_mpjpe(world, pairs["keypoints"][i][None, LIMBS]).mean()))
    assert np.median(errors) < 0.025
    assert np.median(apart) < 0.11
    assert len(pairs["seed"]) > 0.9 * COUNT


def test_a_pair_is_the_same_for_a_seed_whatever_was_made_before(source, pairs):
    again = source.sample(int(pairs["seed"][3]))
    for name, value in again.items():
        if name != "strata":  # the sizes are marked afterwards
            np.testing.assert_array_equal(value, pairs[name][3])


def test_the_second_pass_looks_where_the_first_one_points(pairs):
    shift = np.hypot(*(pairs["region"][:, 0, :2] - pairs["region"][:, 1, :2]).T)
    assert (shift / pairs["region"][:, 0, 2] < 0.2).mean() > 0.9
    assert (pairs["region"][:, 0] != pairs["region"][:, 1]).all(1).all()


def test_regions_are_looked_at_as_far_off_as_the_model_puts_them():
    region = true_region(np.random.default_rng(0).normal(300, 60, (33, 2)))
    rng = np.random.default_rng(1)
    drawn = [nearby(region, rng) for _ in range(500)]
    assert 0.008 < np.std([d.u - region.u for d in drawn]) / region.side < 0.04
    assert 0.03 < np.std(np.log([d.side / region.side for d in drawn])) < 0.12


def test_labels_and_mask_agree(pairs):
    whole = ~stratum(pairs, "occluded") & ~stratum(pairs, "crowd") & (pairs["presence"].min(1) > 0.9)
    labels, mask = pairs["labels"][whole] > 0, pairs["mask"][whole] > 127
    overlap = (labels & mask).sum((1, 2)) / (labels | mask).sum((1, 2))
    assert labels.shape[1:] == (SMALL, SMALL)
    assert np.median(overlap) > 0.7
    assert pairs["labels"].max() < 20


def test_shards_are_made_once_and_read_back(tmp_path, monkeypatch, source):
    monkeypatch.setattr(make_pairs, "SHARD", 3)
    monkeypatch.setattr(make_pairs, "PairSource", lambda *_: source)
    assert "6 people" in MakePairs(tmp_path, count=6, part="0/1").main()
    assert [p.name for p in shards(tmp_path)] == ["pairs_00000.npz", "pairs_00001.npz"]
    before = shard_path(tmp_path, 0).stat().st_mtime_ns
    shard_path(tmp_path, 1).unlink()
    assert "3 people" in MakePairs(tmp_path, count=6).main()
    assert shard_path(tmp_path, 0).stat().st_mtime_ns == before
    parts = list(read_pairs(tmp_path))
    assert [p["seed"].tolist() for p in parts] == [[0, 1, 2], [3, 4, 5]]
    assert all(p["stature"].min() > 1.0 and p["mass"].max() < 250 for p in parts)
    assert parts[0]["split"].tolist() == [1, 0, 0]
    assert tuple(parts[0]["strata_names"]) == STRATA


def test_processes_share_the_work_and_the_folder_has_a_limit(tmp_path, monkeypatch, source):
    monkeypatch.setattr(make_pairs, "SHARD", 2)
    monkeypatch.setattr(make_pairs, "PairSource", lambda *_: source)
    MakePairs(tmp_path, count=6, part="1/2").main()
    assert [p.name for p in shards(tmp_path)] == ["pairs_00001.npz"]
    assert "limit" in MakePairs(tmp_path, count=6, limit_gb=1e-6).main()
    assert len(shards(tmp_path)) == 1


def test_bad_input_gets_a_sentence(tmp_path):
    for part in ("2/2", "a", "1"):
        with pytest.raises(DatasetError, match="--part"):
            MakePairs(tmp_path, part=part).main()
    with pytest.raises(DatasetError, match="make_pairs"):
        next(read_pairs(tmp_path))
    with pytest.raises(DatasetError, match="MakeHuman"):
        PairSource(garments=tmp_path)
    shard_path(tmp_path, 0).write_bytes(b"no archive")
    with pytest.raises(DatasetError, match="pairs_00000"):
        next(read_pairs(tmp_path))


def test_figures_tell_sets_of_people_apart(pairs):
    ours = pair_figures(pairs)
    assert all(np.isfinite(values).all() for values in ours.values())
    assert max(row.apart for row in compare(ours, ours)) == 0
    leaning = dict(ours) | {"trunk leans aside, degrees": ours["trunk leans aside, degrees"] + 90}
    rows = {row.name: row.apart for row in compare(ours, leaning)}
    assert rows["trunk leans aside, degrees"] > 0.7
    assert sum(apart > 0 for apart in rows.values()) == 1


def test_figures_of_a_known_body():
    world = np.zeros((1, 33, 3))
    world[0, 11], world[0, 12] = (0.2, -0.5, 0), (-0.2, -0.5, 0)
    world[0, 23], world[0, 24] = (0.1, 0, 0), (-0.1, 0, 0)
    world[0, 25], world[0, 26] = (0.1, 0.4, 0), (-0.1, 0, -0.4)  # the right thigh points at the camera
    world[0, 27], world[0, 28] = (0.1, 0.8, 0), (-0.1, 0.4, -0.4)
    points = world[..., :2] * 100 + 200
    found = figures(points, np.ones((1, 33)), world, np.ones(1), np.array([[400, 400]]))
    assert found["trunk, metres"][0] == pytest.approx(0.5)
    assert found["shoulder breadth / trunk"][0] == pytest.approx(0.8)
    assert found["thigh / trunk"][0] == pytest.approx(0.8)
    assert found["trunk leans aside, degrees"][0] == pytest.approx(0)
    assert found["shoulders turned, degrees"][0] == pytest.approx(0)
    assert found["knees bent, degrees"][0] == pytest.approx(45)
    assert found["picture against world, share of the region"][0] == pytest.approx(0, abs=1e-9)


def test_histograms_sum_to_one():
    shares = histogram(np.random.default_rng(0).random((20, 33)))
    assert set(shares) == set(GROUPS)
    assert all(value.sum() == pytest.approx(1) for value in shares.values())
