"""``dsr-train``: train a network by a published recipe, by a file, or as a ten-minute test."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from dsr.cli.common import EXIT_FINE, refuse_empty_out, run_command, write_line
from dsr.cli.progress import Progress
from dsr.errors import DsrError
from dsr.training.config import RunConfig, check_config
from dsr.training.config_file import to_yaml
from dsr.training.run_folder import can_resume, claim, earlier_config, write_config
from dsr.training.systems.adapt import config as adapt_configs
from dsr.training.systems.adapt.config import AdaptTrainConfig, AugmentTrainConfig
from dsr.training.systems.lifter import presets as lifter_presets
from dsr.training.systems.lifter.config import LifterTrainConfig
from dsr.training.systems.regressor import presets as regressor_presets
from dsr.training.systems.regressor.config import RegressorTrainConfig

if TYPE_CHECKING:
    from dsr.training.systems.adapt.task import AdaptTask


@dataclass(frozen=True, kw_only=True)
class TrainCommand:
    """What every training is told beside its configuration."""

    out: Path
    """RUN, the folder of this run; made if it is not there."""
    preset: str | None = None
    """Recipe to start from, smoke by default; --list-presets shows them."""
    config: Path | None = None
    """YAML file over the preset; flags go over the file."""
    resume: bool = False
    """Go on with the run in RUN, exactly where it was saved; an empty RUN is begun."""
    list_presets: bool = False
    """List the presets, and stop."""
    dry_run: bool = False
    """Print the resolved configuration, and stop."""
    quiet: bool = False
    """Say nothing but errors."""
    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)


@dataclass(frozen=True, kw_only=True)
class RegressorCommand(TrainCommand):
    """Train an image-to-body network.

    RUN holds config.yaml, last.state.pt (to resume from), last.safetensors, best.safetensors, scalars.jsonl,
    metrics.json, overlays/ and, with the train extra, tensorboard/. Several GPUs: torchrun --nproc-per-node N -m
    dsr.cli.train ... Skeleton lifters: dsr-train lifter --help; their adaptation: dsr-train adapt --help. Exit codes: 0
    finished, 2 usage, 4 stopped (a loss was not finite, say), 130 interrupted.
    """

    run: Annotated[RegressorTrainConfig, tyro.conf.arg(name="")] = field(default_factory=RegressorTrainConfig)


@dataclass(frozen=True, kw_only=True)
class LifterCommand(TrainCommand):
    """Train a lifter of 2D keypoint tracks to 3D joints.

    For example: dsr-train lifter --model hot-mixste --data mocap:CLIPS --preset mocap --out RUN. RUN holds
    config.yaml, last.state.pt (to resume from), last.safetensors (for dsr-eval lifter and dsr.lifting.load_lifter),
    scalars.jsonl and metrics.json. Exit codes: 0 finished, 2 usage, 4 stopped, 130 interrupted.
    """

    preset: str = "published"
    """published: the lifter's own recipe and size; mocap: small, a few minutes on one core, alike for all."""
    list_presets: bool = False
    """List presets and lifters, and stop."""
    run: Annotated[LifterTrainConfig, tyro.conf.arg(name="")] = field(default_factory=LifterTrainConfig)


@dataclass(frozen=True, kw_only=True)
class AdaptCommand(TrainCommand):
    """Adapt a lifter to cameras and people nobody labelled (PoseDA).

    For example: dsr-train adapt --source mocap:CLIPS --target results:OUT --out RUN, where OUT is a folder that
    dsr-fit has written. RUN holds config.yaml, last.state.pt, last.safetensors (for dsr-eval lifter and dsr-fit
    --lifter), scalars.jsonl and augmentor/, the trained augmentation. Exit codes: 0 finished, 2 usage, 4 stopped, 130
    interrupted.
    """

    preset: str = "published"
    """published: PoseDA's method with PoseAug's rates."""
    list_presets: bool = False
    """List the presets, and stop."""
    run: Annotated[AdaptTrainConfig, tyro.conf.arg(name="")] = field(default_factory=AdaptTrainConfig)


