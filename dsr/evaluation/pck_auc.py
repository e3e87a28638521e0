"""PCK, AUC and per-joint tables of 3D joints, as MPI-INF-3DHP defines them (Mehta et al., 3DV 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dsr.errors import UsageError

PCK_MM = 150.0
"""Distance at which MPI-INF-3DHP counts a joint as found, millimetres: about half the size of a head."""
AUC_MM = tuple(float(t) for t in range(0, 151, 5))
"""Distances over which its curve is averaged, millimetres."""


def pck(errors_mm: Any, threshold_mm: float = PCK_MM, mask: Any = None, *, reduction: str = "mean") -> np.ndarray:
    """Share of joints closer to the truth than a threshold.

    Args:
        errors_mm: (..., J) distances, as :func:`~dsr.evaluation.mpjpe` gives with ``reduction="none"``, millimetres.
            NaN does not count.
        threshold_mm: a joint at exactly this distance is not found, as in the published tool.
        mask: (..., J), true where a joint counts; all when not given.
        reduction: "mean" over all, "joint" (J,) or "sample" (...).

    Returns:
        0 to 1; NaN where nothing counts.

    Raises:
        UsageError: if the shapes do not fit or the reduction is unknown.

    Example:
        >>> float(pck([10.0, 149.0, 150.0, 400.0]))
        0.5
    """
    errors, counts = _checked(errors_mm, mask)
    with np.errstate(invalid="ignore"):
        near = errors < threshold_mm
    return _mean(near, counts, reduction)


def auc(
    errors_mm: Any, thresholds_mm: Sequence[float] = AUC_MM, mask: Any = None, *, reduction: str = "mean"
) -> np.ndarray:
    """Area under the curve of :func:`pck`: its mean over 31 thresholds, 0 to 150 mm.

    Arguments, result and errors as :func:`pck`.

    Example:
        >>> float(auc([0.0, 1000.0])).__round__(3)  # 0 mm is not below 0 mm
        0.484
    """
    if len(thresholds_mm) == 0:
        raise UsageError("an area needs at least one threshold.")
    return np.mean([pck(errors_mm, t, mask, reduction=reduction) for t in thresholds_mm], axis=0)


def per_joint(names: Sequence[str], *, mask: Any = None, **errors_mm: Any) -> dict[str, dict[str, float | None]]:
    """Mean of each kind of error for each joint; for the first kind also PCK and AUC.

    Args:
        names: of the J joints.
        mask: (..., J), true where a joint counts.
        errors_mm: (..., J) distances in millimetres under the name of what they are, say ``mpjpe_mm``.

    Returns:
        Joint to its figures; None where nothing counts.

    Raises:
        UsageError: if the shapes do not fit.

    Example:
        >>> per_joint(["head"], mpjpe_mm=[[10.0], [20.0]])["head"]["mpjpe_mm"]
        15.0
    """
    figures: dict[str, np.ndarray] = {}
    for k, (key, values) in enumerate(errors_mm.items()):
        errors, counts = _checked(values, mask)
        if errors.shape[-1] != len(names):
            raise UsageError(f"{key} has {errors.shape[-1]} joints, but there are {len(names)} names.")
        figures[key] = _mean(np.where(counts, errors, 0.0), counts, "joint")
        if k == 0:
            figures["pck"], figures["auc"] = (f(errors, mask=counts, reduction="joint") for f in (pck, auc))
    return {
        name: {key: float(c[j]) if np.isfinite(c[j]) else None for key, c in figures.items()}
        for j, name in enumerate(names)
    }


def _checked(errors: Any, mask: Any) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(errors, np.float64)
    counts = np.isfinite(values)
    try:
        if mask is not None:
            counts = counts & np.broadcast_to(np.asarray(mask, bool), values.shape)
    except ValueError:
        raise UsageError(f"the mask {np.shape(mask)} does not fit errors of shape {values.shape}.") from None
    if values.ndim < 1:
        raise UsageError("errors must have shape (..., J), one distance per joint.")
    return values, counts


def _mean(values: np.ndarray, counts: np.ndarray, reduction: str) -> np.ndarray:
    axes = {"mean": None, "joint": tuple(range(values.ndim - 1)), "sample": (-1,)}
    if reduction not in axes:
        raise UsageError(f"unknown reduction {reduction!r}; choose mean, sample or joint.")
    total = counts.sum(axes[reduction])
    return np.asarray((values * counts).sum(axes[reduction]) / np.where(total == 0, np.nan, total))
