"""Jaw, gaze, lids and facial actions from the 478 landmarks of a face, by least squares in the head's frame.

The landmarks are laid onto those of the open body's face at rest by what a face does not move: corners of the eyes,
nose, forehead, temples. What is left over is explained by facial actions, which are linear, by the turn of the jaw, and
by the shape of the face, which nobody asks for. Lids come from how far the eyes are open, gaze from where the irises
are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import nnls

from dsr.body import load_asset
from dsr.body.asset_file import find_open
from dsr.errors import BodyError
from dsr.fitting.face_network import read_by_network
from dsr.npz import read_npz
from dsr.people.expressive_face import FaceLandmarks

LANDMARK_FILE = "face_landmarks.npz"
STABLE = (33, 133, 263, 362, 168, 6, 197, 195, 5, 4, 1, 98, 327, 10, 151, 9, 127, 356, 234, 454)
"""Landmarks that an expression hardly moves."""
MIN_LIDS_PX = 15.0
"""Distance between the eyes, pixels, below which lids and gaze are not read."""
FITTED = (
    *("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    *("jawLeft", "jawRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthRight"),
    *("mouthLowerDownLeft", "mouthLowerDownRight", "mouthPucker", "mouthSmileLeft", "mouthSmileRight"),
    *("mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight"),
    *("noseSneerLeft", "noseSneerRight"),
)
"""Actions that landmarks can tell apart; lids are read apart, the others stay at rest."""
_LID = {
    "Right": ((159, 145), (158, 153), (160, 144), (33, 133)),
    "Left": ((386, 374), (385, 380), (387, 373), (263, 362)),
}
"""Upper and lower lid, three times, then the corners of each eye."""
_NOISE_M, _INDEPENDENT = 0.003, 30.0  # error of a landmark's place on a face, and how many of them err independently
_DEPTH = 0.3  # how much of a landmark's weight its depth has
_STRENGTH, _JAW_RAD, _SHAPES = 0.4, 0.25, 10
_MOST_JAW_RAD = 0.6
_IDLE = 0.1  # strength that faces at rest seem to have for being other faces
_GAZE_RAD_PER_M, _MOST_GAZE_RAD = (103.0, 128.0), 0.6
"""Turn of the eyes up and down, and aside, by how far the irises moved: measured on drawn faces, little above one over
an eyeball's radius."""
_GAZE_BY_HEAD = (-0.22, 0.29)
"""What is added of the head's pitch and yaw: irises lie before the corners of the eyes, and the model has no depth of
them, so that they seem to move as the head turns; measured on drawn faces."""
_PITCH_PX = 35.0
"""Distance between the eyes at which that holds up and down as well; of smaller eyes the lids hide more of it."""
_OPEN, _CLOSED = 0.80, 0.60  # share of the usual lid opening from which lids close, and at which they are shut
_WINK, _SURELY_OPEN = 0.6, 0.2
_TURNED, _PROFILE = np.radians(30.0), np.radians(55.0)


@dataclass(frozen=True)
class FaceModel:
    """The face of the average open body as landmarks see it.

    Attributes:
        rest: (478, 3) landmarks of the face at rest, metres, rest frame of the body.
        directions: (C, 468, 3) what each column moves them by: :data:`FITTED`, the jaw (per radian), shapes.
        eyes_m: distance between the eyes.
    """

    rest: np.ndarray
    directions: np.ndarray
    eyes_m: float


@dataclass(frozen=True)
class FaceReading:
    """An expression.

    Attributes:
        actions: strengths by name, 0 to 1; what is not named is at rest.
        jaw: (3,) axis-angle of the jaw's joint.
        gaze: (3,) axis-angle of both eyes, or None where they are too small or hidden.
        yaw: how far the head is turned aside in the picture, radians.
        head: (3, 3) rotation of the head in a camera that looks straight at the face, or None if it is not known.
    """

    actions: Mapping[str, float]
    jaw: np.ndarray
    gaze: np.ndarray | None
    yaw: float
    head: np.ndarray | None = None


