"""Keypoints to bodies: all people of one picture in one batch, each in the camera turned to look straight at them.

Start: closed-form inverse kinematics from the 3D landmarks, or several facings where only 2D keypoints are known. Then
robust second-order optimisation. The result is turned back into the original camera before anyone sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dsr.body import Body
from dsr.body.transfer import PosedBody
from dsr.camera import PictureCamera
from dsr.devices import one_thread
from dsr.fitting.body_uncertainty import refine_joints
from dsr.fitting.expectation import expect_upright
from dsr.fitting.floor import shared_floor, soles_below, standing_on
from dsr.fitting.gravity import find_gravity, find_stances
from dsr.fitting.lifted_people import with_lifted_limbs
from dsr.fitting.network_start import with_network
from dsr.fitting.picture_result import describe_state, named_people
from dsr.fitting.problem import FitProblem, finite_detection, fit_problem, group_detections
from dsr.fitting.solver import FitWeights, State, placed, solve
from dsr.fitting.stance import Stance
from dsr.fitting.starts import best_of, predicted_state, starting_states
from dsr.options import FitOptions
from dsr.people.types import Detection
from dsr.results.picture import PersonResult

_STEPS = {"fast": 5, "standard": 10, "best": 30}
_FLOOR_STEPS = 5
"""More steps where people are put on one floor."""
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
    detections = [finite_detection(d) for d in detections]
    people: dict[int, PersonResult] = {}
    gravity = camera.gravity or find_gravity(detections, camera)
    stances = find_stances(detections, camera, gravity)
    with one_thread():
        groups = []
        for rows in group_detections(detections):
            group_start = None if start is None else start.select(rows)
            problem = fit_problem([detections[i] for i in rows], camera, body, options)
            if start is None:
                problem = with_network(problem)
                if problem.network is None and options.quality != "fast":
                    problem = with_lifted_limbs(problem)
            problem = expect_upright(problem, gravity, [stances[i] for i in rows])
            groups.append((rows, *_fit_group(problem, options, group_start)))
        for rows, problem, state in _on_one_floor(groups, stances, options):
            people.update(zip(rows, describe_state(problem, state), strict=True))
    return named_people([people[i] for i in range(len(detections))], detections)


def _fit_group(problem: FitProblem, options: FitOptions, start: PosedBody | None) -> tuple[FitProblem, State]:
    """Fit people that share a keypoint set and either all have 3D landmarks or all have none."""
    weights = FitWeights(steps=_STEPS[options.quality])
    if start is None:
        states = starting_states(problem, options)
    else:
        model, state = problem.model, predicted_state(problem, start)
        points, _ = model.carried(state.root, state.theta, state.betas, state.transl)
        targets = replace(problem.targets, landmarks=points, landmark_sigma=None, landmark_common=None)
        targets = replace(targets, betas=state.betas, metric=True)
        problem, weights = replace(problem, targets=targets), replace(weights, **_PREDICTED)
        # first let keypoints pull from afar: a network may be wrong by more than the robust term still feels
        # (the pose gives way, not the shape)
        eager = replace(weights, robust=8 * weights.robust, beta=0.1, child=0.02)
        states = [solve(model, problem.prior, targets, state, eager)[0]]
    state = best_of(problem, states, weights)
    state = placed(problem.model, problem.targets, state, weights)
    if options.refine in ("joints", "all"):
        state = refine_joints(problem, state).state
    return problem, state


def _on_one_floor(
    groups: list[tuple[list[int], FitProblem, State]], stances: list[Stance], options: FitOptions
) -> list[tuple[list[int], FitProblem, State]]:
    """Everybody who stands on the same floor as others, put there; sizes that the user gave stay."""
    if len(stances) < 2 or options.height is not None or options.mass is not None:
        return groups
    below = np.zeros((len(stances), 2))
    for rows, problem, state in groups:
        below[rows] = soles_below(problem, state)
    floor = shared_floor(below, stances)
    if floor is None or (floor.standing.sum() < 2 and not floor.sits.any()):
        return groups
    moved = []
    for rows, problem, state in groups:
        own = [stances[i] for i in rows]
        here = replace(floor, scale=floor.scale[rows], standing=floor.standing[rows], sits=floor.sits[rows])
        there, begin = standing_on(problem, state, here, own)
        weights = FitWeights(steps=_FLOOR_STEPS)
        if problem.targets.metric:
            weights = replace(weights, **_PREDICTED)
        moved.append((rows, problem, solve(problem.model, problem.prior, there.targets, begin, weights)[0]))
    return moved
