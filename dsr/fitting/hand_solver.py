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
from dsr.fitting.fingers import FingerPose, RestHand, left_jacobian

_STEPS, _DAMPING = 8, 1e-3
_REACH, _BEYOND = 3.0, 0.1  # sigmas from which a landmark counts less; radians beyond what joints allow
_PIXEL, _OF_SIDE = 1.0, 0.03  # error of a landmark in the picture: so many pixels, and so much of the hand's size
_DIRECTION = 0.8  # error of a bone's direction in the 3D landmarks
_UNSURE = 10.0  # by how much both grow from a presence of 1 to 0
_BEND, _SPREAD, _THUMB = 0.5, 0.15, 0.35  # by how much hands differ from a relaxed one, radians
_TWIST, _BENT_WRIST = 0.5, 0.3  # by how much hands turn against the forearm
_SCALE = 0.12
_LEAST_SIDE = 0.02  # no handedness is surer than this
BONES = [(a, a + 1) for first in (1, 5, 9, 13, 17) for a in range(first, first + 3)] + [(0, k) for k in (5, 9, 13, 17)]
"""Landmarks at the ends of a hand's bones."""
_ENDS = np.array(BONES).T


@dataclass(frozen=True)
class HandView:
    """A hand as a camera sees it that looks straight at it, fingers up.

    Attributes:
        points: (21, 2) landmarks, pixels.
        world: (21, 3) 3D landmarks in the camera's axes, any length unit.
        pixels_per_metre: at the hand's distance, as the body says.
        forearm: (3, 3) rotation of the forearm (the elbow joint), rest to camera.
        presence: 0 to 1, how sure the model is of the hand.
        side_probability: 0 to 1, how well the hand looks like one of its side.
        side_px: side of the square that the landmark model looked at.
        features: see :class:`dsr.people.hands.Hand`; None if not known.
    """

    points: np.ndarray
    world: np.ndarray
    pixels_per_metre: float
    forearm: np.ndarray
    presence: float = 1.0
    side_probability: float = 1.0
    side_px: float = 100.0
    features: np.ndarray | None = None


