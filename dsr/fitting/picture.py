"""Keypoints to bodies: all people of one picture in one batch, each in the camera turned to look straight at them.

Start: closed-form inverse kinematics from the 3D landmarks, or several facings where only 2D keypoints are known. Then
robust second-order optimisation. The result is turned back into the original camera before anyone sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dsr.body import Body
from dsr.body.transfer import PosedBody
from dsr.camera import PictureCamera
from dsr.devices import one_thread
from dsr.fitting.expectation import expect_upright
from dsr.fitting.gravity import find_gravity, find_stances
from dsr.fitting.picture_result import describe_state, named_people
from dsr.fitting.problem import fit_problem, group_detections
from dsr.fitting.solver import FitWeights, solve
from dsr.fitting.starts import best_of, predicted_state, starting_states
from dsr.options import FitOptions
from dsr.people.types import Detection
from dsr.results.picture import PersonResult

_STEPS = {"fast": 8, "standard": 12, "best": 30}
_PREDICTED: dict[str, Any] = {"landmark_across_m": 0.08, "landmark_along_m": 0.12, "beta": 0.7, "child": 0.1}
"""How far a network's 3D keypoints and shape are trusted."""


def fit_people(
    detections: Sequence[Detection],
    camera: PictureCamera,
    body: Body,
    options: FitOptions,
    start: PosedBody | None = None,
) -> list[PersonResult]:
    """Fit a body to every detection of one picture.

    Args:
        detections: people, left to right; each is named after its ``number``, or else its place in the list.
        camera: of the full, upright picture.
        body: body layer; its asset needs the detections' keypoint set.
        options: ``height``, ``mass``, ``quality`` and ``refine`` are used.
        start: bodies to start from, a network's for example, in the picture's camera and in the order of the
            detections. Their 3D keypoints then take the place of the detector's 3D landmarks, and are trusted more.

    Returns:
        One result per detection, in the same order, in the original camera.

    Raises:
        BodyError: if the body has no regressor for a keypoint set.
        FittingError: if no keypoint of a person is usable.
    """
    people: dict[int, PersonResult] = {}
    gravity = camera.gravity or find_gravity(detections, camera)
    camera = replace(camera, gravity=gravity)
    with one_thread():
        for rows in group_detections(detections):
            group_start = None if start is None else start.select(rows)
            group = _fit_group([detections[i] for i in rows], camera, body, options, group_start)
            people.update(zip(rows, group, strict=True))
    return named_people([people[i] for i in range(len(detections))], detections)


def _fit_group(
    detections: list[Detection], camera: PictureCamera, body: Body, options: FitOptions, start: PosedBody | None
) -> list[PersonResult]:
    """Fit people that share a keypoint set and either all have 3D landmarks or all have none."""
    problem = fit_problem(detections, camera, body, options)
    assert camera.gravity is not None
    problem = expect_upright(problem, camera.gravity, find_stances(detections, camera, camera.gravity))
    weights = FitWeights(steps=_STEPS[options.quality])
    if start is None:
        states = starting_states(problem, options)
    else:
        model, state = problem.model, predicted_state(problem, start)
        points = model.pose(state.root, state.theta, state.betas, state.transl).points
        targets = replace(problem.targets, landmarks=points, betas=state.betas, metric=True)
        problem, weights = replace(problem, targets=targets), replace(weights, **_PREDICTED)
        # first let keypoints pull from afar: a network may be wrong by more than the robust term still feels
        # (the pose gives way, not the shape)
        eager = replace(weights, robust=8 * weights.robust, beta=0.1, child=0.02)
        states = [solve(model, problem.prior, targets, state, eager)[0]]
    return describe_state(problem, best_of(problem, states, weights))
