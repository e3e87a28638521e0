"""What the default network is measured by on held-out people: joints, shape, and whether its uncertainty holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dsr.evaluation.metrics import pa_mpjpe
from dsr.regressors.default.averaging import both_ways
from dsr.regressors.default.network import KEYPOINTS, LIMBS, DefaultRegressor, PredictedBodies, centred
from dsr.training.systems.default.batches import plain_inputs
from dsr.training.systems.default.pairs import Pairs

_AT_ONCE = 256


@dataclass(frozen=True)
class Interval:
    """Shares of errors within the intervals that are said to hold half and nine tenths of them."""

    half: float
    nine_tenths: float


@torch.no_grad()
def predict_pairs(model: DefaultRegressor, pairs: Pairs, *, mirror: bool = False) -> PredictedBodies:
    """The network's bodies of people, in batches.

    Args:
        model: taken as it is, in evaluation mode or not.
        pairs: the people.
        mirror: the mean with their mirror images, as in a fit.
    """
    inputs = [plain_inputs(pairs.select(slice(i, i + _AT_ONCE))) for i in range(0, len(pairs), _AT_ONCE)]
    parts = [both_ways(model, some) if mirror else model(some) for some in inputs]
    names = PredictedBodies.__dataclass_fields__
    return PredictedBodies(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def measure(bodies: PredictedBodies, pairs: Pairs) -> dict[str, float]:
    """Millimetres of the twelve limb joints, betas, and the uncertainty's intervals in percent.

    Args:
        bodies: of the people.
        pairs: the truth, and the landmarks and lifted joints beside which the network is measured.
    """
    points, true = bodies.points[:, LIMBS], pairs.points[:, LIMBS]
    landmarks = pairs.world[:, 0, LIMBS]
    aligned, own = (pa_mpjpe(p, true, reduction="sample") for p in (points, landmarks))
    off = (centred(bodies.points[:, :KEYPOINTS]) - centred(pairs.points)).norm(dim=-1)
    off_landmarks = (centred(pairs.world[:, 0]) - centred(pairs.points)).norm(dim=-1)
    held = intervals(bodies, pairs)
    return {
        "pa_mpjpe_mm": 1000 * float(aligned.mean()),
        "pa_mpjpe_median_mm": 1000 * float(aligned.median()),
        "landmarks_pa_mpjpe_mm": 1000 * float(own.mean()),
        "landmarks_pa_mpjpe_median_mm": 1000 * float(own.median()),
        "centred_mm": 1000 * float(off[:, LIMBS].mean()),
        "landmarks_centred_mm": 1000 * float(off_landmarks[:, LIMBS].mean()),
        "keypoints_mm": 1000 * float(off.mean()),
        "betas_first": float((bodies.betas - pairs.betas).abs()[:, 0].mean()),
        "betas": float((bodies.betas - pairs.betas).square().mean().sqrt()),
        "interval_50": 100 * held.half,
        "interval_90": 100 * held.nine_tenths,
        "score": 1000 * float(aligned.mean()),
    }


def intervals(bodies: PredictedBodies, pairs: Pairs) -> Interval:
    """Shares of the limb joints' errors within their 50 % and 90 % radii, see :func:`radii`."""
    off = (centred(bodies.points[:, :KEYPOINTS]) - centred(pairs.points)).norm(dim=-1)[:, LIMBS]
    half, most = radii(bodies.point_sigma[:, LIMBS])
    return Interval(float((off <= half).float().mean()), float((off <= most).float().mean()))


def radii(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Radii of balls that hold 50 % and 90 % of errors with spreads (..., 2) across and along the line of sight.

    Errors are normal with a variance that differs from person to person (a gamma distribution with shape 2, which held
    on held-out people where 1 and 3 did not); the radii of every ratio of both spreads are read off a table.
    """
    ratio = (sigma[..., 1] / sigma[..., 0]).clamp(0.25, 16.0).log2()
    at = (ratio + 2) / 6 * (len(_TABLE) - 1)
    low = at.floor().long().clamp(0, len(_TABLE) - 2)
    part = (at - low)[..., None]
    table = torch.as_tensor(_TABLE).to(sigma)
    both = (1 - part) * table[low] + part * table[low + 1]
    return sigma[..., 0] * both[..., 0], sigma[..., 0] * both[..., 1]


def _table() -> np.ndarray:
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((20000, 3)) * np.sqrt(rng.gamma(2.0, 0.5, (20000, 1)))
    rows = []
    for power in np.linspace(-2, 4, 25):
        radius = np.linalg.norm(draws * [1.0, 1.0, math.pow(2.0, power)], axis=1)
        rows.append(np.quantile(radius, [0.5, 0.9]))
    return np.array(rows)


_TABLE = _table()