@lru_cache(maxsize=1)
def face_model() -> FaceModel:
    """The face model of the installed open body.

    Raises:
        BodyError: if the file of its landmarks is missing, damaged or another body's.
    """
    asset, file = load_asset("open-x"), find_open("open-x").with_name(LANDMARK_FILE)
    try:
        with_landmarks = read_npz(file)
    except (OSError, ValueError) as error:
        raise BodyError(f"{file} is needed to read faces and cannot be read ({error}); install dsr again.") from error
    if str(with_landmarks["open_sha256"].item()) != asset.sha256:
        raise BodyError(
            f"{file} belongs to another open-x; run body_models/build_face_landmarks.py, or fetch both again."
        )
    rows = with_landmarks["vertices"]
    joints = asset.J_regressor @ asset.v_template
    place = dict(zip(asset.joint_names, joints, strict=True))
    columns = [asset.shapedirs[rows, :, asset.num_shapes + asset.expression_names.index(name)] for name in FITTED]
    jaw = asset.weights[rows, asset.joint_names.index("jaw")]
    columns.append(jaw[:, None] * np.cross([1.0, 0.0, 0.0], asset.v_template[rows] - place["jaw"]))
    columns += [asset.shapedirs[rows, :, k] for k in range(_SHAPES)]
    rest = with_landmarks["rest"].astype(np.float64)
    apart = float(np.linalg.norm(place["left_eye_smplhf"] - place["right_eye_smplhf"]))
    return FaceModel(rest, _at_stable_points_still(np.array(columns, np.float64), rest), apart)


def read_face(face: FaceLandmarks) -> FaceReading:
    """The expression of a face; without the features of the face models, from its landmarks alone.

    Raises:
        CheckpointError: if the shipped weights of the network are missing or damaged.
    """
    model = face_model()
    offsets, rotation = in_heads_frame(face)
    ahead = rotation.T @ [0.0, 0.0, 1.0]
    yaw = float(np.arctan2(ahead[0], -ahead[2]))
    learned = None
    if face.features is not None:
        learned = read_by_network(face.features, offsets, rotation, face.eyes_px)
    shares = _seen(model.rest[:468], rotation)
    weight = np.sqrt(_INDEPENDENT / 468 * shares)[:, None] * [1.0, 1.0, _DEPTH] / _NOISE_M
    strengths, opened = _solved(model.directions * weight, offsets[:468] * weight)
    if learned is not None:  # what landmarks say of the jaw stays in the equations: it is more of mouths than of jaws
        opened = learned.jaw
    strengths = np.maximum(strengths - _IDLE, 0) / (1 - _IDLE)
    actions = {name: float(value) for name, value in zip(FITTED, strengths, strict=True) if value > 0}
    jaw = np.array([float(np.clip(opened, 0, _MOST_JAW_RAD)), 0.0, 0.0])
    if face.mouth_covered:
        jaw = np.zeros(3)
        actions = {name: value for name, value in actions.items() if not name.startswith(("mouth", "jaw"))}
    gaze = None
    if face.eyes_px >= MIN_LIDS_PX and abs(yaw) < _PROFILE:
        sides = ("Right", "Left") if abs(yaw) < _TURNED else (("Left",) if yaw < 0 else ("Right",))
        points = offsets + model.rest
        actions |= _lids(points, model.rest, sides, None if learned is None else learned.shut)
        head = np.array([np.arcsin(np.clip(ahead[1], -1, 1)), yaw])
        gaze = _gaze(points, model.rest, sides, face.eyes_px, head)
        if learned is not None:
            gaze = np.array([*np.clip(learned.gaze, -_MOST_GAZE_RAD, _MOST_GAZE_RAD), 0.0])
    return FaceReading(actions, jaw, gaze, yaw, None if learned is None else learned.head)


def _solved(directions: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, float]:
    """Strengths (A,) of :data:`FITTED`, 0 to 1, and the jaw's opening, by regularised non-negative least squares.

    Args:
        directions: (C, 468, 3) of actions, jaw and shapes, weighted.
        offsets: (468, 3), weighted.
    """
    count = len(FITTED)
    spread = np.array([_STRENGTH] * count + [_JAW_RAD] + [1.0] * _SHAPES)
    matrix = (directions * spread[:, None, None]).reshape(len(spread), -1)
    normal = np.linalg.cholesky(matrix @ matrix.T + np.eye(len(spread)))
    aim = np.linalg.solve(normal, matrix @ offsets.ravel())
    both = np.concatenate([normal.T, -normal.T[:, count + 1 :]], 1)  # shapes have either sign
    solved, _ = nnls(both, aim)
    return np.minimum(solved[:count] * spread[:count], 1.0), float(solved[count] * spread[count])


