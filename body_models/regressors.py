"""Sparse, non-negative regressors from skin vertices to joints and keypoints, learned over many shapes in the T-pose.

Left rows are solved and mirrored to the right, so the body stays exactly symmetric.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls
from scipy.spatial import cKDTree
from tpose import FLIP, PARENTS

Row = dict[int, float]


class RegressorFitter:
    """Solves rows of regressors against the shapes of a fixed sample.

    Args:
        vertices: (N, V, 3) T-posed shapes, metres.
        usable: (V,) True for outer-skin vertices.
    """

    def __init__(self, vertices: np.ndarray, usable: np.ndarray) -> None:
        self.vertices = vertices
        self.usable = usable
        template = vertices.mean(0)
        self.template = template
        distance, self.mirror = cKDTree(template).query(template * np.array([-1.0, 1.0, 1.0]))
        self.mirror_error_m = float(distance.max())

    def solve(
        self, target: np.ndarray, allowed: np.ndarray | None = None, count: int = 150, central: bool = False
    ) -> Row:
        """Convex weights over nearby skin vertices that follow ``target`` (N, 3) through all shapes."""
        usable = self.usable if allowed is None else self.usable & allowed
        distance = np.linalg.norm(self.template - target.mean(0), axis=-1)
        candidates = np.flatnonzero(usable)
        reach = 1.5 * np.sort(distance[candidates])[min(count, len(candidates)) // 2] + 0.03
        candidates = candidates[distance[candidates] < reach]  # all around the point, evenly thinned
        candidates = candidates[np.linspace(0, len(candidates) - 1, min(count, len(candidates))).astype(int)]
        if central:  # a central joint is solved on a mirrored set, then made exactly symmetric
            candidates = np.unique(np.concatenate([candidates, self.mirror[candidates]]))
        a = (self.vertices[:, candidates] - target[:, None]).transpose(0, 2, 1).reshape(-1, len(candidates))
        # sum to one with a heavy row; a light ridge spreads the weight over many vertices
        scale = np.sqrt(len(a))
        rows = np.concatenate([a, scale * np.ones((1, len(candidates))), 0.003 * scale * np.eye(len(candidates))])
        rhs = np.concatenate([np.zeros(len(a)), [scale], np.zeros(len(candidates))])
        weight, _ = nnls(rows, rhs, maxiter=50 * len(candidates))
        weight[weight < 1e-3 * weight.max()] = 0
        weight /= weight.sum()
        row = {int(c): float(w) for c, w in zip(candidates, weight, strict=True) if w > 0}
        return blend([(0.5, row), (0.5, self.flip(row))]) if central else row

    def flip(self, row: Row) -> Row:
        """The same row on the other side of the body."""
        out: Row = {}
        for vertex, weight in row.items():
            other = int(self.mirror[vertex])
            out[other] = out.get(other, 0.0) + weight
        return out

    def apply(self, row: Row) -> np.ndarray:
        """(N, 3) points of a row over the sample."""
        index = np.fromiter(row, dtype=np.int64)
        return np.einsum("v,nvc->nc", np.fromiter(row.values(), dtype=np.float64), self.vertices[:, index])

    def joints(self, joints: np.ndarray, weights: np.ndarray) -> tuple[list[Row], np.ndarray]:
        """Rows of the 24 joints and their errors in millimetres, (24,) root mean square over the sample."""
        rows: list[Row] = [{} for _ in range(24)]
        for joint in range(24):
            if FLIP[joint] < joint:
                rows[joint] = self.flip(rows[FLIP[joint]])
                continue
            family = [joint, *np.flatnonzero(joint == PARENTS)]
            if joint > 0:
                family.append(PARENTS[joint])
            allowed = weights[:, family].sum(1) > 0.5
            rows[joint] = self.solve(joints[:, joint], allowed, count=400, central=FLIP[joint] == joint)
        error = np.stack([np.linalg.norm(self.apply(row) - joints[:, j], axis=-1) for j, row in enumerate(rows)], 1)
        return rows, 1000 * np.sqrt((error**2).mean(0))


def blend(parts: list[tuple[float, Row]]) -> Row:
    """Weighted sum of rows."""
    out: Row = {}
    for factor, row in parts:
        for vertex, weight in row.items():
            out[vertex] = out.get(vertex, 0.0) + factor * weight
    return out


def thin(dense: np.ndarray, keep: int = 150) -> Row:
    """The heaviest entries of a dense row, rescaled to sum to one."""
    index = np.argsort(-dense)[:keep]
    index = index[dense[index] > 0]
    return {int(i): float(dense[i] / dense[index].sum()) for i in index}


def to_sparse(rows: list[Row], count: int) -> dict[str, np.ndarray]:
    """Coordinate arrays (row, col, val, shape) of a list of rows over ``count`` vertices."""
    row = np.concatenate([np.full(len(r), i) for i, r in enumerate(rows)]).astype(np.int32)
    col = np.concatenate([np.fromiter(r, dtype=np.int32) for r in rows])
    val = np.concatenate([np.fromiter(r.values(), dtype=np.float64) for r in rows]).astype(np.float32)
    return {"row": row, "col": col, "val": val, "shape": np.array([len(rows), count], dtype=np.int64)}
