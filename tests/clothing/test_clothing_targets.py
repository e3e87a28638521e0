"""Targets of the semantic terms: distance maps and attributes of a prior."""

from __future__ import annotations

import pytest
import torch

from dsr import clothing
from dsr.clothing.labels import MINIMALLY_CLOTHED


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(3))
def test_distance_map_against_brute_force(seed):
    mask = random(2, 12, 9, seed=seed) > 0.93
    mask[:, 3, 4] = True
    distance = clothing.distance_map(mask)
    for sample, expected in zip(mask, distance, strict=True):
        places = sample.nonzero().float()
        grid = torch.stack(torch.meshgrid(torch.arange(12.0), torch.arange(9.0), indexing="ij"), -1)
        brute = torch.cdist(grid.reshape(-1, 2), places).amin(1).view(12, 9)
        torch.testing.assert_close(expected, brute)


def test_attributes_of_a_prior_are_probabilities_of_all_classes():
    prior = random(50, 20)
    prior = prior / prior.sum(1, keepdim=True)
    nine = clothing.semantic_attributes(prior, torch.tensor([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0]], dtype=torch.bool))
    torch.testing.assert_close(nine[..., 1:].sum(-1), torch.ones(2, 50))
    torch.testing.assert_close(nine[0, :, 0], prior[:, 19] + prior[:, 13])
    assert (nine[1, :, 0] == 0).all()


@pytest.mark.parametrize("compat", [False, True])
def test_labels_and_classes_count_with_more_pixels_than_the_least(compat):
    """Of exactly ``min_pixels`` a label is still noise, one more and it counts, with the mask and the weight."""
    face, arm = (clothing.LABELS.index(name) for name in ("face", "leftArm"))
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    labels[0, 0, :5], labels[0, 1, :6] = face, arm
    target = clothing.minimally_clothed_target(labels, min_pixels=5, compat=compat)
    named = dict(zip(MINIMALLY_CLOTHED, target.valid[0].tolist(), strict=True))
    assert [name for name, valid in named.items() if valid] == ["leftArm"]
    assert torch.equal(target.mask[0], (labels[0] == arm).float())
    clothed = clothing.clothed_target(labels, min_pixels=5, compat=compat)
    weights, classes = clothed.weights[0], clothed.classes[0]
    assert weights[classes[0, 0]] == 0 and weights[classes[1, 0]] > 0
