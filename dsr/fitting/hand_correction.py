"""What is usually wrong with a solved hand, learned: a small turn of the wrist and changes of the fingers' angles.

The landmark model sees hands flatter and fingers straighter than they are, and its errors go together: a perceptron
looks at a solution from the hand itself (where the camera is, landmarks, bones, forearm) and says what to change. It
was learned on drawn hands by :mod:`dsr.training.systems.hands`; right hands are looked at in a mirror.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from dsr.body.numpy_lbs import rodrigues
from dsr.errors import CheckpointError
from dsr.fitting.fingers import ANGLES, PALM, FingerPose, RestHand, rigid_rotation
from dsr.fitting.hand_solver import BONES, HandView, hand_readings

WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "hand_correction.safetensors"
_STARTS, _ENDS = np.array(BONES).T
_MIRROR = np.array([-1.0, 1.0, 1.0])
MIRRORED_ANGLES = np.array(4 * [1, -1, 1, 1] + [1, -1, -1, 1, 1])
"""Signs of the angles of :meth:`~dsr.fitting.fingers.RestHand.turns` in a mirror."""
_MOST = 4.0  # standard deviations to which inputs are cut
_PIXELS, _APPARENT_M, _COST = 50.0, 0.1, 5.0  # scales of inputs


def likely_readings(rest: RestHand, view: HandView) -> tuple[list[FingerPose], np.ndarray]:
    """Both readings of a view in depth, corrected, and their costs (2,); rotations are in the view's camera.

    Raises:
        CheckpointError: if the shipped weights are missing or damaged.
    """
    poses, costs = hand_readings(rest, view)
    return corrected(rest, view, poses, costs), costs


def likely_hand(rest: RestHand, view: HandView) -> FingerPose:
    """The reading that explains a view best, corrected; see :func:`likely_readings`."""
    poses, costs = likely_readings(rest, view)
    return poses[int(np.argmin(costs))]


def features(rest: RestHand, view: HandView, poses: list[FingerPose], costs: np.ndarray) -> np.ndarray:
    """(2, C) float32 inputs for both readings of a hand; those of a right hand in a mirror.

    Args:
        rest: the hand at rest.
        view: what was solved.
        poses: both readings.
        costs: (2,) of each.
    """
    mirror = _MIRROR if rest.side == "right" else np.ones(3)
    signs = MIRRORED_ANGLES if rest.side == "right" else np.ones(ANGLES)
    points = (view.points - view.points.mean(0)) * mirror[:2]
    size = float(np.sqrt((points**2).sum(1).mean()))
    flat = np.c_[points / size, np.zeros(len(points))]
    world, along = view.world * mirror, rest.forearm * mirror
    bones = world[_ENDS] - world[_STARTS]
    bones = bones / np.maximum(np.linalg.norm(bones, axis=1, keepdims=True), 1e-9)
    palm = rigid_rotation(rest.palm * mirror, world[list(PALM)])
    rows = []
    for k, pose in enumerate(poses):
        hand = mirror[:, None] * pose.hand * mirror
        arm = hand.T @ (mirror[:, None] * view.forearm * mirror)
        single = [
            *(view.presence, view.side_probability, np.log(size / _PIXELS), size / view.pixels_per_metre / _APPARENT_M),
            *(np.sqrt(costs[k]) / _COST, np.sqrt(costs[1 - k]) / _COST, float(k)),
        ]
        parts = (
            flat @ hand,
            bones @ hand,
            hand[2],
            pose.angles * signs,
            hand.T @ palm,
            arm,
            arm @ along,
            single,
        )
        rows.append(np.concatenate([np.ravel(part) for part in parts]))
    return np.array(rows, np.float32)


def corrected(
    rest: RestHand,
    view: HandView,
    poses: list[FingerPose],
    costs: np.ndarray,
    weights: dict[str, np.ndarray] | None = None,
) -> list[FingerPose]:
    """Both readings as they more likely are; arguments as of :func:`features`.

    Raises:
        CheckpointError: if the shipped weights are missing or damaged.
    """
    changes = perceptron(learned() if weights is None else weights, features(rest, view, poses, costs))
    mirrored = rest.side == "right"
    out = []
    for pose, change in zip(poses, changes.astype(np.float64), strict=True):
        turn = change[:3] * (-_MIRROR if mirrored else 1.0)
        angles = pose.angles + change[3:] * (MIRRORED_ANGLES if mirrored else 1.0)
        out.append(rest.as_pose(pose.hand @ rodrigues(turn), rest.within_limits(angles)))
    return out


def perceptron(weights: dict[str, np.ndarray], inputs: np.ndarray) -> np.ndarray:
    """Answers (N, 24) of a residual perceptron for inputs (N, C): a turn in the hand's frame, then angles, radians."""
    x = (
        np.clip((inputs - weights["mean"]) / weights["spread"], -_MOST, _MOST) @ weights["in.weight"].T
        + weights["in.bias"]
    )
    for k in range(sum(name.endswith("norm.weight") for name in weights)):
        block = {name.split(".", 2)[2]: value for name, value in weights.items() if name.startswith(f"blocks.{k}.")}
        centred = x - x.mean(1, keepdims=True)
        y = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * block["norm.weight"] + block["norm.bias"]
        y = _silu(y @ block["first.weight"].T + block["first.bias"])
        x = x + y @ block["second.weight"].T + block["second.bias"]
    answers: np.ndarray = _silu(x) @ weights["out.weight"].T + weights["out.bias"]
    return answers


@lru_cache(maxsize=1)
def learned() -> dict[str, np.ndarray]:
    """The shipped weights by name, read once.

    Raises:
        CheckpointError: if the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{WEIGHTS} cannot be read ({error}); install this package again.") from error


def _silu(x: np.ndarray) -> np.ndarray:
    y: np.ndarray = x / (1 + np.exp(-x))
    return y
