"""Keypoints of a posed body without its vertices: skinning and regressor folded into one small table, exactly.

A keypoint is ``sum_v R[k, v] sum_j w[v, j] A[j] (x[v], 1)`` and the rest vertices ``x`` are linear in the features
(betas and pose correctives), so the sum over vertices is done once. Made for fitting, which needs keypoints often.
"""

from __future__ import annotations

import numpy as np

from dsr.body.asset import BodyAsset


def keypoint_table(asset: BodyAsset, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Fold a regressor, the skinning weights and the blend shapes together.

    Args:
        asset: the body model.
        name: keypoint set.

    Returns:
        base (K, J, 4) and directions (L, K, J, 4), float64, L = num_betas (+ 9 (J-1) with pose correctives): with
        ``Q = base + features @ directions`` the keypoints are ``sum_jc A[j, :, c] Q[k, j, c]`` for joint transforms
        ``A`` (J, 3, 4) that act on rest coordinates.

    Raises:
        BodyError: if the asset has no such regressor.
    """
    regressor = asset.keypoint_regressor(name).tocsr()
    features = asset.num_betas + (0 if asset.posedirs is None else asset.posedirs.shape[2])
    base = np.zeros((regressor.shape[0], asset.num_joints, 4))
    directions = np.zeros((features, *base.shape))
    for k in range(regressor.shape[0]):
        row = slice(regressor.indptr[k], regressor.indptr[k + 1])
        used = regressor.indices[row]
        pull = (asset.weights[used].astype(np.float64) * regressor.data[row, None]).T  # (J, n)
        base[k, :, :3] = pull @ asset.v_template[used]
        base[k, :, 3] = pull.sum(1)
        shapes = asset.shapedirs[used]
        if asset.posedirs is not None:
            shapes = np.concatenate((shapes, asset.posedirs[used]), 2)
        folded = (pull @ shapes.reshape(len(used), -1)).reshape(-1, 3, features)
        directions[:, k, :, :3] = folded.transpose(2, 0, 1)
    return base, directions
