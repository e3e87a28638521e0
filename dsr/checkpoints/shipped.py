"""The weights that were learned here and ship with the package, each with a model card beside it."""

from __future__ import annotations

from pathlib import Path


def shipped_file(name: str) -> Path:
    """Path of a file in ``dsr/weights``, whether it is there or not.

    Args:
        name: of the file, ``pose_prior.safetensors`` for example.
    """
    return Path(__file__).resolve().parents[1] / "weights" / name
