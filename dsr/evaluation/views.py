"""Fits of photographs with 3D truth, and the ladder: what better 2D keypoints and 3D landmarks would bring.

The twelve limb joints of the truth are compared with the fitted body's ``blazepose33`` keypoints. Every picture is
fitted with the focal length of its truth unless the options name one. The ladder feeds the same fit with the truth's
pixels instead of the detector's limb keypoints, with the truth's 3D instead of its landmarks, and with both
(:mod:`dsr.evaluation.known_joints`).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.evaluation.known_joints import ASTRAY, KnownJointsFinder, limb_distance, limb_index, match_views
from dsr.evaluation.metrics import mpjpe, pa_mpjpe
from dsr.evaluation.posture import LIMB12_HIPS, between_deg, posture, towards_camera_deg
from dsr.evaluation.view_truth import TrueView
from dsr.options import FitOptions, body_to_load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dsr.body import BodyAsset
    from dsr.people import Detection
    from dsr.results.picture import PersonResult

LADDER = {"as is": (False, False), "true 2D": (True, False), "true 3D": (False, True), "both": (True, True)}
"""Rungs: whether the truth's pixels replace the keypoints, and whether its 3D replaces the landmarks."""


@dataclass
class ViewScore:
    """What was measured on one person of one picture; None where nobody was found or a joint is not known.

    ``*_lean_deg`` is the angle between the fitted and the true direction, ``*_towards_deg`` how much further the fitted
    one leans towards the camera. Knees and elbows, left and right: fitted minus true angle, positive is too straight.
    ``astray``: the right person, but with keypoints elsewhere (upside down, on somebody else).
    ``keypoints_percent``: distance of the keypoints the fit was given from the true ones, in percent of the box.
    ``pose_change_mm``: PA-MPJPE to the fit with the true focal length, in the rung of another one.
    """

    picture: str
    person: str
    instant: str = ""
    found: bool = False
    astray: bool = False
    pa_mpjpe_mm: float | None = None
    mpjpe_mm: float | None = None
    mpjpe_centred_mm: float | None = None
    landmarks_pa_mpjpe_mm: float | None = None
    keypoints_percent: float | None = None
    trunk_lean_deg: float | None = None
    trunk_towards_deg: float | None = None
    legs_lean_deg: float | None = None
    legs_towards_deg: float | None = None
    knees_deg: list[float | None] = field(default_factory=lambda: [None, None])
    elbows_deg: list[float | None] = field(default_factory=lambda: [None, None])
    height_m: float | None = None
    pose_change_mm: float | None = None
    joints_m: list[list[float]] | None = None


