"""The copy of the body asset in an output folder, so that results can be read without this package."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from dsr.files import file_sha256, write_atomic
from dsr.npz import read_npz
from dsr.pipeline.output_names import safe_name

if TYPE_CHECKING:
    from dsr.body import BodyAsset


def copy_body(asset: BodyAsset, out: Path) -> str:
    """Put one copy of the body asset into the output folder.

    Returns:
        Its file name; another body of the same name that is there already stays, and this one gets part of its hash.

    Raises:
        ExportError: if it cannot be written.
    """
    from dsr.body.asset_file import is_asset_file, save_asset

    name = body_file_name(asset)
    if (out / name).exists() and not _holds_body(out / name, asset):
        name = f"{name[:-4]}-{asset.sha256[:8]}.npz"
    if _holds_body(out / name, asset):
        return name

    def write(temporary: Path) -> None:
        if asset.path is not None and is_asset_file(asset.path):
            shutil.copyfile(asset.path, temporary)
        else:
            save_asset(asset, temporary)

    write_atomic(out / name, write)
    return name


def body_file_name(asset: BodyAsset) -> str:
    """File name of the body asset's copy in an output folder."""
    return safe_name(asset.path.stem if asset.path is not None else asset.name) + ".npz"


def _holds_body(path: Path, asset: BodyAsset) -> bool:
    """Whether a file is a whole copy of this body, byte for byte or converted."""
    try:
        if file_sha256(path) == asset.sha256:
            return True
        data = read_npz(path)
        return "source_sha256" in data and str(data["source_sha256"]) == asset.sha256
    except (OSError, ValueError):
        return False