def in_heads_frame(face: FaceLandmarks) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (478, 3) of landmarks from those at rest, metres, and the rotation (3, 3) to the frame of the head."""
    rest, stable = face_model().rest, list(STABLE)
    scale, rotation, shift = similarity(face.points[stable], rest[stable])
    return scale * face.points @ rotation.T + shift - rest, rotation


def similarity(points: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation (3, 3) and shift (3,) that lay points (N, 3) onto others best (Umeyama 1991)."""
    a, b = points - points.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((s * sign).sum() / (a**2).sum())
    return scale, rotation, target.mean(0) - scale * rotation @ points.mean(0)


def _at_stable_points_still(columns: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Columns without what the alignment takes away: the small similarity of the stable points."""
    stable = list(STABLE)
    at = rest - rest[stable].mean(0)
    moves = [np.tile(axis, (478, 1)) for axis in np.eye(3)] + [np.cross(axis, at) for axis in np.eye(3)] + [at]
    basis = np.array(moves)
    share = np.linalg.pinv(basis[:, stable].reshape(7, -1).T) @ _padded(columns)[:, stable].reshape(len(columns), -1).T
    return columns - np.einsum("mc,mka->cka", share, basis[:, :468])


def _padded(columns: np.ndarray) -> np.ndarray:
    return np.concatenate([columns, np.zeros((len(columns), 10, 3))], 1)


def _seen(rest: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """(468,) how much landmarks count: those of the far side of a turned face are the model's guess."""
    from_middle = rest - rest.mean(0) + [0.0, 0.0, 0.04]
    outward = from_middle / np.linalg.norm(from_middle, axis=1, keepdims=True)
    towards_camera = -(outward @ rotation)[:, 2]
    shares: np.ndarray = np.clip(towards_camera + 0.35, 0.02, 1.0)
    return shares


def _lids(points: np.ndarray, rest: np.ndarray, sides: tuple[str, ...], shut: float | None) -> dict[str, float]:
    """Blinking and wide eyes, of the far side as of the near one where only that is seen.

    ``shut`` (0 to 1) is how far both are closed where that is known; eyes that differ are read from their lids.
    """
    found = {side: _opening(points, side) / _opening(rest, side) for side in sides}
    shares = [found.get(side, next(iter(found.values()))) for side in ("Left", "Right")]
    blinks = [float(np.clip((_OPEN - share) / (_OPEN - _CLOSED), 0, 1)) for share in shares]
    if shut is not None and abs(blinks[0] - blinks[1]) < _WINK:
        blinks = 2 * [float(np.clip((shut - _SURELY_OPEN) / (1 - 2 * _SURELY_OPEN), 0, 1))]
    out: dict[str, float] = {}
    for side, share, blink in zip(("Left", "Right"), shares, blinks, strict=True):
        wide = float(np.clip((share - 1.5) / 0.7, 0, 1)) if blink == 0 else 0.0
        out |= {name: value for name, value in ((f"eyeBlink{side}", blink), (f"eyeWide{side}", wide)) if value > 0}
    return out


def _opening(points: np.ndarray, side: str) -> float:
    """Mean distance of the lids over the width of an eye."""
    *pairs, corners = _LID[side]
    gaps = [np.linalg.norm(points[a, :2] - points[b, :2]) for a, b in pairs]
    return float(np.mean(gaps) / np.linalg.norm(points[corners[0]] - points[corners[1]]))


def _gaze(points: np.ndarray, rest: np.ndarray, sides: tuple[str, ...], eyes_px: float, head: np.ndarray) -> np.ndarray:
    """(3,) the turn of both eyes: how far the irises are from where they are looking ahead; ``head`` is its turn."""
    moved = []
    for side in sides:
        corners = list(_LID[side][-1])
        iris = 468 if side == "Right" else 473
        moved.append((points[iris] - points[corners].mean(0)) - (rest[iris] - rest[corners].mean(0)))
    dx, dy = np.mean(moved, axis=0)[:2]
    up = float(np.clip(eyes_px / _PITCH_PX, 0.3, 1.3))
    angles = _GAZE_RAD_PER_M * np.array([-up * dy, dx]) + _GAZE_BY_HEAD * head
    return np.array([*np.clip(angles, -_MOST_GAZE_RAD, _MOST_GAZE_RAD), 0.0])
