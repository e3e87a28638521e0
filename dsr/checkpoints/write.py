"""Weights alone as safetensors, with texts about them in the header."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from dsr.files import write_bytes


def write_weights(path: Path, weights: dict[str, Tensor], about: dict[str, str]) -> None:
    """Write weights alone as safetensors, atomically.

    Args:
        path: the file.
        weights: name -> tensor.
        about: texts for the file's header.
    """
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    write_bytes(path, save(tensors, metadata=about))  # safetensors' own files are for their owner's eyes only
