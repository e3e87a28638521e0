"""TorchScript files are programs: they run only when their hash is known, or the user says it is theirs to run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dsr.body.asset_file import model_folders
from dsr.errors import CheckpointError
from dsr.files import file_sha256

TRUST = "DSR_TRUST_TORCHSCRIPT"
"""Environment variable with the SHA-256 of TorchScript files that may run, separated by commas."""
MHR_FILE = "mhr_model.pt"
KNOWN = {"352e271a6c42729c68554ceaea0c955e866970160c31e35506d782dc0f7377bc": "MHR v1.0.1, LOD 1 (Meta, Apache-2.0)"}
"""SHA-256 to what it is (specs/networks)."""


def find_mhr(beside: Path) -> Path | None:
    """The TorchScript of MHR's body: beside a file, or in the folders that bodies are looked for in."""
    places = [beside.parent / MHR_FILE, *(folder / MHR_FILE for folder in model_folders())]
    return next((place for place in places if place.is_file()), None)


def load_torchscript(path: Path) -> Any:
    """A TorchScript module on the processor, in evaluation mode.

    Raises:
        CheckpointError: if its hash is neither known nor named by the user, or it cannot be read.
    """
    import torch

    digest = file_sha256(path)
    trusted = {text.strip().lower() for text in os.environ.get(TRUST, "").split(",")}
    if digest not in KNOWN and digest not in trusted:
        raise CheckpointError(
            f"{path} is TorchScript, a program, and none that is known here: it is not run. If you trust where it "
            f"comes from, set {TRUST}={digest}"
        )
    try:
        return torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as TorchScript: {str(error).splitlines()[0][:200]}") from error
