"""How people of a set in strata stand, by kind of picture: leaning, knees, feet on one floor, who is found.

Upright is the floor's normal, so these figures need a truth that says where the floor is (``floor_cam``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.evaluation.posture import between_deg, posture
from dsr.evaluation.scores import PersonScore, limb12_index

if TYPE_CHECKING:
    from dsr.body import BodyAsset
    from dsr.evaluation.truth import TruePerson, TruePicture
    from dsr.results.floor import Floor

UPRIGHT_STRATUM = "frontal"
"""People who stand upright on straight legs, facing the camera."""
FIGURES = (
    "pa_mpjpe_mm",
    "mpjpe_mm",
    "trunk_error_deg",
    "trunk_upright_deg",
    "true_trunk_upright_deg",
    "knees_bent_deg",
    "true_knees_bent_deg",
    "feet_off_floor_m",
    "floor_tilt_deg",
    "feet_off_own_floor_m",
)
"""Means per stratum."""


def score_posture(
    score: PersonScore, picture: TruePicture, truth: TruePerson, vertices: np.ndarray, fitted_asset: BodyAsset
) -> None:
    """Fill in how the trunk leans against the truth, and for who stands upright how far trunk and knees are from it.

    Args:
        score: filled in.
        picture: the picture the person is in.
        truth: the true person.
        vertices: (V, 3) of the fit, metres, camera frame.
        fitted_asset: body of the fit.
    """
    fitted = np.asarray(fitted_asset.keypoint_regressor("blazepose33") @ vertices)[limb12_index()]
    mine, theirs = posture(fitted), posture(truth.keypoints_cam_m["blazepose33"][limb12_index()])
    score.trunk_error_deg = between_deg(mine.trunk, theirs.trunk)
    if picture.stratum == UPRIGHT_STRATUM and picture.floor_cam is not None:
        up = picture.floor_cam[:3]
        score.trunk_upright_deg, score.true_trunk_upright_deg = (between_deg(p.trunk, up) for p in (mine, theirs))
        score.knees_bent_deg, score.true_knees_bent_deg = (float((180 - p.knees_deg).mean()) for p in (mine, theirs))


def score_floor(
    scores: Sequence[PersonScore], picture: TruePicture, bodies: Sequence[np.ndarray], floor: Floor | None = None
) -> None:
    """Fill in how far the lowest points of a picture's people are from one floor, and how the result's floor tilts.

    Feet are measured against two floors. One has the true direction, and as height the mean over the people, so that a
    wrong size of everybody is no error, but people of one picture who float at different heights are; it needs two
    people. The other is the result's own, for those who stand on it.

    Args:
        scores: of the people found, filled in.
        picture: the picture.
        bodies: (V, 3) fitted vertices of each of them, metres, camera frame.
        floor: of the result.
    """
    if picture.floor_cam is None:
        return
    up = picture.floor_cam[:3]
    lowest = np.array([(body @ up).min() for body in bodies])
    for score, body, height in zip(scores, bodies, lowest, strict=True):
        if len(scores) > 1:
            score.feet_off_floor_m = float(abs(height - lowest.mean()))
        if floor is not None:
            score.floor_tilt_deg = between_deg(np.asarray(floor.normal, np.float64), up)
            if floor.offset_m is not None and score.fitted_id in floor.people:
                score.feet_off_own_floor_m = float(abs((body @ floor.normal).min() - floor.offset_m))


def strata_figures(people: Sequence[PersonScore]) -> dict[str, dict[str, Any]]:
    """Figures by stratum: people, found ones, means over the found (:data:`FIGURES`); empty without strata."""
    first = [score.strata[0] for score in people if score.strata]  # the pictures' own, then what else people are
    names = list(dict.fromkeys([*first, *(name for score in people for name in score.strata)]))
    return {name: _figures([score for score in people if name in score.strata]) for name in names}


def _figures(people: Sequence[PersonScore]) -> dict[str, Any]:
    found = [score for score in people if score.found]
    return {
        "people": len(people),
        "found": len(found),
        **{key: _mean(getattr(score, key) for score in found) for key in FIGURES},
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
