"""Parity of label targets with the vectors of the released DSR code (compat=True), and where we differ."""

from __future__ import annotations

import json

import torch
from shared_data import specs, tensors

from dsr import clothing
from dsr.clothing import labels as tables


def close(ours: torch.Tensor, golden: torch.Tensor, relative: float = 1e-5, absolute: float = 1e-7) -> None:
    torch.testing.assert_close(ours.detach().to(golden.dtype), golden, rtol=relative, atol=absolute)


def test_label_tables():
    golden = json.loads((specs() / "dsr/golden/label_tables.json").read_text())
    assert list(tables.LABELS) == golden["labels"]
    assert {n: list(c) for n, c in zip(tables.LABELS, tables.PALETTE_RGB, strict=True)} == golden["palette_rgb"]
    assert list(tables.MINIMALLY_CLOTHED) == golden["dsr_mc_names"]
    assert list(tables.CLOTHED_CLASSES) == golden["dsr_c_names"]
    for k, members in golden["dsr_c_merge"].items():
        assert [i for i, c in enumerate(tables.LABEL_TO_CLASS) if c == int(k)] == members


def test_targets_of_a_label_picture():
    g = tensors("dsr", "labels")
    decoded = clothing.palette_to_labels(g["grph_rgb"][None])
    assert (decoded == clothing.IGNORE).sum() == 10  # colours outside the palette
    known = decoded[0] >= 0
    assert torch.equal(decoded[0][known], g["id_map"].long()[known])
    window = clothing.keypoint_window(g["keypoints_px"], (224, 224))
    assert torch.equal(clothing.keep_window(g["grph_rgb"][None], window)[0], g["clean_rgb"])
    ids = clothing.palette_to_labels(g["clean_rgb"][None])
    assert torch.equal(clothing.keep_window(decoded, window), ids)

    tight = clothing.minimally_clothed_target(ids, compat=True)
    assert torch.equal(tight.mask[0], g["mc_mask"])
    assert torch.equal(tight.valid[0].long(), g["mc_valid"])
    assert torch.equal(tight.counts[0][tight.valid[0]], g["mc_num_pixels"])
    assert 0 < tight.counts[0, 1] <= 60  # the right shoe is too small to count
    assert torch.equal(tight.distance[0, ..., 0], g["dist"])
    assert torch.equal(clothing.minimally_clothed_target(ids).distance[0], g["dist"])

    clothed = clothing.clothed_target(ids, compat=True)
    assert torch.equal(clothed.classes[0], g["c_label"].long())
    assert torch.equal(clothed.weights[0], g["c_weight"])
    corrected = clothing.clothed_target(ids)
    unknown = ids[0] < 0
    assert unknown.any()
    assert (corrected.classes[0][unknown] == clothing.IGNORE).all()
    assert torch.equal(corrected.classes[0][~unknown], g["c_label"].long()[~unknown])


def test_targets_of_an_empty_picture():
    g = tensors("dsr", "labels_empty")
    empty = torch.zeros(1, 224, 224, dtype=torch.uint8)
    published = clothing.distance_map(empty, compat=True)[0]
    close(published[0, 0], g["dist_corner00"], 1e-6)
    close(published[-1, -1], g["dist_corner_last"], 1e-6)
    close(published.double().sum(), g["dist_sum"], 1e-6)
    assert (clothing.minimally_clothed_target(empty).distance == 0).all()
    assert torch.equal(clothing.clothed_target(empty).weights[0], g["c_weight"])


def test_class_weights():
    g = tensors("dsr", "class_weights")
    assert torch.equal(clothing.class_weights(g["counts"], compat=True), g["weights"])
    ours = clothing.class_weights(g["counts"])
    assert torch.equal(ours[[1, 2, 4]], g["weights"][[1, 2, 4]])
    for row in (0, 3):  # same proportions, but the rarest class that counts weighs 1
        assert ours[row].max() == 1 > g["weights"][row].max()
        close(ours[row] * g["weights"][row].max(), g["weights"][row])


def test_semantic_attributes_of_a_prior():
    g = tensors("dsr", "textures")
    valid = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [0, 0, 0, 0, 0]])
    nine = clothing.semantic_attributes(g["prior"], valid)
    assert nine.shape == (3, 60, 9)
    for channel in range(3):
        for sample, key in enumerate(("mc_all", "mc_leftShoe_face", "mc_none")):
            close(nine[sample, :, 0], g[key][:, channel])
        for k in range(8):
            close(nine[1, :, 1 + k], g["c"][k, :, channel])


def test_whole_dataset_items_share_the_tables():
    g = tensors("dsr", "dataset_items")
    prior = tensors("dsr", "textures")["prior"]
    for item in ("t0", "t1"):
        nine = clothing.semantic_attributes(prior, g[f"{item}_mc_valid"][None])[0]
        close(nine.T, g[f"{item}_textures"][..., 0])
        distance = clothing.distance_map(g[f"{item}_mc_mask"][None])[0, ::2, ::2]
        close(distance, g[f"{item}_mc_dist_every2"])
        counts = torch.bincount(g[f"{item}_c_label"].flatten().long(), minlength=8)[None]
        ours = clothing.class_weights(counts, compat=True)[0]
        kept = ours[1:] > 0  # the published background count leaves pixels of unknown colour out
        close(ours[1:][kept], g[f"{item}_c_weight"][1:][kept])
