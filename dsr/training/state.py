"""Checkpoints of a run: everything needed to go on as if it had never stopped, in one file, whole or not there at all.

``last.state.pt`` holds weights, optimiser, average, random states and the position; it is read with
``weights_only=True``. Beside it the weights alone as safetensors, for users and for :func:`dsr.load_checkpoint`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dsr.errors import TrainingError
from dsr.files import write_atomic

VERSION = 1


@dataclass
class Position:
    """Where a run is, between two steps.

    Attributes:
        epoch: index of the epoch, 0 is the first.
        step: steps done in this epoch.
        total: steps done in all.
        best: best validation score so far, smaller is better; None before the first validation.
        best_epoch: epoch of that score.
    """

    epoch: int = 0
    step: int = 0
    total: int = 0
    best: float | None = None
    best_epoch: int | None = None


@dataclass
class RandomState:
    """The states of torch's, CUDA's, numpy's and Python's generators.

    Example:
        >>> before = RandomState.capture()
        >>> first = torch.rand(1)
        >>> before.restore()
        >>> bool(first == torch.rand(1))
        True
    """

    values: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def capture(cls) -> RandomState:
        """The states as they are now."""
        name, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
        values: dict[str, Any] = {
            "torch": torch.get_rng_state(),
            "numpy": (
                str(name),
                torch.from_numpy(np.asarray(keys, np.int64)),
                int(position),
                int(has_gauss),
                float(gauss),
            ),
            "python": random.getstate(),
        }
        if torch.cuda.is_available():
            values["cuda"] = torch.cuda.get_rng_state()
        return cls(values)

    def restore(self) -> None:
        """Go back to these states."""
        torch.set_rng_state(self.values["torch"])
        name, keys, position, has_gauss, gauss = self.values["numpy"]
        np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
        version, words, extra = self.values["python"]
        random.setstate((version, tuple(words), extra))
        if "cuda" in self.values and torch.cuda.is_available():
            torch.cuda.set_rng_state(self.values["cuda"])

    def __enter__(self) -> RandomState:
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()


def seed_everything(seed: int) -> None:
    """Seed torch, numpy and Python."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


class Average:
    """Exponential moving average of a network's weights; buffers are copied.

    Args:
        model: the network whose weights are followed.
        decay: share of the old average in the new one; smaller during the first steps.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the weights of the network."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, tensor in model.state_dict().items():
            if tensor.dtype.is_floating_point:
                self.weights[name].lerp_(tensor.detach(), 1 - decay)
            else:
                self.weights[name].copy_(tensor)


def write_state(path: Path, values: dict[str, Any]) -> None:
    """Write a state file atomically."""
    write_atomic(path, lambda temporary: torch.save({"version": VERSION, **values}, temporary))


def read_state(path: Path) -> dict[str, Any]:
    """Read a state file; only tensors and plain values, nothing is executed.

    Raises:
        TrainingError: if it is missing, damaged, or of another version.
    """
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(f"{path} is missing: there is no run to resume; train into another folder.") from error
    except Exception as error:  # torch raises anything for damaged files
        raise TrainingError(
            f"{path} cannot be read ({type(error).__name__}): it is damaged or no state of a training run; train anew, "
            "from its weights if they are good: --model.init."
        ) from error
    if not isinstance(values, dict) or values.get("version") != VERSION:
        raise TrainingError(f"{path} is no training state of this version; train anew into another folder.")
    missing = [key for key in ("model", "optimizer", "position", "random") if key not in values]
    if missing:
        raise TrainingError(f"{path} lacks {missing[0]!r}: it is no training state; train anew into another folder.")
    return values
