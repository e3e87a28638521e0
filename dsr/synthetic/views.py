"""Cameras as people hold them: lenses from selfie to telephoto, high and low, people off the centre and cut off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

FLIP_TO_CAMERA = np.diag([1.0, -1.0, -1.0])  # body: y up, facing +z; camera: y down, looking along +z
_ASPECTS = ((4, 3), (3, 2), (16, 9), (1, 1), (3, 4), (2, 3), (9, 16))
_ASPECT_SHARES = (0.22, 0.22, 0.08, 0.1, 0.16, 0.16, 0.06)


@dataclass(frozen=True)
class Camera:
    """A picture to be taken.

    Attributes:
        size: width and height, pixels.
        K: (3, 3).
        turn: (3, 3) rotation of the body's world (y up, facing the camera) into the camera's frame.
        kind: ``selfie``, ``phone``, ``wide``, ``normal`` or ``tele``.
        elevation: radians by which the camera looks down.
    """

    size: tuple[int, int]
    K: np.ndarray
    turn: np.ndarray
    kind: str
    elevation: float


def draw_camera(rng: np.random.Generator) -> Camera:
    """A camera and how it is held."""
    kind = str(rng.choice(["selfie", "phone", "wide", "normal", "tele"], p=[0.05, 0.38, 0.07, 0.35, 0.15]))
    low, high = {"selfie": (22, 32), "phone": (24, 29), "wide": (15, 24), "normal": (29, 65), "tele": (65, 250)}[kind]
    f35 = np.exp(rng.uniform(np.log(low), np.log(high)))
    wide, tall = _ASPECTS[int(rng.choice(len(_ASPECTS), p=_ASPECT_SHARES))]
    longer = float(np.exp(rng.uniform(np.log(360), np.log(2000))))
    width, height = (round(longer * side / max(wide, tall)) for side in (wide, tall))
    focal = f35 / 36 * longer
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    level, spread = ((3, 7), (22, 13), (-14, 9), (60, 15))[int(rng.choice(4, p=[0.7, 0.18, 0.1, 0.02]))]
    elevation = np.radians(rng.normal(level, spread))
    roll = np.radians(rng.normal(0, 3 if rng.random() < 0.9 else 15))
    turn = Rotation.from_rotvec([0, 0, roll]) * Rotation.from_rotvec([elevation, 0, 0])
    return Camera((width, height), K, turn.as_matrix() @ FLIP_TO_CAMERA, kind, float(elevation))


def draw_heading(rng: np.random.Generator) -> np.ndarray:
    """(3, 3) turn about the vertical: mostly towards the camera, sometimes any way."""
    yaw = rng.normal(0, np.radians(35)) if rng.random() < 0.6 else rng.uniform(-np.pi, np.pi)
    return Rotation.from_rotvec([0, yaw, 0]).as_matrix()


def place(rng: np.random.Generator, camera: Camera, vertices: np.ndarray, aim: np.ndarray) -> np.ndarray:
    """Where a body stands before a camera: a translation (3,), metres.

    Args:
        rng: randomness.
        camera: the picture.
        vertices: (N, 3) of the body, turned into the camera's frame.
        aim: (3,) the part of it that the picture is of where not all fits.
    """
    width, height = camera.size
    focal = camera.K[0, 0]
    columns = np.ascontiguousarray(vertices.T)
    low, high = columns.min(1), columns.max(1)
    extent, middle = high - low, (high + low) / 2
    kind = int(rng.choice(3, p=[0.7, 0.2, 0.1]))
    share = rng.uniform(*((0.35, 0.92), (0.08, 0.35), (0.92, 2.3))[kind])
    if camera.kind == "selfie":
        share = rng.uniform(1.0, 2.4)
    depth = focal * max(extent[0] / width, extent[1] / height) / share + 0.3 * extent[2]
    least = 0.4 + (middle[2] - low[2]) if camera.kind == "selfie" else 0.9 + (middle[2] - low[2])
    depth = max(depth, least)
    at = np.array([width / 2, height / 2])
    if share > 0.95 and rng.random() < 0.8:
        pixel = at + rng.normal(0, 0.1, 2) * at
        target = aim
    else:
        room = np.maximum(at - focal * extent[:2] / depth / 2, 0.06 * at) * (1.15 if rng.random() < 0.25 else 1.0)
        pixel = at + np.clip(rng.normal(0, 0.55, 2), -1, 1) * room
        target = middle
    ray = np.array([*((pixel - at) / focal), 1.0])
    return ray * (depth + target[2] - middle[2]) - target
