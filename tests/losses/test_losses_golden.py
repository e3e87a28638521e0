"""Parity of losses with the vectors of the released DSR code (compat=True), and where we differ."""

from __future__ import annotations

import pytest
import torch
from shared_data import tensors

from dsr import clothing, losses


def close(ours: torch.Tensor, golden: torch.Tensor, relative: float = 1e-5, absolute: float = 1e-7) -> None:
    torch.testing.assert_close(ours.detach().to(golden.dtype), golden, rtol=relative, atol=absolute)


@pytest.mark.parametrize("name", ["a", "b", "zero"])
@pytest.mark.parametrize(("published", "variant"), [("DistM", "distance"), ("nIOU", "row_iou")])
def test_minimally_clothed_loss_and_gradient(name, published, variant):
    g = tensors("dsr", "dsr_mc_loss")
    render = torch.zeros(4, 40, 40) if name == "zero" else g[f"rend_{name}"]
    for silhouette in (0, 1) if published == "nIOU" else (0,):
        leaf = render.clone().requires_grad_()
        rendered = leaf[None, 3] if silhouette else leaf[None, :3]
        loss = losses.dsr_mc_loss(rendered, g["target"][None], distance=g["dist"][None], variant=variant, compat=True)
        loss.backward()
        close(loss, g[f"loss_{name}_{published}_{silhouette}"])
        golden = g[f"grad_{name}_{published}_{silhouette}"]
        close(leaf.grad, golden, absolute=1e-5 * float(golden.abs().max()))


def test_one_channel_counts_as_three_equal_ones():
    g = tensors("dsr", "dsr_mc_loss")
    for variant in ("distance", "row_iou"):
        one, three = (
            losses.dsr_mc_loss(r, g["target"][None], distance=g["dist"][None], variant=variant, compat=True)
            for r in (g["rend_a"][None, 0], g["rend_a"][None, [0, 0, 0]])
        )
        close(one, three)


def sr_targets(g):
    weights, classes = g["c_weight"], g["c_label"].long()
    tight = clothing.MinimallyClothedTarget(
        g["mc_target"], g["mc_dist"], g["mc_valid"].bool(), g["mc_valid"], torch.ones_like(g["mc_target"])
    )
    return tight, clothing.ClothedTarget(classes, weights, weights.long())


@pytest.mark.parametrize(("published", "variant"), [("DistM", "distance"), ("nIOU", "row_iou")])
def test_batch_of_both_losses(published, variant):
    g = tensors("dsr", "dsr_sr_losses")
    leaf = g["rendered"][:, :, [0, 1, 0, 2]].clone().requires_grad_()  # R, G, B (equals R), alpha
    tight, clothed = sr_targets(g)
    both = losses.semantic_losses(leaf[:, :, :3], tight, clothed, variant=variant, compat=True)
    close(both.mc, g[f"{published}_mc"])
    close(both.c, g[f"{published}_c"])
    (both.mc + both.c).backward()
    golden = g[f"{published}_grad"]
    assert golden[3].isnan().any()  # the published defect: a sample without weights poisons the gradient
    close(leaf.grad[:3], golden[:3], absolute=1e-5 * float(golden[:3].abs().max()))
    assert (leaf.grad[3] == 0).all()
    assert (leaf.grad[1] == 0).all()


def test_cross_entropy_per_sample():
    g = tensors("dsr", "dsr_sr_losses")
    rendered = g["rendered"][:, 1:, [0, 1, 0]]
    per_sample = losses.dsr_c_loss(rendered, g["c_label"], class_weights=g["c_weight"], reduction="none", compat=True)
    close(per_sample[:3], g["ce_per_sample"][:3])
    assert g["ce_per_sample"][3].isnan()
    assert per_sample[3] == 0


def conventional(h, verts=True):
    confidence = losses.source_confidence(h["gt_j2d_conf"][..., 2])
    has = h["has_smpl"]
    return {
        "loss_keypoints": losses.keypoint_2d_loss(h["pred_j2d"], h["gt_j2d_conf"][..., :2], confidence),
        "loss_keypoints_3d": losses.keypoint_3d_loss(
            h["pred_j3d"][:, 25:], h["gt_j3d_conf"][..., :3], h["gt_j3d_conf"][..., 3], h["has_pose3d"]
        ),
        "loss_regr_pose": losses.pose_loss(h["pred_rotmat"], h["gt_pose_aa"], has),
        "loss_regr_betas": losses.betas_loss(h["pred_betas"], h["gt_betas"], has),
        "loss_shape": losses.vertex_loss(h["pred_verts"], h["gt_verts"], has),
        "loss_cam": losses.camera_scale_loss(h["pred_cam"], compat=True),
    }


def test_conventional_terms():
    h = tensors("dsr", "hmr_losses")
    terms = conventional(h)
    for name, key in {
        "loss_keypoints": "kp2d",
        "loss_keypoints_3d": "kp3d",
        "loss_regr_pose": "pose",
        "loss_regr_betas": "betas",
        "loss_shape": "shape_l1",
        "loss_cam": "cam_loss",
    }.items():
        close(terms[name], h[f"out_{key}"])
    close(losses.camera_scale_loss(h["pred_cam"]), h["out_cam_loss"])
    half = losses.source_confidence(h["gt_j2d_conf"][..., 2], openpose=0.5)
    close(losses.keypoint_2d_loss(h["pred_j2d"], h["gt_j2d_conf"][..., :2], half), h["out_kp2d_op05"])
    none = losses.keypoint_3d_loss(
        h["pred_j3d"][:, 25:], h["gt_j3d_conf"][..., :3], h["gt_j3d_conf"][..., 3], torch.zeros(4, dtype=torch.bool)
    )
    assert none == 0 == h["out_kp3d_none"][0]


def test_weighted_total_of_the_conventional_terms():
    h = tensors("dsr", "hmr_losses")
    total, logged = losses.weighted_total(conventional(h), losses.PUBLISHED_TRAINING)
    close(total, h["out_hmr_total_loss"])
    for name, value in logged.items():
        close(value, h[f"out_hmr_{name}"])


@pytest.mark.parametrize(("published", "variant"), [("DistM", "distance"), ("nIOU", "row_iou")])
def test_weighted_total_with_the_semantic_terms(published, variant):
    g, h = tensors("dsr", "dsr_sr_losses"), tensors("dsr", "hmr_losses")
    both = losses.semantic_losses(g["rendered"][:, :, [0, 1, 0]], *sr_targets(g), variant=variant, compat=True)
    terms = {**conventional(h), "loss_dsr_mc": both.mc, "loss_dsr_c": both.c}
    total, logged = losses.weighted_total(terms, losses.PUBLISHED_TRAINING)
    close(total, g[f"{published}_full_total_loss"])
    for name, value in logged.items():
        close(value, g[f"{published}_full_{name}"])
    early, logged = losses.weighted_total(terms, losses.PUBLISHED_TRAINING, dsr_started=False)
    close(early, g[f"{published}_notstarted_total"])
    assert logged["loss_dsr_mc"] == 0 == logged["loss_dsr_c"]
