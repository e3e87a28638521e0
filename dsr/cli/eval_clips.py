"""``dsr-eval clips``: clips with 3D truth, fitted frame by frame and as a clip."""

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
from dsr.options import FitOptions, SequenceOptions

if TYPE_CHECKING:
    from dsr.evaluation.clips import ClipsReport

_COLUMNS = (
    ("PA", "pa_mpjpe_mm", 8),
    ("median", "pa_mpjpe_median_mm", 8),
    ("MPJPE", "mpjpe_mm", 8),
    ("centred", "mpjpe_centred_mm", 9),
    ("accel", "acceleration", 8),
    ("accel err", "acceleration_error", 10),
    ("skate", "skate", 8),
)


@dataclass(frozen=True, kw_only=True)
class ClipsCommand:
    """Fit clips with 3D truth frame by frame and as a clip: lost views, PA-MPJPE, MPJPE, acceleration, foot skate.

    For example: dsr-eval clips FOLDER, of pictures, clips and truth.json (docs/benchmarks.md); or dsr-eval clips NEW
    --draw 4, made-up people who walk are drawn into it first.
    Exit codes: 0 all fine (people missed are), 2 usage, 3 some clips could not be fitted, 4 none could.
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """Pictures with their truth.json, and their clips in FOLDER/clips."""
    draw: int = 0
    """First draw so many clips of made-up people into FOLDER, all of their frames known; others by --seed."""
    mocap: Path | None = None
    """With --draw: folder of BVH clips for their motion; without it, walks made of sines."""
    frames: int = 60
    """With --draw: frames of every clip, 30 a second."""
    limit: int | None = None
    """Take only this many clips, the first ones."""
    json: Path | None = None
    """Also write everything measured to this file."""
    verbose: bool = False
    """Also print one line per view."""
    lifter: str = "shipped"
    """3D joints of clips: shipped, none, or the file of a lifter's weights."""
    fps: float | None = None
    """Frames per second instead of what the file says; 30 for a folder of frames."""
    fit: FitOptions = field(default_factory=FitOptions)
    """How to fit, as for dsr-fit."""


def run_clips(command: ClipsCommand) -> int:
    """Run ``dsr-eval clips``; the exit code."""
    if command.limit is not None and command.limit < 1:
        raise UsageError(f"--limit {command.limit}: use a whole number from 1.")
    if command.draw < 0 or command.frames < 3:
        raise UsageError("--draw is a whole number from 0, --frames one from 3.")
    check_output("--json", command.json)
    from dsr.evaluation.clips import evaluate_clips, load_clips

    if command.draw:
        from dsr.evaluation.clips_drawn import draw_clips

        draw_clips(command.folder, command.draw, seed=command.fit.seed, frames=command.frames, mocap=command.mocap)
    clips = load_clips(command.folder)[: command.limit]
    with Progress("fitting", stream=sys.stderr) as progress:
        sequence = SequenceOptions(fps=command.fps, lifter=command.lifter)
        report = evaluate_clips(clips, command.fit, sequence, on_progress=progress.update)
    write_line(sys.stdout, table(report, command.verbose))
    write_json("--json", command.json, {"folder": str(command.folder), "fit": command.fit.record(), **report.to_json()})
    if not report.failed:
        return EXIT_FINE
    return EXIT_SOME_FAILED if len(report.failed) < len(clips) else EXIT_ALL_FAILED


def table(report: ClipsReport, verbose: bool = False) -> str:
    """The report for people to read."""
    names = list(dict.fromkeys(score.instant for score in next(iter(report.scores.values()))))
    header = f"{'':<34}{'views':>6}{'missed':>7}{'astray':>7}" + "".join(
        f"{name:>{width}}" for name, _, width in _COLUMNS
    )
    lines = [f"body {report.body['name']}, sha256 {report.body['sha256'][:12]}", "", header]
    every: dict[str, dict[str, Any]] = {}
    for name in [*names, None] if len(names) > 1 else [None]:
        for way in report.scores:
            figures = report.figures(way, name)
            every[way] = figures
            cells = "".join(f"{number(figures[key]):>{width}}" for _, key, width in _COLUMNS)
            title = f"{(name or 'all')[:18]:<19}{way:<15}"
            lines.append(f"{title}{figures['views']:>6}{figures['missed']:>7}{figures['astray']:>7}{cells}")
    single, whole = (every[way]["pa_mpjpe_mm"] for way in report.scores)
    if single and whole is not None:
        lines.append(f"the clip's PA-MPJPE is {100 * (1 - whole / single):.1f} % below frame by frame")
    for way, scores in report.scores.items():
        lines += [f"{way}, missed: {score.picture} {score.person}".rstrip() for score in scores if not score.found]
        lines += [f"{way}, astray: {score.picture} {score.person}".rstrip() for score in scores if score.astray]
    if verbose:
        pairs = zip(*report.scores.values(), strict=True)
        lines += [
            f"  {a.picture} {a.person}"[:41].ljust(42)
            + f"PA {number(a.pa_mpjpe_mm):>6} frame by frame, {number(b.pa_mpjpe_mm):>6} as a clip"
            for a, b in pairs
        ]
    lines += [
        "",
        "PA: mean distance of 12 limb joints after a similarity alignment, millimetres, over everybody found; MPJPE:",
        "hips on each other; centred: means on each other; accel: acceleration of the joints about the hips, m/s2;",
        "err: of the difference to the true one, where three true frames follow each other; skate: speed of heels and",
        "toes that rest, mm/s, by the truth where it says so, else by the clip's contacts.",
    ]
    lines += [f"not fitted: {line}" for line in report.failed]
    return "\n".join(lines)
