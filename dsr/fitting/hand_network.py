"""The wrist and fingers of a hand from what the landmark model sees, learned: one network instead of a search.

The landmark model's points lie flatter and straighter than hands are, and a picture of them has two readings in depth.
The features that it makes its points from know more: perceptrons read the hand's rotation and the angles of its fingers
from them, from the points, and from where the body has the forearm, and their mean is taken. They were learned on drawn
hands by :mod:`dsr.training.systems.hands`; right hands are looked at in a mirror.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsr.fitting.fingers import ANGLES, PALM, FingerPose, RestHand, rigid_rotation
from dsr.fitting.hand_solver import HandView, hand_readings
from dsr.fitting.perceptrons import answer, first_layer, linear, read_weights, silu
from dsr.people.hands import FEATURES, MAP

WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "hand_network.safetensors"
MAP_SCALE = 2.0
MIRRORED_ANGLES = np.array(4 * [1, -1, 1, 1] + [1, -1, -1, 1, 1])
"""Signs of the angles of :meth:`~dsr.fitting.fingers.RestHand.turns` in a mirror."""
_BONES = [(a, a + 1) for first in (1, 5, 9, 13, 17) for a in range(first, first + 3)] + [
    (0, k) for k in (1, 5, 9, 13, 17)
]
_STARTS, _ENDS = np.array(_BONES).T
_MIRROR = np.array([-1.0, 1.0, 1.0])
_CROP_PX, _SIDE_M, _LOGIT = 224.0, 0.3, 3.0  # scales of inputs; a larger region shows no more than this one


def likely_readings(rest: RestHand, view: HandView) -> tuple[list[FingerPose], np.ndarray]:
    """What a view may be, rotations in its camera, and the costs: the network's one reading.

    Of a hand without the landmark model's features both readings of its points, see :func:`hand_readings`.

    Raises:
        CheckpointError: if the shipped weights are missing or damaged.
    """
    if view.features is None:
        return hand_readings(rest, view)
    mirror, signs = _mirror(rest)
    shown, palm = landmark_inputs(rest, view)
    forearm = mirror[:, None] * view.forearm * mirror
    arm = forearm_inputs(forearm, palm, rest.forearm * mirror, np.log(view.side_px / view.pixels_per_metre / _SIDE_M))
    inputs = np.concatenate([view.features[:FEATURES], shown, arm, view.features[FEATURES:]]).astype(np.float32)
    hand, angles = perceptron(learned(), inputs)
    kept = rest.within_limits((rest.relaxed * signs + angles) * signs)
    return [rest.as_pose(mirror[:, None] * hand * mirror, kept)], np.zeros(1)


def likely_hand(rest: RestHand, view: HandView) -> FingerPose:
    """The likeliest of :func:`likely_readings`."""
    poses, costs = likely_readings(rest, view)
    return poses[int(np.argmin(costs))]


def landmark_inputs(rest: RestHand, view: HandView) -> tuple[np.ndarray, np.ndarray]:
    """What the landmark model says of a hand as a left one (C,), and the turn (3, 3) of its palm.

    Args:
        rest: the hand at rest.
        view: the hand.
    """
    mirror, _ = _mirror(rest)
    flat = (view.points - view.points.mean(0)) / view.side_px * mirror[:2]
    world = view.world * mirror
    bones = world[_ENDS] - world[_STARTS]
    bones = bones / np.maximum(np.linalg.norm(bones, axis=1, keepdims=True), 1e-9)
    palm = rigid_rotation(rest.palm * mirror, world[list(PALM)])
    odds = float(np.clip(view.side_probability, 0.01, 0.99))
    parts = (
        3 * flat,
        10 * (world - world[9]),
        bones,
        palm,
        bones @ palm,
        3 * np.c_[flat, np.zeros(len(flat))] @ palm,
        [view.presence, view.side_probability, np.log(odds / (1 - odds)) / _LOGIT],
        [np.log(min(view.side_px / _CROP_PX, 1.0))],
    )
    return np.concatenate([np.ravel(part) for part in parts]), palm


def forearm_inputs(forearm: np.ndarray, palm: np.ndarray, along: np.ndarray, size: float) -> np.ndarray:
    """(25,) where the body has the forearm and how large the hand is, as of a left hand.

    Args:
        forearm: (3, 3) rotation of the forearm in the view's camera.
        palm: (3, 3) as of :func:`landmark_inputs`.
        along: (3,) direction of the forearm at rest.
        size: logarithm of the region's side over a usual one, metres.
    """
    seen = palm.T @ forearm
    return np.concatenate([forearm.ravel(), forearm @ along, seen.ravel(), seen @ along, [3 * size]])


def perceptron(weights: dict[str, np.ndarray], inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3, 3) of a left hand, and how far its angles (21,) are from relaxed ones.

    Args:
        weights: by name, of all perceptrons along the first axis; what they say is averaged.
        inputs: what they see, (C,), and the landmark model's map flat behind it; zeros if it is not known.
    """
    count = weights["mean"].shape[-1]
    x = first_layer(weights, inputs[:count])
    places = inputs[count:].reshape(-1, MAP[-1])
    if places.any():
        seen = places / MAP_SCALE @ np.swapaxes(weights["places.weight"], 1, 2) + weights["places.bias"][:, None]
        x = x + linear(silu(seen).reshape(len(x), -1), weights["map.weight"], 0.0)
    out = answer(weights, x)
    first = out[:3] / np.linalg.norm(out[:3])
    second = out[3:6] - first * (first @ out[3:6])
    second = second / np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], 1), out[6:]


def learned() -> dict[str, np.ndarray]:
    """The shipped weights by name.

    Raises:
        CheckpointError: if the file is missing or damaged.
    """
    return read_weights(WEIGHTS)


def _mirror(rest: RestHand) -> tuple[np.ndarray, np.ndarray]:
    """Signs of axes and of angles that make a hand a left one."""
    return (_MIRROR, MIRRORED_ANGLES) if rest.side == "right" else (np.ones(3), np.ones(ANGLES))
