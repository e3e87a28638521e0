"""``dsr-eval sheet``: all pictures of some folders with overlay, side and top view, to look through."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from dsr.cli.common import EXIT_ALL_FAILED, EXIT_FINE, EXIT_SOME_FAILED, write_line
from dsr.cli.eval_common import check_output
from dsr.cli.progress import Progress
from dsr.errors import UsageError
from dsr.options import FitOptions


@dataclass(frozen=True, kw_only=True)
class SheetCommand:
    """Fit pictures and draw one contact sheet: overlay, side view and top view of everybody, labelled.

    For example: dsr-eval sheet FOLDER FOLDER --out sheet.html
    Exit codes: 0 all fine (nobody in a picture is), 2 usage, 3 some pictures could not be fitted, 4 none could.
    """

    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Pictures, or folders of pictures."""
    out: Path = Path("sheet.html")
    """The sheet: .html (one page with everything in it), .jpg or .png."""
    row_height: int = 300
    """Height of the views, pixels."""
    columns: int = 2
    """Pictures beside each other, in a .jpg or .png."""
    limit: int | None = None
    """Take only this many pictures, the first ones."""
    jobs: int = 1
    """Pictures fitted at a time; 0 chooses by the processor."""
    fit: FitOptions = field(default_factory=FitOptions)
    """How to fit, as for dsr-fit."""


def run_sheet(command: SheetCommand) -> int:
    """Run ``dsr-eval sheet``; the exit code."""
    for flag, value, least, most in (
        ("--limit", command.limit, 1, None),
        ("--row-height", command.row_height, 100, 2000),
        ("--columns", command.columns, 1, 10),
    ):
        if value is not None and (value < least or (most is not None and value > most)):
            upto = "" if most is None else f" to {most}"
            raise UsageError(f"{flag} {value}: use a whole number from {least}{upto}.")
    if not command.inputs:
        raise UsageError("Name pictures or folders: dsr-eval sheet FOLDER... --out sheet.html.")
    check_output("--out", command.out)
    from dsr.evaluation.contact_sheet import make_sheet

    with Progress("fitting", stream=sys.stderr) as progress:
        results = make_sheet(
            command.inputs,
            command.out,
            command.fit,
            row_height=command.row_height,
            columns=command.columns,
            limit=command.limit,
            jobs=command.jobs,
            on_progress=progress.update,
        )
    failed = [result for result in results if result.status not in ("ok", "no_person")]
    people = sum(len(result.people) for result in results)
    write_line(sys.stdout, f"{command.out}: {len(results)} pictures, {people} people")
    for result in failed:
        write_line(sys.stdout, f"not fitted: {result.message}")
    return EXIT_FINE if not failed else EXIT_ALL_FAILED if len(failed) == len(results) else EXIT_SOME_FAILED
