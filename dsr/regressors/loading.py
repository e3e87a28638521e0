"""A network from a file of weights: its architecture is read off the entries, the rest off the header.

Files that ``dsr-train`` writes say in their safetensors header which body they were trained with and how large their
crops are. Official files say nothing: they are for SMPL and for crops of the published size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dsr.body.asset_file import OPEN_FILES
from dsr.checkpoints import load_checkpoint, read_header, read_state_dict
from dsr.errors import CheckpointError, UsageError
from dsr.files import file_sha256
from dsr.options import BROUGHT, CHECKPOINT_FORMS, split_regressor
from dsr.regressors.registry import build_regressor, regressor_class

LARGEST_CROP = 2048
"""Side of the largest crop, pixels, that the header of a file may ask for."""
MEAN_FILE = "smpl_mean_params.npz"
"""Where DSR's iterations start, for checkpoints that leave it out; looked for beside them."""


@dataclass(frozen=True)
class LoadedRegressor:
    """A network ready for use.

    Attributes:
        model: in evaluation mode, without gradients.
        system: its name in :data:`dsr.regressors.REGRESSORS`.
        path: of its weights.
        sha256: of the file.
        body: ``open`` where it was trained here with the open body, else ``smpl``.
    """

    model: nn.Module
    system: str
    path: Path
    sha256: str
    body: str

    @property
    def num_betas(self) -> int:
        """Shape coefficients of the body it was trained with."""
        return int(getattr(self.model, "num_betas"))  # noqa: B009

    def record(self) -> dict[str, str]:
        """What a result says about it."""
        return {"name": self.system, "checkpoint": str(self.path), "sha256": self.sha256, "body": self.body}


def load_regressor(name: str, device: str = "cpu") -> LoadedRegressor:
    """Build the network a file was made for, and fill it.

    Args:
        name: ``dsr:CKPT`` or ``perspose:CKPT``. A DSR checkpoint without mean parameters takes them from
            ``smpl_mean_params.npz`` in its folder.
        device: where it will run.

    Raises:
        UsageError: if the name cannot be meant or there is no such file.
        CheckpointError: if the file cannot be read or is not for this network; names the file and the entry.

    Example:
        >>> load_regressor("dsr:dsr_w3DPW_checkpoint.pt").model.image_size  # doctest: +SKIP
        224
    """
    parsed = split_regressor(name)
    if parsed is None or parsed[0] in BROUGHT:
        raise UsageError(f"--regressor {name} is not a network from crops to bodies; use {CHECKPOINT_FORMS}.")
    system, path = parsed
    header = read_header(path)
    try:
        config = architecture(system, read_state_dict(path), header)
        if system == "dsr" and path.with_name(MEAN_FILE).is_file():  # what the checkpoint says goes over it
            config["mean"] = path.with_name(MEAN_FILE)
        model = build_regressor(system, **config)
    except UsageError as error:
        raise CheckpointError(f"{path} is for a network that cannot be built: {error}") from error
    load_checkpoint(model, path)
    model = model.eval().requires_grad_(False).to(device)
    return LoadedRegressor(model, system, path, file_sha256(path), _trained_on(header))


def architecture(system: str, state: dict[str, Tensor], header: dict[str, str] | None = None) -> dict[str, Any]:
    """Settings for :func:`build_regressor` that fit a file; those published where it does not tell.

    Args:
        system: the network's name.
        state: its entries under any of the layouts' names.
        header: texts of its safetensors header.

    Raises:
        UsageError: if there is no such network, it does not say how its files are read, or the header makes no sense.
    """
    network = regressor_class(system)
    if not hasattr(network, "architecture"):
        raise UsageError(
            f"the class {network.__name__} of {system} has no architecture(shapes), which reads a network's size off "
            "its file (dsr.regressors.Regressor)."
        )
    shapes = {re.sub(r"^(?:(?:module|model|backbone|head)\.)+", "", key): tuple(v.shape) for key, v in state.items()}
    config = network.architecture(shapes)
    size = _image_size(header or {})
    return {**config, "image_size": size} if size else config


def has_heads(state: Mapping[str, Tensor]) -> bool:
    """Whether a file holds a whole regressor, of either kind, and not a backbone alone."""
    return any(key.endswith(("decpose.weight", "hm_layer.weight")) for key in state)


def _image_size(header: dict[str, str]) -> int | None:
    try:
        config = json.loads(header.get("config", "{}"))
    except ValueError:
        config = {}
    model = config.get("model", config) if isinstance(config, dict) else {}
    text = header.get("image_size", model.get("image_size") if isinstance(model, dict) else None)
    try:
        size = None if text is None else int(text)
    except (TypeError, ValueError) as error:
        raise UsageError(f"its header says image_size {text!r}, which is no number.") from error
    if size is not None and not 32 <= size <= LARGEST_CROP:
        raise UsageError(f"its header says image_size {size}; crops have 32 to {LARGEST_CROP} pixels.")
    return size


def _trained_on(header: dict[str, str]) -> str:
    name = Path(header.get("body", "")).stem.lower().removeprefix("dsr_").replace("_", "-")
    return "open" if name in OPEN_FILES else "smpl"
