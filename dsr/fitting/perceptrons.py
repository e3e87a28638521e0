"""Residual perceptrons in NumPy, several side by side, of whose answers the mean is taken; how their files are read."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from dsr.errors import CheckpointError

_MOST = 5.0  # standard deviations to which inputs are cut


def first_layer(weights: dict[str, np.ndarray], inputs: np.ndarray) -> np.ndarray:
    """(n, W) what n perceptrons make of inputs (C,) first; weights by name, of all along the first axis."""
    x = np.clip((inputs - weights["mean"]) / weights["spread"], -_MOST, _MOST)
    return linear(x, weights["in.weight"], weights["in.bias"])


def answer(weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """(K,) float64 mean of what the perceptrons say, of their first layers (n, W)."""
    for k in range(sum(name.endswith("first.weight") for name in weights)):
        block = {name.split(".", 2)[2]: value for name, value in weights.items() if name.startswith(f"blocks.{k}.")}
        y = _normal(x, block["norm.weight"], block["norm.bias"])
        y = silu(linear(y, block["first.weight"], block["first.bias"]))
        x = x + linear(y, block["second.weight"], block["second.bias"])
    x = silu(_normal(x, weights["norm.weight"], weights["norm.bias"]))
    mean: np.ndarray = linear(x, weights["out.weight"], weights["out.bias"]).astype(np.float64).mean(0)
    return mean


@lru_cache(maxsize=4)
def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Shipped weights by name, read once.

    Raises:
        CheckpointError: if the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); install this package again.") from error


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | float) -> np.ndarray:
    """Products (n, O) of n rows (n, I) with n matrices (n, O, I)."""
    y: np.ndarray = (weight @ x[..., None])[..., 0] + bias
    return y


def silu(x: np.ndarray) -> np.ndarray:
    """The activation x / (1 + exp(-x))."""
    y: np.ndarray = x / (1 + np.exp(-x))
    return y


def _normal(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    y: np.ndarray = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias
    return y
