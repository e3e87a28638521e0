"""Held-out people: errors of predicted bodies, next to those of the best constant answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dsr.evaluation import mpjpe, pa_mpjpe, pve
from dsr.evaluation.metrics import procrustes_align

if TYPE_CHECKING:
    from dsr.body import Body

_ROUNDS = 10


def mean_pose(joints: Tensor) -> Tensor:
    """The constant skeleton nearest to all given ones after alignment: generalised Procrustes mean.

    Args:
        joints: (N, J, 3).

    Returns:
        (J, 3), of the mean size.
    """
    centred = joints - joints.mean(1, keepdim=True)
    size = centred.square().sum((1, 2), keepdim=True).sqrt()
    mean = centred[0] / size[0]
    for _ in range(_ROUNDS):
        aligned = procrustes_align(centred / size, mean.expand_as(centred))
        mean = aligned.mean(0)
        mean = mean / mean.square().sum().sqrt()
    return mean * size.mean()


def pose_measures(predicted: Tensor, true: Tensor) -> dict[str, float]:
    """MPJPE and PA-MPJPE of the network and of the best constant skeleton, millimetres.

    The constant of MPJPE is the mean of the true root-relative skeletons, that of PA-MPJPE their Procrustes mean, both
    fitted to the very people they are measured on, and PA-MPJPE aligns it to every person.

    Args:
        predicted: (N, J, 3) metres, joint 0 is the root.
        true: (N, J, 3) metres.
    """
    rooted = true - true[:, :1]
    average = rooted.mean(0).expand_as(true)
    constant = mean_pose(true).expand_as(true)
    aligned = float(pa_mpjpe(predicted, true))
    return {
        "mpjpe_mm": 1000 * float(mpjpe(predicted, true)),
        "pa_mpjpe_mm": 1000 * aligned,
        "mean_pose_mpjpe_mm": 1000 * float(mpjpe(average, true)),
        "mean_pose_pa_mpjpe_mm": 1000 * float(pa_mpjpe(constant, true)),
        "score": 1000 * aligned,
    }


def shape_measures(body: Body, predicted: Tensor, true: Tensor, *, girths: bool = False) -> dict[str, float]:
    """Errors of the shape alone, in the T-pose, next to those of the mean shape (the mean of the true betas).

    Args:
        body: whose betas they are.
        predicted: (N, nb).
        true: (N, nb).
        girths: also height, waist and hips by a tape measure (a few milliseconds per person).

    Returns:
        ``shape_pve_mm``: mean vertex distance, both bodies centred; ``shape_scaled_pve_mm``: the same after scaling
        the predicted body to the true one's size, which a picture does not show (SSP-3D's PVE-T-SC); ``height_cm``,
        ``waist_cm``, ``hip_cm``: mean absolute errors; each also for the mean shape, with ``mean_pose_`` before it.
        ``waist_bias_cm`` and ``hip_bias_cm``: mean errors, positive where the predicted bodies are fatter.
    """
    out: dict[str, float] = {}
    constant = true.mean(0, keepdim=True).expand_as(true)
    sizes = _sizes(body, true) if girths else None
    for prefix, betas in (("", predicted), ("mean_pose_", constant)):
        total = scaled = 0.0
        for part in range(0, len(true), 32):
            both = [body(betas=x[part : part + 32]).vertices for x in (betas, true)]
            both = [vertices - vertices.mean(1, keepdim=True) for vertices in both]
            total += float(pve(both[0], both[1])) * len(both[0])
            size = (both[0] * both[1]).sum((1, 2)) / both[0].square().sum((1, 2))
            scaled += float(pve(size[:, None, None] * both[0], both[1])) * len(both[0])
        out[f"{prefix}shape_pve_mm"] = 1000 * total / len(true)
        out[f"{prefix}shape_scaled_pve_mm"] = 1000 * scaled / len(true)
        if sizes is not None:
            errors = 100 * (_sizes(body, betas) - sizes)
            apart = np.abs(errors).mean(0).tolist()
            out.update({f"{prefix}{name}_cm": e for name, e in zip(("height", "waist", "hip"), apart, strict=True)})
            if not prefix:
                out["waist_bias_cm"], out["hip_bias_cm"] = errors[:, 1:].mean(0).tolist()
    return out


@torch.no_grad()
def _sizes(body: Body, betas: Tensor) -> np.ndarray:
    """Height, waist and hips, (N, 3) metres; equal rows are measured once."""
    from dsr.body.measure import measure_body

    rows = betas.detach().cpu().double().numpy()
    known: dict[bytes, tuple[float, float, float]] = {}
    for row in rows:
        if row.tobytes() not in known:
            m = measure_body(body.asset, row)
            known[row.tobytes()] = (m.height_m, m.waist_m, m.hip_m)
    return np.array([known[row.tobytes()] for row in rows])
