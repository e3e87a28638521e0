"""The network that reads hands: what it is learned from, how well it reads hands it has not seen, its files."""

import numpy as np
import pytest
import torch

from dsr.body import load_asset
from dsr.errors import CheckpointError
from dsr.evaluation.expressive_drawn import finger_places
from dsr.fitting import hand_network
from dsr.fitting.fingers import RestHand
from dsr.fitting.hand_network import MIRRORED_ANGLES, learned, likely_hand, likely_readings, perceptron
from dsr.fitting.hand_solver import HandView
from dsr.people.hands import FEATURES, HandFinder
from dsr.training.systems.hand_samples import kept_samples, read_hand, samples, write_samples
from dsr.training.systems.hands import (
    TEST_SEED,
    HandPlaces,
    Mean,
    Perceptron,
    as_tensors,
    errors,
    inputs_of,
    learn,
    write,
)

MIRROR = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def asset():
    return load_asset("open-x")


@pytest.fixture(scope="module")
def rows(asset):
    """Hands that nobody learned from."""
    finder = HandFinder(1)
    read = [read_hand(asset, finder, seed) for seed in range(TEST_SEED, TEST_SEED + 24)]
    return [row for one in read if one is not None for row in samples(asset, one)]


@pytest.fixture(scope="module")
def read(rows):
    return as_tensors({key: np.stack([row[key] for row in rows]) for key in rows[0]})


def test_hands_that_were_not_seen_are_read(read):
    model, generator = HandPlaces(), torch.Generator().manual_seed(1)
    answers = [perceptron(learned(), row) for row in inputs_of(model, read, generator, False).numpy()]
    hand, changes = (torch.from_numpy(np.stack(each)).float() for each in zip(*answers, strict=True))
    found, inner, _ = errors(model, read, hand, changes)
    forearm, relaxed, _ = errors(model, read, read["forearm"], torch.zeros_like(changes))
    assert found.median() < 0.02 and found.mean() < 0.6 * forearm.mean()  # metres
    assert inner.mean() < 0.7 * relaxed.mean()


def test_places_are_those_of_the_body(asset):
    rng, model = np.random.default_rng(3), HandPlaces()
    rest, pose = RestHand(asset, np.zeros(10), "left"), np.zeros((54, 3))
    angles = rest.within_limits(rest.relaxed + rng.normal(0, 0.3, 21))
    first = asset.joint_names.index("left_index1") - 1
    pose[first : first + 15] = rest.as_pose(np.eye(3), angles).fingers
    places = model.places(model.turns(torch.from_numpy(angles[None]).float()))[0].numpy()
    joints = finger_places(asset, np.zeros(10), pose, np.zeros(3), "left")[:15]
    np.testing.assert_allclose(places[:15], joints, atol=1e-5)
    tips = rest.landmarks(angles)[[8, 12, 20, 16, 4]] - rest.wrist
    np.testing.assert_allclose(places[15:], tips, atol=1e-5)


def seen_view(rest, rng):
    """A hand as a landmark model might see it."""
    angles = rest.within_limits(rest.relaxed + rng.normal(0, 0.2, 21))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    world, shown = rest.landmarks(angles) @ turn.T, learned()["mean"][0, :FEATURES] + rng.random(FEATURES)
    return HandView(900 * world[:, :2], world, 900.0, turn, 0.9, 0.8, 150.0, shown)


def test_a_mirrored_hand_is_read_in_the_mirror(asset):
    left, right = (RestHand(asset, np.zeros(10), side) for side in ("left", "right"))
    view = seen_view(left, np.random.default_rng(4))
    forearm = MIRROR[:, None] * view.forearm * MIRROR
    other = HandView(view.points * MIRROR[:2], view.world * MIRROR, 900.0, forearm, 0.9, 0.8, 150.0, view.features)
    a, b = likely_hand(left, view), likely_hand(right, other)
    np.testing.assert_allclose(a.hand, MIRROR[:, None] * b.hand * MIRROR, atol=5e-3)
    np.testing.assert_allclose(a.angles, b.angles * MIRRORED_ANGLES, atol=5e-3)


def test_without_features_both_readings_of_the_points_remain(asset):
    from dataclasses import replace

    rest = RestHand(asset, np.zeros(10), "left")
    view = seen_view(rest, np.random.default_rng(5))
    assert len(likely_readings(rest, view)[0]) == 1
    assert len(likely_readings(rest, replace(view, features=None))[0]) == 2


def test_learning_goes_down_twice_the_same_and_the_file_says_the_same_in_numpy(read, tmp_path):
    network, model = Mean(learn(read, 60, seed) for seed in (0, 1)), HandPlaces()
    inputs = inputs_of(model, read, torch.Generator().manual_seed(2), False)
    with torch.no_grad():
        hand, changes = network(inputs)
        first = Mean([Perceptron(inputs.shape[1] - read["map"].shape[1])])(inputs)
    assert errors(model, read, hand, changes)[0].mean() < 0.6 * errors(model, read, *first)[0].mean()
    write(tmp_path / "c.safetensors", network, read, read)
    write(tmp_path / "d.safetensors", Mean(learn(read, 60, seed) for seed in (0, 1)), read, read)
    assert (tmp_path / "c.safetensors").read_bytes() == (tmp_path / "d.safetensors").read_bytes()
    from safetensors.numpy import load_file

    again = [perceptron(load_file(tmp_path / "c.safetensors"), row) for row in inputs[:9].numpy()]
    np.testing.assert_allclose(np.stack([row for row, _ in again]), hand[:9].numpy(), atol=1e-4)
    np.testing.assert_allclose(np.stack([row for _, row in again]), changes[:9].numpy(), atol=1e-4)
    assert f"{len(hand)} other drawn hands" in (tmp_path / "c.md").read_text()
    assert {name: value.shape for name, value in learned().items()} == {
        name: tuple(value.shape) for name, value in network.weights().items()
    }


def test_what_is_kept_is_not_drawn_again(rows, tmp_path):
    write_samples(tmp_path / f"hands_{TEST_SEED}.npz", rows[:5])
    kept = kept_samples(tmp_path, TEST_SEED, 250)
    assert len(kept["palm"]) == 5
    np.testing.assert_array_equal(kept["seen"], np.stack([row["seen"] for row in rows[:5]]))


def test_missing_weights_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(hand_network, "WEIGHTS", tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        learned()
    monkeypatch.undo()
    assert learned()