def hand_readings(rest: RestHand, view: HandView) -> tuple[list[FingerPose], np.ndarray]:
    """Both readings of a view in depth, as the model has it and mirrored, and their costs (2,).

    Args:
        rest: the hand at rest.
        view: rotations of the readings are in its camera.
    """
    unsure = 1 + _UNSURE * (1 - min(view.presence, 1.0))
    pixel = np.hypot(_PIXEL, unsure * _OF_SIDE * float(np.ptp(view.points, axis=0).max()))
    seen = view.points - view.points.mean(0)
    worlds = np.stack([view.world, view.world * [1.0, 1.0, -1.0]])
    bones, _ = _directions(worlds)
    relaxed, spread = rest.relaxed, _spreads()
    still = np.zeros((2, 21, 25))

    def residuals(hands: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (2, R) of rotations (2, 3, 3) and states (2, 22), logarithm of the size and angles; Jacobians.

        The columns of the Jacobians (2, 25, R) are a turn of the hand about the camera's axes, then the state.
        """
        angles = states[:, 1:]
        own, moved = rest.seen_landmarks(angles)
        model = own @ np.swapaxes(hands, -1, -2)
        change = np.zeros((2, 25, 21, 3))
        change[:, :3] = np.cross(np.eye(3)[:, None], model[:, None])
        change[:, 4:] = moved @ np.swapaxes(hands, -1, -2)[:, None]
        size = (view.pixels_per_metre * np.exp(states[:, 0]))[:, None, None]
        drawn, flat = model[..., :2] * size, change[..., :2] * size[:, None]
        flat[:, 3] = drawn
        off = (drawn - drawn.mean(-2, keepdims=True) - seen) / pixel
        flat = (flat - flat.mean(-2, keepdims=True)) / pixel
        far = 1 + (off**2).sum(-1, keepdims=True) / _REACH**2
        robust = off / np.sqrt(far)
        flat = (flat - robust[:, None] * ((off / np.sqrt(far))[:, None] * flat).sum(-1, keepdims=True) / _REACH**2) / (
            np.sqrt(far)[:, None]
        )
        ways, lengths = _directions(model)
        steps = change[..., _ENDS[1], :] - change[..., _ENDS[0], :]
        steps = (steps - ways[:, None] * (ways[:, None] * steps).sum(-1, keepdims=True)) / lengths[:, None]
        wrist = _turn_vector(view.forearm.T @ hands)
        twist = wrist @ rest.forearm
        by_turn = np.swapaxes(left_jacobian(wrist, inverse=True) @ view.forearm.T, -1, -2)
        twisted = by_turn @ rest.forearm
        beyond = angles - rest.within_limits(angles)
        held = still.copy()
        held[:, range(21), range(4, 25)] = 1.0
        wide, turned = np.zeros((2, 25, 1)), np.zeros((2, 25, 4))
        wide[:, 3] = 1 / _SCALE
        turned[:, :3, 0] = twisted / _TWIST
        turned[:, :3, 1:] = (by_turn - twisted[..., None] * rest.forearm) / _BENT_WRIST
        held = np.swapaxes(held, 1, 2)
        parts = (
            (robust, flat),
            ((ways - bones) / (unsure * _DIRECTION), steps / (unsure * _DIRECTION)),
            ((angles - relaxed) / spread, held / spread),
            (beyond / _BEYOND, held * (beyond != 0)[:, None] / _BEYOND),
            (np.c_[twist / _TWIST, (wrist - twist[:, None] * rest.forearm) / _BENT_WRIST], turned),
            (states[:, :1] / _SCALE, wide),
        )
        values = np.concatenate([value.reshape(2, -1) for value, _ in parts], 1)
        return values, np.concatenate([jacobian.reshape(2, 25, -1) for _, jacobian in parts], 2)

    starts = [rest.read(world, 0.7) for world in worlds]
    states = np.stack([np.concatenate([[0.0], start.angles]) for start in starts])
    hands, states, costs = _minimise(residuals, np.stack([start.hand for start in starts]), states)
    odds = np.clip(view.side_probability, _LEAST_SIDE, 1 - _LEAST_SIDE)
    poses = [rest.as_pose(hand, rest.within_limits(state[1:])) for hand, state in zip(hands, states, strict=True)]
    return poses, costs - 2 * np.log([odds, 1 - odds])


def _minimise(
    residuals: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]], hands: np.ndarray, states: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levenberg-Marquardt for several starts at once, each with a damping of its own."""
    damping = np.full(len(states), _DAMPING)
    values, jacobian = residuals(hands, states)
    costs = (values**2).sum(-1)
    for _ in range(_STEPS):
        normal = jacobian @ np.swapaxes(jacobian, 1, 2)
        diagonal = np.einsum("hii->hi", normal) + 1e-6
        normal[:, range(25), range(25)] += damping[:, None] * diagonal
        change = -np.linalg.solve(normal, jacobian @ values[..., None])[..., 0]
        tried = rodrigues(change[:, :3]) @ hands, states + change[:, 3:]
        after, slopes = residuals(*tried)
        better = (after**2).sum(-1) < costs
        hands = np.where(better[:, None, None], tried[0], hands)
        states = np.where(better[:, None], tried[1], states)
        values = np.where(better[:, None], after, values)
        jacobian = np.where(better[:, None, None], slopes, jacobian)
        costs = (values**2).sum(-1)
        damping = np.where(better, np.maximum(damping / 8, 1e-6), 10 * damping)
    return hands, states, costs


def _directions(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions (..., 19, 3) and lengths (..., 19, 1) of the bones between landmarks (..., 21, 3)."""
    steps = points[..., _ENDS[1], :] - points[..., _ENDS[0], :]
    lengths = np.maximum(np.linalg.norm(steps, axis=-1, keepdims=True), 1e-9)
    return steps / lengths, lengths


def _spreads() -> np.ndarray:
    return np.array(4 * [_BEND, _SPREAD, _BEND, _BEND] + [_THUMB, _THUMB, _THUMB, _BEND, _BEND])


def _turn_vector(rotations: np.ndarray) -> np.ndarray:
    """Axis-angle (..., 3) of rotations (..., 3, 3)."""
    vectors = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec()
    return vectors.reshape(*rotations.shape[:-2], 3)
