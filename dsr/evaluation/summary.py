"""What the scores of the generated benchmark come to: means, rates, the fit against BlazePose, refined against not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from dsr.evaluation.scores import PersonScore
from dsr.evaluation.strata import strata_figures

_PLAIN = (
    "mpjpe_mm",
    "pa_mpjpe_mm",
    "mpjpe_smpl24_mm",
    "pa_mpjpe_smpl24_mm",
    "mpjpe_h36m14_mm",
    "pa_mpjpe_h36m14_mm",
    "pve_mm",
    "yaw_error_deg",
    "reprojection_percent",
    "body_iou",
    "mask_iou",
)
_SIGNED = ("height_error_m", "waist_error_m", "hip_error_m", "chest_error_m", "depth_error_m")


@dataclass
class SyntheticReport:
    """Scores of a set and what could not be scored.

    Attributes:
        people: one score per true person, found or not.
        extra: found people that are nobody, as ``picture: id``.
        failed: pictures that could not be fitted, as ``picture: message``.
        other_body: pictures whose truth was made with another body: sizes are not compared there.
        summary: means over people, rates, the comparison with BlazePose and with the bodies before the refinement.
    """

    people: list[PersonScore] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    other_body: int = 0
    summary: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


def summarise(report: SyntheticReport) -> dict[str, Any]:
    """Means over found people, rates, the fit against BlazePose on whom both found, the refinement's gain, strata."""
    people = report.people
    detected = [score for score in people if score.found]
    summary: dict[str, Any] = {
        "people": len(people),
        "found": len(detected),
        "detection_rate": len(detected) / len(people) if people else None,
        "extra_people": len(report.extra),
        "failed_pictures": len(report.failed),
        **_errors(detected),
    }
    plain = [score for score in people if score.plain]
    bodies = len(detected) + len(report.extra)
    summary["plain_people"] = len(plain)
    summary["plain_found"] = sum(score.found for score in plain)
    summary["plain_detection_rate"] = _mean(score.found for score in plain)
    summary["behind_camera"] = sum(bool(score.behind_camera) for score in detected)
    summary["extra_rate"] = len(report.extra) / bodies if bodies else None
    for key in ("facing_right", "sides_right"):
        summary[f"{key}_rate"] = _mean(getattr(score, key) for score in detected)
    summary["facing_and_sides_right_rate"] = _mean(
        bool(score.facing_right and score.sides_right) for score in detected if score.facing_right is not None
    )
    both = [score for score in detected if score.blazepose_mpjpe_mm is not None]
    versus: dict[str, Any] = {"people": len(both), "joints": "limb12"}
    for key in ("mpjpe_mm", "pa_mpjpe_mm"):
        versus[f"fit_{key}"] = _mean(getattr(score, key) for score in both)
    for key in ("blazepose_mpjpe_mm", "blazepose_turned_mpjpe_mm", "blazepose_pa_mpjpe_mm"):
        versus[key] = _mean(getattr(score, key) for score in both)
    if both:
        # The better of the two readings of BlazePose's axes is the one to beat.
        rival = min(versus["blazepose_mpjpe_mm"], versus["blazepose_turned_mpjpe_mm"])
        versus["mpjpe_gain_percent"] = 100 * (1 - versus["fit_mpjpe_mm"] / rival)
        versus["pa_mpjpe_gain_percent"] = 100 * (1 - versus["fit_pa_mpjpe_mm"] / versus["blazepose_pa_mpjpe_mm"])
    summary["versus_blazepose"] = versus
    summary["refinement"] = _refinement(detected)
    summary["strata"] = strata_figures(people)
    return summary


def _refinement(detected: Sequence[PersonScore]) -> dict[str, Any] | None:
    """The same people without and with refinement, and the change; None where nothing was refined."""
    pairs = [(score.unrefined, score) for score in detected if score.unrefined is not None]
    if not pairs:
        return None
    before, after = _errors([old for old, _ in pairs]), _errors([new for _, new in pairs])
    change = {
        key: 100 * (new / old - 1)
        for key, old in before.items()
        if old and (new := after[key]) is not None and not key.endswith("_bias")
    }
    return {
        "people": len(pairs),
        "refined": sum(bool(new.refined) for _, new in pairs),
        "before": before,
        "after": after,
        "change_percent": change,
    }


def _errors(detected: Sequence[PersonScore]) -> dict[str, float | None]:
    """Means; of signed errors the mean of their size (``_mean_abs``) and of themselves (``_bias``)."""
    means = {key: _mean(getattr(score, key) for score in detected) for key in _PLAIN}
    for key in _SIGNED:
        values = [value for score in detected if (value := getattr(score, key)) is not None]
        means[f"{key}_mean_abs"] = _mean(map(abs, values))
        means[f"{key}_bias"] = _mean(values)
    return means


def _mean(values: Iterable[float | bool | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return float(np.mean(known)) if known else None
