"""The generated benchmark: fitted bodies, and BlazePose's own 3D landmarks, against people whose bodies are known.

All errors are per person and then averaged over people. Joint sets:

* ``limb12``: shoulders, elbows, wrists, hips, knees and ankles of ``blazepose33``; truth and fit through the body's
  regressor on the whole mesh, BlazePose's world landmarks as they are. The only set all three have, so the only one on
  which the fit is compared with BlazePose. Root: midpoint of the hips.
* ``smpl24``: the body model's 24 joints; root: pelvis.
* ``h36m14``: the 14 Human3.6M joints of the SMPL literature (limbs, thorax, head top); root: midpoint of the hips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.body import BodyAsset, joint_names, load_asset, pose_vertices
from dsr.body.numpy_lbs import rodrigues
from dsr.errors import DatasetError
from dsr.evaluation.truth import TruePerson, TruePicture, load_truth
from dsr.options import FitOptions

if TYPE_CHECKING:
    from dsr.people import Detection
    from dsr.result import FitResult, PersonResult

_SIDES = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
LIMB12_NAMES = tuple(f"{side}_{part}" for part in _SIDES for side in ("left", "right"))
_HIPS = (LIMB12_NAMES.index("left_hip"), LIMB12_NAMES.index("right_hip"))
_SWAP = [i ^ 1 for i in range(12)]
_LEFT_OUT_OF_H36M = ("pelvis", "spine", "neck_nose")
MATCH_DISTANCE = 0.3
"""Largest mean keypoint distance, in body-box heights, at which a found person is a true one."""


@dataclass
class PersonScore:
    """What was measured on one true person; None where nobody was found or a figure does not apply."""

    picture: str
    person: int
    visible_share: float
    found: bool = False
    mpjpe_mm: float | None = None
    pa_mpjpe_mm: float | None = None
    mpjpe_smpl24_mm: float | None = None
    pa_mpjpe_smpl24_mm: float | None = None
    mpjpe_h36m14_mm: float | None = None
    pa_mpjpe_h36m14_mm: float | None = None
    pve_mm: float | None = None
    yaw_error_deg: float | None = None
    facing_right: bool | None = None
    sides_right: bool | None = None
    height_error_m: float | None = None
    depth_error_m: float | None = None
    reprojection_percent: float | None = None
    blazepose_mpjpe_mm: float | None = None
    blazepose_turned_mpjpe_mm: float | None = None
    blazepose_pa_mpjpe_mm: float | None = None


@dataclass
class SyntheticReport:
    """Scores of a set and what could not be scored.

    Attributes:
        people: one score per true person, found or not.
        extra: found people that are nobody, as ``picture: id``.
        failed: pictures that could not be fitted, as ``picture: message``.
        summary: means over people, rates and the comparison with BlazePose.
    """

    people: list[PersonScore] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


def evaluate_synthetic(
    folder: str | Path,
    options: FitOptions | None = None,
    *,
    limit: int | None = None,
    jobs: int = 0,
    on_picture: Callable[[str], None] | None = None,
) -> SyntheticReport:
    """Fit all pictures of a folder and score the bodies against the truth beside them.

    Args:
        folder: pictures with their ``NAME.truth.json`` (see :mod:`dsr.evaluation.truth`).
        options: how to fit.
        limit: only the first so many pictures.
        jobs: pictures fitted at a time; 0 chooses by the processor.
        on_picture: called with the name of every finished picture.

    Raises:
        DatasetError: if the folder has no truth, or the truth belongs to another body asset.
        UsageError: for options that cannot work.
    """
    from dsr.pipeline import fit_images

    options = options or FitOptions()
    pictures = load_truth(folder)[:limit]
    asset = load_asset("open")
    stale = [picture.path.name for picture in pictures if picture.body_sha256 != asset.sha256]
    if stale:
        raise DatasetError(
            f"{folder}: the truth of {len(stale)} pictures ({stale[0]}, ...) was made with another body than the one "
            "installed; render the pictures again."
        )
    fitted_asset = asset if options.body == "open" else load_asset(options.body)
    report = SyntheticReport()
    landmarks = _Landmarks(options)
    results = fit_images([picture.path for picture in pictures], options, jobs=jobs)
    for picture, result in zip(pictures, results, strict=True):
        score_picture(picture, result, landmarks.detect(picture.path), asset, fitted_asset, report)
        if on_picture is not None:
            on_picture(picture.path.name)
    report.summary = summarise(report)
    return report


class _Landmarks:
    """BlazePose's own landmarks on the same pictures; nobody where detections are imported."""

    def __init__(self, options: FitOptions) -> None:
        self._options = options
        self._detector: Any = None

    def detect(self, path: Path) -> list[Detection]:
        """People of one picture with world landmarks."""
        from dsr.errors import ImageError
        from dsr.image import read_photo
        from dsr.people import PeopleDetector

        if self._options.keypoints is not None or self._options.boxes is not None:
            return []
        if self._detector is None:
            self._detector = PeopleDetector(quality=self._options.quality)
        try:
            found = self._detector.detect(read_photo(path))
        except ImageError:
            return []
        return [person for person in found if person.world_m is not None]