COMMANDS: dict[str, type[TrainCommand]] = {"lifter": LifterCommand, "adapt": AdaptCommand}
"""First argument -> what is trained; without one, an image-to-body network."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    kind: type[TrainCommand] = RegressorCommand
    if arguments and arguments[0] in COMMANDS:
        kind, arguments = COMMANDS[arguments[0]], arguments[1:]

    def work() -> int:
        if {"--list-presets", "--list_presets"} & set(arguments):
            write_line(sys.stdout, _preset_list(kind))
            return EXIT_FINE
        refuse_empty_out(arguments)
        return _train(_parse(kind, arguments))

    return run_command("dsr-train", work, interrupted="interrupted; go on with --resume.")


def entry() -> None:
    """Console script."""
    sys.exit(main())


def _preset_list(kind: type[TrainCommand]) -> str:
    if kind is LifterCommand:
        lines = [f"{name:12} {what}" for name, (what, _) in lifter_presets.PRESETS.items()]
        return "\n".join([*lines, f"lifters: {', '.join(lifter_presets.RECIPES)}"])
    if kind is AdaptCommand:
        return "\n".join(f"{name:12} {what}" for name, what in adapt_configs.PRESETS.items())
    return "\n".join(f"{name:20} {what}" for name, (what, _) in regressor_presets.PRESETS.items())


def _parse(kind: type[TrainCommand], arguments: list[str]) -> TrainCommand:
    """Preset and file first, since they are the defaults of all other flags."""
    early = {name: _value(arguments, name) for name in ("preset", "config", "out", "model")}
    config = Path(early["config"]) if early["config"] else None
    base: RunConfig | None = None
    if early["out"] and "--resume" in arguments and early["preset"] is None and config is None:
        base = earlier_config(Path(early["out"]), kind(out=Path()).run)
    preset = early["preset"] or kind.preset
    if base is None and kind is LifterCommand:
        base = lifter_presets.base_config(str(preset), config, early["model"])
    elif base is None and kind is AdaptCommand:
        base = adapt_configs.base_config(str(preset), config)
    elif base is None:
        base = regressor_presets.base_config(preset, config)
    return tyro.cli(
        kind,
        prog=" ".join(["dsr-train", *(name for name, one in COMMANDS.items() if one is kind)]),
        args=arguments,
        default=kind(out=tyro.MISSING, preset=preset, config=config, run=base),
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def _value(arguments: list[str], name: str) -> str | None:
    """The last value of a flag, before the parser knows the defaults."""
    value = None
    for i, token in enumerate(arguments):
        if token == f"--{name}" and i + 1 < len(arguments):
            value = arguments[i + 1]
        elif token.startswith(f"--{name}="):
            value = token.partition("=")[2]
    return value


def _train(command: TrainCommand) -> int:
    config, out = command.run, command.out
    check_config(config)
    if command.dry_run:
        write_line(sys.stdout, to_yaml(config).rstrip())
        return EXIT_FINE
    with _no_empty_folder(out):
        claim(out, config, type(config)(), command.resume)
        return _run(command)


@contextmanager
def _no_empty_folder(out: Path) -> Iterator[None]:
    """Take a folder away that a refused run has made."""
    made = not out.exists()
    try:
        yield
    except DsrError:
        for folder in (out / "augmentor", out) if made else ():
            with suppress(OSError):  # it holds something, or was never made
                folder.rmdir()
        raise


def _run(command: TrainCommand) -> int:
    """Train into a folder that is this run's."""
    from dsr.training.loop import Trainer
    from dsr.training.ranks import Ranks
    from dsr.training.systems import make_task

    config, out = command.run, command.out
    first = Ranks.from_environment().first
    resumed = command.resume and can_resume(out)
    progress = Progress("training", quiet=command.quiet or not first, ticking=False)  # workers are forked
    complete, task = _adaptation(config, out, progress) if isinstance(config, AdaptTrainConfig) else (config, None)
    trainer = Trainer(complete, task or make_task(complete), out, progress, resume=command.resume)
    if first:
        write_config(out, config)
    with progress:
        if resumed:
            progress.line(f"Going on at step {trainer.position.total} of {trainer.total_steps}.")
        elif command.resume:
            progress.line(f"{out} holds no saved state yet: the run begins.")
        summary = trainer.run()
    if first and not command.quiet:
        write_line(sys.stdout, report(summary, out))
    return EXIT_FINE


def _adaptation(config: AdaptTrainConfig, out: Path, progress: Progress) -> tuple[AdaptTrainConfig, AdaptTask]:
    """Train the augmentation first, where the method wants one that is not given; a finished one stays."""
    from dsr.training.loop import Trainer
    from dsr.training.systems.adapt.augment_task import AugmentorTask
    from dsr.training.systems.adapt.task import AdaptTask, read_inputs

    tracks, people = read_inputs(config)
    if "lpa" not in config.method or config.weights is not None:
        return config, AdaptTask(config, tracks, people)
    folder, augment = out / "augmentor", adapt_configs.augment_config(config)
    check_config(augment)
    claim(folder, augment, AugmentTrainConfig(), resume=True)
    # Without a weight of theirs nobody looks at the target's people.
    judged = people if config.augmentor.target else None
    trainer = Trainer(augment, AugmentorTask(augment, tracks, judged), folder, progress, resume=True)
    write_config(folder, augment)
    progress.line(f"The augmentation first, into {folder}.")
    trainer.run()
    complete = replace(config, weights=folder / "last.safetensors")
    return complete, AdaptTask(complete, tracks, people)


_MEASURES = (
    ("MPJPE, mm", "mpjpe_mm"),
    ("PA-MPJPE, mm", "pa_mpjpe_mm"),
    ("vertices in T-pose, mm", "shape_pve_mm"),
    ("height error, cm", "height_cm"),
    ("waist error, cm", "waist_cm"),
    ("hip error, cm", "hip_cm"),
)


def report(summary: dict[str, Any], out: Path) -> str:
    """The end of a run, for people to read.

    Args:
        summary: of :meth:`dsr.training.loop.Trainer.run`. Measures beside which there is one of the best constant
            answer (``mean_pose_``) make a table, others one line.
        out: RUN.
    """
    metrics = summary["metrics"]
    compared = any(key.startswith("mean_pose_") for key in metrics)
    measured = ", ".join(f"{key} {value:.1f}" for key, value in metrics.items() if key != "score" and not compared)
    lines = [
        f"{summary['steps']} steps, {summary['steps_now']} of them now in {summary['seconds']:.0f} s; "
        f"{measured + '; ' if measured else ''}see {out}"
    ]
    if compared:
        lines.append(f"{'held-out people':<26}{'network':>9}{'mean':>9}{'less by':>9}")
    for label, key in _MEASURES if compared else ():
        if key in metrics:
            value, mean = metrics[key], metrics.get(f"mean_pose_{key}")
            less = f"{mean:>9.1f}{100 * (1 - value / mean):>7.1f} %" if mean else ""
            lines.append(f"{label:<26}{value:>9.1f}{less}")
    return "\n".join(lines)


if __name__ == "__main__":
    entry()
