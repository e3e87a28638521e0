"""Mixtures and orders: published draws, the same for any number of workers, resumable at any sample."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from shared_data import vectors
from torch.utils.data import DataLoader

from dsr.datasets import EpochSampler, MixedSource, ViewDataset, collate
from dsr.datasets.mix import PERSPOSE_RATIOS
from dsr.errors import DatasetError, TrainingError
from dsr.synthetic import PersonRecord


class Toys:
    """A source whose records carry their own number and epoch."""

    def __init__(self, name, length):
        self.name, self.length = name, length

    def __len__(self):
        return self.length

    def record(self, index, epoch=0):
        return PersonRecord(self.name, f"{index}@{epoch}", np.zeros((1, 1, 3), np.uint8), np.zeros(4))


def toy_view(record, rng):
    return {"noise": torch.from_numpy(rng.standard_normal(2)), "key": f"{record.source}/{record.key}"}


def mixture(rule="share", length=None, **options):
    sources = [Toys("a", 101), Toys("b", 57), Toys("c", 33), Toys("d", 20)]
    return MixedSource(sources, [0.3, 0.4, 0.2, 0.1], rule=rule, length=length, **options)


def test_published_walk_draws_what_the_released_mixer_draws():
    golden = vectors("perspose", "misc")
    mixed = mixture("published-walk", 1000)
    for epoch, expected in zip(golden["mix_epochs"], golden["mix_idx"], strict=True):
        drawn = [mixed.pick(int(position), int(epoch)) for position in golden["mix_pos"]]
        np.testing.assert_array_equal(drawn, expected)


def test_walk_visits_every_record_once_per_pass_across_epochs():
    mixed = mixture("walk", 1000)
    visits = [mixed.pick(index, epoch) for epoch in range(2) for index in range(1000)]
    for which, count, size in ((0, 300, 101), (1, 400, 57), (2, 200, 33), (3, 100, 20)):
        rows = [row for source, row in visits if source == which]
        assert len(rows) == 2 * count
        for start in range(0, 2 * count - size, size):
            assert sorted(rows[start : start + size]) == list(range(size))
    assert [mixed.pick(5, 0), mixed.pick(5, 1)] == [visits[5], visits[1005]], "going back gives the same"
    assert len(mixed._passes) <= sum(count // size + 2 for count, size in ((300, 101), (400, 57), (200, 33), (100, 20)))
    assert pickle.loads(pickle.dumps(mixed)).pick(5, 1) == visits[1005]


def test_shares_are_kept_and_elements_follow_the_index():
    mixed = mixture(length=4000, seed=2)
    picks = [mixed.pick(index, 1) for index in range(4000)]
    shares = np.bincount([which for which, _ in picks]) / 4000
    np.testing.assert_allclose(shares, [0.3, 0.4, 0.2, 0.1], atol=0.03)
    assert all(row == index % (101, 57, 33, 20)[which] for index, (which, row) in enumerate(picks))
    assert picks != [mixed.pick(index, 2) for index in range(4000)], "epochs differ"
    assert len(mixture()) == 101, "the longest source"


def test_a_share_of_nothing_is_never_drawn():
    mixed = MixedSource([Toys("a", 5), Toys("none", 0), Toys("c", 5)], [1, 0, 1], length=200)
    assert {mixed.pick(index)[0] for index in range(200)} == {0, 2}
    walk = MixedSource([Toys("a", 5), Toys("none", 0), Toys("c", 5)], [1, 0, 1], length=200, rule="walk")
    assert {walk.pick(index)[0] for index in range(200)} == {0, 2}


@pytest.mark.parametrize("shares", [[1.0], [-1.0, 2], [0, 0], [np.nan, 1], [0.5, 0.5]])
def test_mixtures_that_cannot_be_made_are_refused(shares):
    with pytest.raises(DatasetError):
        MixedSource([Toys("a", 5), Toys("empty", 0)], shares)


def test_ratios_of_the_presets():
    assert {name: round(sum(ratios.values()), 6) for name, ratios in PERSPOSE_RATIOS.items()} == {
        "perspose-3dpw": 1.0,
        "perspose-h36m": 1.0,
        "perspose-3dhp": 1.1,
        "perspose-w-be-3dpw": 1.2,
        "perspose-w-be-3dhp": 1.3,
    }


def batches(workers, epochs=(0, 1), start=0, **options):
    dataset = ViewDataset(mixture(length=60, seed=4), toy_view, seed=9)
    sampler = EpochSampler(60, seed=9, batch_size=8)
    loader = DataLoader(
        dataset, batch_size=8, sampler=sampler, num_workers=workers, collate_fn=collate, drop_last=True, **options
    )
    seen = []
    for epoch in epochs:
        sampler.set_epoch(epoch)
        sampler.advance(start)
        dataset.set_epoch(epoch)
        seen.append([(batch["index"].tolist(), batch["noise"], batch["key"]) for batch in loader])
    return seen


def same(a, b):
    return len(a) == len(b) and all(
        x[0] == y[0] and torch.equal(x[1], y[1]) and x[2] == y[2] for x, y in zip(a, b, strict=True)
    )


def test_samples_do_not_depend_on_the_number_of_workers():
    """Workers that live on get the new epoch too."""
    none, two = batches(0), batches(2, persistent_workers=True)
    assert all(same(a, b) for a, b in zip(none, two, strict=True))
    assert not same(*none) and none[1][0][2][0].endswith("@1")
    assert len(none[0]) == 60 // 8


def test_an_epoch_goes_on_where_it_stopped():
    assert same(batches(0, [3], start=24)[0], batches(0, [3])[0][3:])
    sampler = EpochSampler(60, seed=9, batch_size=8)
    sampler.set_epoch(3)
    sampler.advance(24)
    other = EpochSampler(60, seed=9, batch_size=8)
    other.load_state_dict(pickle.loads(pickle.dumps(sampler.state_dict())))
    assert list(other) == list(sampler) == sampler.order(3)[24:].tolist() and len(other) == len(sampler) == 32


def test_processes_share_an_epoch_evenly():
    ranks = [EpochSampler(61, seed=1, batch_size=4, rank=rank, world=3) for rank in range(3)]
    parts = [list(sampler) for sampler in ranks]
    assert [len(part) for part in parts] == [20] * 3
    assert len({index for part in parts for index in part}) == 60
    padded = [list(EpochSampler(61, seed=1, drop_last=False, rank=rank, world=3)) for rank in range(3)]
    assert [len(part) for part in padded] == [21] * 3
    assert {index for part in padded for index in part} == set(range(61))


def test_order_of_the_source_is_kept_on_demand():
    assert list(EpochSampler(5, shuffle=False)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("change", [{"seed": 8}, {"length": 61}, {"world": 2}, {"position": 99}, {"epoch": None}])
def test_states_of_other_runs_are_refused(change):
    sampler = EpochSampler(60, seed=9, batch_size=8)
    state = {key: value for key, value in {**sampler.state_dict(), **change}.items() if value is not None}
    with pytest.raises(TrainingError):
        sampler.load_state_dict(state)
    assert sampler.position == 0


@pytest.mark.parametrize("options", [{"length": 0}, {"length": 5, "batch_size": 6}, {"length": 5, "rank": 1}])
def test_orders_that_cannot_be_made_are_refused(options):
    with pytest.raises(TrainingError):
        EpochSampler(**options)


def test_indices_beyond_the_end_end_iteration():
    dataset = ViewDataset(Toys("a", 3), toy_view)
    assert len(list(dataset)) == 3
    with pytest.raises(IndexError):
        mixture().pick(101)


def test_batches_of_different_views_are_refused():
    with pytest.raises(DatasetError):
        collate([{"a": torch.zeros(1)}, {"b": torch.zeros(1)}])
