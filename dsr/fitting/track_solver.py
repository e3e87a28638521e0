"""One body through all frames of a clip at once: Levenberg-Marquardt with shared shape and terms between frames.

Long tracks are solved window by window. Jacobians are closed-form, as in :mod:`dsr.fitting.solver`.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from dsr.fitting.track_problem import TrackPoints, TrackState, TrackTargets, TrackWeights
from dsr.fitting.track_terms import linearise_track
from dsr.limits import check_time
from dsr.mocap.pose_prior import PosePrior

WINDOW = 300
"""Most frames solved at once; longer tracks are solved window by window, each going on where the last one ended."""


def solve_track(
    points: TrackPoints,
    prior: PosePrior,
    targets: TrackTargets,
    start: TrackState,
    weights: TrackWeights,
    steps: int,
    tolerance: float = 3e-4,
) -> tuple[TrackState, float]:
    """Minimise the cost of a track.

    Args:
        points: keypoints of the body.
        prior: pose prior.
        targets: what to fit to.
        start: where to start.
        weights: of the terms.
        steps: most steps of the solver.
        tolerance: a step that lowers the cost by less than this fraction is the last.

    Returns:
        The best state and its cost.
    """
    state, damping = start, 1e-3
    system = linearise_track(points, prior, targets, state, weights)
    for _ in range(steps):
        check_time()
        delta = system.solve(damping, targets.held, targets.shape_held)
        if delta is None:
            damping *= 10
            continue
        trial = state.step(*delta)
        next_system = linearise_track(points, prior, targets, trial, weights)
        gain = system.cost - next_system.cost
        if gain > 0:  # NaN compares false: a wild step is simply refused
            done = gain < tolerance * system.cost
            state, system, damping = trial, next_system, max(damping * 0.2, 1e-7)
            if done:
                break
        else:
            damping = min(damping * 10, 1e6)
    return state, system.cost


def solve_windows(
    points: TrackPoints,
    prior: PosePrior,
    targets: TrackTargets,
    start: TrackState,
    weights: TrackWeights,
    steps: int,
) -> TrackState:
    """Minimise the cost of a track of any length, in windows of :data:`WINDOW` frames.

    The first window's shape is kept by the others. Arguments as of :func:`solve_track`.
    """
    frames = len(start.theta)
    targets = replace(targets, betas=start.betas if frames > WINDOW else targets.betas)
    done, _ = solve_track(points, prior, targets.window(0, WINDOW), start.window(0, WINDOW), weights, steps)
    end = WINDOW
    lap = 2  # frames a window shares with the one before; second differences reach that far
    while end < frames:
        stop = min(end + WINDOW - lap, frames)
        new = start.window(end, stop)
        shift = done.transl[-1] - start.transl[end - 1]  # goes on where the last window ended
        state = TrackState(
            torch.cat([done.root[-lap:], new.root]),
            torch.cat([done.theta[-lap:], new.theta]),
            torch.cat([done.transl[-lap:], new.transl + shift]),
            done.betas,
        )
        window_targets = replace(targets.window(end - lap, stop), held=lap, shape_held=True)
        state, _ = solve_track(points, prior, window_targets, state, weights, steps)
        done = TrackState(
            torch.cat([done.root, state.root[lap:]]),
            torch.cat([done.theta, state.theta[lap:]]),
            torch.cat([done.transl, state.transl[lap:]]),
            done.betas,
        )
        end = stop
    return done
