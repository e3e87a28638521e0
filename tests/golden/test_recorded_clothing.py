"""Recorded label tables and targets of the clothing room, and plain, slow references of the shortest equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from recorded import Recording, normal, numbers, uniform
from test_recorded_losses import label_map

from dsr.clothing import labels as vocabulary
from dsr.clothing import load_clothing_prior, targets

recording = Recording("clothing")
H, W = 16, 20


@recording.case
def tables():
    """The vocabulary: any renamed, moved or added label shows."""
    names = [*vocabulary.LABELS, *vocabulary.MINIMALLY_CLOTHED, *vocabulary.CLOTHED_CLASSES]
    members = [member for members in vocabulary.CLOTHED_CLASSES.values() for member in members]
    return {
        "names": np.frombuffer(" ".join(names + members).encode(), np.uint8).astype(np.int64),
        "palette": torch.tensor(vocabulary.PALETTE_RGB),
        "merged": torch.tensor(vocabulary.LABEL_TO_CLASS),
        "mirrored": torch.tensor(vocabulary.LABEL_MIRROR),
        "minimally clothed": torch.tensor(vocabulary.label_ids(vocabulary.MINIMALLY_CLOTHED)),
        "ignored": torch.tensor(vocabulary.IGNORE),
    }


@recording.case
def label_maps():
    labels = label_map()
    palette = torch.tensor([*vocabulary.PALETTE_RGB, (255, 255, 255)])[labels]  # unknown pixels are white
    return {
        "merged": vocabulary.merge_labels(labels),
        "mirrored": vocabulary.mirror_labels(labels),
        "mirrored compat": vocabulary.mirror_labels(labels, compat=True),
        "back": vocabulary.palette_to_labels(palette),
    }


@recording.case
def made_targets():
    outputs = {}
    for compat in (False, True):
        mc = targets.minimally_clothed_target(label_map(), min_pixels=10, compat=compat)
        c = targets.clothed_target(label_map(), min_pixels=10, compat=compat)
        outputs |= {f"mc {key} {compat}": getattr(mc, key) for key in ("mask", "valid", "counts", "known")}
        keep = slice(0, 2) if compat else slice(None)  # the published map of an empty mask has no meaning
        outputs |= {f"mc distance {compat}": mc.distance[keep]}
        outputs |= {f"c {key} {compat}": getattr(c, key) for key in ("classes", "weights", "counts")}
    return outputs


@recording.case
def person_windows():
    points = torch.cat((numbers("keypoints", 6, 17, 2, low=-40, high=140), numbers("seen", 6, 17, 1, low=0)), -1)
    points[4, :, :2] -= 300
    points[5, :, 2] = 0
    outputs = {}
    for name, options in {
        "plain": {},
        "compat": {"compat": True},
        "narrow": {"margin": 3.0, "min_confidence": 0.6},
    }.items():
        window = vocabulary.keypoint_window(points, (100, 120), **options)
        kept = vocabulary.keep_window(torch.ones(6, 100, 120, dtype=torch.int64), window)
        outputs |= {f"{name} window": window, f"{name} kept": kept.sum((1, 2))}
    return outputs


@recording.case
def attributes():
    prior = normal("prior", 30, 20).mul(2).softmax(1)
    valid = torch.tensor([[True, False, True, True, False], [False] * 5])
    return {
        "clothed": targets.clothed_attributes(prior),
        "tight": targets.minimally_clothed_attributes(prior, valid),
        "nine": targets.semantic_attributes(prior, valid),
    }


@recording.case
def shipped_prior():
    prior = load_clothing_prior()
    return {
        "columns": prior.vertex_labels.mean(0),
        "rows": prior.face_labels[::197],
        "looseness": prior.vertex_looseness_m[::97],
    }


@pytest.mark.parametrize("name", recording.cases)
def test_recorded(name):
    recording.check(name)


# ---- plain references: the specification's sentences, one loop each


def test_class_weights_give_every_kept_class_the_same_say():
    counts = np.floor(uniform("counts", 20, 8, low=0, high=150)).astype(int)
    counts[3] = 0
    counts[4, 2] = 60
    for compat in (False, True):
        ours = targets.class_weights(torch.from_numpy(counts), compat=compat).numpy()
        for row, weights in zip(counts, ours, strict=True):
            kept = [n for n in row if n > 60]
            rarest = min([n for n in row if n >= 60], default=0) if compat else min(kept, default=0)
            expected = [rarest / n if n > 60 else 0.0 for n in row]
            np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_distances_are_those_to_the_nearest_pixel_of_the_mask():
    mask = uniform("mask", 9, 11) > 0.8
    inside = np.argwhere(mask)
    expected = [[np.linalg.norm(inside - (row, column), axis=1).min() for column in range(11)] for row in range(9)]
    ours = targets.distance_map(torch.from_numpy(mask[None]))
    np.testing.assert_allclose(ours[0], expected, rtol=1e-6)


def test_merged_classes_are_the_published_groups():
    groups = {
        "background": 0,
        "hat hair sunglasses scarf face": 1,
        "glove upperclothes dress coat jumpsuits": 2,
        "socks pants skirt": 3,
        "leftArm": 4,
        "rightArm": 5,
        "leftLeg leftShoe": 6,
        "rightLeg rightShoe": 7,
    }
    for members, number in groups.items():
        ids = torch.tensor(vocabulary.label_ids(members.split()))[None, None]
        assert (vocabulary.merge_labels(ids) == number).all()


def test_mirrored_labels_exchange_sides():
    left = [name for name in vocabulary.LABELS if name.startswith("left")]
    ids = torch.tensor(vocabulary.label_ids(left))[None, None]
    others = vocabulary.label_ids([name.replace("left", "right") for name in left])
    assert vocabulary.mirror_labels(ids)[0, 0].tolist() == others[::-1]
    assert vocabulary.mirror_labels(vocabulary.mirror_labels(ids)).equal(ids)
