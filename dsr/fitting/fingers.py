"""Fingers and wrist from the 21 landmarks of a hand: closed-form inverse kinematics with joint limits.

The palm's landmarks fix the hand as a rigid body. In its frame a finger's first joint bends and spreads, the other two
bend about one axis across the palm; the thumb's first joint turns freely, its others bend. Every angle is pulled
towards that of a relaxed hand, the more the smaller the hand is in the picture, and stays within what joints allow. The
twist of the hand about the forearm is shared by elbow and wrist joint, as the two bones of a forearm share it.

All in the frame of the body at rest (T-pose, palms down); bodies have SMPL-X's finger joints (SMPL-X, open-x).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.body import BodyAsset
from dsr.body.numpy_lbs import rest_shape, rodrigues

FINGERS = ("index", "middle", "pinky", "ring", "thumb")
"""In the order of SMPL-X's joints; three joints each."""
LANDMARKS_OF = {"thumb": (1, 2, 3, 4), "index": (5, 6, 7, 8), "middle": (9, 10, 11, 12), "ring": (13, 14, 15, 16)}
LANDMARKS_OF["pinky"] = (17, 18, 19, 20)
_FINGER_LANDMARKS = np.array([LANDMARKS_OF[finger] for finger in FINGERS])
RELAXED_DEG = {"index": (20, 30, 15), "middle": (25, 35, 18), "ring": (30, 38, 18), "pinky": (32, 36, 18)}
"""How far the joints of a hanging hand are bent."""
RELAXED_DEG["thumb"] = (0, 15, 15)
_LIMITS_DEG = ((-25.0, 90.0), (-5.0, 110.0), (-10.0, 80.0))
_THUMB_LIMITS_DEG = ((-10.0, 60.0), (-20.0, 80.0))
_SPREAD_DEG, _THUMB_TURN_DEG = 20.0, 50.0
PALM = (0, 5, 9, 13, 17)
ANGLES = 21
"""Of a hand, see :meth:`RestHand.turns`."""
_WRIST_SHARE = 0.87  # the model's wrist lies so far from the knuckles towards the joint of the body
_SEEN_OFF = np.array(
    (
        (-107, 68, 3),
        (-147, -38, 28),
        (-10, 18, 2),
        (-33, 50, -72),
        (-85, 49, -54),
        (-145, 11, -39),
        (-35, -25, -21),
        (-30, -20, -6),
        (-81, 46, -5),
        (-125, -5, 12),
        (-36, -11, 14),
        (-50, -20, 11),
        (-87, 20, 13),
        (-117, -11, 20),
        (-28, -27, 15),
        (-45, -24, 8),
        (-106, 19, 28),
        (-118, 12, 47),
        (-40, -9, 21),
        (-27, -14, 9),
        (-65, 28, 24),
    )
)
"""Where the landmark model sees the 21 landmarks of a left hand, from where the body has them: thousandths of the way
from wrist to middle knuckle, rest frame, turning with the bone that ends there. Measured on 159 drawn hands: knuckles
lie nearer to the wrist and wider apart, tips before the end of a finger."""
BEND_COLUMNS = [0, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 19, 20]
"""Columns of a hand's angles with what the 15 joints are bent by; the thumb's first is another turn."""
_TWIST_DEG, _SWING_DEG = 90.0, 80.0
_FINGER_OF_ANGLE = np.array([0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 5)
_JOINT_OF_ANGLE = np.array([0, 0, 1, 2] * 4 + [0, 0, 0, 1, 2])
_MOVES = np.zeros((21, 21))
"""Which landmarks an angle moves: those of its finger beyond its joint."""
for _angle, (_finger, _joint) in enumerate(zip(_FINGER_OF_ANGLE, _JOINT_OF_ANGLE, strict=True)):
    _MOVES[_angle, _FINGER_LANDMARKS[_finger, _joint + 1 :]] = 1.0


@dataclass(frozen=True)
class FingerPose:
    """A hand's rotations.

    Attributes:
        hand: (3, 3) rotation of the wrist joint in the frame of the landmarks.
        angles: (21,) what the fingers are bent, spread and turned by, see :meth:`RestHand.turns`.
        fingers: (15, 3) axis-angle of the finger joints in SMPL-X's order, radians.
    """

    hand: np.ndarray
    angles: np.ndarray
    fingers: np.ndarray


@dataclass(frozen=True)
class _Chain:
    """A finger at rest: first joint, bones (directions and lengths), hinge, where straight and where the palm is."""

    start: np.ndarray
    lengths: np.ndarray
    bones: np.ndarray
    hinge: np.ndarray
    ahead: np.ndarray
    palmar: np.ndarray

    def angle(self, direction: np.ndarray) -> float:
        """How far a direction is bent from straight, radians."""
        return float(np.arctan2(direction @ self.palmar, direction @ self.ahead))

    @property
    def straightening(self) -> np.ndarray:
        """Rotation (3, 3) that takes the first bone from rest to straight ahead."""
        bone = self.bones[0]
        return rodrigues(self.palmar * self.aside(bone)) @ rodrigues(-self.hinge * self.angle(bone))

    def aside(self, direction: np.ndarray) -> float:
        """How far a direction leaves the finger's plane, radians."""
        return float(np.arcsin(np.clip(direction @ self.hinge, -1, 1)))


class RestHand:
    """One hand of a body at rest.

    Args:
        asset: a body with SMPL-X's joints.
        betas: (n,) its shape.
        side: ``left`` or ``right``.
        shaped: vertices and joints of that shape, where they are known already.
    """

    def __init__(
        self, asset: BodyAsset, betas: np.ndarray, side: str, shaped: tuple[np.ndarray, np.ndarray] | None = None
    ) -> None:
        vertices, joints = rest_shape(asset, betas) if shaped is None else shaped
        place = {name: joints[j] for j, name in enumerate(asset.joint_names)}
        self.side, self.wrist = side, place[f"{side}_wrist"]
        wrist = self.wrist
        knuckles = np.stack([place[f"{side}_{finger}1"] for finger in ("index", "middle", "ring", "pinky")])
        self.forearm = _unit(wrist - place[f"{side}_elbow"])
        self.palm = np.concatenate([[knuckles.mean(0) + _WRIST_SHARE * (wrist - knuckles.mean(0))], knuckles])
        dorsal = np.cross(knuckles[0] - wrist, knuckles[3] - wrist)
        self.dorsal = _unit(dorsal if dorsal[1] > 0 else -dorsal)
        self.chains = []
        for finger, tip in zip(FINGERS, fingertips(asset, side), strict=True):
            points = np.stack([*(place[f"{side}_{finger}{k}"] for k in (1, 2, 3)), vertices[tip]])
            steps = np.diff(points, axis=0)
            bones = _unit(steps)
            hinge = np.cross(bones[0], bones[1]) if finger == "thumb" else np.cross(self.dorsal, bones.sum(0))
            hinge = _unit(hinge)
            start = bones[0] if finger == "thumb" else points[0] - wrist
            ahead = _unit(start - hinge * (start @ hinge))
            lengths = np.linalg.norm(steps, axis=1)
            self.chains.append(_Chain(points[0], lengths, bones, hinge, ahead, np.cross(hinge, ahead)))
        self._hinges = np.repeat([chain.hinge for chain in self.chains], 3, axis=0)
        self._palmars = np.stack([chain.palmar for chain in self.chains[:4]])
        self._back = np.stack([chain.straightening for chain in self.chains[:4]])
        self._starts = np.stack([chain.start for chain in self.chains])
        self._steps = np.stack([chain.bones * chain.lengths[:, None] for chain in self.chains])
        reach, side_sign = np.linalg.norm(wrist - knuckles[1]), 1.0 if side == "left" else -1.0
        self._seen_off = _SEEN_OFF * [side_sign, 1.0, 1.0] * (reach / 1000)
        rest = np.array([[chain.angle(bone) for bone in chain.bones] for chain in self.chains])
        self._offsets = np.concatenate([np.zeros((5, 1)), rest[:, :-1] - rest[:, 1:]], 1).ravel()

    @property
    def relaxed(self) -> np.ndarray:
        """(21,) angles of a hand that nobody sees."""
        rows = [np.radians(RELAXED_DEG[finger]) for finger in FINGERS]
        return np.concatenate([*([row[0], 0.0, row[1], row[2]] for row in rows[:4]), [0.0, 0.0, 0.0, *rows[4][1:]]])

    def turns(self, angles: np.ndarray) -> np.ndarray:
        """Local rotations (..., 15, 3, 3) of the finger joints, in SMPL-X's order.

        Args:
            angles: (..., 21) radians: per finger how far the first joint bends and spreads and the other two bend; of
                the thumb, which comes last, the axis-angle of its first joint and how far the others bend. Straight is
                zero, bending towards the palm and spreading towards the hinge's end is positive.
        """
        bends = angles[..., BEND_COLUMNS] + self._offsets
        vectors = self._hinges * bends[..., None]
        vectors[..., 12, :] = angles[..., 16:19]
        out = rodrigues(vectors)
        spread = rodrigues(-self._palmars * angles[..., 1:16:4, None])
        out[..., 0:12:3, :, :] = out[..., 0:12:3, :, :] @ spread @ self._back
        return out

    def landmarks(self, angles: np.ndarray, as_seen: bool = False) -> np.ndarray:
        """The 21 landmarks (..., 21, 3) of a hand of these angles (..., 21), metres; wrist as at rest.

        Args:
            angles: as of :meth:`turns`.
            as_seen: where the landmark model sees them, instead of joints and tips of the body.
        """
        return self._posed(angles, as_seen)[0]

    def seen_landmarks(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks (..., 21, 3) as they are seen, and what the angles move them by, (..., 21 angles, 21, 3)."""
        points, places, above = self._posed(angles, as_seen=True)
        axes = np.zeros((*angles.shape[:-1], 21, 3))
        axes[..., BEND_COLUMNS[:12:3], :] = self._hinges[:12:3]
        axes[..., 1:16:4, :] = (rodrigues(self._hinges[:12:3] * angles[..., 0:16:4, None]) @ -self._palmars[..., None])[
            ..., 0
        ]
        for k in (1, 2):
            axes[..., BEND_COLUMNS[k::3], :] = (above[..., k - 1, :, :] @ self._hinges[::3, :, None])[..., 0]
        axes[..., 16:19, :] = np.swapaxes(left_jacobian(angles[..., 16:19]), -1, -2)
        around = places[..., _FINGER_OF_ANGLE, _JOINT_OF_ANGLE, :]
        moved = np.cross(axes[..., None, :], points[..., None, :, :] - around[..., None, :])
        return points, moved * _MOVES[..., None]

    def _posed(self, angles: np.ndarray, as_seen: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Landmarks (..., 21, 3), places of the joints (..., 5, 3, 3) and rotations (..., 5, 3, 3, 3) of the bones."""
        turns = self.turns(angles).reshape(*angles.shape[:-1], 5, 3, 3, 3)
        off = self._seen_off * float(as_seen)
        fingers = off[_FINGER_LANDMARKS]
        points = np.empty((*angles.shape[:-1], 5, 4, 3))
        places, above = np.empty((*angles.shape[:-1], 5, 3, 3)), np.empty_like(turns)
        turn, place = turns[..., 0, :, :], np.broadcast_to(self._starts, (*angles.shape[:-1], 5, 3))
        points[..., 0, :] = place + fingers[:, 0]
        for k in range(3):
            turn = turn if k == 0 else turn @ turns[..., k, :, :]
            places[..., k, :], above[..., k, :, :] = place, turn
            place = place + (turn @ self._steps[:, k, :, None])[..., 0]
            points[..., k + 1, :] = place + (turn @ fingers[:, k + 1, :, None])[..., 0]
        out = np.empty((*angles.shape[:-1], 21, 3))
        out[..., 0, :] = self.palm[0] + off[0]
        out[..., _FINGER_LANDMARKS.ravel(), :] = points.reshape(*angles.shape[:-1], 20, 3)
        return out, places, above

    def within_limits(self, angles: np.ndarray) -> np.ndarray:
        """The nearest angles (..., 21) that joints allow."""
        kept = np.clip(angles, *_bounds())
        turn = np.linalg.norm(kept[..., 16:19], axis=-1, keepdims=True)
        kept[..., 16:19] *= np.minimum(1.0, np.radians(_THUMB_TURN_DEG) / np.maximum(turn, 1e-9))
        return kept

    def as_pose(self, hand: np.ndarray, angles: np.ndarray) -> FingerPose:
        """The rotations of a hand of these angles (21,)."""
        return FingerPose(hand, angles, _axis_angle(self.turns(angles)))

    def read(self, landmarks: np.ndarray, trust: float = 1.0) -> FingerPose:
        """The rotations that explain landmarks, in closed form.

        Args:
            landmarks: (21, 3) of a hand (:class:`dsr.people.hands.Hand`), any length unit, any frame.
            trust: 0 to 1, how far the angles go from a relaxed hand to what the landmarks say.
        """
        hand = rigid_rotation(self.palm, landmarks[list(PALM)])
        angles = []
        for finger, chain in zip(FINGERS, self.chains, strict=True):
            seen = _unit(np.diff(landmarks[list(LANDMARKS_OF[finger])], axis=0)) @ hand
            rest = [chain.angle(bone) for bone in chain.bones]
            if finger == "thumb":
                vector = _thumb_base(chain, seen)
                angles += [*vector]
                above = rodrigues(vector)
            else:
                bend, spread = chain.angle(seen[0]), chain.aside(seen[0])
                angles += [bend, spread]
                above = rodrigues(chain.hinge * bend) @ rodrigues(-chain.palmar * spread) @ chain.straightening
            for k in (1, 2):
                bend = chain.angle(above.T @ seen[k]) - rest[k - 1]
                bend = (bend + np.pi / 2) % (2 * np.pi) - np.pi / 2  # a joint bends far forward, not far back
                angles.append(bend)
                above = above @ rodrigues(chain.hinge * (bend + rest[k - 1] - rest[k]))
        kept = self.within_limits(np.array(angles))
        return self.as_pose(hand, self.within_limits(trust * kept + (1 - trust) * self.relaxed))


@lru_cache(maxsize=1)
def _bounds() -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest angles (21,); the thumb's first joint is bounded by its whole turn."""
    spread, free = (-_SPREAD_DEG, _SPREAD_DEG), (-180.0, 180.0)
    rows = [*4 * (_LIMITS_DEG[0], spread, *_LIMITS_DEG[1:]), free, free, free, *_THUMB_LIMITS_DEG]
    low, high = np.radians(np.array(rows)).T
    return low, high


def _thumb_base(chain: _Chain, seen: np.ndarray) -> np.ndarray:
    """The turn of the thumb's first joint: its bone, and as far as the thumb is bent, the axis it bends about."""
    straight = _swing(chain.bones[0], seen[0])
    axis = np.cross(seen[0], seen[1]) + np.cross(seen[1], seen[2]) + 0.5 * straight @ chain.hinge
    turn = _frame(seen[0], axis) @ _frame(chain.bones[0], chain.hinge).T
    return _axis_angle(turn[None])[0]


def forearm_and_wrist(
    elbow: np.ndarray, wrist_wanted: np.ndarray, forearm: np.ndarray, twist: float | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """The hand's orientation as turns of elbow and wrist: twist shared, nothing beyond what joints allow.

    Args:
        elbow: (3, 3) local rotation of the elbow joint.
        wrist_wanted: (3, 3) rotation of the hand against the forearm as the elbow has it now.
        forearm: (3,) unit direction of the forearm at rest.
        twist: of both together where it is known beyond half a turn, see :func:`twist_of`.

    Returns:
        Local rotations of elbow and wrist (3, 3), and how far (radians) the hand is twisted beyond the limit.
    """
    elbow_twist, elbow_swing = _split(elbow, forearm)
    wrist_twist, wrist_swing = _split(wrist_wanted, forearm)
    total = (elbow_twist + wrist_twist + np.pi) % (2 * np.pi) - np.pi if twist is None else twist
    limit = np.radians(_TWIST_DEG)
    kept = float(np.clip(total, -limit, limit))
    # the swing was seen from the forearm as it was twisted before: turned along with it
    wrist_swing = _limited(wrist_swing, np.radians(_SWING_DEG))
    before, half = rodrigues(forearm * elbow_twist), rodrigues(forearm * kept / 2)
    return elbow_swing @ half, half.T @ before @ wrist_swing @ before.T @ half @ half, abs(total - kept)


def twist_of(elbow: np.ndarray, wrist: np.ndarray, forearm: np.ndarray) -> float:
    """How far both joints twist a hand about the forearm, radians; arguments as of :func:`forearm_and_wrist`."""
    total = _split(elbow, forearm)[0] + _split(wrist, forearm)[0]
    return float((total + np.pi) % (2 * np.pi) - np.pi)


def _split(rotation: np.ndarray, axis: np.ndarray) -> tuple[float, np.ndarray]:
    """``rotation = swing @ twist``: the twist's angle about the axis and the swing."""
    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    angle = 2 * float(np.arctan2(np.array([x, y, z]) @ axis, w))
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    return angle, rotation @ rodrigues(-axis * angle)


def _limited(rotation: np.ndarray, most: float) -> np.ndarray:
    vector = _axis_angle(rotation[None])[0]
    return rodrigues(vector * min(1.0, most / max(float(np.linalg.norm(vector)), 1e-9)))


def rigid_rotation(rest: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) from rest to seen points (Kabsch), whatever their places and sizes."""
    a, b = rest - rest.mean(0), seen - seen.mean(0)
    u, _, vt = np.linalg.svd(b.T @ a)
    return u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt


@lru_cache(maxsize=8)
def fingertips(asset: BodyAsset, side: str) -> tuple[int, ...]:
    """The vertex at the tip of every finger, in the order of :data:`FINGERS`."""
    joints = asset.J_regressor @ asset.v_template
    tips = []
    for finger in FINGERS:
        last, before = (asset.joint_names.index(f"{side}_{finger}{k}") for k in (3, 2))
        along = (asset.v_template - joints[last]) @ (joints[last] - joints[before])
        tips.append(int(np.argmax(np.where(asset.weights[:, last] > 0.5, along, -np.inf))))
    return tuple(tips)


def _frame(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    x = _unit(x)
    z = _unit(z - x * (z @ x))
    return np.stack([x, np.cross(z, x), z], 1)


def _swing(start: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The shortest rotation (3, 3) from one unit vector to another."""
    axis = np.cross(start, target)
    sine = float(np.linalg.norm(axis))
    return rodrigues(axis / max(sine, 1e-9) * np.arctan2(sine, float(start @ target)))


def _axis_angle(rotations: np.ndarray) -> np.ndarray:
    vectors = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec()
    return vectors.reshape(*rotations.shape[:-2], 3)


def left_jacobian(vectors: np.ndarray, inverse: bool = False) -> np.ndarray:
    """(..., 3, 3) small turns after a rotation that changes of its axis-angle (..., 3) make, or the inverse."""
    angle = np.maximum(np.linalg.norm(vectors, axis=-1), 1e-6)[..., None, None]
    cross = np.cross(vectors[..., None, :], -np.eye(3))
    if inverse:
        half = angle / 2
        return np.eye(3) - cross / 2 + (1 - half / np.tan(half)) / angle**2 * (cross @ cross)
    return np.eye(3) + (1 - np.cos(angle)) / angle**2 * cross + (angle - np.sin(angle)) / angle**3 * (cross @ cross)


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit
