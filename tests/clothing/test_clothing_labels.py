"""Label maps: palette, mirror, merged classes, the window around a person, and what is refused."""

from __future__ import annotations

import pytest
import torch

from dsr import clothing
from dsr.clothing.labels import label_ids
from dsr.errors import LossError


def test_palette_and_unknown_colours():
    labels = torch.arange(20).view(1, 4, 5)
    rgb = torch.tensor(clothing.PALETTE_RGB, dtype=torch.uint8)[labels]
    assert torch.equal(clothing.palette_to_labels(rgb.numpy()), labels)
    rgb[0, 0, 0, 2] += 1
    assert clothing.palette_to_labels(rgb)[0, 0, 0] == clothing.IGNORE


def test_left_and_right_labels_are_exchanged_and_nothing_else():
    for label, mirrored in zip(clothing.LABELS, clothing.LABEL_MIRROR, strict=True):
        swapped = label.replace("left", "x").replace("right", "left").replace("x", "right")
        assert clothing.LABELS[mirrored] == swapped
    labels = torch.arange(-1, 20).view(1, 3, 7)
    mirrored = clothing.mirror_labels(labels)
    names = [[label if label < 0 else clothing.LABELS[label] for label in row] for row in mirrored[0].tolist()]
    assert names[2][:3] == ["leftShoe", "rightShoe", "leftLeg"] and names[0][-1] == clothing.IGNORE
    assert torch.equal(clothing.mirror_labels(mirrored), labels)
    assert torch.equal(clothing.mirror_labels(labels, compat=True), labels.flip(-1))


def test_window_around_keypoints():
    keypoints = torch.tensor(
        [
            [[100.7, 80.2, 0.9], [120.0, 150.9, 0.31], [5.0, 5.0, 0.3]],  # the last has too little confidence
            [[-60.0, -50.0, 0.9], [-40.0, -45.0, 0.9], [-50.0, -50.0, 0.9]],  # up and left of the picture
            [[100.0, 80.0, 0.0], [torch.nan, 1.0, 0.2], [1.0, 1.0, torch.nan]],  # nothing is known
            [[10.0, 200.0, 1.0], [torch.nan, 50.0, 1.0], [220.0, 220.0, 1.0]],
        ]
    )
    window = clothing.keypoint_window(keypoints, (224, 224))
    assert window.tolist() == [[70, 50, 150, 180], [0, 0, 0, 0], [0, 0, 0, 0], [0, 170, 224, 224]]
    published = clothing.keypoint_window(keypoints[1:2], (224, 224), compat=True)
    assert published.tolist() == [[0, 0, 214, 209]]  # a negative end counts from the other side


def test_window_keeps_columns_and_rows_apart():
    kept = clothing.keep_window(torch.ones(1, 6, 8), torch.tensor([[1, 2, 7, 3]]))
    assert kept.sum() == 6
    assert (kept[0, 2, 1:7] == 1).all()


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("labels", lambda: clothing.minimally_clothed_target(torch.full((1, 4, 4), 20))),
        ("labels", lambda: clothing.clothed_target(torch.full((1, 4, 4), 255, dtype=torch.uint8))),
        ("labels", lambda: clothing.clothed_target(torch.zeros(1, 4, 4))),
        ("labels", lambda: clothing.mirror_labels(torch.zeros(4, 4, dtype=torch.int64))),
        ("rgb", lambda: clothing.palette_to_labels(torch.zeros(1, 4, 4, 3))),
        ("names", lambda: label_ids(["trousers"])),
        ("prior", lambda: clothing.clothed_attributes(torch.full((5, 20), torch.nan))),
        ("prior", lambda: clothing.semantic_attributes(torch.zeros(5, 19), torch.zeros(1, 5))),
        ("valid", lambda: clothing.semantic_attributes(torch.zeros(5, 20), torch.zeros(1, 8))),
        ("counts", lambda: clothing.class_weights(torch.full((1, 8), -1))),
    ],
)
def test_errors_name_the_argument(argument, call):
    with pytest.raises(LossError, match=rf"\b{argument}\b"):
        call()
