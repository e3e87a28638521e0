"""From the outputs of PersPose's heads to joints in metres (PersPose, ICCV 2025, arXiv 2508.17239; specification 5.5).

Joints: SMPL's 24 in SMPL order, then Human3.6M's pelvis. Crop frame: x right, y down, z forward, metres; pixels of the
crop. ``rho = z / f`` is what one pixel measures at a joint's depth, metres per pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from dsr.body.joints import flip_permutation
from dsr.body.perspose_ik import LEAVES
from dsr.body.rotations import rot6d_to_rotmat
from dsr.losses.perspose import PersPoseOutputs

NUM_JOINTS = 25
NUM_BETAS = 11
MIRRORED_JOINTS = (*flip_permutation("smpl24"), 24)
MIRRORED_LEAVES = tuple(LEAVES.index(MIRRORED_JOINTS[joint]) for joint in LEAVES)
DEPTH_RANGE_M = 1.1
RHO0_CENTRE = 0.007


@dataclass
class PersPoseHeads:
    """What the network's heads put out, before any decoding.

    Attributes:
        heatmaps: (B, 25, S / 4, S / 4) logits.
        depth: (B, 25) logits of the depth relative to joint 0.
        rho0: (B, 1) logit of the root's metres per pixel.
        twist: (B, 75) twist vectors of the bones.
        shape: (B, 11) shape coefficients.
        leaf: (B, 30) 6D rotations of the leaf joints.
    """

    heatmaps: Tensor
    depth: Tensor
    rho0: Tensor
    twist: Tensor
    shape: Tensor
    leaf: Tensor


@dataclass
class PersPoseEstimate:
    """Decoded outputs, differentiable; float32 unless the heads are float64.

    Attributes:
        uv_px: (B, 25, 2) joints in the crop, pixels.
        depth_m: (B, 25) depth relative to joint 0, whose own is 0; within 1.1 m.
        rho0: (B,) metres per pixel at joint 0.
        focal_px: (B,) focal length of the crop, the mean of fx and fy.
        twist: (B, 25, 3) raw twist vectors of the bones that end in each joint, crop frame; the last one is unused.
        leaf_rotmat: (B, 5, 3, 3) rotations of the joints :data:`LEAVES` relative to their parents.
        betas: (B, 11) shape.
    """

    uv_px: Tensor
    depth_m: Tensor
    rho0: Tensor
    focal_px: Tensor
    twist: Tensor
    leaf_rotmat: Tensor
    betas: Tensor


@dataclass
class LiftedJoints:
    """Joints in the crop's camera.

    Attributes:
        relative_m: (B, 25, 3) relative to joint 0.
        root_m: (B, 3) joint 0.
        density: (B, 25) millimetres per pixel at each joint, ``1000 z / f``.
    """

    relative_m: Tensor
    root_m: Tensor
    density: Tensor

    @property
    def joints_m(self) -> Tensor:
        """(B, 25, 3) in the crop's camera."""
        return self.relative_m + self.root_m[:, None]


def decode(heads: PersPoseHeads, K_crop: Tensor, size: int = 256) -> PersPoseEstimate:
    """Read the heads.

    Args:
        heads: outputs of :class:`dsr.regressors.perspose.network.PersPose`; half precision is computed on in float32.
        K_crop: (B, 3, 3) intrinsics of the crops, pixels (of the crop as it is, also where it was run mirrored).
        size: side of the crop, pixels.
    """
    with torch.autocast(heads.depth.device.type, enabled=False):
        depth = DEPTH_RANGE_M * (2 * _full(heads.depth).sigmoid() - 1)
        focal = (K_crop[:, 0, 0] + K_crop[:, 1, 1]) / 2
        return PersPoseEstimate(
            uv_px=soft_argmax(heads.heatmaps, size),
            depth_m=torch.cat((torch.zeros_like(depth[:, :1]), depth[:, 1:]), 1),
            rho0=RHO0_CENTRE * torch.exp(3 * (_full(heads.rho0).squeeze(1).sigmoid() - 0.5)),
            focal_px=focal.to(depth),
            twist=_full(heads.twist).unflatten(1, (NUM_JOINTS, 3)),
            leaf_rotmat=rot6d_to_rotmat(_full(heads.leaf).unflatten(1, (len(LEAVES), 6))),
            betas=_full(heads.shape),
        )


