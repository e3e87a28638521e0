"""Which of the people found is which of the true ones."""

from __future__ import annotations

import numpy as np


def assign(cost: np.ndarray, limit: float) -> dict[int, int]:
    """Pairs of the smallest total cost (Hungarian method), each row and column used once.

    Args:
        cost: (N, M); what is not finite is never paired.
        limit: pairs of this cost and more are dropped; infinite: none are.

    Returns:
        Column per paired row.
    """
    from scipy.optimize import linear_sum_assignment

    if not cost.size:
        return {}
    allowed = np.isfinite(cost) & (cost < limit)
    rows, columns = linear_sum_assignment(np.where(allowed, cost, 1e6))
    return {int(i): int(j) for i, j in zip(rows, columns, strict=True) if allowed[i, j]}


def box_iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Overlap of a box (4,) x0, y0, x1, y1 with others (N, 4): (N,) intersection over union, 0 to 1."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1) + (box[2:] - box[:2]).prod() - shared
    return np.asarray(shared / np.maximum(areas, 1e-12))