def score_picture(
    picture: TruePicture,
    result: FitResult,
    landmarks: Sequence[Detection],
    asset: BodyAsset,
    fitted_asset: BodyAsset,
    report: SyntheticReport,
) -> None:
    """Match found people to true ones and add their scores to the report; nobody is dropped.

    Args:
        picture: the truth.
        result: what was fitted.
        landmarks: the detector's people of the same picture, with world landmarks.
        asset: body of the truth.
        fitted_asset: body of the result.
        report: grows by one score per true person.
    """
    name = picture.path.name
    if result.status not in ("ok", "no_person"):
        report.failed.append(f"{name}: {result.message}")
    people = result.people
    fit_of = match_people(picture.people, [(p.keypoint_set, p.keypoints_px[:, :2]) for p in people])
    mark_of = match_people(picture.people, [(d.keypoint_set, d.keypoints_px[:, :2]) for d in landmarks])
    report.extra += [f"{name}: {people[i].id}" for i in range(len(people)) if i not in fit_of.values()]
    for index, truth in enumerate(picture.people):
        score = PersonScore(name, index, truth.visible_share, found=index in fit_of)
        if index in fit_of:
            _score_fit(score, picture, truth, people[fit_of[index]], asset, fitted_asset)
        if index in mark_of:
            _score_landmarks(score, picture, truth, landmarks[mark_of[index]])
        report.people.append(score)


def match_people(people: Sequence[TruePerson], found: Sequence[tuple[str, np.ndarray]]) -> dict[int, int]:
    """Which found person is which true one, by mean keypoint distance in body-box heights.

    Args:
        people: true people.
        found: keypoint set and (K, 2) pixels of every found person.

    Returns:
        Index of the found person per index of a matched true person; each is used once.
    """
    from scipy.optimize import linear_sum_assignment

    if not people or not found:
        return {}
    cost = np.full((len(people), len(found)), 1e3)
    for i, truth in enumerate(people):
        size = max(float(truth.box_px[3] - truth.box_px[1]), float(truth.box_px[2] - truth.box_px[0]))
        for j, (kind, keypoints) in enumerate(found):
            if kind in truth.keypoints_px:
                distance = np.linalg.norm(keypoints - truth.keypoints_px[kind], axis=1).mean() / size
                cost[i, j] = distance if np.isfinite(distance) else 1e3
    rows, columns = linear_sum_assignment(cost)
    return {int(i): int(j) for i, j in zip(rows, columns, strict=True) if cost[i, j] < MATCH_DISTANCE}


def _score_fit(
    score: PersonScore,
    picture: TruePicture,
    truth: TruePerson,
    person: PersonResult,
    asset: BodyAsset,
    fitted_asset: BodyAsset,
) -> None:
    from dsr.evaluation import mpjpe, pa_mpjpe, pve

    vertices = np.asarray(person.vertices_cam_m, dtype=np.float64)
    found = np.asarray(fitted_asset.keypoint_regressor("blazepose33") @ vertices)[limb12_index()]
    real = truth.keypoints_cam_m["blazepose33"][limb12_index()]
    score.mpjpe_mm = 1000 * float(mpjpe(found, real, root=_HIPS))
    score.pa_mpjpe_mm = 1000 * float(pa_mpjpe(found, real))
    chosen = [i for i, joint in enumerate(joint_names("h36m17")) if joint not in _LEFT_OUT_OF_H36M]
    names = [joint_names("h36m17")[i] for i in chosen]
    hips = (names.index("left_hip"), names.index("right_hip"))
    found14 = np.asarray(fitted_asset.keypoint_regressor("h36m17") @ vertices)[chosen]
    real14 = truth.keypoints_cam_m["h36m17"][chosen]
    score.mpjpe_h36m14_mm = 1000 * float(mpjpe(found14, real14, root=hips))
    score.pa_mpjpe_h36m14_mm = 1000 * float(pa_mpjpe(found14, real14))
    joints = np.asarray(person.joints_cam_m, dtype=np.float64)[:24]
    score.mpjpe_smpl24_mm = 1000 * float(mpjpe(joints, truth.joints_cam_m[:24]))
    score.pa_mpjpe_smpl24_mm = 1000 * float(pa_mpjpe(joints, truth.joints_cam_m[:24]))
    if len(vertices) == asset.num_vertices and fitted_asset.sha256 == asset.sha256:
        real_vertices = pose_vertices(asset, truth.betas, truth.body_pose, truth.global_orient, truth.transl)
        skin = np.ones(len(vertices), dtype=bool)
        if len(asset.interior):
            skin[np.unique(asset.faces[asset.interior])] = False
        score.pve_mm = 1000 * float(
            pve(vertices, real_vertices, skin, predicted_root=joints[0], target_root=truth.joints_cam_m[0])
        )
    score.yaw_error_deg = yaw_error_deg(person.global_orient, truth.global_orient)
    score.facing_right = score.yaw_error_deg < 90.0
    score.sides_right = sides_right(found, real)
    score.height_error_m = float(person.height_m) - truth.height_m
    score.depth_error_m = float(joints[0, 2] - truth.joints_cam_m[0, 2])
    pixels = found[:, :2] / found[:, 2:] * picture.K[[0, 1], [0, 1]] + picture.K[:2, 2]
    apart = np.linalg.norm(pixels - truth.keypoints_px["blazepose33"][limb12_index()], axis=1).mean()
    score.reprojection_percent = 100 * float(apart / (truth.box_px[3] - truth.box_px[1]))