def soft_argmax(heatmaps: Tensor, size: int) -> Tensor:
    """Expected pixel (u, v) of every heatmap, (B, K, 2); ``heatmaps`` (B, K, h, w) are logits over the cells."""
    height, width = heatmaps.shape[-2:]
    weights = _full(heatmaps).flatten(2).softmax(-1).unflatten(-1, (height, width))
    u = (torch.arange(width, device=weights.device, dtype=weights.dtype) + 0.5) * (size / width)
    v = (torch.arange(height, device=weights.device, dtype=weights.dtype) + 0.5) * (size / height)
    return torch.stack(((weights.sum(-2) * u).sum(-1), (weights.sum(-1) * v).sum(-1)), -1)


def lift(estimate: PersPoseEstimate, K_crop: Tensor) -> LiftedJoints:
    """Joints in metres by perspective back-projection (specification 5.5).

    Args:
        estimate: decoded (and averaged) outputs.
        K_crop: (B, 3, 3) intrinsics of the crops, pixels; only its principal point is read, the focal length is the
            estimate's.
    """
    focal = estimate.focal_px[:, None]
    rho = estimate.depth_m / focal + estimate.rho0[:, None]
    xy = (estimate.uv_px - K_crop[:, None, :2, 2].to(rho)) * rho[..., None]
    root = torch.cat((xy[:, 0], focal * estimate.rho0[:, None]), 1)
    relative = torch.cat((xy - xy[:, :1], estimate.depth_m[..., None]), -1)
    return LiftedJoints(relative, root, 1000 * rho)


def loss_outputs(estimate: PersPoseEstimate, lifted: LiftedJoints, betas: Tensor | None = None) -> PersPoseOutputs:
    """What :func:`dsr.losses.perspose.perspose_losses` compares, from decoded outputs and their :func:`lift`.

    ``betas`` replaces the network's: published training looks at those after the search of the inverse kinematics,
    whose first component has no gradient; the network's own train it too.
    """
    return PersPoseOutputs(
        estimate.uv_px,
        estimate.depth_m,
        lifted.density,
        lifted.relative_m,
        estimate.twist,
        estimate.leaf_rotmat,
        estimate.betas if betas is None else betas,
    )


def mirror_inputs(image: Tensor, K_crop: Tensor) -> tuple[Tensor, Tensor]:
    """The mirrored crop (B, 3, S, S) and the intrinsics (B, 3, 3) for its encoding, ``cx -> S - cx``."""
    K = K_crop.clone()
    K[:, 0, 2] = image.shape[-1] - K[:, 0, 2]
    return image.flip(-1), K


def unmirror(estimate: PersPoseEstimate, size: int = 256) -> PersPoseEstimate:
    """What a mirrored crop says about the crop itself (specification 5.6); its own inverse."""
    uv = estimate.uv_px[:, MIRRORED_JOINTS]
    sign = estimate.twist.new_tensor([-1.0, 1.0, 1.0])
    return PersPoseEstimate(
        uv_px=torch.stack((size - uv[..., 0], uv[..., 1]), -1),
        depth_m=estimate.depth_m[:, MIRRORED_JOINTS],
        rho0=estimate.rho0,
        focal_px=estimate.focal_px,
        twist=estimate.twist[:, MIRRORED_JOINTS] * sign,
        leaf_rotmat=estimate.leaf_rotmat[:, MIRRORED_LEAVES] * sign[:, None] * sign,  # D R D, D = diag(-1, 1, 1)
        betas=estimate.betas,
    )


def average(plain: PersPoseEstimate, unmirrored: PersPoseEstimate) -> PersPoseEstimate:
    """Mean of the two runs; the leaf rotations are those of the plain one, as published."""
    means = {f.name: (getattr(plain, f.name) + getattr(unmirrored, f.name)) / 2 for f in fields(plain)}
    return PersPoseEstimate(**{**means, "leaf_rotmat": plain.leaf_rotmat})


def _full(x: Tensor) -> Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()
