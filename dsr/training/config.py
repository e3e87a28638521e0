"""What the training loop is told: frozen dataclasses that every system extends by its own. Imports no torch.

Every field has the same name in Python, in a YAML file (nested by group) and as a flag (``--optim.lr 1e-4``). What is
known about its value stands beside it, in its metadata:

* ``above``, ``at_least``, ``below``, ``at_most``: bounds of a number;
* ``exists``: ``file`` or ``folder``, where a path has to lead to one;
* ``may_change``: a resumed run may have another value; of a group, every value in it.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from dsr.errors import UsageError

Switch = Literal["on", "off"]


@dataclass(frozen=True)
class UpdateConfig:
    """What every optimiser's recipe has."""

    lr: float = field(default=3e-5, metadata={"above": 0})
    """Learning rate."""
    weight_decay: float = field(default=0.0, metadata={"at_least": 0})
    """Weight decay."""
    cosine: Switch = "off"
    """Half a cosine over the whole run."""
    clip: float = field(default=0.0, metadata={"at_least": 0})
    """Largest norm of the gradient; 0: no clipping."""
    ema: float = field(default=0.0, metadata={"at_least": 0, "below": 1})
    """Decay of an average of the weights, 0.999 for example; it is validated and saved too. 0: none."""
    bf16: Switch = "on"
    """bfloat16 for the network on CUDA and on processors that have it; everything else in float32."""
    sync_batchnorm: Switch = "off"
    """Batch-norm statistics over all GPUs."""


@dataclass(frozen=True)
class OptimConfig(UpdateConfig):
    """Optimiser and schedule."""

    name: Literal["adam", "adamw"] = "adam"
    """adam: one group; adamw: no decay of biases and 1-D parameters."""
    warmup_epochs: float = field(default=0.0, metadata={"at_least": 0})
    """Epochs of linear warm-up, factor (epoch + 0.01) / warmup_epochs."""
    decay: float = field(default=1.0, metadata={"above": 0})
    """Factor on the learning rate every decay_epochs after the warm-up."""
    decay_epochs: float = field(default=1.0, metadata={"above": 0})
    """Epochs between two steps of the learning rate."""
    cosine: Switch = "off"
    """Half a cosine from the learning rate down to a hundredth of it over the run, after the warm-up."""


@dataclass(frozen=True)
class ValidationConfig:
    """Held-out samples."""

    count: int = field(default=256, metadata={"at_least": 0})
    """How many; 0: no validation."""
    every: int = field(default=1, metadata={"above": 0})
    """Validate after this many epochs."""


@dataclass(frozen=True)
class LogConfig:
    """What is written while training."""

    every: int = field(default=50, metadata={"above": 0})
    """Steps between two records of the losses."""
    overlays: int = field(default=500, metadata={"at_least": 0})
    """Steps between two pictures of predictions; 0: none."""
    checkpoint: int = field(default=500, metadata={"at_least": 0})
    """Steps between two checkpoints; there is always one after an epoch. 0: only then."""
    keep: int = field(default=2, metadata={"at_least": 0})
    """Keep the weights of this many last epochs, besides the last and the best."""
    tensorboard: Switch = "on"
    """Also write TensorBoard files, where the train extra is installed."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What the loop itself needs; a system's configuration adds its own. RUN/config.yaml holds the resolved one."""

    epochs: int = field(default=50, metadata={"above": 0, "may_change": True})
    """Epochs of the run."""
    steps: int = field(default=0, metadata={"at_least": 0, "may_change": True})
    """Stop after this many steps in all; 0: after the epochs."""
    batch: int = field(default=128, metadata={"above": 0})
    """Samples per step on each GPU."""
    seed: int = field(default=7, metadata={"at_least": 0})
    """Seed of everything drawn."""
    workers: int = field(default=8, metadata={"at_least": 0, "may_change": True})
    """Processes that prepare samples; 0: none. The samples do not depend on it."""
    device: str = field(default="auto", metadata={"may_change": True})
    """auto, cpu or cuda."""
    threads: int = field(default=0, metadata={"at_least": 0, "may_change": True})
    """CPU threads of the training itself; 0: torch's choice."""
    optim: UpdateConfig = field(default_factory=OptimConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    log: LogConfig = field(default_factory=LogConfig, metadata={"may_change": True})

    def task_name(self) -> str:
        """The system's name in :data:`dsr.training.systems.TASKS`."""
        raise NotImplementedError

    def check(self) -> None:
        """Refuse values that do not fit each other; bounds of single ones stand beside their fields.

        Raises:
            UsageError: naming the flag.
        """


def check_config(config: RunConfig) -> None:
    """Refuse values that cannot be meant.

    Raises:
        UsageError: naming the flag.
    """
    for key, value, metadata in settings(config):
        problem = _problem(value, metadata)
        if problem:
            raise UsageError(f"{flag(key)} {value}: {problem}.")
    if config.device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {config.device}: use auto, cpu or cuda; torchrun chooses among several GPUs.")
    config.check()


def _problem(value: Any, known: Mapping[str, Any]) -> str:
    """What is wrong with a value, as advice; empty where nothing is."""
    if isinstance(value, Path):
        kind = known.get("exists", "")
        missing = (kind == "file" and not value.is_file()) or (kind == "folder" and not value.is_dir())
        return f"there is no such {kind}" if missing else ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    if not math.isfinite(value):
        return "use a finite number"
    low, high, above, below = (known.get(name) for name in ("at_least", "at_most", "above", "below"))
    fits = (low is None or value >= low) and (high is None or value <= high)
    if fits and (above is None or value > above) and (below is None or value < below):
        return ""
    top = "" if high is None and below is None else f" to {f'below {below}' if high is None else high}"
    if above is not None:
        return f"use a number above {above}"
    return "use 0 or a positive number" if low == 0 and not top else f"use a number from {low}{top}"


def settings(config: Any) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Every value of a configuration with its dotted name, ``optim.lr`` for example, and its field's metadata."""
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            for name, one, metadata in settings(value):
                yield f"{f.name}.{name}", one, {**f.metadata, **metadata}
        else:
            yield f.name, value, f.metadata


def flat(config: Any) -> dict[str, Any]:
    """Every value under its dotted name."""
    return {key: value for key, value, _ in settings(config)}


def may_change(config: RunConfig) -> frozenset[str]:
    """Names of what may differ when a run is resumed; everything else would make it another run.

    A schedule over the whole run keeps its length.
    """
    names = {key for key, _, metadata in settings(config) if metadata.get("may_change")}
    return frozenset(names - ({"epochs", "steps"} if config.optim.cosine == "on" else set()))


def flag(key: str) -> str:
    """A value's flag on the command line, ``--optim.weight-decay`` of ``optim.weight_decay``."""
    return f"--{key.replace('_', '-')}"


def suggestion(name: str, choices: Iterable[str], otherwise: str = "choose one of") -> str:
    """The end of a sentence about a name that is none of the choices."""
    choices = list(choices)
    close = difflib.get_close_matches(name, choices, 1)
    return f"did you mean {close[0]}?" if close else f"{otherwise} {', '.join(choices)}."
