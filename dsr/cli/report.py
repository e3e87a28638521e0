"""``dsr-fit report``: one page to look through the fits of an output folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from dsr.cli.common import EXIT_FINE, refuse_empty_out, write_line
from dsr.cli.progress import Progress
from dsr.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class ReportCommand:
    """Write one HTML page to look through the fits of an output folder: it opens from the file, without a network.

    A table sorted by the worst error of a picture, filters by status, warning and name; beside it the photograph, the
    overlay, the side view and a body to turn. Everything can be done by keys.
    """

    folder: tyro.conf.Positional[Path]
    """Output folder of an earlier dsr-fit."""
    out: Path | None = None
    """The page; report.html in the folder by default."""
    limit: int | None = None
    """Take only the first rows of the report, this many."""
    jobs: int = 0
    """Fits drawn at a time; 0 chooses by the processor."""
    quiet: bool = False
    """Say nothing but errors."""


def main(arguments: Sequence[str]) -> int:
    """Make the page.

    Args:
        arguments: behind ``report``.

    Returns:
        The exit code.

    Raises:
        UsageError: if the folder has no report.
        ExportError: if the page cannot be written.
    """
    refuse_empty_out(arguments)
    command = tyro.cli(
        ReportCommand, prog="dsr-fit report", args=list(arguments), config=(tyro.conf.FlagCreatePairsOff,)
    )
    from dsr.export.report_page import ReportPage
    from dsr.pipeline.jobs import check_jobs, ordered_map
    from dsr.results.report import read_rows

    jobs = check_jobs(command.jobs)
    if command.limit is not None and command.limit < 1:
        raise UsageError(f"--limit {command.limit}: use a whole number from 1.")
    rows = read_rows(command.folder)[: command.limit]
    if not rows:
        raise UsageError(f"{command.folder} has no report.json with rows: name an output folder of dsr-fit.")
    page = ReportPage(command.folder)
    fits = []
    with Progress("drawing", len(rows), quiet=command.quiet) as progress:
        for fit in ordered_map(lambda place: page.fit(rows[place], place), range(len(rows)), jobs):
            fits.append(fit)
            progress.update(len(fits))
    out = page.write(command.out or command.folder / "report.html", f"dsr-fit: {command.folder.absolute().name}", fits)
    if not command.quiet:
        write_line(
            sys.stdout, f"{len(fits)} fit{'s' * (len(fits) != 1)} in {out} ({out.stat().st_size / 2**20:.1f} MB)"
        )
    return EXIT_FINE
