"""Poses as bones and back. Bone vectors lead from a joint to its parent, as in PoseAug (parent minus child)."""

from __future__ import annotations

import torch
from torch import Tensor

from dsr.adaptation.parts import BodyParts

_EPS = 1e-8


def to_bones(pose: Tensor, parts: BodyParts) -> Tensor:
    """Bone vectors (..., J - 1, 3) of poses (..., J, 3)."""
    return pose[..., list(parts.parents[1:]), :] - pose[..., 1:, :]


def from_bones(bones: Tensor, parts: BodyParts) -> Tensor:
    """Poses (..., J, 3) of bone vectors (..., J - 1, 3), the root at zero."""
    joints = [torch.zeros_like(bones[..., 0, :])]
    for bone, parent in enumerate(parts.parents[1:]):
        joints.append(joints[parent] - bones[..., bone, :])
    return torch.stack(joints, -2)


def bone_lengths(bones: Tensor) -> Tensor:
    """(..., J - 1, 1) metres."""
    return torch.linalg.vector_norm(bones, dim=-1, keepdim=True)


def unit(vectors: Tensor) -> Tensor:
    """Vectors of length one; those near zero stay near it, without a division by zero."""
    return vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp_min(_EPS)


def change_lengths(pose: Tensor, ratio: Tensor, parts: BodyParts) -> Tensor:
    """Bones made longer or shorter by ``1 + ratio``, left and right alike.

    Args:
        pose: (..., J, 3).
        ratio: (..., 9) in the groups of ``parts``.
        parts: of the skeleton.

    Returns:
        (..., J, 3), the root where it was.
    """
    bones = to_bones(pose, parts) * (1.0 + ratio[..., list(parts.ratio_of)])[..., None]
    return from_bones(bones, parts) + pose[..., :1, :]


def turn(pose: Tensor, axis_angle: Tensor) -> Tensor:
    """Poses turned about their root.

    Args:
        pose: (N, J, 3).
        axis_angle: (N, 3) radians; zero turns nothing, and has a gradient.

    Returns:
        (N, J, 3), the root where it was.
    """
    # Through the exponential of the cross matrix: no division by the angle.
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).unflatten(-1, (3, 3))
    rotation = torch.linalg.matrix_exp(cross)
    root = pose[:, :1]
    return (pose - root) @ rotation.transpose(1, 2) + root
