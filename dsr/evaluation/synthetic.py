"""The generated benchmark: fitted bodies, and BlazePose's own 3D landmarks, against people whose bodies are known.

All errors are per person and then averaged over people. Joint sets:

* ``limb12``: shoulders, elbows, wrists, hips, knees and ankles of ``blazepose33``; truth and fit through the body's
  regressor on the whole mesh, BlazePose's world landmarks as they are. The only set all three have, so the only one on
  which the fit is compared with BlazePose. Root: midpoint of the hips.
* ``smpl24``: the body model's 24 joints; root: pelvis.
* ``h36m14``: the 14 Human3.6M joints of the SMPL literature (limbs, thorax, head top); root: midpoint of the hips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dsr.body import BodyAsset, load_asset
from dsr.errors import DatasetError
from dsr.evaluation.matching import assign
from dsr.evaluation.scores import PersonScore, score_body, score_landmarks
from dsr.evaluation.strata import score_floor, score_posture
from dsr.evaluation.summary import SyntheticReport, summarise
from dsr.evaluation.truth import TruePerson, TruePicture, load_truth
from dsr.options import FitOptions, body_to_load

if TYPE_CHECKING:
    from dsr.results.picture import FitResult

MATCH_DISTANCE = 0.3
"""Largest mean keypoint distance, in body-box heights, at which a found person is a true one."""

PLAIN_PX = 40.0
"""Who shows this much of head or trunk is plain to see."""


def evaluate_synthetic(
    folder: str | Path,
    options: FitOptions | None = None,
    *,
    limit: int | None = None,
    jobs: int = 0,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> SyntheticReport:
    """Fit all pictures of a folder and score the bodies against the truth beside them.

    Args:
        folder: pictures with their ``NAME.truth.json`` (see :mod:`dsr.evaluation.truth`).
        options: how to fit.
        limit: only the first so many pictures.
        jobs: pictures fitted at a time; 0 chooses by the processor.
        on_progress: called with the number of finished pictures, that of all, and the name of the last one.

    Raises:
        DatasetError: if the folder has no truth, or the truth belongs to another body asset and holds no vertices.
        UsageError: for options that cannot work.
    """
    from dsr.pipeline.picture_fitter import fit_images

    options = options or FitOptions()
    pictures = load_truth(folder)[:limit]
    asset = load_asset("open")
    stale = [picture for picture in pictures if picture.body_sha256 != asset.sha256]
    bare = [picture.path.name for picture in stale if any(p.vertices_cam_m is None for p in picture.people)]
    if bare:
        raise DatasetError(
            f"{folder}: the truth of {len(bare)} pictures ({bare[0]}, ...) was made with another body than the one "
            "installed; render the pictures again."
        )
    fitted_asset = asset if body_to_load(options) == "open" else load_asset(body_to_load(options))
    report = SyntheticReport()
    results = fit_images([picture.path for picture in pictures], options, jobs=jobs, keep_stages=True)
    for done, (picture, result) in enumerate(zip(pictures, results, strict=True), 1):
        if picture in stale:
            score_picture(with_keypoints_of(asset, picture), result, None, fitted_asset, report)
        else:
            score_picture(picture, result, asset, fitted_asset, report)
        if on_progress is not None:
            on_progress(done, len(pictures), picture.path.name)
    report.other_body = len(stale)
    report.summary = summarise(report)
    return report


def with_keypoints_of(asset: BodyAsset, picture: TruePicture) -> TruePicture:
    """A picture whose true keypoints are this body's, read off the true vertices; as it is where the mesh is another.

    Args:
        asset: a body whose keypoints may lie elsewhere on the mesh than those of the body the truth was made with.
        picture: the truth.
    """

    def person(truth: TruePerson) -> TruePerson:
        if truth.vertices_cam_m is None or len(truth.vertices_cam_m) != asset.num_vertices:
            return truth
        points = {
            name: np.asarray(asset.keypoint_regressor(name) @ truth.vertices_cam_m) for name in truth.keypoints_cam_m
        }
        pixels = {name: picture.camera.project(k) for name, k in points.items()}
        return replace(truth, keypoints_cam_m=points, keypoints_px=pixels)

    return replace(picture, people=tuple(map(person, picture.people)))


def score_picture(
    picture: TruePicture,
    result: FitResult,
    asset: BodyAsset | None,
    fitted_asset: BodyAsset,
    report: SyntheticReport,
) -> None:
    """Match found people to true ones and add their scores to the report; nobody is dropped.

    Args:
        picture: the truth.
        result: what was fitted; with its stages kept, BlazePose and the unrefined bodies are scored as well.
        asset: body of the truth; None where it is not installed.
        fitted_asset: body of the result.
        report: grows by one score per true person.
    """
    name = picture.path.name
    if result.status not in ("ok", "no_person"):
        report.failed.append(f"{name}: {result.message}")
    people, detections, unrefined = result.people, result.detections or [], result.unrefined
    fit_of = match_people(picture.people, [(p.keypoint_set, p.keypoints_px[:, :2]) for p in people])
    report.extra += [f"{name}: {people[i].id}" for i in range(len(people)) if i not in fit_of.values()]
    strata = [picture.stratum] if picture.stratum else []
    standing: list[tuple[PersonScore, np.ndarray]] = []
    for index, truth in enumerate(picture.people):
        plain = None if truth.plain_px is None else truth.plain_px >= PLAIN_PX
        score = PersonScore(name, index, truth.visible_share, strata=[*strata, *truth.strata], plain=plain)
        if index in fit_of:
            place = fit_of[index]
            score_body(score, picture, truth, people[place], asset, fitted_asset)
            standing.append((score, np.asarray(people[place].vertices_cam_m, np.float64)))
            score_posture(score, picture, truth, standing[-1][1], fitted_asset)
            if place < len(detections):
                score_landmarks(score, picture, truth, detections[place])
            if unrefined is not None:
                score.unrefined = PersonScore(name, index, truth.visible_share)
                score_body(score.unrefined, picture, truth, unrefined[place], asset, fitted_asset)
        report.people.append(score)
    score_floor([score for score, _ in standing], picture, [body for _, body in standing], result.floor)


def match_people(people: Sequence[TruePerson], detections: Sequence[tuple[str, np.ndarray]]) -> dict[int, int]:
    """Which found person is which true one, by mean keypoint distance in body-box heights.

    Args:
        people: true people.
        detections: keypoint set and (K, 2) pixels of every found person.

    Returns:
        Index of the found person per index of a matched true person; each is used once.
    """
    cost = np.full((len(people), len(detections)), np.inf)
    for i, truth in enumerate(people):
        size = max(float(truth.box_px[3] - truth.box_px[1]), float(truth.box_px[2] - truth.box_px[0]))
        for j, (kind, keypoints) in enumerate(detections):
            if kind in truth.keypoints_px:
                cost[i, j] = np.linalg.norm(keypoints - truth.keypoints_px[kind], axis=1).mean() / size
    return assign(cost, MATCH_DISTANCE)
