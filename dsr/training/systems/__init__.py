"""The systems by name; the module of one is imported when it is trained."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from dsr.training.config import RunConfig

if TYPE_CHECKING:
    from dsr.training.task import Task

REGRESSOR_TASKS = {
    "default": "dsr.training.systems.default.task:DefaultTask",
    "dsr": "dsr.training.systems.dsr:DsrTask",
    "perspose": "dsr.training.systems.perspose:PersPoseTask",
    "toy": "dsr.training.systems.toy:ToyTask",
}
"""What ``--system`` of image-to-body training takes -> ``module:class``."""
TASKS = {
    **REGRESSOR_TASKS,
    "lifter": "dsr.training.systems.lifter.task:LifterTask",
    "augmentor": "dsr.training.systems.adapt.augment_task:AugmentorTask",
    "adapt": "dsr.training.systems.adapt.task:AdaptTask",
}
"""``config.task_name()`` -> ``module:class``; the class takes the configuration."""


def make_task(config: RunConfig) -> Task:
    """The task of a configuration."""
    module, _, kind = TASKS[config.task_name()].partition(":")
    task: Task = getattr(import_module(module), kind)(config)
    return task