@dataclass
class ViewsReport:
    """Scores of a folder.

    Attributes:
        body: name and sha256 of the fitted body's file.
        rungs: scores of every view by the name of the rung, ``as is`` first.
        failed: pictures that could not be fitted, as ``picture: message``.
        beside: people of the first rung who are none of the true ones, by picture; the truth may leave people out.
    """

    body: dict[str, str]
    rungs: dict[str, list[ViewScore]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    beside: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        rungs = {
            name: {"summary": summaries(scores), "views": [asdict(s) for s in scores]}
            for name, scores in self.rungs.items()
        }
        return {"body": self.body, "failed": self.failed, "beside": self.beside, "rungs": rungs}


def evaluate_views(
    views: Sequence[TrueView],
    options: FitOptions | None = None,
    *,
    ladder: bool = False,
    true_boxes: bool = False,
    focal_factor: float = 1.0,
    jobs: int = 1,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> ViewsReport:
    """Fit photographs and compare with their 3D truth.

    Args:
        views: of :func:`~dsr.evaluation.view_truth.load_views`.
        options: how to fit.
        ladder: also with the truth's 2D, its 3D, and both.
        true_boxes: boxes made from the true joints instead of the people detector, as by ``--boxes``.
        focal_factor: another rung has the focal length of the truth times this, where it is not 1.
        jobs: pictures fitted at a time; 0 chooses by the processor.
        on_progress: called with the number of finished pictures, that of all, and the name of the last one.

    Raises:
        UsageError: for options that cannot work.
    """
    from dsr.body import load_asset
    from dsr.options import check_options
    from dsr.pipeline.people_finder import PeopleFinder
    from dsr.pipeline.picture_fitter import fit_images

    options = options or FitOptions()
    check_options(options)
    asset = load_asset(body_to_load(options))
    pictures: dict[Path, list[TrueView]] = {}
    for view in views:
        pictures.setdefault(view.path, []).append(view)
    report = ViewsReport({"name": asset.name, "sha256": asset.sha256})
    rungs = {name: (*replaced, 1.0) for name, replaced in LADDER.items() if ladder or name == "as is"}
    if focal_factor != 1:
        rungs[f"focal x {focal_factor:g}"] = (False, False, focal_factor)
    done, total = 0, len(rungs) * len(pictures)
    with _boxes_file(pictures, true_boxes) as boxes:
        options = options if boxes is None else replace(options, boxes=boxes)
        finder = KnownJointsFinder(PeopleFinder(options, 1), pictures)
        for rung, (finder.true_2d, finder.true_3d, factor) in rungs.items():
            scores: dict[int, ViewScore] = {}
            for group, focal_options in _by_focal(pictures, options, factor):
                results = fit_images(group, focal_options, jobs=jobs, keep_stages=True, people_finder=finder)
                for path, result in zip(group, results, strict=True):
                    if result.status not in ("ok", "no_person"):
                        report.failed.append(f"{rung}, {path.name}: {result.message}")
                    for view, score in zip(
                        pictures[path],
                        score_people(pictures[path], result.people, result.detections or [], asset),
                        strict=True,
                    ):
                        scores[id(view)] = score
                    others = len(result.people) - sum(scores[id(view)].found for view in pictures[path])
                    if others and rung == "as is":
                        report.beside[path.name] = others
                    done += 1
                    if on_progress is not None:
                        on_progress(done, total, f"{rung}, {path.name}")
            report.rungs[rung] = [scores[id(view)] for view in views]
            if factor != 1:
                _score_change(report.rungs["as is"], report.rungs[rung])
    return report


def _score_change(before: Sequence[ViewScore], after: Sequence[ViewScore]) -> None:
    """Fill in how far the poses of one rung are from those of another."""
    for old, new in zip(before, after, strict=True):
        if old.joints_m is not None and new.joints_m is not None:
            new.pose_change_mm = 1000 * float(pa_mpjpe(np.array(new.joints_m), np.array(old.joints_m)))


def score_people(
    views: Sequence[TrueView], people: Sequence[PersonResult], detections: Sequence[Detection], asset: BodyAsset
) -> list[ViewScore]:
    """Scores of the true people of one picture, in their order.

    Args:
        views: the true people.
        people: the fitted ones.
        detections: what they were fitted to, in the same order, or nothing.
        asset: the fitted body.
    """
    matches = match_views(views, people)
    scores = []
    for i, view in enumerate(views):
        score = ViewScore(view.path.name, view.person, view.instant)
        if i in matches:
            person = people[matches[i]]
            regressor = asset.keypoint_regressor("blazepose33")[limb_index("blazepose33")]
            joints = np.asarray(regressor @ np.asarray(person.vertices_cam_m, np.float64))
            score_joints(score, joints, view)
            score.joints_m = joints.tolist()
            score.height_m = float(person.height_m)
            distance = limb_distance(view, person.keypoint_set, person.keypoints_px)
            score.astray, score.keypoints_percent = distance >= ASTRAY, 100 * distance
            if detections:
                _score_landmarks(score, detections[matches[i]], view)
        scores.append(score)
    return scores


def score_joints(score: ViewScore, joints: np.ndarray, view: TrueView) -> None:
    """Fill in what fitted limb joints (12, 3), metres, camera frame, get against the truth."""
    known, truth = view.known, view.joints_m
    score.found = True
    score.pa_mpjpe_mm = 1000 * float(pa_mpjpe(joints, np.nan_to_num(truth), known))
    if known[list(LIMB12_HIPS)].all():
        score.mpjpe_mm = 1000 * float(mpjpe(joints, np.nan_to_num(truth), known, root=LIMB12_HIPS))
    centred = [points - points[known].mean(0) for points in (joints, truth)]
    score.mpjpe_centred_mm = 1000 * float(np.linalg.norm(centred[0] - centred[1], axis=1)[known].mean())
    fitted, real = posture(joints), posture(np.where(known[:, None], truth, np.nan))
    score.trunk_lean_deg = _finite(between_deg(fitted.trunk, real.trunk))
    score.trunk_towards_deg = _finite(towards_camera_deg(fitted.trunk) - towards_camera_deg(real.trunk))
    score.legs_lean_deg = _finite(between_deg(fitted.legs, real.legs))
    score.legs_towards_deg = _finite(towards_camera_deg(fitted.legs) - towards_camera_deg(real.legs))
    score.knees_deg = [_finite(value) for value in fitted.knees_deg - real.knees_deg]
    score.elbows_deg = [_finite(value) for value in fitted.elbows_deg - real.elbows_deg]


def _score_landmarks(score: ViewScore, detection: Detection, view: TrueView) -> None:
    """The PA-MPJPE of the detector's own 3D landmarks."""
    if detection.world_m is not None:
        landmarks = np.asarray(detection.world_m, np.float64)[limb_index(detection.keypoint_set)]
        score.landmarks_pa_mpjpe_mm = 1000 * float(pa_mpjpe(landmarks, np.nan_to_num(view.joints_m), view.known))


def summaries(scores: Sequence[ViewScore]) -> dict[str, dict[str, float | None]]:
    """Figures by person, in the order of the views, and over all views as ``all``."""
    groups: dict[str, list[ViewScore]] = {}
    for score in scores:
        groups.setdefault(score.person or "?", []).append(score)
    return {**{name: _summary(group) for name, group in groups.items()}, "all": _summary(scores)}


def _summary(scores: Sequence[ViewScore]) -> dict[str, float | None]:
    found = [score for score in scores if score.found]
    figures: dict[str, float | None] = {
        "views": len(scores),
        "missed": len(scores) - len(found),
        "astray": sum(score.astray for score in found),
    }
    for key in (
        "pa_mpjpe_mm", "mpjpe_mm", "mpjpe_centred_mm", "landmarks_pa_mpjpe_mm", "keypoints_percent", "trunk_lean_deg",
        "trunk_towards_deg", "legs_lean_deg", "legs_towards_deg", "height_m", "pose_change_mm",
    ):  # fmt: skip
        figures[key] = _mean(getattr(score, key) for score in found)
    errors = [value for score in found if (value := score.pa_mpjpe_mm) is not None]
    figures["pa_mpjpe_median_mm"] = float(np.median(errors)) if errors else None
    figures["pa_mpjpe_not_astray_mm"] = _mean(score.pa_mpjpe_mm for score in found if not score.astray)
    for key in ("knees", "elbows"):
        angles = [angle for score in found for angle in getattr(score, f"{key}_deg") if angle is not None]
        figures[f"{key}_bias_deg"] = _mean(angles)
        figures[f"{key}_abs_deg"] = _mean(map(abs, angles))
    return figures


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _by_focal(
    pictures: dict[Path, list[TrueView]], options: FitOptions, factor: float
) -> Iterator[tuple[list[Path], FitOptions]]:
    """Pictures with one focal length, and the options that say it; all at once where the options name their own."""
    if (options.focal, options.focal35, options.fov) != (None, None, None):
        yield list(pictures), options
        return
    groups: dict[float, list[Path]] = {}
    for path, views in pictures.items():
        groups.setdefault(float(views[0].K[0, 0]), []).append(path)
    for focal, group in groups.items():
        yield group, replace(options, focal=focal * factor)


@contextmanager
def _boxes_file(pictures: dict[Path, list[TrueView]], wanted: bool) -> Iterator[Path | None]:
    """True boxes as the file that ``--boxes`` takes."""
    if not wanted:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "boxes.json"
        rows = {
            str(picture): [[*v.box_px[:2].tolist(), *(v.box_px[2:] - v.box_px[:2]).tolist()] for v in views]
            for picture, views in pictures.items()
        }
        path.write_text(json.dumps(rows), encoding="utf-8")
        yield path
