"""The systems by name; the module of one is imported when it is trained."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from dsr.training.config import TrainConfig

if TYPE_CHECKING:
    from dsr.training.loop import Task

TASKS = {
    "dsr": "dsr.training.systems.dsr:DsrTask",
    "perspose": "dsr.training.systems.perspose:PersPoseTask",
    "toy": "dsr.training.systems.toy:ToyTask",
}
"""``config.system`` -> ``module:class``; the class takes the configuration."""


def make_task(config: TrainConfig) -> Task:
    """The task of a configuration."""
    module, _, kind = TASKS[config.system].partition(":")
    task: Task = getattr(import_module(module), kind)(config)
    return task
