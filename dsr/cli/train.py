"""``dsr-train``: train the image-to-body networks by a published recipe, by a file, or as a ten-minute test."""

from __future__ import annotations

import difflib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from dsr.cli.progress import say
from dsr.errors import DsrError, UsageError
from dsr.files import write_bytes
from dsr.training.config import MAY_CHANGE, TrainConfig, check_config, flat, from_dict, read_config, to_yaml
from dsr.training.presets import PRESETS, base_config

EXIT_FINE, EXIT_USAGE, EXIT_STOPPED, EXIT_INTERRUPTED = 0, 2, 4, 130
_FIRST = ("preset", "config", "out", "resume")


@dataclass(frozen=True, kw_only=True)
class TrainCommand:
    """Train an image-to-body network.

    RUN holds config.yaml, last.state.pt (to resume from), last.safetensors, best.safetensors, scalars.jsonl,
    metrics.json, overlays/ and, with the train extra, tensorboard/. Several GPUs: torchrun --nproc-per-node N -m
    dsr.cli.train ... Skeleton lifters: dsr-train lifter --help. Exit codes: 0 finished, 2 usage, 4 stopped (a loss was
    not finite, say), 130 interrupted.
    """

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
    run: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if {"--list-presets", "--list_presets"} & set(arguments) and arguments[0] != "lifter":
        for name, (what, _) in PRESETS.items():
            say(sys.stdout, f"{name:20} {what}")
        return EXIT_FINE
    try:
        if arguments[:1] == ["lifter"]:
            from dsr.cli.train_lifter import train_lifter

            return train_lifter(arguments[1:])
        command = _parse(arguments)
        return _train(command)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    except DsrError as error:
        from dsr.errors import TrainingError

        say(sys.stderr, f"dsr-train: {error}")
        return EXIT_STOPPED if isinstance(error, TrainingError) else EXIT_USAGE
    except KeyboardInterrupt:
        say(sys.stderr, "dsr-train: interrupted; go on with --resume.")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # dsr-train --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_FINE


def entry() -> None:
    """Console script."""
    sys.exit(main())


def _parse(arguments: list[str]) -> TrainCommand:
    """Preset and file first, since they are the defaults of all other flags."""
    early = {name: _value(arguments, name) for name in ("preset", "config", "out")}
    resume = "--resume" in arguments
    config = Path(early["config"]) if early["config"] else None
    if early["preset"] is not None and early["preset"] not in PRESETS:
        close = difflib.get_close_matches(early["preset"], PRESETS, 1)
        hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(PRESETS)}."
        raise UsageError(f"--preset {early['preset']}: there is no such preset; {hint}")
    earlier = _earlier(Path(early["out"])) if early["out"] and resume else None
    if earlier is not None and early["preset"] is None and config is None:
        base = earlier
    else:
        base = base_config(early["preset"], config)
    default = TrainCommand(out=tyro.MISSING, preset=early["preset"], config=config, run=base)
    return tyro.cli(
        TrainCommand, prog="dsr-train", args=arguments, default=default, config=(tyro.conf.FlagCreatePairsOff,)
    )


def _value(arguments: list[str], name: str) -> str | None:
    """The last value of a flag, before the parser knows the defaults."""
    found = None
    for i, token in enumerate(arguments):
        if token == f"--{name}" and i + 1 < len(arguments):
            found = arguments[i + 1]
        elif token.startswith(f"--{name}="):
            found = token.partition("=")[2]
    return found


def _earlier(out: Path) -> TrainConfig | None:
    """The configuration of the run in that folder, None where there is none."""
    file = out / "config.yaml"
    return read_config(file, TrainConfig()) if file.exists() else None


