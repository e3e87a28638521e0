"""``dsr-train lifter``: train a skeleton lifter by its published recipe, or a small one on motion capture."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, cast

import tyro

from dsr.cli.progress import say
from dsr.errors import UsageError
from dsr.files import write_bytes
from dsr.training.config import TrainConfig, flat, read_config, to_dict, to_yaml
from dsr.training.systems.lifter.config import MAY_CHANGE, LifterTrainConfig, check_lifter_config
from dsr.training.systems.lifter.presets import PRESETS, RECIPES, lifter_preset


@dataclass(frozen=True, kw_only=True)
class LifterCommand:
    """Train a lifter of 2D keypoint tracks to 3D joints.

    For example: dsr-train lifter --model hot-mixste --data mocap:CLIPS --preset mocap --out RUN. RUN holds
    config.yaml, last.state.pt (to resume from), last.safetensors (for dsr-eval lifter and dsr.lifting.load_lifter),
    scalars.jsonl and metrics.json. Exit codes: 0 finished, 2 usage, 4 stopped, 130 interrupted.
    """

    out: Path
    """RUN, the folder of this run; made if it is not there."""
    preset: str = "published"
    """published: the lifter's own recipe and size; mocap: small, a few minutes on one core, alike for all."""
    config: Path | None = None
    """YAML file over the preset; flags go over the file."""
    resume: bool = False
    """Go on with the run in RUN, exactly where it was saved; an empty RUN is begun."""
    list_presets: bool = False
    """List presets and lifters, and stop."""
    dry_run: bool = False
    """Print the resolved configuration, and stop."""
    quiet: bool = False
    """Say nothing but errors."""
    run: Annotated[LifterTrainConfig, tyro.conf.arg(name="")] = field(default_factory=LifterTrainConfig)


def train_lifter(arguments: Sequence[str]) -> int:
    """Run the subcommand.

    Args:
        arguments: those after ``lifter``.

    Returns:
        The exit code.

    Raises:
        UsageError: for what cannot be meant.
        TrainingError: if the run has to stop.
    """
    if {"--list-presets", "--list_presets"} & set(arguments):
        for name, (what, _) in PRESETS.items():
            say(sys.stdout, f"{name:12} {what}")
        say(sys.stdout, f"lifters: {', '.join(RECIPES)}")
        return 0
    command = _parse(list(arguments))
    config = command.run
    check_lifter_config(config)
    if command.dry_run:
        say(sys.stdout, to_yaml(cast(Any, config)).rstrip())
        return 0
    return _run(command)


def _parse(arguments: list[str]) -> LifterCommand:
    """Model, preset and file first, since they are the defaults of all other flags."""
    from dsr.cli.train import _value

    early = {name: _value(arguments, name) for name in ("preset", "config", "out", "model")}
    config = Path(early["config"]) if early["config"] else None
    earlier = _earlier(Path(early["out"])) if early["out"] and "--resume" in arguments else None
    if earlier is not None and early["preset"] is None and config is None:
        base: Any = earlier
    else:
        if early["model"] is not None and early["model"] not in RECIPES:
            close = difflib.get_close_matches(early["model"], RECIPES, 1)
            hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(RECIPES)}."
            raise UsageError(f"--model {early['model']}: there is no such lifter; {hint}")
        model = early["model"] or (_model_of(config) if config else None) or "mixste"
        base = lifter_preset(early["preset"] or "published", model)
        base = base if config is None else read_config(config, base)
    default = LifterCommand(out=tyro.MISSING, preset=early["preset"] or "published", config=config, run=base)
    return tyro.cli(
        LifterCommand, prog="dsr-train lifter", args=arguments, default=default, config=(tyro.conf.FlagCreatePairsOff,)
    )


def _model_of(config: Path) -> str | None:
    from dsr.training.config import read_yaml

    values = read_yaml(config)
    named = values.get("model") if isinstance(values, dict) else None
    return named if isinstance(named, str) else None


def _earlier(out: Path) -> Any:
    file = out / "config.yaml"
    return read_config(file, cast(TrainConfig, LifterTrainConfig())) if file.exists() else None


def _run(command: LifterCommand) -> int:
    from dsr.cli.train import _Progress
    from dsr.training.loop import Trainer
    from dsr.training.systems.lifter.task import LifterTask

    config, out = cast(TrainConfig, command.run), command.out
    _claim(command)
    progress = _Progress(command.quiet)
    resumed = command.resume and (out / "last.state.pt").exists()
    trainer = Trainer(config, LifterTask(command.run), out, progress, resume=command.resume)
    if trainer.ranks.rank == 0:
        write_bytes(out / "config.yaml", to_yaml(config).encode())
    if resumed:
        progress.say(f"Going on at step {trainer.position.total} of {trainer.total_steps}.")
    summary = trainer.run()
    progress.end()
    if trainer.ranks.rank == 0 and not command.quiet:
        measured = ", ".join(f"{k} {v:.1f}" for k, v in summary["metrics"].items() if k != "score")
        say(
            sys.stdout,
            f"{summary['steps']} steps, {summary['steps_now']} of them now in {summary['seconds']:.0f} s"
            f"{'; ' + measured if measured else ''}; see {out}",
        )
    return 0


def _claim(command: LifterCommand) -> None:
    """Make RUN, and refuse one that holds another run."""
    out = command.out
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: the folder cannot be made ({error.strerror or error}).") from error
    earlier = _earlier(out)
    if earlier is None:
        return
    if not command.resume:
        raise UsageError(f"--out {out} holds another run: go on with it by --resume, or choose another folder.")
    before, now = flat(earlier), flat(cast(TrainConfig, command.run))
    schedule = {"epochs", "steps"} if command.run.optim.cosine == "on" else set()
    for key in before:
        if _plain(before[key]) != _plain(now[key]) and key not in MAY_CHANGE - schedule:
            raise UsageError(
                f"--{key.replace('_', '-')} is {now[key]}, but the run in {out} was begun with {before[key]}: resume "
                "it without that change, or train into another folder."
            )


def _plain(value: Any) -> Any:
    return to_dict(value)
