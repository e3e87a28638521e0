"""Sparse, non-negative regressors from skin vertices to joints and keypoints, learned over many shapes in the T-pose.

Left rows are solved and mirrored to the right, so the body stays exactly symmetric.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from tpose import FLIP, PARENTS

Row = dict[int, float]


class RegressorFitter:
    """Solves rows of regressors against the shapes of a fixed sample.

    Args:
        vertices: (N, V, 3) shapes, metres; T-posed, or bent as well (:func:`bend`).
        usable: (V,) True for outer-skin vertices.
        template: (V, 3) T-posed shape by which neighbours are chosen; by default the mean of ``vertices``.
    """

    def __init__(self, vertices: np.ndarray, usable: np.ndarray, template: np.ndarray | None = None) -> None:
        self.vertices = vertices
        self.usable = usable
        template = vertices.mean(0) if template is None else template
        self.template = template
        distance, self.mirror = cKDTree(template).query(template * np.array([-1.0, 1.0, 1.0]))
        self.mirror_error_m = float(distance.max())

    def solve(
        self,
        target: np.ndarray,
        allowed: np.ndarray | None = None,
        count: int = 150,
        central: bool = False,
        centre: np.ndarray | None = None,
    ) -> Row:
        """Convex weights over skin vertices near ``centre`` that follow ``target`` (N, 3) through all shapes."""
        usable = self.usable if allowed is None else self.usable & allowed
        distance = np.linalg.norm(self.template - (target.mean(0) if centre is None else centre), axis=-1)
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

    def joints(self, joints: np.ndarray, weights: np.ndarray, still: np.ndarray) -> tuple[list[Row], np.ndarray]:
        """Rows of the 24 joints and their errors in millimetres, (24,) root mean square over the sample.

        Args:
            joints: (N, 24, 3) of the fitter's shapes.
            weights: (V, 24) skinning weights.
            still: (V,) True for vertices that no facial action moves; no others carry a joint.
        """
        rows: list[Row] = [{} for _ in range(24)]
        for joint in range(24):
            if FLIP[joint] < joint:
                rows[joint] = self.flip(rows[FLIP[joint]])
                continue
            family = [joint, *np.flatnonzero(joint == PARENTS)]
            if joint > 0:
                family.append(PARENTS[joint])
            allowed = still & (weights[:, family].sum(1) > 0.5)
            rows[joint] = self.solve(joints[:, joint], allowed, count=400, central=FLIP[joint] == joint)
        return rows, self.error_mm(rows, joints)

    def bent_joints(self, joints: np.ndarray, weights: np.ndarray, centres: np.ndarray) -> list[Row]:
        """Rows of the 24 joints over bent shapes: narrow rings, so that they stay on the joint when a limb bends.

        The layer's own joints come from the T-pose (:meth:`joints`); these rows are for keypoints on posed skin.

        Args:
            joints: (N, 24, 3) of the same shapes as the fitter's vertices.
            weights: (V, 24) skinning weights.
            centres: (24, 3) joints of the template.
        """
        rows: list[Row] = [{} for _ in range(24)]
        for joint in range(24):
            if FLIP[joint] < joint:
                rows[joint] = self.flip(rows[FLIP[joint]])
                continue
            family = [joint, *np.flatnonzero(joint == PARENTS), *([PARENTS[joint]] if joint > 0 else [])]
            allowed = weights[:, family].sum(1) > 0.5
            central = FLIP[joint] == joint
            rows[joint] = self.solve(joints[:, joint], allowed, 300, central, centres[joint])
        return rows

    def error_mm(self, rows: list[Row], joints: np.ndarray) -> np.ndarray:
        """Root mean square distance of rows (24) from joints (N, 24, 3) over the sample, millimetres, (24,)."""
        error = np.stack([np.linalg.norm(self.apply(row) - joints[:, j], axis=-1) for j, row in enumerate(rows)], 1)
        return 1000 * np.sqrt((error**2).mean(0))


def bend(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Skinned copies of T-posed shapes with every limb joint bent at random, as far as people bend them.

    Args:
        vertices: (N, V, 3).
        joints: (N, 24, 3).
        weights: (V, 24) skinning weights.
        seed: of the poses.

    Returns:
        Bent vertices (N, V, 3) and joints (N, 24, 3).
    """
    rng = np.random.default_rng(seed)
    bent_vertices, bent_joints = np.empty_like(vertices), np.empty_like(joints)
    for n in range(len(vertices)):
        angles = np.radians(rng.uniform(*(np.stack(ends) for ends in zip(*_RANGES, strict=True))))  # (24, 3)
        local = Rotation.from_rotvec(angles).as_matrix()
        world = np.empty((24, 3, 3))
        placed = np.empty((24, 3))
        for j in range(24):
            if j == 0:
                world[0], placed[0] = local[0], joints[n, 0]
                continue
            parent = PARENTS[j]
            world[j] = world[parent] @ local[j]
            placed[j] = placed[parent] + world[parent] @ (joints[n, j] - joints[n, parent])
        moved = np.einsum("jab,vjb->vja", world, vertices[n, :, None] - joints[n][None]) + placed
        bent_vertices[n] = np.einsum("vj,vja->va", weights, moved)
        bent_joints[n] = placed
    return bent_vertices, bent_joints


def _ranges() -> list[tuple[tuple[float, float, float], tuple[float, float, float]]]:
    """Lowest and highest angle about x, y, z of every joint, degrees; the left side's mirrored on the right."""
    left = {
        1: ((-110, -30, -15), (25, 30, 45)),
        4: ((0, -5, -5), (130, 5, 5)),
        7: ((-40, -15, -15), (30, 15, 15)),
        13: ((-10, -15, -15), (10, 15, 15)),
        16: ((-40, -60, -85), (40, 40, 60)),
        18: ((-20, -140, -10), (20, 0, 10)),
        20: ((-30, -20, -45), (30, 20, 45)),
    }
    middle = dict.fromkeys((3, 6, 9, 12, 15), ((-15, -15, -12), (25, 15, 12)))
    table = [((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))] * 24
    for j, (low, high) in {**left, **middle}.items():
        table[j] = (low, high)
        if j in left:  # mirroring negates the angles about y and z
            table[FLIP[j]] = ((low[0], -high[1], -high[2]), (high[0], -low[1], -low[2]))
    return table


_RANGES = _ranges()


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
