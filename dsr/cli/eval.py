"""``dsr-eval``: how good the bodies are: on rendered people with known bodies, or by published protocols."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import make_dataclass
from typing import Annotated, Any, Union

import tyro

from dsr.cli.common import refuse_empty_out, run_command
from dsr.cli.eval_clips import ClipsCommand, run_clips
from dsr.cli.eval_dataset import DatasetCommand, run_dataset
from dsr.cli.eval_lifter import LifterEvalCommand, run_lifter
from dsr.cli.eval_people import PeopleCommand, run_people
from dsr.cli.eval_sheet import SheetCommand, run_sheet
from dsr.cli.eval_synthetic import SyntheticCommand, run_synthetic
from dsr.cli.eval_views import ViewsCommand, run_views


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_command("dsr-eval", lambda: _evaluate(arguments))


def _evaluate(arguments: list[str]) -> int:
    refuse_empty_out(arguments)
    from dsr.evaluation.protocols import PROTOCOLS

    datasets = {name: _subcommand(name, protocol.title) for name, protocol in PROTOCOLS.items()}
    titles = {
        "synthetic": "Rendered people with known bodies.",
        "views": "Photographs with 3D truth.",
        "clips": "Clips with 3D truth, frame by frame and as a clip.",
        "people": "Photographs with annotated people.",
        "sheet": "Contact sheet of overlays, side and top views.",
        "lifter": "Skeleton lifters on held-out tracks.",
        **{name: f"{protocol.title}." for name, protocol in PROTOCOLS.items()},
    }
    commands: dict[str, Any] = {
        "synthetic": SyntheticCommand,
        "views": ViewsCommand,
        "clips": ClipsCommand,
        "people": PeopleCommand,
        "sheet": SheetCommand,
        "lifter": LifterEvalCommand,
        **datasets,
    }
    overview = arguments[:1] in (["--help"], ["-h"])  # one line each; a subcommand's own help says more
    kinds = [
        Annotated[kind, tyro.conf.subcommand(name, description=titles[name] if overview else None)]
        for name, kind in commands.items()
    ]
    any_kind: Any = Union[tuple(kinds)]  # noqa: UP007
    command: Any = tyro.cli(
        any_kind,
        prog="dsr-eval",
        args=arguments,
        default=SyntheticCommand(),
        description="Measure how good the bodies are: dsr-eval on the generated benchmark, dsr-eval PROTOCOL on your "
        "copy of a data set.",
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
    )
    if isinstance(command, SyntheticCommand):
        return run_synthetic(command)
    if isinstance(command, ViewsCommand):
        return run_views(command)
    if isinstance(command, ClipsCommand):
        return run_clips(command)
    if isinstance(command, PeopleCommand):
        return run_people(command)
    if isinstance(command, SheetCommand):
        return run_sheet(command)
    if isinstance(command, LifterEvalCommand):
        return run_lifter(command)
    return run_dataset(next(name for name, kind in datasets.items() if isinstance(command, kind)), command)


def _subcommand(name: str, title: str) -> type[DatasetCommand]:
    """The options of a data set under the name of its protocol."""
    made = make_dataclass(f"Dataset_{name}", [], bases=(DatasetCommand,), frozen=True, kw_only=True)
    purpose = (DatasetCommand.__doc__ or "").replace("Score a network by a published protocol", "score a network")
    made.__doc__ = f"{title}: {purpose}"
    return made


def entry() -> None:
    """Console script."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
