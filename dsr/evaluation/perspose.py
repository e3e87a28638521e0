"""Errors that PersPose's training logs beside its losses, in millimetres, pixels, degrees (specification, 7 and 10)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dsr.body.perspose_ik import USEFUL_TWISTS
from dsr.camera.directions import angle_between
from dsr.evaluation import mpjpe, pa_mpjpe, pve
from dsr.evaluation.protocols import J14_NAMES, joint_rows
from dsr.losses.perspose import COCO_TO_SMPL, JOINTS17_TO_25, PELVIS, PersPoseOutputs, PersPoseTargets


@torch.no_grad()
def perspose_errors(outputs: PersPoseOutputs, batch: Mapping[str, Tensor], *, size: float = 256) -> dict[str, Tensor]:
    """Errors of the network's outputs before the inverse kinematics, averaged over what a batch has labels for.

    Args:
        outputs: of the network.
        batch: labels, with the keys of :mod:`dsr.losses.perspose`.
        size: side of the crops, pixels.

    Returns:
        Scalars, NaN where nothing counts. ``uv_px``, ``depth_mm``, ``scale`` (mm per pixel of the root), ``xyz_mm``,
        ``x_mm``, ``y_mm``, ``z_mm`` and ``twist_deg`` on samples with body labels; ``uv_keypoints_px`` on those with
        keypoints; ``uv_joints17_px``, ``depth_joints17_mm`` and ``scale_joints17`` on those with 17 joints only. Depth
        and position are relative to the root; with ``_aligned`` after the best shift and scale per sample.
    """
    t = PersPoseTargets.of(batch, size)
    smpl, only17, coco = (batch[f"has_{name}"].bool() for name in ("smpl", "joints17", "keypoints"))
    every = smpl[:, None].expand(-1, 24)
    keypoints = batch["keypoints"][:, COCO_TO_SMPL[0]].float()
    inside = ((keypoints[..., :2] > 0) & (keypoints[..., :2] < size)).all(-1) & (keypoints[..., 2] > 0)
    depth = outputs.depth_m.float()
    target_depth = t.joints_m[..., 2] - t.joints_m[:, :1, 2]
    joints17 = batch["joints17"].float()
    depth17 = depth[:, JOINTS17_TO_25[1]] - depth[:, PELVIS, None]
    target17 = joints17[:, JOINTS17_TO_25[0], 2] - joints17[:, :1, 2]
    focal = (batch["K_crop"][:, 0, 0] + batch["K_crop"][:, 1, 1]).float() / 2
    scale17 = outputs.density[:, PELVIS].float() - 1000 * joints17[:, 0, 2] / focal
    xyz = outputs.relative_m[:, :24].float()
    target_xyz = (t.joints_m - t.joints_m[:, :1])[:, :24]
    apart = xyz - target_xyz
    uv = outputs.uv_px.float()
    return {
        "uv_px": _mean(_norm(uv - t.uv_px)[:, :24], t.uv[:, :24]),
        "uv_keypoints_px": _mean(_norm(uv[:, COCO_TO_SMPL[1]] - keypoints[..., :2]), inside & coco[:, None]),
        "uv_joints17_px": _mean(_norm(uv[:, JOINTS17_TO_25[1]] - t.uv17_px), t.uv17),
        "depth_mm": 1000 * _mean((depth - target_depth).abs(), t.uv),
        "depth_aligned_mm": 1000 * _mean(_norm(aligned(depth[..., None], target_depth[..., None])), t.uv),
        "depth_joints17_mm": 1000 * _mean((depth17 - target17).abs(), t.uv17),
        "depth_aligned_joints17_mm": 1000 * _mean(_norm(aligned(depth17[..., None], target17[..., None])), t.uv17),
        "scale": _mean((outputs.density[:, 0].float() - t.density[:, 0]).abs(), smpl),
        "scale_joints17": _mean(scale17.abs(), only17),
        "xyz_mm": 1000 * _mean(_norm(apart), every),
        **{f"{axis}_mm": 1000 * _mean(apart[..., i].abs(), every) for i, axis in enumerate("xyz")},
        "xyz_aligned_mm": 1000 * _mean(_norm(aligned(xyz, target_xyz)), every),
        "twist_deg": _mean(_twist_angle(outputs, batch), smpl[:, None].expand(-1, len(USEFUL_TWISTS))),
    }


@torch.no_grad()
def perspose_body_errors(
    joints17: Tensor, batch: Mapping[str, Tensor], *, vertices: Tensor | None = None, target: Tensor | None = None
) -> dict[str, Tensor]:
    """Errors of the bodies after the inverse kinematics, the pelvises laid on each other (specification, section 10).

    Args:
        joints17: (B, 17, 3) metres, regressed from the predicted bodies' vertices.
        batch: labels; ``joints17`` there is what they are compared with.
        vertices: (B, V, 3) metres of the predicted bodies, for ``pve_mm``.
        target: (B, V, 3) metres of the labels' bodies.

    Returns:
        Scalars in millimetres, NaN where nothing counts: ``mpjpe_mm`` and ``pa_mpjpe_mm`` of 14 joints on samples with
        body labels, ``mpjpe_joints17_mm`` and ``pa_mpjpe_joints17_mm`` of all 17 on those with 17 joints only.
    """
    smpl, only17 = batch["has_smpl"].bool(), batch["has_joints17"].bool()
    truth = batch["joints17"].to(joints17)
    p, t = joints17 - joints17[:, :1], truth - truth[:, :1]
    chosen = joint_rows(J14_NAMES)
    bodies = (p[smpl][:, chosen], t[smpl][:, chosen])
    errors = {
        "mpjpe_mm": mpjpe(*bodies, root=None),
        "pa_mpjpe_mm": pa_mpjpe(*bodies),
        "mpjpe_joints17_mm": mpjpe(p[only17], t[only17]),
        "pa_mpjpe_joints17_mm": pa_mpjpe(p[only17], t[only17]),
    }
    if vertices is not None and target is not None:
        v, w = vertices - joints17[:, :1], target.to(vertices) - truth[:, :1]
        errors["pve_mm"] = pve(v[smpl], w[smpl])
    return {name: 1000 * value for name, value in errors.items()}


def aligned(predicted: Tensor, target: Tensor, *, shift: bool = True) -> Tensor:
    """Difference (B, N, D) after the one scale (and the shift) per sample that bring predicted points closest."""
    if shift:
        predicted, target = predicted - predicted.mean(1, keepdim=True), target - target.mean(1, keepdim=True)
    size = predicted.square().sum((1, 2), keepdim=True).clamp_min(torch.finfo(predicted.dtype).tiny)
    return (predicted * target).sum((1, 2), keepdim=True) / size * predicted - target


def _twist_angle(outputs: PersPoseOutputs, batch: Mapping[str, Tensor]) -> Tensor:
    p, t = outputs.twist[:, USEFUL_TWISTS].float(), batch["twist"][:, USEFUL_TWISTS].float()
    return torch.rad2deg(angle_between(p, t))


def _norm(difference: Tensor) -> Tensor:
    return torch.linalg.vector_norm(difference, dim=-1)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean where the mask is true, NaN where it never is; other values may be NaN."""
    return torch.where(mask, values, torch.zeros_like(values)).sum() / mask.sum()
