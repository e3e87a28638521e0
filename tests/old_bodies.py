"""An open body as earlier releases had it: 11 betas that mean something else, no marked points, no directions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from dsr.body import load_asset
from dsr.body.asset_file import save_asset


def earlier_release(folder: Path) -> Path:
    """Write ``folder/open/DSR_OPEN.npz``: with ``DSR_BODY_MODELS=folder`` the release is an earlier one."""
    asset = load_asset("open-light")
    mixed = np.linalg.qr(np.random.default_rng(5).normal(size=(11, 11)))[0].astype(np.float32)
    old = replace(
        asset,
        name="open",
        shapedirs=asset.shapedirs[..., :11] @ mixed,
        tape=None,
        tape_names=(),
        sex_mean=None,
        sex_cov=None,
        directions=None,
        direction_names=(),
        direction_units=(),
        direction_spreads=None,
        quads=None,
        quads_uv=None,
        sha256="",
        path=None,
    )
    file = folder / "open" / "DSR_OPEN.npz"
    file.parent.mkdir(parents=True)
    save_asset(old, file)
    return file
