"""A hand refined: wrist, fingers and 2D points together, from closed-form starts, by damped least squares.

What is minimised: distances of the landmarks in the picture, directions of bones as the model's 3D landmarks have them,
distance of the angles from a relaxed hand, of the hand from the forearm's direction, and of its size from the body's;
the less sure the model is of a hand, the less its landmarks count. A hand's picture has two readings in depth: both the
3D landmarks and their mirror image in depth are solved for, and the second wins where the hand looks like the other
side's (its palm was taken for its back), which is what a mirrored reading looks like to the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.body.numpy_lbs import rodrigues
from dsr.fitting.fingers import FingerPose, RestHand

_STEPS, _DAMPING, _DIFFERENCE = 9, 1e-3, 1e-4
_PIXEL, _OF_SIDE = 1.0, 0.03  # error of a landmark in the picture: so many pixels, and so much of the hand's size
_DIRECTION = 0.8  # error of a bone's direction in the 3D landmarks
_UNSURE = 10.0  # by how much both grow from a presence of 1 to 0
_BEND, _SPREAD, _THUMB = 0.5, 0.15, 0.35  # by how much hands differ from a relaxed one, radians
_TWIST, _BENT_WRIST = 0.5, 0.3  # by how much hands turn against the forearm
_SCALE = 0.12
_LEAST_SIDE = 0.02  # no handedness is surer than this
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
        presence: 0 to 1, how sure the model is of the hand.
        side_probability: 0 to 1, how well the hand looks like one of its side.
    """

    points: np.ndarray
    world: np.ndarray
    pixels_per_metre: float
    forearm: np.ndarray
    presence: float = 1.0
    side_probability: float = 1.0


def solve_hand(rest: RestHand, view: HandView) -> FingerPose:
    """The hand that explains a view best; its rotation is in the view's camera."""
    poses, costs = hand_readings(rest, view)
    return poses[int(np.argmin(costs))]


def hand_readings(rest: RestHand, view: HandView) -> tuple[list[FingerPose], np.ndarray]:
    """Both readings of a view in depth, as the model has it and mirrored, and their costs (2,)."""
    unsure = 1 + _UNSURE * (1 - min(view.presence, 1.0))
    pixel = np.hypot(_PIXEL, unsure * _OF_SIDE * float(np.ptp(view.points, axis=0).max()))
    seen = view.points - view.points.mean(0)
    worlds = np.stack([view.world, view.world * [1.0, 1.0, -1.0]])
    bones = _directions(worlds)[:, None]
    relaxed, spread = rest.relaxed, _spreads()

    def residuals(hands: np.ndarray, states: np.ndarray) -> np.ndarray:
        """(2, B, R) of rotations (2, 3, 3) and states (2, B, 25): a turn of the hand, logarithm of its size, angles."""
        angles = states[..., 4:]
        turn = rodrigues(states[..., :3]) @ hands[:, None]
        model = rest.landmarks(angles, as_seen=True) @ np.swapaxes(turn, -1, -2)
        drawn = model[..., :2] * (view.pixels_per_metre * np.exp(states[..., 3]))[..., None, None]
        drawn = drawn - drawn.mean(-2, keepdims=True)
        wrist = _turn_vector(view.forearm.T @ turn)
        twist = wrist @ rest.forearm
        parts = (
            _robust(drawn - seen, pixel, 3.0),
            (_directions(model) - bones) / (unsure * _DIRECTION),
            (angles - relaxed) / spread,
            (angles - rest.within_limits(angles)) / 0.1,
            twist[..., None] / _TWIST,
            (wrist - twist[..., None] * rest.forearm) / _BENT_WRIST,
            states[..., 3:4] / _SCALE,
        )
        return np.concatenate([part.reshape(*states.shape[:2], -1) for part in parts], -1)

    starts = [rest.read(world, 0.7) for world in worlds]
    states = np.stack([np.concatenate([np.zeros(4), start.angles]) for start in starts])
    hands, states, costs = _minimise(residuals, np.stack([start.hand for start in starts]), states)
    odds = np.clip(view.side_probability, _LEAST_SIDE, 1 - _LEAST_SIDE)
    poses = [rest.as_pose(hand, rest.within_limits(state[4:])) for hand, state in zip(hands, states, strict=True)]
    return poses, costs - 2 * np.log([odds, 1 - odds])


def _minimise(
    residuals: Callable[[np.ndarray, np.ndarray], np.ndarray], hands: np.ndarray, states: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levenberg-Marquardt with differences for H starts at once, two dampings a step.

    The turn of a hand goes into its rotation after every step.
    """
    rows, count = np.arange(len(states)), states.shape[-1]
    around = np.concatenate([np.zeros((1, count)), _DIFFERENCE * np.eye(count)])
    damping, costs = np.full(len(states), _DAMPING), np.full(len(states), np.inf)
    for _ in range(_STEPS):
        values = residuals(hands, states[:, None] + around)
        current = values[:, 0]
        jacobian = (values[:, 1:] - current[:, None]) / _DIFFERENCE
        normal, gradient = jacobian @ np.swapaxes(jacobian, 1, 2), jacobian @ current[..., None]
        costs = (current**2).sum(-1)
        tries = np.stack([damping, 30 * damping], 1)
        diagonal = (np.einsum("hii->hi", normal) + 1e-6)[:, None, :, None] * np.eye(count)
        changes = -np.linalg.solve(normal[:, None] + tries[..., None, None] * diagonal, gradient[:, None])[..., 0]
        after = (residuals(hands, states[:, None] + changes) ** 2).sum(-1)
        chosen = after.argmin(1)
        better = after[rows, chosen] < costs
        states = states + np.where(better[:, None], changes[rows, chosen], 0.0)
        damping = np.where(better, np.maximum(tries[rows, chosen] / 8, 1e-6), 300 * damping)
        costs = np.where(better, after[rows, chosen], costs)
        hands = rodrigues(states[:, :3]) @ hands
        states[:, :3] = 0
    return hands, states, costs


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
    """Axis-angle (..., 3) of rotations (..., 3, 3)."""
    vectors = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec()
    return vectors.reshape(*rotations.shape[:-2], 3)
