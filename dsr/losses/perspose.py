"""The twelve losses of PersPose's training and its weights (ICCV 2025, arXiv 2508.17239; specification, section 7).

Frames and units: crop frame (the camera turned towards the person) x right, y down, z forward, metres; pixels of the
crop, (0, 0) its top left corner. Joints: SMPL's 24 (``joints24``) and Human3.6M's 17 in PersPose's order (pelvis, right
hip, knee, ankle, left hip, knee, ankle, spine, neck, nose, head, left shoulder, elbow, wrist, right ...; ``joints17``).

A batch is the collated dictionary of :mod:`dsr.datasets.perspose_view`. What a sample has no label for holds zeros (it
is never read, NaN would do no harm). Keys, without the batch dimension:

======================  ===========  ===================================================================================
``image``               (3, S, S)    RGB, normalised with IMAGE_MEAN and IMAGE_STD
``K_crop``              (3, 3)       intrinsics of the crop, pixels; COCO: f = 600 S / 256, centre S / 2
``encode``              () bool      False where K_crop is made up (COCO): no perspective encoding
``has_smpl``            () bool      body labels (Human3.6M, 3DPW, BEDLAM, synthetic): terms 1, 4, 6, 8, 10 - 12
``has_betas``           () bool      betas of the network's own body: term 11; as has_smpl where it is missing
``has_joints17``        () bool      only 3D joints (MPI-INF-3DHP): terms 3, 5, 7
``has_keypoints``       () bool      only 2D keypoints (COCO): term 2
``uv_weight``           ()           weight of term 1: 0.1 for BEDLAM, else 1
``height``              ()           standing height, metres; 1.8 where unknown
``joints24``            (24, 3)      metres, in the crop's camera (not root-relative); where has_smpl
``joints17``            (17, 3)      metres, in the crop's camera; where has_smpl (joint 0 is the 25th joint, the others
                                     are for metrics only) or has_joints17
``twist``               (24, 3)      unit twist vectors of the bones ending in each joint, crop frame
                                     (:func:`dsr.body.perspose_ik.twist_labels`); where has_smpl
``pose_rotmat``         (24, 3, 3)   rotations relative to the parent, 0 is the orientation in the crop frame; has_smpl
``betas``               (11,)        shape, zero-padded where the data set has fewer; where has_smpl
``transl``              (3,)         SMPL's translation in the crop frame (for vertices); where has_smpl
``keypoints``           (17, 3)      COCO's 17: u, v in crop pixels and visibility, 0 outside the crop; has_keypoints
``index``               () int64     of the record; plus the strings ``source`` and ``key``
======================  ===========  ===================================================================================

The three ``has_`` are exclusive. Mirroring for augmentation is decided per batch and undone on the outputs
(:meth:`dsr.regressors.perspose.network.PersPose.estimate`), so labels never depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dsr.body.perspose_ik import LEAVES, USEFUL_TWISTS
from dsr.errors import LossError
from dsr.losses.perspose_weights import PERSPOSE_WEIGHTS, TERMS

COCO_TO_SMPL = ((7, 8, 9, 10, 13, 14, 15, 16), (18, 19, 20, 21, 4, 5, 7, 8))
"""COCO's keypoints of term 2 (elbows, wrists, knees, ankles), and the joints that they are."""
JOINTS17_TO_25 = ((0, 2, 3, 5, 6, 12, 13, 15, 16), (24, 5, 8, 4, 7, 18, 20, 19, 21))
"""Human3.6M's joints of terms 3 and 5 (pelvis, knees, ankles, elbows, wrists), and the joints that they are."""
PELVIS = 24
"""Human3.6M's pelvis among the 25 joints."""
HEIGHT_M = 1.8
"""Lengths are compared as shares of the height, at this height."""
_SLACK_PX = 5.0
_SLACK_CM = 4.0
_SLACK_MM_PER_PX = 0.05