def _train(command: TrainCommand) -> int:
    config = command.run
    check_config(config)
    if command.dry_run:
        say(sys.stdout, to_yaml(config).rstrip())
        return EXIT_FINE
    out = command.out
    _claim(command)
    from dsr.training.loop import Trainer
    from dsr.training.systems import make_task

    progress = _Progress(command.quiet)
    resumed = command.resume and (out / "last.state.pt").exists()
    trainer = Trainer(config, make_task(config), out, progress, resume=command.resume)
    if trainer.ranks.rank == 0:
        write_bytes(out / "config.yaml", to_yaml(config).encode())
    if resumed:
        progress.say(f"Going on at step {trainer.position.total} of {trainer.total_steps}.")
    elif command.resume:
        progress.say(f"{out} holds no saved state yet: the run begins.")
    summary = trainer.run()
    progress.end()
    if trainer.ranks.rank == 0 and not command.quiet:
        say(sys.stdout, report(summary, out))
    return EXIT_FINE


def _claim(command: TrainCommand) -> None:
    """Make RUN, and refuse one that holds another run."""
    out, earlier = command.out, None
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (
            "a file of that name is in the way"
            if isinstance(error, (FileExistsError, NotADirectoryError))
            else (error.strerror or str(error))
        )
        raise UsageError(f"--out {out}: the folder cannot be made: {reason}; choose another one.") from error
    earlier = _earlier(out)
    if earlier is None:
        return
    if not command.resume and int(os.environ.get("RANK", "0")) == 0:
        raise UsageError(f"--out {out} holds another run: go on with it by --resume, or choose another folder.")
    before, now = flat(earlier), flat(from_dict(_plain(command.run)))
    fixed = MAY_CHANGE - ({"epochs", "steps"} if command.run.optim.cosine == "on" else set())
    for key in before:
        if before[key] != now[key] and key not in fixed:
            raise UsageError(
                f"--{key.replace('_', '-')} is {now[key]}, but the run in {out} was begun with {before[key]}: resume "
                "it without that change, or train into another folder."
            )


def _plain(config: TrainConfig) -> Any:
    from dsr.training.config import to_dict

    return to_dict(config)


def report(summary: dict[str, Any], out: Path) -> str:
    """The end of a run, for people to read: measures against the best constant pose."""
    metrics = summary["metrics"]
    lines = [f"{summary['steps']} steps, {summary['steps_now']} of them now in {summary['seconds']:.0f} s; see {out}"]
    rows = [
        (label, metrics[key], metrics.get(f"mean_pose_{key}"))
        for label, key in (
            ("MPJPE, mm", "mpjpe_mm"),
            ("PA-MPJPE, mm", "pa_mpjpe_mm"),
            ("vertices in T-pose, mm", "shape_pve_mm"),
            ("height error, cm", "height_cm"),
            ("waist error, cm", "waist_cm"),
            ("hip error, cm", "hip_cm"),
        )
        if key in metrics
    ]
    if rows:
        lines.append(f"{'held-out people':<26}{'network':>9}{'mean':>9}{'less by':>9}")
    for label, value, mean in rows:
        less = "" if not mean else f"{mean:>9.1f}{100 * (1 - value / mean):>7.1f} %"
        lines.append(f"{label:<26}{value:>9.1f}{less}")
    return "\n".join(lines)


class _Progress:
    """A line that is written over on a terminal, one every few seconds elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._shown = 0.0

    def step(self, done: int, total: int, epoch: int, values: dict[str, float], rate: float) -> None:
        """Show the line, not too often."""
        now = time.monotonic()
        if self._quiet or (now - self._shown < (0.2 if self._terminal else 10.0) and done != total):
            return
        self._shown = now
        left = time.strftime("%H:%M:%S", time.gmtime((total - done) / max(rate, 1e-9)))
        days = int((total - done) / max(rate, 1e-9) // 86400)
        loss = f"loss {values['loss']:.4g}, " if "loss" in values else ""
        line = f"[{done}/{total}] epoch {epoch}, {loss}{rate:.2f} steps/s, {f'{days} d ' if days else ''}{left} left"
        if self._terminal:
            sys.stderr.write(f"\r{line}\033[K")
            sys.stderr.flush()
        else:
            say(sys.stdout, line)

    def say(self, text: str) -> None:
        """A line of its own."""
        if not self._quiet:
            self.end()
            say(sys.stdout, text)

    def end(self) -> None:
        """Leave the line."""
        if self._terminal and not self._quiet:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


if __name__ == "__main__":
    entry()
