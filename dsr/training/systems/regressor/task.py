"""What the tasks of the image-to-body networks share: samples of people by place, and the header of their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsr.datasets import collate
from dsr.training.systems.regressor.config import RegressorTrainConfig
from dsr.training.systems.regressor.data import TrainingData
from dsr.training.task import Task


class RegressorTask(Task):
    """A network whose samples are crops of people.

    Attributes:
        config: the run.
        data: its samples; made by the subclass.
    """

    config: RegressorTrainConfig
    data: TrainingData

    def epoch_length(self) -> int:
        """Samples of an epoch."""
        return len(self.data)

    def sample(self, epoch: int, position: int) -> Any:
        """One augmented sample."""
        return self.data.sample(epoch, position)

    def collate(self, samples: list[Any]) -> dict[str, Any]:
        """A batch."""
        return collate(samples)

    def sample_names(self, batch: dict[str, Any]) -> list[str]:
        """Data set and key of every person."""
        return [f"{source}: {key}" for source, key in zip(batch["source"], batch["key"], strict=True)]

    def header(self) -> dict[str, str]:
        """Body and size, which :func:`dsr.regressors.loading.load_regressor` reads."""
        config = self.config
        return {
            "system": config.system,
            "body": Path(config.body).stem,
            "image_size": str(config.model.image_size),
        }