@dataclass
class PersPoseOutputs:
    """What the losses look at.

    Attributes:
        uv_px: (B, 25, 2) pixels of the crop.
        depth_m: (B, 25) relative to joint 0.
        density: (B, 25) millimetres per pixel at each joint.
        relative_m: (B, 25, 3) joints relative to joint 0.
        twist: (B, 24 or 25, 3) raw twist vectors.
        leaf_rotmat: (B, 5, 3, 3) of joints 22, 23, 10, 11, 15.
        betas: (B, 11).
    """

    uv_px: Tensor
    depth_m: Tensor
    density: Tensor
    relative_m: Tensor
    twist: Tensor
    leaf_rotmat: Tensor
    betas: Tensor


@dataclass
class PersPoseTargets:
    """What the outputs are compared with, from a batch; masks are bool.

    Attributes:
        uv_px: (B, 25, 2) projected joints.
        uv: (B, 25) where they count: body labels, in front of the camera and inside the crop.
        joints_m: (B, 25, 3) in the crop's camera.
        density: (B, 25) millimetres per pixel.
        uv17_px: (B, 9, 2) projected joints of :data:`JOINTS17_TO_25`.
        uv17: (B, 9) where they count.
        height: (B, 1) metres.
    """

    uv_px: Tensor
    uv: Tensor
    joints_m: Tensor
    density: Tensor
    uv17_px: Tensor
    uv17: Tensor
    height: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, batch: Mapping[str, Tensor], size: float = 256) -> PersPoseTargets:
        """Project a batch's joints into its crops of side ``size`` pixels."""
        K = batch["K_crop"].float()
        joints = torch.cat((batch["joints24"], batch["joints17"][:, :1]), 1).float()
        joints17 = batch["joints17"][:, JOINTS17_TO_25[0]].float()
        uv, inside = _project(joints, K, size)
        uv17, inside17 = _project(joints17, K, size)
        focal = (K[:, 0, 0] + K[:, 1, 1]) / 2
        return cls(
            uv,
            inside & batch["has_smpl"].bool()[:, None],
            joints,
            1000 * joints[..., 2] / focal[:, None],
            uv17,
            inside17 & batch["has_joints17"].bool()[:, None],
            batch["height"].float()[:, None],
        )


def perspose_losses(
    outputs: PersPoseOutputs,
    batch: Mapping[str, Tensor],
    weights: Sequence[float] = PERSPOSE_WEIGHTS["default"],
    *,
    size: float = 256,
) -> dict[str, Tensor]:
    """The twelve terms, unweighted, and their weighted sum ``total``; in float32 also under autocast.

    Args:
        outputs: of the network, :func:`dsr.regressors.perspose.decode.loss_outputs`.
        batch: labels, with the keys of this module's head; on the outputs' device.
        weights: of the twelve terms in the order of :data:`TERMS`; a term of weight 0 is left out of the graph.
        size: side of the crops, pixels.

    Returns:
        Scalars by the names of :data:`TERMS`, and ``total``. A term without a sample is 0. Units: 1 - 3 pixels, 4, 5, 8
        centimetres at a height of 1.8 m, 6, 7 millimetres per pixel at that height; 9 is the published placeholder 0.

    Raises:
        LossError: if there are not twelve weights or the batch lacks a key.
    """
    if len(weights) != len(TERMS):
        raise LossError(f"PersPose's loss has {len(TERMS)} terms ({', '.join(TERMS)}), got {len(weights)} weights.")
    missing = [key for key in _NEEDED if key not in batch]
    if missing:
        raise LossError(f"The batch lacks {', '.join(missing)}; take it from dsr.datasets' PersPose view.")
    with torch.autocast(outputs.uv_px.device.type, enabled=False):
        target = PersPoseTargets.of(batch, size)
        terms = dict(zip(TERMS, _terms(outputs, batch, target, size), strict=True))
        for name, weight in zip(TERMS, weights, strict=True):
            if weight == 0:
                terms[name] = terms[name].detach()
        weighted = [weight * terms[name] for name, weight in zip(TERMS, weights, strict=True) if weight != 0]
        terms["total"] = torch.stack(weighted).sum() if weighted else torch.zeros_like(terms["uv"])
    return terms


_NEEDED = (
    "K_crop",
    "has_smpl",
    "has_joints17",
    "has_keypoints",
    "uv_weight",
    "height",
    "joints24",
    "joints17",
    "twist",
    "pose_rotmat",
    "betas",
    "keypoints",
)


