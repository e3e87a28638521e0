"""Any body model by name or path: the open ones, files of our layout, licensed files. Needs no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from dsr.body.asset import BodyAsset
from dsr.body.asset_file import OPEN_FILES, find_open, is_addition_file, is_asset_file, read_addition, read_asset
from dsr.body.licensed import load_licensed
from dsr.files import expand_user


def load_asset(
    name_or_path: str | Path = "open", *, gender: str = "neutral", num_betas: int | None = None
) -> BodyAsset:
    """Read a body model into numpy arrays, without torch and without running code from the file.

    Args:
        name_or_path: ``open``, ``open-light`` (about half the vertices), ``open-x`` (``open`` with SMPL-X's 55 joints
            and named facial expressions behind its betas), a file of our npz layout, a licensed SMPL, SMPL-H or SMPL-X
            file (``.npz`` or ``.pkl``), a folder of those, or ``smpl``, ``smplh``, ``smplx`` to look for one in
            ``body_models/``.
        gender: ``neutral``, ``female`` or ``male``, where a folder holds several.
        num_betas: shape coefficients to keep; by default all of the open body and 10 of a licensed one.

    Raises:
        BodyError: if the file is missing, of the wrong kind or not safe to read; the message names the file expected.
    """
    name = str(name_or_path)
    path = find_open(name) if name in OPEN_FILES else expand_user(name_or_path)
    ours = is_addition_file(path), is_asset_file(path)
    if name in OPEN_FILES or any(ours):
        asset = read_addition(path) if ours[0] else read_asset(path)
        return asset if num_betas is None else first_betas(asset, num_betas)
    return load_licensed(name_or_path, gender=gender, num_betas=num_betas)


def first_betas(asset: BodyAsset, num_betas: int) -> BodyAsset:
    """The same body with its first betas alone; expressions stay."""
    shapes, expressions = np.split(asset.shapedirs, [asset.num_betas - asset.num_expressions], 2)
    return replace(
        asset,
        shapedirs=np.concatenate((shapes[..., :num_betas], expressions), 2),
        sex_mean=None if asset.sex_mean is None else asset.sex_mean[:, :num_betas],
        sex_cov=None if asset.sex_cov is None else asset.sex_cov[:, :num_betas, :num_betas],
        directions=None if asset.directions is None else asset.directions[:, :num_betas],
    )
