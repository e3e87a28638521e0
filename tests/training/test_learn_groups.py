"""How the detector of groups is learned: targets, loss, runs that go on, the file and its card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dsr.people.group_network import ANCHORS, JOINTS, PLACE, STRIDE, VALUES, GroupNetwork
from dsr.synthetic.cutouts import CutoutSource
from dsr.synthetic.groups import GroupPicture, GroupSource
from dsr.training.systems import groups


@pytest.fixture(scope="module")
def source() -> GroupSource:
    drawing = CutoutSource()
    return GroupSource([drawing.draw(k) for k in range(3)], 64)


def somebody(*state: int) -> GroupPicture:
    """A picture of one person, joints in a row below the middle of the hips."""
    joints = [[22, 30 + k] for k in range(JOINTS)]
    points = np.array([[[20, 10], [20, 24], [22, 30], [22, 6], *joints]], np.float32)
    return GroupPicture(np.zeros((64, 64, 3), np.uint8), points, np.array([state], np.uint8))


def test_targets_say_where_heads_and_trunks_are_and_whose() -> None:
    maps = groups.target(somebody(2, 1))
    assert maps.heat[0, 10 // STRIDE, 20 // STRIDE] == 1 and maps.heat[1].max() == 0
    assert maps.counts[0].all() and not maps.counts[1, 24 // STRIDE, 20 // STRIDE], "a doubtful trunk does not count"
    assert maps.whose[0, 2, 5] == 0 and maps.whose[1].max() == -1


def test_the_loss_is_least_at_the_target() -> None:
    picture = somebody(2, 2)
    maps = groups.target(picture)
    heat, counts, whose, points = (
        torch.from_numpy(each)[None] for each in (maps.heat, maps.counts, maps.whose, maps.points)
    )
    targets = groups.Target(heat.float(), counts.float(), whose.long(), points)
    right = torch.zeros(1, ANCHORS * (1 + VALUES), 16, 16)
    right[:, :ANCHORS] = torch.where(targets.heat >= 1, 8.0, -8.0)
    values = right[:, ANCHORS:].view(1, ANCHORS, VALUES, 16, 16)
    for anchor, row, column in torch.nonzero(targets.whose[0] >= 0).tolist():
        beside = torch.from_numpy(picture.points[0] / STRIDE) - torch.tensor([column + 0.5, row + 0.5])
        values[0, anchor, :, row, column] = torch.cat(
            [
                beside[2] / 12,
                torch.tensor([np.log(48 / 64), 0, 1]),
                (beside[4:] / 12).flatten(),
                torch.full((JOINTS,), -5),
            ]
        )
    nothing, shifted, doubted = right.clone(), right.clone(), right.clone()
    nothing[:, :ANCHORS] = -8.0
    shifted[:, ANCHORS:].view_as(values)[:, :, PLACE:-JOINTS] += 0.2
    doubted[:, ANCHORS:].view_as(values)[:, :, -JOINTS:] = -1.0
    losses = [float(groups.errors(answers, targets)) for answers in (right, doubted, shifted, nothing)]
    assert losses[0] < losses[1] < losses[2] and losses[0] < losses[3] - 1
    both = shifted.clone()
    both[:, ANCHORS:].view_as(values)[:, :, -JOINTS:] = -1.0
    assert float(groups.errors(both, targets)) < losses[2], "who is wrong had better say so"


def test_a_new_run_begins_with_what_fits_of_an_earlier_network(source: GroupSource, tmp_path: Path) -> None:
    earlier = {name: value + 1 for name, value in GroupNetwork().state_dict().items() if value.is_floating_point()}
    earlier["out.bias"] = torch.zeros(3)
    save_file(earlier, tmp_path / "earlier.safetensors")
    network = groups.learn(source, 0, 0, tmp_path / "training.pt", tmp_path / "earlier.safetensors")
    torch.testing.assert_close(network.state_dict()["stem.0.weight"], earlier["stem.0.weight"])
    assert float(network.state_dict()["out.bias"][0]) == -4.0


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