def _score_landmarks(score: PersonScore, picture: TruePicture, truth: TruePerson, person: Detection) -> None:
    """BlazePose's landmarks live in the camera of its crop: score them as they are, and turned by the crop's ray."""
    import torch

    from dsr.camera import perspective_rotation
    from dsr.evaluation import mpjpe, pa_mpjpe

    assert person.world_m is not None
    found = np.asarray(person.world_m, dtype=np.float64)[limb12_index()]
    real = truth.keypoints_cam_m["blazepose33"][limb12_index()]
    box = np.asarray(person.box_px, dtype=np.float64)
    turn = perspective_rotation(torch.as_tensor(picture.K), torch.as_tensor((box[:2] + box[2:]) / 2)).numpy()
    score.blazepose_mpjpe_mm = 1000 * float(mpjpe(found, real, root=_HIPS))
    score.blazepose_turned_mpjpe_mm = 1000 * float(mpjpe(found @ turn, real, root=_HIPS))
    score.blazepose_pa_mpjpe_mm = 1000 * float(pa_mpjpe(found, real))


def limb12_index() -> list[int]:
    """Places of :data:`LIMB12_NAMES` in ``blazepose33``."""
    names = joint_names("blazepose33")
    return [names.index(name) for name in LIMB12_NAMES]


def yaw_error_deg(found: np.ndarray, real: np.ndarray) -> float:
    """Angle between where two pelvises face, about the true body's vertical axis, 0 to 180 degrees.

    Args:
        found: (3,) axis-angle of the fitted global orientation.
        real: (3,) axis-angle of the true one.
    """
    local = rodrigues(np.asarray(real, float)).T @ rodrigues(np.asarray(found, float))[:, 2]
    return float(abs(np.degrees(np.arctan2(local[0], local[2]))))


def sides_right(found: np.ndarray, real: np.ndarray) -> bool:
    """Whether left and right are as they should be: the (12, 3) limbs fit better as they are than exchanged."""
    from dsr.evaluation import mpjpe

    return bool(float(mpjpe(found, real, root=_HIPS)) <= float(mpjpe(found[_SWAP], real, root=_HIPS)))


def summarise(report: SyntheticReport) -> dict[str, Any]:
    """Means over found people, rates, and the fit against BlazePose on the people both found."""
    people = report.people
    found = [score for score in people if score.found]
    summary: dict[str, Any] = {
        "people": len(people),
        "found": len(found),
        "detection_rate": len(found) / len(people) if people else None,
        "extra_people": len(report.extra),
        "failed_pictures": len(report.failed),
    }
    for key in (
        "mpjpe_mm", "pa_mpjpe_mm", "mpjpe_smpl24_mm", "pa_mpjpe_smpl24_mm", "mpjpe_h36m14_mm", "pa_mpjpe_h36m14_mm",
        "pve_mm", "yaw_error_deg", "reprojection_percent",
    ):  # fmt: skip
        summary[key] = _mean(getattr(score, key) for score in found)
    for key in ("facing_right", "sides_right"):
        summary[f"{key}_rate"] = _mean(getattr(score, key) for score in found)
    summary["facing_and_sides_right_rate"] = _mean(
        bool(score.facing_right and score.sides_right) for score in found if score.facing_right is not None
    )
    for key in ("height_error_m", "depth_error_m"):
        summary[f"{key}_mean_abs"] = _mean(abs(getattr(score, key)) for score in found)
        summary[f"{key}_bias"] = _mean(getattr(score, key) for score in found)
    both = [score for score in found if score.blazepose_mpjpe_mm is not None]
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
    return summary


def _mean(values: Iterable[float | bool | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return float(np.mean(known)) if known else None
