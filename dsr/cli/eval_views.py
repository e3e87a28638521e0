"""``dsr-eval views``: fits of photographs with 3D truth; with ``--ladder``, what better inputs would bring."""

from __future__ import annotations

import math
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
    from dsr.evaluation.views import ViewScore, ViewsReport

_COLUMNS = (
    ("PA", "pa_mpjpe_mm", 7),
    ("median", "pa_mpjpe_median_mm", 8),
    ("PA w/o", "pa_mpjpe_not_astray_mm", 8),
    ("MPJPE", "mpjpe_mm", 8),
    ("centred", "mpjpe_centred_mm", 9),
    ("detector", "landmarks_pa_mpjpe_mm", 10),
    ("trunk", "trunk_lean_deg", 8),
    ("to cam", "trunk_towards_deg", 8),
    ("legs", "legs_lean_deg", 7),
    ("to cam", "legs_towards_deg", 8),
    ("knees", "knees_abs_deg", 8),
    ("bias", "knees_bias_deg", 7),
    ("elbows", "elbows_abs_deg", 8),
    ("bias", "elbows_bias_deg", 7),
    ("height", "height_m", 8),
)


@dataclass(frozen=True, kw_only=True)
class ViewsCommand:
    """Fit photographs with 3D truth and compare twelve limb joints: PA-MPJPE, lean, knees and elbows.

    For example: dsr-eval views FOLDER --ladder. FOLDER holds pictures and truth.json (docs/benchmarks.md).
    Exit codes: 0 all fine (people missed are), 2 usage, 3 some pictures could not be fitted, 4 none could.
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """Pictures with their truth.json."""
    ladder: bool = False
    """Also fit with the true 2D joints, the true 3D ones, and both instead of the detector's."""
    true_boxes: bool = False
    """Boxes made from the true joints instead of the people detector, as if given by --boxes."""
    focal_factor: float = 1.0
    """Also fit with the true focal length times this: 0.5 and 2 show what a wrong one costs."""
    json: Path | None = None
    """Also write everything measured to this file."""
    verbose: bool = False
    """Also print one line per view."""
    limit: int | None = None
    """Take only this many views, the first ones."""
    jobs: int = 1
    """Pictures fitted at a time; 0 chooses by the processor."""
    fit: FitOptions = field(default_factory=FitOptions)
    """How to fit, as for dsr-fit."""


def run_views(command: ViewsCommand) -> int:
    """Run ``dsr-eval views``; the exit code."""
    if command.limit is not None and command.limit < 1:
        raise UsageError(f"--limit {command.limit}: use a whole number from 1.")
    if not math.isfinite(command.focal_factor) or not 0.01 <= command.focal_factor <= 100:
        raise UsageError(f"--focal-factor {command.focal_factor:g}: use a number from 0.01 to 100.")
    given = [name for name in ("focal", "focal35", "fov") if getattr(command.fit, name) is not None]
    if given and command.focal_factor != 1:
        raise UsageError(f"--focal-factor works on the true focal length: leave out --{given[0]}.")
    if command.true_boxes and (command.fit.boxes is not None or command.fit.keypoints is not None):
        raise UsageError("--true-boxes takes the place of --boxes and --keypoints: give one of them.")
    check_output("--json", command.json)
    from dsr.evaluation.view_truth import load_views
    from dsr.evaluation.views import evaluate_views

    views = load_views(command.folder)[: command.limit]
    with Progress("fitting", stream=sys.stderr) as progress:
        report = evaluate_views(
            views,
            command.fit,
            ladder=command.ladder,
            true_boxes=command.true_boxes,
            focal_factor=command.focal_factor,
            jobs=command.jobs,
            on_progress=progress.update,
        )
    write_line(sys.stdout, table(report, command.verbose))
    write_json("--json", command.json, {"folder": str(command.folder), "fit": command.fit.record(), **report.to_json()})
    if not report.failed:
        return EXIT_FINE
    return EXIT_SOME_FAILED if any(s.found for scores in report.rungs.values() for s in scores) else EXIT_ALL_FAILED


