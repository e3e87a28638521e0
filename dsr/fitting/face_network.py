"""Jaw, gaze, lids and the turn of a head from what the face models see, learned.

The landmarks of a face lie flatter than faces are and hardly move with a jaw or an iris; the features that the mesh and
the iris model make them from know more. Perceptrons read from them, and from the landmarks in the head's frame, what
the body shall do. They were learned on drawn faces by :mod:`dsr.training.systems.faces`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsr.body.numpy_lbs import rodrigues
from dsr.fitting.perceptrons import answer, first_layer, read_weights
from dsr.people.expressive_face import EYE_CONTOURS

WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "face_network.safetensors"
_IRISES = tuple(range(468, 478))
_MOUTH = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(152, 148, 176, 377, 400, 150, 379, 172, 397, 200, 199, 175, 18, 164),
)
_WATCHED = [*EYE_CONTOURS[0], *EYE_CONTOURS[1], *_IRISES, *_MOUTH]
_CENTIMETRES, _TURN = 100.0, 3.0  # scales of inputs
SCALES = np.array([0.1, 0.2, 0.2, 0.4, 0.1, 0.1, 0.1])
"""By which answers are divided in learning: jaw, gaze up and down and aside, lids, turn of the head."""


@dataclass(frozen=True)
class FaceAnswer:
    """What a face does.

    Attributes:
        jaw: how far it is open, radians.
        gaze: (2,) turn of the eyes down and to the person's left, radians.
        shut: 0 to 1, whether the eyes are closed.
        head: (3, 3) rotation of the head in the axes of the landmarks.
    """

    jaw: float
    gaze: np.ndarray
    shut: float
    head: np.ndarray


def face_inputs(features: np.ndarray, offsets: np.ndarray, rotation: np.ndarray, eyes_px: float) -> np.ndarray:
    """What the network sees of a face (C,).

    Args:
        features: see :class:`dsr.people.expressive_face.FaceLandmarks`.
        offsets: (478, 3) of the landmarks in the head's frame from those of a face at rest, metres.
        rotation: (3, 3) from the axes of the landmarks to the head's frame.
        eyes_px: distance between the eyes, pixels.
    """
    parts = (features, _TURN * rotation.ravel(), _CENTIMETRES * offsets[_WATCHED].ravel(), [np.log(eyes_px)])
    return np.concatenate(parts).astype(np.float32)


def read_by_network(features: np.ndarray, offsets: np.ndarray, rotation: np.ndarray, eyes_px: float) -> FaceAnswer:
    """The answer for a face; arguments as of :func:`face_inputs`.

    Raises:
        CheckpointError: if the shipped weights are missing or damaged.
    """
    weights = read_weights(WEIGHTS)
    out = SCALES * answer(weights, first_layer(weights, face_inputs(features, offsets, rotation, eyes_px)))
    return FaceAnswer(float(out[0]), out[1:3], float(np.clip(out[3], 0, 1)), rotation.T @ rodrigues(out[4:7]))