def _terms(o: PersPoseOutputs, batch: Mapping[str, Tensor], t: PersPoseTargets, size: float) -> tuple[Tensor, ...]:
    """The terms in the published order."""
    smpl, only17, coco = (batch[f"has_{name}"].bool()[:, None] for name in ("smpl", "joints17", "keypoints"))
    shaped = smpl & batch.get("has_betas", batch["has_smpl"]).bool()[:, None]
    h = t.height
    uv, depth, density = o.uv_px.float(), o.depth_m.float(), o.density.float()

    keypoints = batch["keypoints"][:, COCO_TO_SMPL[0]].float()
    seen = (keypoints[..., 2] > 0) & _inside(keypoints[..., :2], size) & coco
    root_z, root17_z = t.joints_m[:, :1, 2], batch["joints17"][:, :1, 2].float()
    depth17 = batch["joints17"][:, JOINTS17_TO_25[0], 2].float() - root17_z
    apart17 = depth[:, JOINTS17_TO_25[1]] - depth[:, PELVIS, None] - depth17
    focal = (batch["K_crop"][:, 0, 0] + batch["K_crop"][:, 1, 1]).float()[:, None] / 2
    rho17 = density[:, PELVIS, None] - 1000 * root17_z / focal
    relative = o.relative_m.float() - (t.joints_m - t.joints_m[:, :1])
    twist, target_twist = (normalize(x[:, USEFUL_TWISTS].float(), dim=-1) for x in (o.twist, batch["twist"]))
    leaf = o.leaf_rotmat.float() - batch["pose_rotmat"][:, LEAVES].float()
    return (
        _mean(_length(uv - t.uv_px, t.uv), t.uv * batch["uv_weight"].float()[:, None]),
        _mean((_length(uv[:, COCO_TO_SMPL[1]] - keypoints[..., :2], seen) - _SLACK_PX).relu(), seen),
        _mean((_length(uv[:, JOINTS17_TO_25[1]] - t.uv17_px, t.uv17) - _SLACK_PX).relu(), t.uv17),
        HEIGHT_M * _mean(100 * _size(depth - (t.joints_m[..., 2] - root_z), t.uv) / h, t.uv),
        HEIGHT_M * _mean((100 * _size(apart17, t.uv17) / h - _SLACK_CM / HEIGHT_M).relu(), t.uv17),
        HEIGHT_M * _mean(_size(density[:, :1] - t.density[:, :1], smpl) / h, smpl),
        HEIGHT_M * _mean((_size(rho17, only17) / h - _SLACK_MM_PER_PX / HEIGHT_M).relu(), only17),
        HEIGHT_M * _mean(100 * _length(relative, t.uv) / h, t.uv),
        torch.zeros_like(h[0, 0]),
        _mean(_length(twist - target_twist, smpl), smpl),
        _mean(_size(o.betas.float() - batch["betas"].float(), shaped), shaped),
        _mean(_length(leaf.flatten(2), smpl), smpl),
    )


def _project(points: Tensor, K: Tensor, size: float) -> tuple[Tensor, Tensor]:
    """Pixels (B, N, 2) of points (B, N, 3), and whether they lie in front of the camera and inside the crop."""
    homogeneous = points @ K.mT
    depth = homogeneous[..., 2:]
    front = depth > 1e-6
    uv = homogeneous[..., :2] / torch.where(front, depth, torch.ones_like(depth))
    return uv, _inside(uv, size) & front.squeeze(-1)


def _inside(uv: Tensor, size: float) -> Tensor:
    return ((uv > 0) & (uv < size)).all(-1)


def _length(difference: Tensor, mask: Tensor) -> Tensor:
    """Length over the last dimension; 0, with gradient 0, where the mask is false, whatever the labels there."""
    kept = torch.where(mask.unsqueeze(-1), difference, torch.zeros_like(difference))
    return torch.linalg.vector_norm(kept, dim=-1)


def _size(difference: Tensor, mask: Tensor) -> Tensor:
    """Absolute value; 0, with gradient 0, where the mask is false."""
    return torch.where(mask, difference, torch.zeros_like(difference)).abs()


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean; values of weight 0 may be NaN."""
    weights = weights.to(values).expand_as(values)
    return (torch.where(weights > 0, values, torch.zeros_like(values)) * weights).sum() / (weights.sum() + 1e-7)