def table(report: ViewsReport, verbose: bool = False) -> str:
    """The report for people to read."""
    from dsr.evaluation.views import summaries

    title = "millimetres, degrees"
    header = f"{title:<22}{'views':>6}{'missed':>7}{'astray':>7}" + "".join(
        f"{name:>{width}}" for name, _, width in _COLUMNS
    )
    lines = [f"body {report.body['name']}, sha256 {report.body['sha256'][:12]}"]
    for rung, scores in report.rungs.items():
        lines += ["", f"{rung}:", header]
        lines += [_row(person, figures) for person, figures in summaries(scores).items()]
        if verbose:
            lines += [_view_line(score) for score in scores]
        else:
            lines += [f"missed: {score.picture} {score.person}".rstrip() for score in scores if not score.found]
            lines += [f"astray: {score.picture} {score.person}".rstrip() for score in scores if score.astray]
    if report.beside:
        named = ", ".join(f"{name} {count}" for name, count in list(report.beside.items())[:8])
        more = " ..." if len(report.beside) > 8 else ""
        lines.append(f"people beside those of the truth: {sum(report.beside.values())} ({named}{more})")
    if len(report.rungs) > 1:
        by_rung = {rung: summaries(scores) for rung, scores in report.rungs.items()}
        lines += ["", f"{'PA-MPJPE':<22}" + "".join(f"{rung:>12}" for rung in by_rung)]
        for person in by_rung["as is"]:
            values = "".join(f"{number(figures[person]['pa_mpjpe_mm']):>12}" for figures in by_rung.values())
            lines.append(f"{person[:21]:<22}{values}")
        for rung, figures in by_rung.items():
            if figures["all"]["pose_change_mm"] is not None:
                lines.append(f"{rung}: poses differ by {number(figures['all']['pose_change_mm'])} mm (PA) from as is")
    lines += [
        "",
        "PA: mean distance of 12 limb joints after a similarity alignment, over everybody found; PA w/o: without those",
        "astray (found, but with keypoints 30 % of the box away); MPJPE: hips on each other; centred: means on each",
        "other; detector: the 3D landmarks the fit was given (PA). trunk, legs: angle of fitted and true direction;",
        "to cam: leans further to the camera. knees, elbows: mean error without sign; bias: with it, positive is too",
        "straight.",
    ]
    lines += [f"not fitted: {line}" for line in report.failed]
    return "\n".join(lines)


def _row(name: str, figures: dict[str, Any]) -> str:
    cells = "".join(
        f"{number(figures[key], digits=2 if key == 'height_m' else 1):>{width}}" for _, key, width in _COLUMNS
    )
    return f"{name[:21]:<22}{figures['views']:>6}{figures['missed']:>7}{figures['astray']:>7}{cells}"


def _view_line(score: ViewScore) -> str:
    name = f"  {score.picture} {score.person}"[:41]
    if not score.found:
        return f"{name:<42}missed"
    pairs = "".join(
        f"  {label} {number(left, digits=0)}/{number(right, digits=0)}"
        for label, (left, right) in (("knees", score.knees_deg), ("elbows", score.elbows_deg))
    )
    leans = "".join(
        f"  {label} {number(lean, digits=0):>3} ({number(towards, digits=0)})"
        for label, lean, towards in (
            ("trunk", score.trunk_lean_deg, score.trunk_towards_deg),
            ("legs", score.legs_lean_deg, score.legs_towards_deg),
        )
    )
    return (
        f"{name:<42}PA {number(score.pa_mpjpe_mm):>6}  detector {number(score.landmarks_pa_mpjpe_mm):>6}"
        f"  2D {number(score.keypoints_percent):>4} %{leans}{pairs}{'  astray' if score.astray else ''}"
    )
