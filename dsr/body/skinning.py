"""Linear blend skinning over blocks of vertices, forward and backward without ever storing a transform per vertex.

``moved[r] = sum_c T[r, c] shaped[c] + T[r, 3]`` with the per-vertex transform ``T = sum_j weights[j] affine[j]`` (SMPL,
equation 7). The ``T`` of one block of vertices stays in the processor's cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_BLOCK = 2048  # vertices per block on the CPU; measured best between 1024 and 4096


def skin(affine: Tensor, shaped: Tensor, weights: Tensor) -> Tensor:
    """Skinned vertices, in plain differentiable operations: the obvious formulation, fit for ``torch.func`` transforms.

    Args:
        affine: (B, J, 3, 4) transforms that take rest coordinates to posed ones.
        shaped: (B, 3, V) rest vertices.
        weights: (J, V) skinning weights.

    Returns:
        (B, V, 3).
    """
    blend = torch.einsum("bjrc,jv->bvrc", affine, weights)
    return torch.einsum("bvrc,bcv->bvr", blend[..., :3], shaped) + blend[..., 3]


def skin_blocks(affine: Tensor, shaped: Tensor, weights: Tensor) -> Tensor:
    """The same as :func:`skin`, several times faster; differentiable twice, but not for ``torch.func``."""
    return _SkinBlocks.apply(affine, shaped, weights)


class _SkinBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, affine: Tensor, shaped: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(affine, shaped, weights)
        batch, joints = affine.shape[:2]
        rows = affine.permute(2, 3, 0, 1).reshape(-1, joints)
        moved = shaped.new_empty(batch, shaped.shape[2], 3)
        for block in _blocks(shaped):
            blend = (rows @ weights[:, block]).view(3, 4, batch, -1)
            total = blend[:, 3]
            for c in range(3):
                total.addcmul_(blend[:, c], shaped[:, c, block])
            moved[:, block] = total.permute(1, 2, 0)
        return moved

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        affine, shaped, weights = ctx.saved_tensors
        (grad,) = grads
        if torch.is_grad_enabled():  # somebody wants second derivatives: use operations autograd can follow
            outer = torch.cat((shaped, torch.ones_like(shaped[:, :1])), 1)
            return (
                torch.einsum("bvr,bcv,jv->bjrc", grad, outer, weights),
                torch.einsum("bvr,bjrc,jv->bcv", grad, affine[..., :3], weights),
                None,
            )
        batch, joints = affine.shape[:2]
        rows = affine[..., :3].permute(2, 3, 0, 1).reshape(-1, joints)
        want_shape = ctx.needs_input_grad[1]
        to_rows = rows.new_zeros(12 * batch, joints)
        to_shaped = torch.empty_like(shaped) if want_shape else None
        for block in _blocks(shaped):
            weight = weights[:, block]
            planes = grad[:, block].permute(2, 0, 1).contiguous()
            if to_shaped is not None:
                blend = (rows @ weight).view(3, 3, batch, -1)
                total = blend[0].mul_(planes[0]).addcmul_(blend[1], planes[1]).addcmul_(blend[2], planes[2])
                to_shaped[:, :, block] = total.permute(1, 0, 2)
            outer = planes.new_empty(3, 4, batch, planes.shape[2])
            torch.mul(planes.unsqueeze(1), shaped[:, :, block].permute(1, 0, 2), out=outer[:, :3])
            outer[:, 3] = planes
            to_rows.addmm_(outer.view(12 * batch, -1), weight.T)
        return to_rows.view(3, 4, batch, joints).permute(2, 3, 0, 1), to_shaped, None


def _blocks(shaped: Tensor) -> list[slice]:
    count = shaped.shape[2]
    step = _BLOCK if shaped.device.type == "cpu" and shaped.shape[0] > 1 else count
    return [slice(start, min(start + step, count)) for start in range(0, count, max(step, 1))]
