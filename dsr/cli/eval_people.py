"""``dsr-eval people``: who of the annotated people of pictures is found."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from dsr.cli.common import EXIT_ALL_FAILED, EXIT_FINE, EXIT_SOME_FAILED, write_line
from dsr.cli.eval_common import check_output, number, write_json
from dsr.cli.progress import Progress
from dsr.errors import UsageError
from dsr.options import FitOptions

if TYPE_CHECKING:
    from dsr.evaluation.people_found import PeopleReport


@dataclass(frozen=True, kw_only=True)
class PeopleCommand:
    """Who of the people annotated in pictures (COCO keypoints) is found, and how many joints are right.

    For example: dsr-eval people FOLDER. FOLDER holds pictures and truth.json (docs/benchmarks.md), or, with --draw, is
    new: made-up people in crowds, cut off, behind tables and in the dark are drawn into it first.
    Exit codes: 0 all fine (people missed are), 2 usage, 3 some pictures could not be fitted, 4 none could.
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """Pictures with their truth.json."""
    annotations: Path | None = None
    """The COCO keypoint file, if it is not truth.json in the folder."""
    complete: bool = False
    """Everybody is annotated: whoever else is found is nobody."""
    draw: int = 0
    """First draw so many pictures of made-up people into FOLDER, all of them annotated; others by --seed."""
    mocap: Path | None = None
    """With --draw: folder of BVH clips for their poses; without it, those that ship."""
    garments: Path | None = None
    """With --draw: folder of unpacked MakeHuman assets for clothes and hair; without it, painted ones and none."""
    json: Path | None = None
    """Also write everything measured to this file."""
    verbose: bool = False
    """Also print one line per person."""
    limit: int | None = None
    """Take only this many pictures, the first ones."""
    jobs: int = 1
    """Pictures fitted at a time; 0 chooses by the processor."""
    fit: FitOptions = field(default_factory=FitOptions)
    """How to fit, as for dsr-fit."""


def run_people(command: PeopleCommand) -> int:
    """Run ``dsr-eval people``; the exit code."""
    if command.limit is not None and command.limit < 1:
        raise UsageError(f"--limit {command.limit}: use a whole number from 1.")
    if command.draw < 0:
        raise UsageError(f"--draw {command.draw}: use a whole number from 1.")
    check_output("--json", command.json)
    if command.draw:
        _draw(command)
    complete = command.complete or command.draw > 0
    from dsr.evaluation.coco_people import load_annotations
    from dsr.evaluation.people_found import evaluate_people

    pictures = load_annotations(command.folder, command.annotations)[: command.limit]
    with Progress("fitting", stream=sys.stderr) as progress:
        report = evaluate_people(pictures, command.fit, jobs=command.jobs, on_progress=progress.update)
    write_line(sys.stdout, table(report, complete, command.verbose))
    document = {
        "folder": str(command.folder),
        "fit": command.fit.record(),
        "complete": complete,
        **report.to_json(),
    }
    write_json("--json", command.json, document)
    if not report.failed:
        return EXIT_FINE
    return EXIT_ALL_FAILED if len(report.failed) == len(pictures) else EXIT_SOME_FAILED


def _draw(command: PeopleCommand) -> None:
    """Draw the pictures that are then looked at."""
    from dsr.evaluation.drawn_people import draw_pictures

    with Progress("drawing", stream=sys.stderr) as progress:
        draw_pictures(command.folder, command.draw, command.fit.seed, command.mocap, command.garments, progress.update)


def table(report: PeopleReport, complete: bool = False, verbose: bool = False) -> str:
    """The report for people to read.

    Args:
        report: the scores.
        complete: whether everybody is annotated.
        verbose: one line per person as well.
    """
    summary = report.summary()
    others = "nobody" if complete else "unannotated"
    lines = [f"{'picture':<34}{'annotated':>10}{'found':>7}{'misplaced':>11}{'second':>8}{others:>13}"]
    for picture in report.pictures:
        name = picture.picture if len(picture.picture) <= 33 else "…" + picture.picture[-32:]
        lines.append(
            f"{name:<34}{picture.annotated:>10}{picture.found:>7}{picture.misplaced:>11}{picture.second:>8}"
            f"{picture.unannotated:>13}"
        )
    lines += [
        f"{'all':<34}{summary['all']['annotated']:>10}{summary['all']['found']:>7}{summary['misplaced']:>11}"
        f"{summary['second']:>8}"
        f"{summary['unannotated']:>13}",
        "",
        f"{'who':<24}{'annotated':>10}{'found':>7}{'%':>7}{'keypoints %':>13}{'body %':>8}{'distance %':>12}",
    ]
    rows = {**summary["strata"], "all": summary["all"]}
    plain = summary["all"]["plain"] > 0
    if plain:
        lines[-1] += f"{'plain':>8}{'found':>7}{'%':>7}"
    lines += [_row(name, figures, plain) for name, figures in rows.items()]
    extra = [summary[kind] for kind in ("unannotated", "second", "misplaced")]
    bodies = summary["all"]["found"] + sum(extra)
    if complete and bodies:
        nobody, second, misplaced = (number(100 * count / bodies) for count in extra)
        lines.append(
            f"bodies where nobody is: {nobody} % of {bodies}; second ones: {second} %; "
            f"misplaced on somebody: {misplaced} %"
        )
    if verbose:
        lines.append("")
        for person in report.people:
            state = f"distance {number(person.distance_percent)} %" if person.found else "not found"
            lines.append(f"{person.picture} {person.person}: {', '.join(person.strata)}: {state}")
    lines += [
        "",
        "found: mean distance of the visible joints below 20 % of the annotated box's longer side; misplaced: a body",
        "on somebody annotated who is not found; second: one more body on somebody; keypoints, body: joints within",
        "5 % of the box, by the detector and by the body.",
        *(["plain: face or trunk is seen on 40 pixels or more."] if plain else []),
    ]
    lines += [f"not fitted: {line}" for line in report.failed]
    return "\n".join(lines)


def _row(name: str, figures: dict[str, Any], plain: bool) -> str:
    right = number(figures["detector_joints_percent"], digits=0), number(figures["body_joints_percent"], digits=0)
    line = (
        f"{name:<24}{figures['annotated']:>10}{figures['found']:>7}{number(figures['found_percent'], digits=0):>7}"
        f"{right[0]:>13}{right[1]:>8}{number(figures['distance_percent']):>12}"
    )
    if plain:
        line += f"{figures['plain']:>8}{figures['plain_found']:>7}{number(figures['plain_percent'], digits=0):>7}"
    return line
