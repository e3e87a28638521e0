"""Small made-up bodies for the tests of this folder."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from dsr.body.asset import BodyAsset
from dsr.body.joints import SMPL24_NAMES, SMPL24_PARENTS


def toy_asset(
    vertices: int = 300, betas: int = 11, posedirs: bool = True, parents: tuple[int, ...] = SMPL24_PARENTS
) -> BodyAsset:
    """A random body in SMPL's format: joints spread out, up to four influences, rows of every matrix sum to one."""
    rng = np.random.default_rng(7)
    j = len(parents)
    weights = np.zeros((vertices, j), np.float64)
    np.put_along_axis(weights, rng.integers(0, j, (vertices, 4)), rng.random((vertices, 4)) + 0.1, 1)
    regressor = np.zeros((j, vertices))
    for row in regressor:
        row[rng.choice(vertices, 6, replace=False)] = rng.dirichlet(np.ones(6))
    keypoints = np.zeros((17, vertices))
    for row in keypoints:
        row[rng.choice(vertices, 4, replace=False)] = rng.dirichlet(np.ones(4))
    return BodyAsset(
        v_template=rng.normal(size=(vertices, 3)).astype(np.float32),
        shapedirs=(0.03 * rng.normal(size=(vertices, 3, betas))).astype(np.float32),
        posedirs=(0.02 * rng.normal(size=(vertices, 3, 9 * (j - 1)))).astype(np.float32) if posedirs else None,
        weights=(weights / weights.sum(1, keepdims=True)).astype(np.float32),
        parents=np.array(parents),
        faces=rng.integers(0, vertices, (2 * vertices, 3)).astype(np.int32),
        J_regressor=csr_matrix(regressor),
        part_ids=np.zeros(2 * vertices, np.int32),
        interior=np.zeros(2 * vertices, bool),
        keypoint_regressors={"coco17": csr_matrix(keypoints)},
        joint_names=SMPL24_NAMES if j == 24 else (),
        name="toy",
    )


def smplx_parents() -> tuple[int, ...]:
    """SMPL-X's tree: body, jaw and eyes on the head (15), five fingers of three joints on each wrist (20, 21)."""
    fingers = [
        p for wrist, first in ((20, 25), (21, 40)) for f in range(5) for p in (wrist, first + 3 * f, first + 3 * f + 1)
    ]
    return (*SMPL24_PARENTS[:22], 15, 15, 15, *fingers)
