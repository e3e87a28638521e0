"""A hand refined: wrist, fingers and 2D points together, from closed-form starts, by damped least squares.

What is minimised: distances of the landmarks in the picture, directions of bones as the model's 3D landmarks have them,
distance of the angles from a relaxed hand, of the hand from the forearm's direction, and of its size from the body's. A
hand's picture has two readings in depth, so both the 3D landmarks and their mirror image in depth are starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dsr.body.numpy_lbs import rodrigues
from dsr.fitting.fingers import FingerPose, RestHand

_FIRST_STEPS, _STEPS, _DAMPING = 5, 6, 1e-3  # of both starts, then of the better one
_PIXEL, _OF_SIDE = 1.0, 0.03  # error of a landmark in the picture: so many pixels, and so much of the hand's size
_DIRECTION = 0.8  # error of a bone's direction in the 3D landmarks
_BEND, _SPREAD, _THUMB = 0.5, 0.15, 0.35  # by how much hands differ from a relaxed one, radians
_TWIST, _BENT_WRIST = 0.6, 0.35  # by how much hands turn against the forearm
_SCALE = 0.12
_BONES = [(a, a + 1) for first in (1, 5, 9, 13, 17) for a in range(first, first + 3)] + [(0, k) for k in (5, 9, 13, 17)]
_ENDS = np.array(_BONES).T


@dataclass(frozen=True)
class HandView:
    """A hand as a camera sees it that looks straight at it.

    Attributes:
        points: (21, 2) landmarks, pixels.
        world: (21, 3) 3D landmarks in the camera's axes, any length unit.
        pixels_per_metre: at the hand's distance, as the body says.
        forearm: (3, 3) rotation of the forearm (the elbow joint), rest to camera.
    """

    points: np.ndarray
    world: np.ndarray
    pixels_per_metre: float
    forearm: np.ndarray


def solve_hand(rest: RestHand, view: HandView) -> FingerPose:
    """The hand that explains a view best; its rotation is in the view's camera."""
    side = float(np.ptp(view.points, axis=0).max())
    pixel = np.hypot(_PIXEL, _OF_SIDE * side)
    seen = view.points - view.points.mean(0)
    bones = _directions(view.world)
    relaxed, spread = rest.relaxed, _spreads()

    def residuals(hand: np.ndarray, state: np.ndarray) -> np.ndarray:
        """(B, R) of states (B, 25): a turn of the hand, the logarithm of its size, angles."""
        angles = state[:, 4:]
        turn = rodrigues(state[:, :3]) @ hand
        model = rest.landmarks(angles) @ np.swapaxes(turn, -1, -2)
        drawn = model[..., :2] * (view.pixels_per_metre * np.exp(state[:, 3]))[:, None, None]
        drawn = drawn - drawn.mean(1, keepdims=True)
        wrist = _turn_vector(view.forearm.T @ turn)
        twist = wrist @ rest.forearm
        bent = wrist - twist[:, None] * rest.forearm
        beyond = angles - rest.within_limits(angles)
        parts = (
            _robust(drawn - seen, pixel, 3.0),
            (_directions(model) - bones) / _DIRECTION,
            (angles - relaxed) / spread,
            beyond / 0.1,
            twist[:, None] / _TWIST,
            bent / _BENT_WRIST,
            state[:, 3:4] / _SCALE,
        )
        return np.concatenate([part.reshape(len(state), -1) for part in parts], 1)

    tried = []
    for depth in (1.0, -1.0):
        start = rest.read(view.world * [1.0, 1.0, depth], 0.7)
        state = np.concatenate([np.zeros(4), start.angles])
        tried.append(_minimise(residuals, start.hand, state, _FIRST_STEPS))
    hand, state, _ = min(tried, key=lambda each: each[2])
    hand, state, _ = _minimise(residuals, hand, state, _STEPS)
    return rest.as_pose(hand, rest.within_limits(state[4:]))


def _minimise(
    residuals: Callable[[np.ndarray, np.ndarray], np.ndarray], hand: np.ndarray, state: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Levenberg-Marquardt with differences; the turn of the hand goes into its rotation after every step."""
    step, damping = 1e-4, _DAMPING
    current = residuals(hand, state[None])[0]
    for _ in range(steps):
        around = residuals(hand, state + step * np.eye(len(state)))
        jacobian = (around - current).T / step
        normal, gradient = jacobian.T @ jacobian, jacobian.T @ current
        while True:
            change = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-6), -gradient)
            after = residuals(hand, (state + change)[None])[0]
            if after @ after < current @ current:
                damping = max(damping / 5, 1e-6)
                break
            damping *= 10
            if damping > 1e4:
                return hand, state, float(current @ current)
        gain = current @ current - after @ after
        state, current = state + change, after
        hand = rodrigues(state[:3]) @ hand
        state[:3] = 0
        if gain < 1e-3 * (after @ after):
            break
    return hand, state, float(current @ current)


def _robust(offsets: np.ndarray, sigma: float, reach: float) -> np.ndarray:
    """Residuals (..., 2) whose squares grow slowly beyond ``reach`` sigmas (Geman-McClure's square root)."""
    square = (offsets**2).sum(-1, keepdims=True) / sigma**2
    return offsets / sigma / np.sqrt(1 + square / reach**2)


def _directions(points: np.ndarray) -> np.ndarray:
    steps = points[..., _ENDS[1], :] - points[..., _ENDS[0], :]
    unit: np.ndarray = steps / np.maximum(np.linalg.norm(steps, axis=-1, keepdims=True), 1e-9)
    return unit


def _spreads() -> np.ndarray:
    return np.array(4 * [_BEND, _SPREAD, _BEND, _BEND] + [_THUMB, _THUMB, _THUMB, _BEND, _BEND])


def _turn_vector(rotations: np.ndarray) -> np.ndarray:
    """Axis-angle (B, 3) of rotations (B, 3, 3)."""
    import torch

    from dsr.body.rotations import rotmat_to_axis_angle

    vectors: np.ndarray = rotmat_to_axis_angle(torch.from_numpy(rotations)).numpy()
    return vectors
