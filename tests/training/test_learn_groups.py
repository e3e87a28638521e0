"""How the detector of groups is learned: targets, loss, runs that go on, the file and its card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dsr.people.group_network import ANCHORS, STRIDE, VALUES, GroupNetwork
from dsr.synthetic.cutouts import CutoutSource
from dsr.synthetic.groups import GroupPicture, GroupSource
from dsr.training.systems import groups


@pytest.fixture(scope="module")
def source() -> GroupSource:
    drawing = CutoutSource()
    return GroupSource([drawing.draw(k) for k in range(3)], 64)


def test_targets_say_where_heads_and_trunks_are_and_whose() -> None:
    points = np.array([[[20, 10], [20, 24], [22, 30], [22, 6]]], np.float32)
    picture = GroupPicture(np.zeros((64, 64, 3), np.uint8), points, np.array([[2, 1]], np.uint8))
    maps = groups.target(picture)
    heat, counts = maps[:ANCHORS], maps[ANCHORS : 2 * ANCHORS]
    assert heat[0, 10 // STRIDE, 20 // STRIDE] == 1 and heat[1].max() == 0
    assert counts[0].min() == 1 and counts[1, 24 // STRIDE, 20 // STRIDE] == 0, "a doubtful trunk does not count"
    values = maps[3 * ANCHORS :].reshape(ANCHORS, VALUES, 16, 16)[0, :, 2, 5]
    np.testing.assert_allclose(values, [0, 20 / 48, np.log(48 / 64), 0, 1], atol=1e-6)


def test_the_loss_is_least_at_the_target() -> None:
    points = np.array([[[20, 10], [20, 24], [22, 30], [22, 6]]], np.float32)
    picture = GroupPicture(np.zeros((64, 64, 3), np.uint8), points, np.array([[2, 2]], np.uint8))
    maps = torch.from_numpy(groups.target(picture))[None]
    right = torch.cat([torch.where(maps[:, :ANCHORS] >= 1, 8.0, -8.0), maps[:, 3 * ANCHORS :]], 1)
    nothing = torch.cat([torch.full_like(maps[:, :ANCHORS], -8.0), maps[:, 3 * ANCHORS :]], 1)
    shifted = torch.cat([right[:, :ANCHORS], right[:, ANCHORS:] + 0.2], 1)
    losses = [float(groups.errors(answers, maps)) for answers in (right, shifted, nothing)]
    assert losses[0] < 0.01 < losses[1] < losses[2]


def test_a_run_goes_on_where_it_was_stopped_and_ships_halves(source: GroupSource, tmp_path: Path) -> None:
    state = tmp_path / "training.pt"
    groups.learn(source, 1, 0, state)
    network = groups.learn(source, 2, 0, state)
    assert torch.load(state, weights_only=True)["step"] == 2
    groups.TEST_PICTURES, kept = 2, groups.TEST_PICTURES
    try:
        groups.write(tmp_path / "w.safetensors", network, source, 3, 2)
    finally:
        groups.TEST_PICTURES = kept
    weights = load_file(tmp_path / "w.safetensors")
    assert all(value.dtype is torch.float16 for value in weights.values())
    GroupNetwork().load_state_dict(weights)
    card = (tmp_path / "w.md").read_text()
    assert "people found" in card and "mocap.cs.cmu.edu" in card and "2 steps" in card
