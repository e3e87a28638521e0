"""Write a body asset in our own npz layout, the one :func:`dsr.body.load_asset` reads without pickled objects."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from dsr.body.asset import BodyAsset


def save_asset(asset: BodyAsset, path: str | os.PathLike[str]) -> None:
    """Write an asset as ``.npz``: plain arrays, sparse matrices as row, column, value and shape.

    Args:
        asset: the body, also one converted from a licensed file; its licence goes along and still holds.
        path: the file, ending in ``.npz``.
    """
    arrays: dict[str, Any] = {
        "v_template": asset.v_template,
        "shapedirs": asset.shapedirs,
        "weights": asset.weights,
        "kintree_table": np.stack([asset.parents, np.arange(asset.num_joints)]),
        "f": asset.faces,
        "part_ids": asset.part_ids,
        "interior": asset.interior,
        "joint_names": np.array(asset.joint_names, dtype=str),
        "part_names": np.array(asset.part_names, dtype=str),
        "name": np.array(asset.name),
        "num_expressions": np.array(asset.num_expressions),
        "licence": np.array(asset.licence),
        "source_sha256": np.array(asset.sha256),
        "posedirs": asset.posedirs,
        "uv": asset.uv,
        "f_uv": asset.faces_uv,
        "base_index": asset.base_index,
    }
    matrices = {"J_regressor": asset.J_regressor, **{f"kp_{k}": m for k, m in asset.keypoint_regressors.items()}}
    for key, matrix in matrices.items():
        coo = matrix.tocoo()
        arrays |= {f"{key}_row": coo.row, f"{key}_col": coo.col, f"{key}_val": coo.data, f"{key}_shape": coo.shape}
    np.savez_compressed(path, **{key: value for key, value in arrays.items() if value is not None})
