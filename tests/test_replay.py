"""Tensor functions that are recorded and repeated: the same bits, or left alone where a record would not do."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property

import pytest
import torch
from torch import Tensor

from dsr import replay
from dsr.replay import Repeater, replayed


@dataclass(frozen=True)
class Pair:
    a: Tensor
    factor: float
    rest: tuple[Tensor | None, ...] = (None,)

    @cached_property
    def once(self) -> Tensor:
        return self.a.square()


CALLS = []


def both(pair: Pair, b: Tensor) -> Pair:
    CALLS.append(1)
    return Pair((pair.a @ b).sin() * pair.factor + pair.once, pair.factor, (b.exp(),))


def branches(a: Tensor) -> Tensor:
    return a + 1 if a.sum() > 0 else a - 1


def in_place(a: Tensor) -> Tensor:
    made = torch.zeros_like(a)
    made[:, 0] = a.sum(1)
    return made


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(replay, "_RECORDS", type(replay._RECORDS)())
    monkeypatch.setattr(replay, "_WORTH_S", 0.0)
    CALLS.clear()


def numbers(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_it_is_recorded_once_and_repeats_other_numbers_bit_for_bit():
    for seed in range(8):
        pair, b = Pair(numbers(5, 5, seed=seed), 0.7), numbers(5, 5, seed=seed + 50)
        assert pair.once.shape == (5, 5)
        repeated, expected = replayed(both, pair, b), both(pair, b)
        assert isinstance(repeated, Pair) and repeated.factor == 0.7
        assert torch.equal(repeated.a, expected.a) and torch.equal(repeated.rest[0], expected.rest[0])
    assert len(CALLS) == 8 + 1 + 1  # for comparison, before the record, for the record
    assert torch._C._get_graph_executor_optimize()


def test_numbers_and_sizes_are_told_apart():
    for _ in range(4):
        for size, factor in ((3, 1.0), (3, 2.0), (4, 1.0)):
            pair = Pair(numbers(size, size), factor)
            assert torch.equal(replayed(both, pair, pair.a).a, both(pair, pair.a).a)


def test_what_branches_on_a_number_is_called_as_it_stands():
    for sign in (1.0, 1.0, 1.0, 1.0, -1.0, 1.0):
        assert torch.equal(replayed(branches, sign * torch.ones(3)), sign * torch.ones(3) * 2)


def test_some_arguments_may_stay():
    repeat = Repeater(both, Pair(numbers(4, 4), 1.5))
    for seed in range(6):
        b = numbers(4, 4, seed=seed)
        assert torch.equal(repeat(b).a, both(Pair(numbers(4, 4), 1.5), b).a)


def test_what_costs_little_is_not_recorded(monkeypatch):
    monkeypatch.setattr(replay, "_WORTH_S", 60.0)
    for _ in range(5):
        replayed(both, Pair(numbers(3, 3), 1.0), numbers(3, 3))
    assert len(CALLS) == 5


def test_gradients_are_not_lost():
    for _ in range(5):
        a = torch.ones(2, 2, requires_grad=True)
        replayed(in_place, a * 1.0).sum().backward()
        assert a.grad is not None


def test_threads_get_their_own_results():
    found = {}

    def work(seed: int) -> None:
        found[seed] = [replayed(in_place, numbers(6, 3, seed=seed)) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, results in found.items():
        assert len(results) == 20 and all(torch.equal(r, in_place(numbers(6, 3, seed=seed))) for r in results)


def _through_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(x.numpy() * 2) + x


def test_what_leaves_torch_on_its_way_is_not_recorded(monkeypatch):
    monkeypatch.setattr(replay, "_WORTH_S", 0.0)
    function = Repeater(_through_numpy)
    for x in torch.rand(4, 5):
        assert torch.equal(function(x), 3 * x)
