"""Mixtures and orders: published draws, the same at any place of any epoch."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from shared_data import vectors

from dsr.datasets import MixedSource, collate
from dsr.datasets.mix import epoch_order
from dsr.errors import DatasetError
from dsr.synthetic import PersonRecord


class Toys:
    """A source whose records carry their own number and epoch."""

    def __init__(self, name, length):
        self.name, self.length = name, length

    def __len__(self):
        return self.length

    def record(self, index, epoch=0):
        return PersonRecord(self.name, f"{index}@{epoch}", np.zeros((1, 1, 3), np.uint8), np.zeros(4))


def mixture(rule="random", length=None, **options):
    sources = [Toys("a", 101), Toys("b", 57), Toys("c", 33), Toys("d", 20)]
    return MixedSource(sources, [0.3, 0.4, 0.2, 0.1], rule=rule, length=length, **options)


def test_published_passes_draw_what_the_released_mixer_draws():
    golden = vectors("perspose", "misc")
    mixed = mixture("published-passes", 1000)
    for epoch, expected in zip(golden["mix_epochs"], golden["mix_idx"], strict=True):
        drawn = [mixed.pick(int(position), int(epoch)) for position in golden["mix_pos"]]
        np.testing.assert_array_equal(drawn, expected)


def test_passes_visit_every_record_once_per_pass_across_epochs():
    mixed = mixture("passes", 1000)
    visits = [mixed.pick(index, epoch) for epoch in range(2) for index in range(1000)]
    for which, count, size in ((0, 300, 101), (1, 400, 57), (2, 200, 33), (3, 100, 20)):
        rows = [row for source, row in visits if source == which]
        assert len(rows) == 2 * count
        for start in range(0, 2 * count - size, size):
            assert sorted(rows[start : start + size]) == list(range(size))
    assert [mixed.pick(5, 0), mixed.pick(5, 1)] == [visits[5], visits[1005]], "going back gives the same"
    assert len(mixed._passes) <= sum(count // size + 2 for count, size in ((300, 101), (400, 57), (200, 33), (100, 20)))
    assert pickle.loads(pickle.dumps(mixed)).pick(5, 1) == visits[1005]


def test_proportions_are_kept_and_elements_follow_the_index():
    mixed = mixture(length=4000, seed=2)
    picks = [mixed.pick(index, 1) for index in range(4000)]
    drawn = np.bincount([which for which, _ in picks]) / 4000
    np.testing.assert_allclose(drawn, [0.3, 0.4, 0.2, 0.1], atol=0.03)
    assert all(row == index % (101, 57, 33, 20)[which] for index, (which, row) in enumerate(picks))
    assert picks != [mixed.pick(index, 2) for index in range(4000)], "epochs differ"
    assert len(mixture()) == 101, "the longest source"


def test_a_source_of_proportion_0_is_never_drawn():
    mixed = MixedSource([Toys("a", 5), Toys("none", 0), Toys("c", 5)], [1, 0, 1], length=200)
    assert {mixed.pick(index)[0] for index in range(200)} == {0, 2}
    passes = MixedSource([Toys("a", 5), Toys("none", 0), Toys("c", 5)], [1, 0, 1], length=200, rule="passes")
    assert {passes.pick(index)[0] for index in range(200)} == {0, 2}


@pytest.mark.parametrize("proportions", [[1.0], [-1.0, 2], [0, 0], [np.nan, 1], [0.5, 0.5]])
def test_mixtures_that_cannot_be_made_are_refused(proportions):
    with pytest.raises(DatasetError):
        MixedSource([Toys("a", 5), Toys("empty", 0)], proportions)


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone():
    order = epoch_order(60, seed=9, epoch=3)
    assert sorted(order) == list(range(60)) and order.tolist() != list(range(60))
    np.testing.assert_array_equal(order, epoch_order(60, seed=9, epoch=3))
    assert not np.array_equal(order, epoch_order(60, seed=9, epoch=4))
    assert not np.array_equal(order, epoch_order(60, seed=8, epoch=3))


def test_draws_beyond_the_end_are_refused():
    with pytest.raises(IndexError):
        mixture().pick(101)


def test_batches_of_different_views_are_refused():
    with pytest.raises(DatasetError):
        collate([{"a": torch.zeros(1)}, {"b": torch.zeros(1)}])
