"""What the training loop asks of a system: :class:`Task`, a base class whose default methods suit most."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from dsr.training.config import OptimConfig, RunConfig
from dsr.training.schedule import learning_rate, make_optimizer

Amp = Callable[[], AbstractContextManager[Any]]
"""Makes the context in which a network runs in bfloat16, where that is wanted and possible."""


class Task(ABC):
    """One system: its network, its data and its losses.

    Args:
        config: the run.
    """

    config: RunConfig

    def __init__(self, config: RunConfig) -> None:
        self.config = config

    @abstractmethod
    def build_model(self) -> nn.Module:
        """The network to train, on the CPU."""

    @abstractmethod
    def epoch_length(self) -> int:
        """Samples of an epoch, over all GPUs."""

    @abstractmethod
    def sample(self, epoch: int, position: int) -> Any:
        """One sample; a pure function of its arguments, called in worker processes too."""

    @abstractmethod
    def terms(self, model: nn.Module, batch: dict[str, Any], epoch: int, amp: Amp) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise, and its terms by name for the log; ``with amp():`` around the network only."""

    def prepare(self, device: torch.device) -> None:
        """Called once before anything else but :meth:`build_model`: bodies, priors, pools of samples."""
        return

    def collate(self, samples: list[Any]) -> dict[str, Any]:
        """A batch: tensors are stacked."""
        batch: dict[str, Any] = default_collate(samples)
        return batch

    def sample_names(self, batch: dict[str, Any]) -> list[str]:
        """Names of a batch's samples, for the record of a step that went wrong."""
        return []

    def validate(self, model: nn.Module, final: bool) -> dict[str, float]:
        """Measures on held-out samples; ``score`` is the one to choose by, smaller is better.

        Args:
            model: in evaluation mode.
            final: at the end of the run.
        """
        return {}

    def overlay(self, model: nn.Module, batch: dict[str, Any]) -> np.ndarray | None:
        """A picture (H, W, 3) uint8 of what the network says about a batch; None: there is none."""
        return None

    def header(self) -> dict[str, str]:
        """Texts in the header of the weights, for whoever loads them."""
        return {"system": self.config.task_name()}

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of ``config.optim``."""
        return make_optimizer(model, self._optim())

    def learning_rate(self, step: int, epoch_steps: int, total_steps: int) -> float:
        """The learning rate of a step.

        Args:
            step: steps done.
            epoch_steps: steps of an epoch.
            total_steps: steps of the run.
        """
        return learning_rate(self._optim(), step / epoch_steps, total_steps / epoch_steps)

    def _optim(self) -> OptimConfig:
        optim = self.config.optim
        if not isinstance(optim, OptimConfig):
            raise TypeError(f"{type(self).__name__} has another recipe: it needs its own optimiser and learning rate.")
        return optim
