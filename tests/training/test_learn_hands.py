"""The correction of hands: what it is learned from, that it helps on hands it has not seen, its files."""

import numpy as np
import pytest
import torch

from dsr.body import load_asset
from dsr.errors import CheckpointError
from dsr.fitting import hand_correction
from dsr.fitting.fingers import RestHand
from dsr.fitting.hand_correction import MIRRORED_ANGLES, corrected, features, learned, perceptron
from dsr.fitting.hand_solver import HandView, hand_readings
from dsr.training.systems.hands import TEST_SEED, Perceptron, errors, learn, read_hands, samples, stacked, write

MIRROR = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def asset():
    return load_asset("open-x")


@pytest.fixture(scope="module")
def read(asset):
    """Hands that nobody learned from, solved."""
    return stacked(row for hand in read_hands(asset, TEST_SEED, 16) for row in samples(asset, *hand, 1))


def test_hands_that_were_not_seen_get_better(read):
    chosen = read["chosen"]
    rows = torch.arange(len(chosen))
    changes = torch.from_numpy(perceptron(learned(), read["features"][rows, chosen].numpy()))
    solved, inner, _ = errors(read, chosen, torch.zeros_like(changes))
    after, inner_after, _ = errors(read, chosen, changes)
    assert after.mean() < solved.mean() and inner_after.mean() < 0.95 * inner.mean()
    assert 0.005 < solved.median() < 0.04  # metres


def test_a_mirrored_hand_is_corrected_in_the_mirror(asset):
    rng = np.random.default_rng(4)
    left, right = (RestHand(asset, np.zeros(10), side) for side in ("left", "right"))
    angles = left.within_limits(left.relaxed + rng.normal(0, 0.2, 21))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    world = left.landmarks(angles) @ turn.T
    view = HandView(900 * world[:, :2], world, 900.0, turn, 0.9, 0.8)
    flat = view.points * MIRROR[:2]
    other = HandView(flat, world * MIRROR, 900.0, MIRROR[:, None] * turn * MIRROR, 0.9, 0.8)
    poses, costs = hand_readings(left, view)
    mirrored = [right.as_pose(MIRROR[:, None] * pose.hand * MIRROR, pose.angles * MIRRORED_ANGLES) for pose in poses]
    np.testing.assert_allclose(
        features(left, view, poses, costs), features(right, other, mirrored, costs), rtol=2e-3, atol=2e-3
    )
    for a, b, before in zip(
        corrected(left, view, poses, costs), corrected(right, other, mirrored, costs), poses, strict=True
    ):
        np.testing.assert_allclose(a.hand, MIRROR[:, None] * b.hand * MIRROR, atol=5e-3)
        np.testing.assert_allclose(a.angles, b.angles * MIRRORED_ANGLES, atol=5e-3)
        assert np.abs(a.angles - before.angles).max() > 1e-3


def test_learning_goes_down_and_the_file_says_the_same_in_numpy(read, tmp_path):
    network = learn(read, 60, 0)
    rows = torch.arange(len(read["chosen"]))
    inputs = read["features"][rows, read["chosen"]]
    with torch.no_grad():
        changes = network(inputs)
    none = errors(read, read["chosen"], torch.zeros_like(changes))[0].mean()
    assert errors(read, read["chosen"], changes)[0].mean() < 0.9 * none
    write(tmp_path / "c.safetensors", network, read, read, 1)
    from safetensors.numpy import load_file

    again = perceptron(load_file(tmp_path / "c.safetensors"), inputs.numpy())
    np.testing.assert_allclose(again, changes.numpy(), atol=1e-5)
    assert "16 drawn hands" in (tmp_path / "c.md").read_text()
    assert set(learned()) == set(Perceptron(inputs.shape[1]).state_dict())


def test_missing_weights_are_said(tmp_path, monkeypatch):
    learned.cache_clear()
    monkeypatch.setattr(hand_correction, "WEIGHTS", tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        learned()
    monkeypatch.undo()
    assert learned()
