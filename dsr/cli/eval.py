"""``dsr-eval``: how good the bodies are, measured; ``dsr-eval synthetic`` on rendered people with known bodies."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from dsr.errors import DsrError
from dsr.options import FitOptions

if TYPE_CHECKING:
    from dsr.evaluation.synthetic import PersonScore, SyntheticReport

EXIT_FINE, EXIT_USAGE, EXIT_SOME_FAILED, EXIT_ALL_FAILED, EXIT_INTERRUPTED = 0, 2, 3, 4, 130


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
    fit: FitOptions = field(default_factory=FitOptions)
    """How to fit, as for dsr-fit."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Measure how good the bodies are."""

    what: Annotated[SyntheticCommand, tyro.conf.subcommand("synthetic")]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        command = tyro.extras.subcommand_cli_from_dict(
            {"synthetic": SyntheticCommand}, prog="dsr-eval", args=arguments, description=Command.__doc__,
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
        )  # fmt: skip
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    try:
        return _synthetic(command)
    except DsrError as error:
        sys.stderr.write(f"dsr-eval: {error}\n")
        return EXIT_USAGE
    except KeyboardInterrupt:
        sys.stderr.write("dsr-eval: interrupted.\n")
        return EXIT_INTERRUPTED


def entry() -> None:
    """Console script."""
    sys.exit(main())


def _synthetic(command: SyntheticCommand) -> int:
    from dsr.errors import UsageError

    if command.limit is not None and command.limit < 1:
        raise UsageError(f"--limit {command.limit}: use a whole number from 1.")
    if command.json is not None and not command.json.absolute().parent.is_dir():
        raise UsageError(f"--json {command.json}: the folder {command.json.absolute().parent} does not exist.")
    from dsr.evaluation.synthetic import evaluate_synthetic

    count = 0

    def progress(name: str) -> None:
        nonlocal count
        count += 1
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{count} {name}\033[K")

    report = evaluate_synthetic(command.truth, command.fit, limit=command.limit, jobs=command.jobs, on_picture=progress)
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    sys.stdout.write(table(report, verbose=command.verbose))
    if command.json is not None:
        try:
            command.json.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--json {command.json}: cannot be written ({error.strerror or error}).") from error
    if not report.failed:
        return EXIT_FINE
    return EXIT_ALL_FAILED if len(report.failed) == count else EXIT_SOME_FAILED


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
        f"people {s['people']}, found {s['found']} ({_number(s['detection_rate'], 100)} %), "
        f"found but nobody there {s['extra_people']}, pictures not fitted {s['failed_pictures']}"
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
        lines.append(f"{label:<36}{_number(whole):>7}{_number(aligned):>10}")
    if "mpjpe_gain_percent" in versus:
        lines.append(
            f"fit below BlazePose by {_number(versus['mpjpe_gain_percent'])} % (MPJPE, against its better reading), "
            f"{_number(versus['pa_mpjpe_gain_percent'])} % (PA-MPJPE)"
        )
    lines.append(f"PVE {_number(s['pve_mm'])} mm")
    lines.append(
        f"facing right {_number(s['facing_right_rate'], 100)} %, left and right correct "
        f"{_number(s['sides_right_rate'], 100)} %, "
        f"both {_number(s['facing_and_sides_right_rate'], 100)} %, yaw error {_number(s['yaw_error_deg'])} degrees"
    )
    lines.append(
        f"height error {_number(s['height_error_m_mean_abs'], 100)} cm "
        f"(bias {_number(s['height_error_m_bias'], 100)} cm), "
        f"reprojection {_number(s['reprojection_percent'])} % of the body's box height"
    )
    lines += [f"not found: {score.picture} person {score.person}" for score in report.people if not score.found]
    lines += [f"nobody there: {name}" for name in report.extra]
    lines += [f"not fitted: {name}" for name in report.failed]
    return "\n".join(lines) + "\n"


def _row(score: PersonScore) -> str:
    name = f"{score.picture} {score.person}"
    if not score.found:
        return f"{name:<26}  not found ({100 * score.visible_share:.0f} % of the body in the picture)"
    sides = "" if score.sides_right is None else "ok" if score.sides_right else "WRONG"
    return (
        f"{name:<26}{_number(score.mpjpe_mm):>8}{_number(score.pa_mpjpe_mm):>8}{_number(score.blazepose_mpjpe_mm):>8}"
        f"{_number(score.blazepose_pa_mpjpe_mm):>8}{_number(score.pve_mm):>8}"
        f"{_number(score.yaw_error_deg, digits=0):>6}{sides:>6}{_number(score.height_error_m, 100):>8}"
        f"{_number(score.reprojection_percent):>7}"
    )


def _number(value: Any, factor: float = 1.0, digits: int = 1) -> str:
    return "-" if value is None else f"{factor * float(value):.{digits}f}"


if __name__ == "__main__":
    entry()
