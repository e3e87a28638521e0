"""The default network as a file: safetensors whose header says how to build it; one is shipped with the package."""

from __future__ import annotations

import json
from pathlib import Path

from dsr.body import load_asset
from dsr.checkpoints import load_checkpoint, read_header, shipped_file
from dsr.errors import CheckpointError, UsageError
from dsr.regressors.default.network import DefaultRegressor

FILE = "default_network.safetensors"
_KEY = "default_network"


def network_header(design: str, width: int, blocks: int) -> dict[str, str]:
    """The entry of a safetensors header that :func:`load_default` reads."""
    return {_KEY: json.dumps({"design": design, "width": width, "blocks": blocks})}


def load_default(path: str | Path | None = None, device: str = "cpu") -> DefaultRegressor:
    """The default network with its weights.

    Args:
        path: of its file; that of the package where None.
        device: where it goes.

    Returns:
        The network in evaluation mode, without gradients, for the light open body.

    Raises:
        CheckpointError: if the file is missing, cannot be read, or is of another network.
    """
    path = shipped_file(FILE) if path is None else Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is missing or not a file; install the package again.")
    text = read_header(path).get(_KEY)
    try:
        about = json.loads(text or "null")
        model = DefaultRegressor(
            load_asset("open-light"), str(about["design"]), int(about["width"]), int(about["blocks"])
        )
    except (UsageError, ValueError, TypeError, KeyError) as problem:
        raise CheckpointError(f"{path} does not say which default network it holds ({problem}).") from problem
    load_checkpoint(model, path)
    return model.eval().requires_grad_(False).to(device)
