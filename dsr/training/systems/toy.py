"""A regression that takes milliseconds a step: what the loop's tests train, and a template for further tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from dsr.training.systems.regressor.config import RegressorTrainConfig
from dsr.training.task import Amp, Task

FEATURES, TARGETS = 6, 2


class ToyTask(Task):
    """Learn a fixed linear map; dropout, batch norm and numpy noise make the result depend on every random state.

    Args:
        config: ``data.synthetic_count`` samples an epoch; ``seed``.
    """

    config: RegressorTrainConfig

    def __init__(self, config: RegressorTrainConfig) -> None:
        super().__init__(config)
        self.map = torch.from_numpy(np.random.default_rng(1).normal(size=(FEATURES, TARGETS)).astype(np.float32))

    def build_model(self) -> nn.Module:
        """A small network."""
        return nn.Sequential(
            nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, TARGETS)
        )

    def epoch_length(self) -> int:
        """Samples of an epoch."""
        return self.config.data.epoch_samples or self.config.data.synthetic_count

    def sample(self, epoch: int, position: int) -> dict[str, Tensor]:
        """Features and targets."""
        rng = np.random.default_rng((self.config.seed, epoch, position))
        x = torch.from_numpy(rng.normal(size=FEATURES).astype(np.float32))
        return {"x": x, "y": x @ self.map, "index": torch.tensor(position)}

    def terms(self, model: nn.Module, batch: dict[str, Any], epoch: int, amp: Amp) -> tuple[Tensor, dict[str, Tensor]]:
        """Squared error and a small noisy penalty."""
        with amp():
            y = model(batch["x"]).float()
        noise = float(np.random.uniform(0.9, 1.1))  # noqa: NPY002
        terms = {"squared": (y - batch["y"]).square().mean(), "penalty": 0.01 * noise * y.abs().mean()}
        return torch.stack(list(terms.values())).sum(), terms

    def sample_names(self, batch: dict[str, Any]) -> list[str]:
        """Their positions."""
        return [str(int(number)) for number in batch["index"]]

    def validate(self, model: nn.Module, final: bool) -> dict[str, float]:
        """Error on fresh samples."""
        batch = default_collate([self.sample(10**6, i) for i in range(self.config.validation.count)])
        device = next(model.parameters()).device
        error = (model(batch["x"].to(device)).cpu() - batch["y"]).square().mean()
        torch.rand(3)  # would disturb the run if the loop did not keep its random states
        return {"error": float(error), "score": float(error)}

    def overlay(self, model: nn.Module, batch: dict[str, Any]) -> np.ndarray | None:
        """A grey square."""
        return np.full((8, 8, 3), 128, np.uint8)
