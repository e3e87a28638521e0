"""``dsr-eval synthetic``: rendered people with known bodies; with ``--refine``, before and after it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsr.cli.common import EXIT_ALL_FAILED, EXIT_FINE, EXIT_SOME_FAILED
from dsr.cli.eval_common import check_output, number, write_json
from dsr.cli.progress import Progress
from dsr.options import FitOptions

if TYPE_CHECKING:
    from dsr.evaluation.scores import PersonScore
    from dsr.evaluation.summary import SyntheticReport


@dataclass(frozen=True, kw_only=True)
class SyntheticCommand:
    """Fit rendered people and compare with their known bodies and with BlazePose's own 3D landmarks.

    The pictures come from examples/render_people.py: NAME.jpg with NAME.truth.json beside it.
    Exit codes: 0 all fine, 2 usage, 3 some pictures could not be fitted, 4 none could, 130 interrupted.
    """

    truth: Path = Path("examples/images")
    """Folder of pictures with their truth."""
    json: Path | None = None
    """Also write everything measured to this file."""
    verbose: bool = False
    """Also print one line per person."""
    limit: int | None = None
    """Take only this many pictures, the first ones."""
    jobs: int = 0
    """Pictures fitted at a time; 0 chooses by the processor."""
    dressed: int = 0
    """Instead: so many made-up people in tight and in loose clothes per seed, refined in four ways."""
    seeds: int = 3
    """With --dressed: how many seeds."""
    gestures: int = 0
    """Instead: so many made-up people with random hands and expressions, fitted with --expressive."""
    fit: FitOptions = field(default_factory=FitOptions)
    """How to fit, as for dsr-fit."""


def run_synthetic(command: SyntheticCommand) -> int:
    """Run ``dsr-eval synthetic``; the exit code."""
    from dsr.errors import UsageError

    if command.limit is not None and command.limit < 1:
        raise UsageError(f"--limit {command.limit}: use a whole number from 1.")
    check_output("--json", command.json)
    if command.dressed < 0 or command.seeds < 1:
        raise UsageError("--dressed must be at least 0 and --seeds at least 1.")
    if command.gestures < 0:
        raise UsageError("--gestures must be at least 0.")
    if command.dressed:
        return _run_dressed(command)
    if command.gestures:
        return _run_expressive(command)
    from dsr.evaluation.synthetic import evaluate_synthetic

    pictures = 0
    with Progress("fitting", stream=sys.stderr) as progress:

        def on_progress(done: int, total: int, name: str) -> None:
            nonlocal pictures
            pictures = total
            progress.update(done, total, name)

        report = evaluate_synthetic(
            command.truth, command.fit, limit=command.limit, jobs=command.jobs, on_progress=on_progress
        )
    sys.stdout.write(table(report, verbose=command.verbose))
    write_json("--json", command.json, report.to_json())
    if not report.failed:
        return EXIT_FINE
    return EXIT_ALL_FAILED if len(report.failed) == pictures else EXIT_SOME_FAILED


def _run_dressed(command: SyntheticCommand) -> int:
    from dsr.cli.eval_dressed import dressed_table
    from dsr.evaluation.dressed import evaluate_dressed

    seeds = range(command.fit.seed, command.fit.seed + command.seeds)
    with Progress("refining", stream=sys.stderr) as progress:
        dressed = evaluate_dressed(command.dressed, seeds, command.fit, progress.update)
    sys.stdout.write(dressed_table(dressed))
    write_json("--json", command.json, dressed.to_json())
    return EXIT_FINE if dressed.scores else EXIT_ALL_FAILED


def _run_expressive(command: SyntheticCommand) -> int:
    from dsr.cli.eval_expressive import expressive_table
    from dsr.evaluation.expressive import evaluate_expressive

    with Progress("fitting", stream=sys.stderr) as progress:
        report = evaluate_expressive(command.gestures, command.fit, progress.update)
    sys.stdout.write(expressive_table(report))
    write_json("--json", command.json, report.to_json())
    return EXIT_FINE if report.hands or report.faces else EXIT_ALL_FAILED


def table(report: SyntheticReport, verbose: bool = False) -> str:
    """The report for people to read."""
    s = report.summary
    versus = s["versus_blazepose"]
    lines: list[str] = []
    if verbose:
        lines.append(
            f"{'picture':<26}{'MPJPE':>8}{'PA':>8}{'BP':>8}{'BP PA':>8}{'PVE':>8}{'yaw':>6}{'L/R':>6}{'height':>8}"
            f"{'repr.':>7}"
        )
        lines += [_row(score) for score in report.people]
        lines.append("")
    lines.append(
        f"people {s['people']}, found {s['found']} ({number(s['detection_rate'], 100)} %), "
        f"found but nobody there {s['extra_people']}, pictures not fitted {s['failed_pictures']}"
    )
    if s["behind_camera"]:
        lines.append(f"bodies BEHIND THE CAMERA: {s['behind_camera']}")
    if s["plain_people"]:
        lines.append(
            f"plain to see (40 pixels of head or trunk): {s['plain_people']}, found {s['plain_found']} "
            f"({number(s['plain_detection_rate'], 100)} %); bodies where nobody is {number(s['extra_rate'], 100)} %"
        )
    lines.append(f"{'millimetres':<34}{'MPJPE':>9}{'PA-MPJPE':>10}")
    for label, whole, aligned in (
        ("fit, 12 limb joints", s["mpjpe_mm"], s["pa_mpjpe_mm"]),
        ("fit, 24 SMPL joints", s["mpjpe_smpl24_mm"], s["pa_mpjpe_smpl24_mm"]),
        ("fit, 14 Human3.6M joints", s["mpjpe_h36m14_mm"], s["pa_mpjpe_h36m14_mm"]),
        (f"both found ({versus['people']}): fit, 12 limbs", versus["fit_mpjpe_mm"], versus["fit_pa_mpjpe_mm"]),
        ("  BlazePose world landmarks", versus["blazepose_mpjpe_mm"], versus["blazepose_pa_mpjpe_mm"]),
        ("  the same, turned by its crop's ray", versus["blazepose_turned_mpjpe_mm"], versus["blazepose_pa_mpjpe_mm"]),
    ):
        lines.append(f"{label:<36}{number(whole):>7}{number(aligned):>10}")
    if "mpjpe_gain_percent" in versus:
        lines.append(
            f"fit {_compared(versus['mpjpe_gain_percent'])} BlazePose (MPJPE, against its better reading), "
            f"{_compared(versus['pa_mpjpe_gain_percent'])} it (PA-MPJPE)"
        )
    lines.append(f"PVE {number(s['pve_mm'])} mm")
    lines.append(
        f"facing right {number(s['facing_right_rate'], 100)} %, left and right correct "
        f"{number(s['sides_right_rate'], 100)} %, "
        f"both {number(s['facing_and_sides_right_rate'], 100)} %, yaw error {number(s['yaw_error_deg'])} degrees"
    )
    lines.append(
        f"height error {number(s['height_error_m_mean_abs'], 100)} cm "
        f"(bias {number(s['height_error_m_bias'], 100)} cm), "
        f"reprojection {number(s['reprojection_percent'])} % of the body's box height"
    )
    lines += refinement_lines(s["refinement"])
    lines += strata_lines(s["strata"])
    if report.other_body:
        lines.append(
            f"{report.other_body} pictures were made with another body: sizes are not compared, nor vertices where its "
            "mesh is another"
        )
    lines += [f"not found: {score.picture} person {score.person}" for score in report.people if not score.found]
    lines += [f"nobody there: {name}" for name in report.extra]
    lines += [f"not fitted: {name}" for name in report.failed]
    return "\n".join(lines) + "\n"


def _compared(gain_percent: float) -> str:
    """``6.4 % above``: an error beside another one, which it is smaller than by so many percent."""
    return f"{number(abs(gain_percent))} % {'below' if gain_percent >= 0 else 'above'}"


_STRATA_COLUMNS = (
    ("PA", "pa_mpjpe_mm", 1.0, 8),
    ("MPJPE", "mpjpe_mm", 1.0, 8),
    ("trunk", "trunk_error_deg", 1.0, 8),
    ("upright", "trunk_upright_deg", 1.0, 9),
    ("(true)", "true_trunk_upright_deg", 1.0, 8),
    ("knees", "knees_bent_deg", 1.0, 7),
    ("(true)", "true_knees_bent_deg", 1.0, 8),
    ("feet cm", "feet_off_floor_m", 100.0, 9),
    ("tilt", "floor_tilt_deg", 1.0, 7),
    ("off cm", "feet_off_own_floor_m", 100.0, 8),
)


def strata_lines(strata: dict[str, dict[str, Any]]) -> list[str]:
    """A line per stratum; none where the set has no strata."""
    if not strata:
        return []
    header = "".join(f"{name:>{width}}" for name, _, _, width in _STRATA_COLUMNS)
    lines = [f"{'stratum':<20}{'people':>8}{'found':>7}{header}"]
    for name, figures in strata.items():
        cells = "".join(f"{number(figures[key], factor):>{width}}" for _, key, factor, width in _STRATA_COLUMNS)
        lines.append(f"{name:<20}{figures['people']:>8}{figures['found']:>7}{cells}")
    lines.append(
        "trunk: angle to the true one; upright, knees: from the vertical and from straight, of who stands frontally; "
        "feet:\nof several people off one level floor; tilt, off: of the result's own floor, and feet off it"
    )
    return lines


_REFINEMENT_ROWS = (
    ("IoU with the true body, %", "body_iou", 100.0),
    ("IoU with the detector's mask, %", "mask_iou", 100.0),
    ("height error, mm", "height_error_m", 1000.0),
    ("waist girth error, mm", "waist_error_m", 1000.0),
    ("hip girth error, mm", "hip_error_m", 1000.0),
    ("chest girth error, mm", "chest_error_m", 1000.0),
    ("MPJPE, 12 limb joints, mm", "mpjpe_mm", 1.0),
    ("PA-MPJPE, 12 limb joints, mm", "pa_mpjpe_mm", 1.0),
    ("MPJPE, 24 SMPL joints, mm", "mpjpe_smpl24_mm", 1.0),
    ("PA-MPJPE, 24 SMPL joints, mm", "pa_mpjpe_smpl24_mm", 1.0),
    ("PVE, mm", "pve_mm", 1.0),
)


def refinement_lines(refinement: dict[str, Any] | None) -> list[str]:
    """The same people without and with the semantic refinement; sizes as mean of the absolute error (and mean)."""
    if refinement is None:
        return []
    before, after, change = refinement["before"], refinement["after"], refinement["change_percent"]

    def cell(errors: dict[str, float | None], key: str, factor: float) -> str:
        if key in errors:
            return f"{number(errors[key], factor):>16}"
        return f"{number(errors[f'{key}_mean_abs'], factor)} ({number(errors[f'{key}_bias'], factor)})".rjust(16)

    lines = [
        f"semantic refinement: {refinement['refined']} of {refinement['people']} people changed; all of them below",
        f"{'mean (bias)':<34}{'without':>16}{'with':>16}{'change':>10}",
    ]
    for label, key, factor in _REFINEMENT_ROWS:
        percent = change.get(key, change.get(f"{key}_mean_abs"))
        percent_text = "-" if percent is None else f"{percent:+.1f} %"
        lines.append(f"{label:<34}{cell(before, key, factor)}{cell(after, key, factor)}{percent_text:>10}")
    lines.append(
        "true body: its silhouette without clothes and hair inside the picture, occluders ignored (the truth files "
        "hold no\nmask of the dressed person); girths and height: the shape in its rest pose"
    )
    return lines


def _row(score: PersonScore) -> str:
    name = f"{score.picture} {score.person}"
    if not score.found:
        return f"{name:<26}  not found ({100 * score.visible_share:.0f} % of the body in the picture)"
    sides = "" if score.sides_right is None else "ok" if score.sides_right else "WRONG"
    return (
        f"{name:<26}{number(score.mpjpe_mm):>8}{number(score.pa_mpjpe_mm):>8}{number(score.blazepose_mpjpe_mm):>8}"
        f"{number(score.blazepose_pa_mpjpe_mm):>8}{number(score.pve_mm):>8}"
        f"{number(score.yaw_error_deg, digits=0):>6}{sides:>6}{number(score.height_error_m, 100):>8}"
        f"{number(score.reprojection_percent):>7}"
    )
