"""PersPose's losses and logged errors: parity with the released code's vectors, masks, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from shared_data import vectors

from dsr.body.asset import BodyAsset
from dsr.body.layer import Body
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.errors import LossError
from dsr.evaluation.perspose import aligned, perspose_body_errors, perspose_errors
from dsr.losses.perspose import PersPoseOutputs, perspose_losses
from dsr.losses.perspose_weights import PERSPOSE_WEIGHTS, TERMS

ERRORS = {
    "uv_px": "0uv",
    "uv_keypoints_px": "0uv_coco",
    "uv_joints17_px": "0uv_hp3d",
    "depth_mm": "1d",
    "depth_aligned_mm": "1d_aligned",
    "depth_joints17_mm": "1d_hp3d",
    "depth_aligned_joints17_mm": "1d_aligned_hp3d",
    "scale": "2rho0",
    "scale_joints17": "2rho0_hp3d",
    "xyz_mm": "3xyz",
    "x_mm": "x",
    "y_mm": "y",
    "z_mm": "z",
    "xyz_aligned_mm": "xyz_aligned",
    "twist_deg": "twist",
}
"""Our logged error -> the published one, which has lengths in centimetres."""


def mixed_batch() -> tuple[PersPoseOutputs, dict[str, torch.Tensor], dict[str, np.ndarray]]:
    """Golden batch of eight samples under our keys."""
    g = vectors("perspose", "losses")
    t = {key: torch.from_numpy(value) for key, value in g.items() if value.dtype.kind == "f"}
    names = list(g["dataset_name"])
    smpl = torch.tensor([name.startswith("hps") for name in names])
    only17 = torch.tensor([name == "3dhp" for name in names])
    batch = {
        "K_crop": t["in_cam_intrinsics"],
        "height": t["in_height"][:, 0],
        "has_smpl": smpl,
        "has_joints17": only17,
        "has_keypoints": torch.tensor([name == "coco" for name in names]),
        "uv_weight": torch.tensor([0.1 if "bedlam" in name else 1.0 for name in names]),
        "joints24": t["in_smpl_j24"],
        "joints17": torch.where(only17[:, None, None], t["in_3dhp_j17"], t["in_smpl_j17"]),
        "twist": t["in_smpl_ortho_twist"],
        "pose_rotmat": axis_angle_to_rotmat(t["in_smpl_theta"]),
        "betas": t["in_smpl_beta"],
        "keypoints": t["in_coco_kp17"],
    }
    outputs = PersPoseOutputs(
        t["out_uv"],
        t["out_depth"][..., 0],
        t["out_density"][..., 0],
        t["out_xyz"],
        t["out_ortho_twist"],
        t["out_leaf_rot"].unflatten(-1, (3, 3)),
        t["out_beta"],
    )
    return outputs, batch, g


def test_losses_equal_the_released_code():
    outputs, batch, g = mixed_batch()
    losses = perspose_losses(outputs, batch, PERSPOSE_WEIGHTS["3dpw"])
    np.testing.assert_allclose([losses[name] for name in TERMS], g["losses"], rtol=1e-6)
    np.testing.assert_allclose(losses["total"], g["total_3dpw"], rtol=1e-6)
    np.testing.assert_array_equal(PERSPOSE_WEIGHTS["3dpw"], g["weights_3dpw"])


def test_logged_errors_equal_the_released_code():
    outputs, batch, g = mixed_batch()
    published = dict(zip(g["metric_labels"], g["metrics"], strict=True))
    errors = perspose_errors(outputs, batch)
    assert errors.keys() == ERRORS.keys()
    for name, label in ERRORS.items():
        factor = 0.1 if name.endswith("_mm") else 1
        np.testing.assert_allclose(factor * errors[name], published[f"1err/{label}"], rtol=1e-5, err_msg=name)


def test_body_errors_equal_the_released_code():
    _, batch, g = mixed_batch()
    body = golden_body()
    out = {key: torch.from_numpy(g[f"out_{key}"]) for key in ("theta", "beta", "transl")}
    vertices = body(out["beta"], out["theta"][:, 1:], out["theta"][:, :1], out["transl"]).vertices
    target = torch.from_numpy(g["in_smpl_vertices"])
    errors = perspose_body_errors(body.keypoints(vertices, "h36m17"), batch, vertices=vertices, target=target)
    published = dict(zip(g["metric_labels"], g["metrics"], strict=True))
    for name, label in {
        "mpjpe": "MPJPE",
        "pa_mpjpe": "PA_MPJPE",
        "pve": "MPVPE",
        "mpjpe_joints17": "MPJPE_hp3d",
        "pa_mpjpe_joints17": "PA_MPJPE_hp3d",
    }.items():
        np.testing.assert_allclose(errors[f"{name}_mm"], 1000 * published[f"2metric/{label}"], rtol=1e-4, err_msg=name)


def test_alignments_of_points_equal_the_released_code():
    g = {key: torch.from_numpy(value) for key, value in vectors("perspose", "misc").items()}
    torch.testing.assert_close(aligned(g["pa_pred"], g["pa_gt"]), g["normed_diff"], rtol=0, atol=1e-12)
    torch.testing.assert_close(aligned(g["pa_pred"], g["pa_gt"], shift=False), g["scaled_diff"], rtol=0, atol=1e-12)


def golden_body() -> Body:
    g = vectors("perspose", "ik_body")
    return Body(
        BodyAsset(
            v_template=g["body_v_template"],
            shapedirs=g["body_shapedirs"],
            posedirs=g["body_posedirs"],
            weights=g["body_lbs_weights"],
            parents=g["body_parents"],
            faces=np.zeros((1, 3), np.int32),
            J_regressor=csr_matrix(g["body_J_regressor"].astype(np.float64)),
            part_ids=np.zeros(1, np.int32),
            interior=np.zeros(1, bool),
            keypoint_regressors={"h36m17": csr_matrix(g["body_h36m_regressor"])},
            name="golden",
        )
    )


def made_batch(kind: str, seed: int = 0) -> tuple[PersPoseOutputs, dict[str, torch.Tensor]]:
    """Two samples of one kind whose outputs equal the labels (crop of 128 px); the labels they lack are NaN."""
    rng = torch.Generator().manual_seed(seed)
    joints = torch.randn(2, 25, 3, generator=rng) * 0.2 + torch.tensor([0.0, 0, 4])
    joints17 = torch.randn(2, 17, 3, generator=rng) * 0.2 + torch.tensor([0.0, 0, 4])
    joints17[:, 0] = joints[:, 24]
    pairs = {0: 24, 2: 5, 3: 8, 5: 4, 6: 7, 12: 18, 13: 20, 15: 19, 16: 21}
    for a, b in pairs.items():
        joints17[:, a] = joints[:, b]
    joints[:, 0] = joints17[:, 0]  # the two pelvises: terms 5 and 7 take one for the other
    K = torch.tensor([[200.0, 0, 64], [0, 200, 64], [0, 0, 1]]).expand(2, 3, 3)
    uv = 200 * joints[..., :2] / joints[..., 2:] + 64
    keypoints = torch.zeros(2, 17, 3)
    for a, b in {7: 18, 8: 19, 9: 20, 10: 21, 13: 4, 14: 5, 15: 7, 16: 8}.items():
        keypoints[:, a] = torch.cat((uv[:, b], torch.full((2, 1), 2.0)), -1)
    twist = torch.nn.functional.normalize(torch.randn(2, 24, 3, generator=rng), dim=-1)
    pose = axis_angle_to_rotmat(torch.randn(2, 24, 3, generator=rng))
    betas = torch.randn(2, 11, generator=rng)
    outputs = PersPoseOutputs(
        uv.clone(),
        joints[..., 2] - joints[:, :1, 2],
        1000 * joints[..., 2] / 200,
        joints - joints[:, :1],
        3 * twist,
        pose[:, [22, 23, 10, 11, 15]].clone(),
        betas.clone(),
    )
    batch = {
        "K_crop": K,
        "height": torch.tensor([1.8, 1.6]),
        "uv_weight": torch.ones(2),
        "joints24": joints[:, :24].clone(),
        "joints17": joints17,
        "twist": twist,
        "pose_rotmat": pose,
        "betas": betas,
        "keypoints": keypoints,
        **{f"has_{name}": torch.full((2,), name == kind) for name in ("smpl", "joints17", "keypoints")},
    }
    known = {
        "smpl": {"joints24", "joints17", "twist", "pose_rotmat", "betas"},
        "joints17": {"joints17"},
        "keypoints": {"keypoints"},
        "none": set(),
    }[kind]
    for key in {"joints24", "joints17", "twist", "pose_rotmat", "betas", "keypoints"} - known:
        batch[key] = torch.full_like(batch[key], torch.nan)
    return outputs, batch


WRONG = {  # what is put wrong, and the terms that must see it
    "smpl": {
        "uv_px": {"uv"},
        "depth_m": {"depth"},
        "density": {"scale"},
        "relative_m": {"xyz"},
        "twist": {"twist"},
        "leaf_rotmat": {"leaf"},
        "betas": {"betas"},
    },
    "joints17": {"uv_px": {"uv_joints17"}, "depth_m": {"depth_joints17"}, "density": {"scale_joints17"}},
    "keypoints": {"uv_px": {"uv_keypoints"}},
    "none": {},
}


@pytest.mark.parametrize("kind", WRONG)
def test_each_kind_of_label_reaches_its_terms_alone(kind):
    outputs, batch = made_batch(kind)
    exact = perspose_losses(outputs, batch, [1.0] * 12, size=128)
    assert all(value.abs() < 2e-4 for value in exact.values()), exact
    for name in vars(outputs):
        value = getattr(outputs, name)
        noise = 30 * torch.randn(value.shape, generator=torch.Generator().manual_seed(3))
        leaf = (value + noise).requires_grad_()
        wrong = PersPoseOutputs(**{**vars(outputs), name: leaf})
        losses = perspose_losses(wrong, batch, [1.0] * 12, size=128)
        seen = {term for term in TERMS if losses[term] > 1e-2}
        assert seen == WRONG[kind].get(name, set()), name
        losses["total"].backward()
        gradient = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        assert gradient.isfinite().all(), name  # the other labels are NaN
        assert bool(gradient.any()) == bool(seen)


def test_slack_of_coarse_labels():
    for kind, shift, term in (("keypoints", 5, "uv_keypoints"), ("joints17", 5, "uv_joints17")):
        outputs, batch = made_batch(kind)
        outputs.uv_px = outputs.uv_px + torch.tensor([0.0, 0.99 * shift])
        assert perspose_losses(outputs, batch, size=128)[term] == 0
        outputs.uv_px = outputs.uv_px + torch.tensor([0.0, 2.0])
        assert abs(perspose_losses(outputs, batch, size=128)[term] - 1.95) < 1e-3


def test_joints_outside_the_crop_and_behind_the_camera_do_not_count():
    outputs, batch = made_batch("smpl")
    outputs.uv_px[:, 5] += 100
    assert perspose_losses(outputs, batch, size=128)["uv"] > 1
    for place in ([9.0, 0, 4], [0.0, 0, -4]):
        batch["joints24"][:, 5] = torch.tensor(place)
        assert perspose_losses(outputs, batch, size=128)["uv"] < 1e-3


def test_a_small_person_counts_as_much_as_a_tall_one():
    outputs, batch = made_batch("smpl")
    outputs.depth_m = outputs.depth_m + 0.1 * batch["height"][:, None]
    assert abs(perspose_losses(outputs, batch, size=128)["depth"] - 18) < 1e-2  # 10 % of 1.8 m, in centimetres


def test_weight_zero_leaves_a_term_out_of_the_graph():
    outputs, batch = made_batch("smpl")
    relative = outputs.relative_m
    outputs.relative_m = torch.full_like(relative, torch.nan).requires_grad_()
    outputs.uv_px.requires_grad_()
    losses = perspose_losses(outputs, batch, size=128)
    assert losses["total"].isfinite()
    assert losses["xyz"].isnan()
    assert not losses["xyz"].requires_grad
    losses["total"].backward()
    assert outputs.relative_m.grad is None


def test_autocast_does_not_blur_the_projection():
    outputs, batch = made_batch("smpl")
    with torch.autocast("cpu", torch.bfloat16):
        assert perspose_losses(outputs, batch, size=128)["uv"] < 1e-3


def test_what_cannot_be_used_is_named():
    outputs, batch = made_batch("smpl")
    with pytest.raises(LossError, match="12 terms"):
        perspose_losses(outputs, batch, [1.0] * 11)
    del batch["joints24"]
    with pytest.raises(LossError, match="joints24"):
        perspose_losses(outputs, batch)


def test_the_weights_are_those_of_the_specification():
    assert all(len(weights) == len(TERMS) for weights in PERSPOSE_WEIGHTS.values())
    assert PERSPOSE_WEIGHTS["h36m"][TERMS.index("twist")] == 10
    assert PERSPOSE_WEIGHTS["3dhp"][TERMS.index("depth")] == 0.5
    assert PERSPOSE_WEIGHTS["w-be-3dhp"] == PERSPOSE_WEIGHTS["default"] != PERSPOSE_WEIGHTS["w-be-3dpw"]
    assert PERSPOSE_WEIGHTS["w-be-3dpw"] == PERSPOSE_WEIGHTS["3dpw"]
