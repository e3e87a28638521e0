"""Made-up people with hands and a face that say something: random fingers, wrists, jaws, gazes and facial actions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.body import BodyAsset
from dsr.body.numpy_lbs import pose_vertices, rest_shape, rodrigues, skeleton
from dsr.fitting.face_actions import FITTED
from dsr.fitting.faces import EYES
from dsr.fitting.fingers import FINGERS, RestHand, fingertips
from dsr.people.hands import SIDES, Side
from dsr.rendering.drawing import draw, vertex_normals
from dsr.synthetic.backdrop import draw_backdrop, photograph
from dsr.synthetic.face_paint import skin_colours
from dsr.synthetic.poses import PriorPoses
from dsr.synthetic.scene import shade, tone

KINDS = ("relaxed", "open", "fist", "pointing", "any")
"""What hands do."""
LEAST_HAND_PX = 40.0
"""Length of a hand in the picture, were it seen from the side, from which it counts."""
_SIZE = (960, 1280)
_HAND_M = 0.18
_SEEN, _DEEP_M = 0.75, 0.03  # share of a hand's vertices that must be seen; how far below the surface they may lie
_FACING = 0.75  # cosine of the angle to the camera from which a face counts
_TRIES = 100


@dataclass(frozen=True, eq=False)
class ExpressivePerson:
    """A person in a picture.

    Attributes:
        picture: (H, W, 3) uint8.
        K: (3, 3) of the picture.
        betas: shape and facial actions of the open-x body.
        pose: (54, 3) axis-angle.
        orient: (3,) axis-angle in the camera.
        transl: (3,) metres.
        hands: sides whose hand counts: large enough and mostly seen.
        faces: whether the face counts: towards the camera.
        closed: whether the eyes are shut.
    """

    picture: np.ndarray
    K: np.ndarray
    betas: np.ndarray
    pose: np.ndarray
    orient: np.ndarray
    transl: np.ndarray
    hands: tuple[Side, ...]
    faces: bool
    closed: bool


def random_fingers(rng: np.random.Generator, hand: RestHand) -> np.ndarray:
    """(15, 3) axis-angle of the finger joints of a random hand, in SMPL-X's order."""
    kind = KINDS[rng.integers(len(KINDS))]
    curls = {"relaxed": 0.3, "open": 0.02, "fist": 0.95, "pointing": 0.9, "any": rng.uniform(0, 1)}[kind]
    curl = np.clip(np.full(5, curls) + rng.normal(0, 0.25 if kind == "any" else 0.08, 5), -0.05, 1)
    if kind == "pointing":
        curl[0] = rng.uniform(0, 0.15)
    turns = []
    for f, chain in enumerate(hand.chains):
        most = np.radians((0, 40, 50) if f == 4 else (75, 95, 60))
        bends = most * curl[f] + rng.normal(0, 0.06, 3)
        if f == 4:
            turns.append(rng.normal(0, 0.2, 3))
        else:
            spread = rodrigues(-chain.palmar * rng.normal(0, 0.1) * (1 - 0.7 * curl[f]))
            matrix = rodrigues(chain.hinge * bends[0]) @ spread @ rodrigues(-chain.hinge * chain.angle(chain.bones[0]))
            turns.append(Rotation.from_matrix(matrix).as_rotvec())
        for k in (1, 2):
            rest = chain.angle(chain.bones[k]) - chain.angle(chain.bones[k - 1])
            turns.append(chain.hinge * (bends[k] - rest))
    return np.array(turns)


def random_wrist(rng: np.random.Generator, hand: RestHand) -> np.ndarray:
    """(3,) axis-angle of a wrist: bent by some 17 degrees, twisted by up to 40."""
    turn = rodrigues(rng.normal(0, 0.3, 3)) @ rodrigues(hand.forearm * rng.uniform(-0.7, 0.7))
    return Rotation.from_matrix(turn).as_rotvec()


def finger_places(asset: BodyAsset, betas: np.ndarray, pose: np.ndarray, orient: np.ndarray, side: str) -> np.ndarray:
    """(20, 3) finger joints, then tips, from the wrist in the camera's axes, metres."""
    _, transforms = skeleton(asset, betas, pose, orient)
    first, wrist = (list(asset.joint_names).index(f"{side}_{part}") for part in (f"{FINGERS[0]}1", "wrist"))
    tips = pose_vertices(asset, betas, pose, orient)[list(fingertips(asset, side))]
    places: np.ndarray = np.concatenate([transforms[first : first + 15, :3, 3], tips]) - transforms[wrist, :3, 3]
    return places


def draw_person(asset: BodyAsset, seed: int) -> ExpressivePerson:
    """Somebody of whom at least a hand or the face counts.

    Args:
        asset: the open-x body.
        seed: another seed gives another person.
    """
    rng = np.random.default_rng([seed, 18])
    for _ in range(_TRIES):
        person = _draw(asset, rng)
        if person.hands or person.faces:
            break
    return person


def _draw(asset: BodyAsset, rng: np.random.Generator) -> ExpressivePerson:
    posed = pose_person(asset, rng)
    names, K, vertices = list(asset.joint_names), posed.K, posed.vertices
    picture, deep = paint_person(asset, rng, vertices, K, _SIZE)
    _, transforms = skeleton(asset, posed.betas, posed.pose, posed.orient, posed.transl)
    places, turns = transforms[:, :3, 3], transforms[:, :3, :3]
    hands = [side for side in SIDES if _counts(asset, vertices, places, K, deep, side)]
    head = places[names.index("head")]
    facing = float(turns[names.index("head")] @ [0, 0, 1.0] @ -head / np.linalg.norm(head))
    return ExpressivePerson(
        picture,
        K,
        posed.betas,
        posed.pose,
        posed.orient,
        posed.transl,
        tuple(hands),
        facing > _FACING,
        posed.closed,
    )


@dataclass(frozen=True, eq=False)
class PosedPerson:
    """Somebody before a camera, not yet painted.

    Attributes:
        K: (3, 3) of a picture of 960 x 1280 pixels.
        betas: shape and facial actions of the open-x body.
        pose: (54, 3) axis-angle.
        orient: (3,) axis-angle in the camera.
        transl: (3,) metres.
        closed: whether the eyes are shut.
        vertices: (V, 3) in the camera.
    """

    K: np.ndarray
    betas: np.ndarray
    pose: np.ndarray
    orient: np.ndarray
    transl: np.ndarray
    closed: bool
    vertices: np.ndarray


def pose_person(asset: BodyAsset, rng: np.random.Generator) -> PosedPerson:
    """Somebody with random hands and a random face in a pose of the prior, at random before a camera."""
    names = list(asset.joint_names)
    betas = np.zeros(asset.num_betas)
    betas[:10] = np.clip(rng.normal(0, 0.8, 10), -2, 2)
    closed = bool(rng.random() < 0.3)
    for name in rng.choice(FITTED, 3, replace=False):
        betas[asset.num_shapes + asset.expression_names.index(str(name))] = rng.uniform(0, 1)
    for side in ("Left", "Right"):
        betas[asset.num_shapes + asset.expression_names.index(f"eyeBlink{side}")] = float(closed)
    pose = np.zeros((asset.num_joints - 1, 3))
    pose[:21] = Rotation.from_matrix(PriorPoses.draw(rng)[0][:21]).as_rotvec()
    shaped = rest_shape(asset, betas)
    for side in SIDES:
        rest = RestHand(asset, betas, side, shaped)
        first = names.index(f"{side}_{FINGERS[0]}1") - 1
        pose[first : first + 15] = random_fingers(rng, rest)
        pose[names.index(f"{side}_wrist") - 1] = random_wrist(rng, rest)
    pose[names.index("jaw") - 1, 0] = rng.choice([0.0, rng.uniform(0, 0.4)])
    pose[[names.index(eye) - 1 for eye in EYES]] = [*rng.normal(0, [0.15, 0.25]), 0.0]
    camera = rodrigues(np.array([rng.normal(0.05, 0.1), 0, 0])) @ rodrigues(np.array([0, 0, rng.normal(0, 0.03)]))
    turn = camera @ np.diag([1.0, -1.0, -1.0]) @ rodrigues(np.array([0, np.clip(rng.normal(0, 0.5), -1.2, 1.2), 0]))
    orient = Rotation.from_matrix(turn).as_rotvec()
    vertices = pose_vertices(asset, betas, pose, orient)
    width, height = _SIZE
    focal = rng.uniform(1.0, 2.2) * height
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    low, high = vertices.min(0), vertices.max(0)
    depth = focal * max((high - low)[1] / height, (high - low)[0] / width) / rng.uniform(0.7, 0.95)
    transl = np.array([0.0, 0.0, depth]) - (low + high) / 2
    return PosedPerson(K, betas, pose, orient, transl, closed, vertices + transl)


def paint_person(
    asset: BodyAsset, rng: np.random.Generator, vertices: np.ndarray, K: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Picture (H, W, 3) of a body in shirt and trousers, and depth (H, W); ``size`` is width and height."""
    faces = asset.faces
    colours = skin_colours(rng, asset)
    for covered in _clothes(asset, float(rng.uniform(0.4, 0.95))):
        colours[covered] = tone(rng)
    values = np.concatenate([colours, vertex_normals(vertices, faces)], 1).astype(np.float32)
    drawn = draw(vertices, faces, K, size, values)
    picture = draw_backdrop(rng, *size)
    picture[drawn.face_index >= 0] = shade(rng, drawn.values[:, :3], drawn.values[:, 3:])
    return photograph(rng, picture, False), drawn.depth


def _clothes(asset: BodyAsset, sleeve: float) -> list[np.ndarray]:
    """Vertices of a shirt, trousers, shoes and hair; sleeves end at this weight of the forearms."""
    weight = {name: asset.weights[:, j] for j, name in enumerate(asset.joint_names)}

    def more(names: tuple[str, ...], least: float = 0.5) -> np.ndarray:
        together: np.ndarray = np.sum([weight[name] for name in names], axis=0) > least
        return together

    sides = [("left_hip", "left_knee"), ("right_hip", "right_knee")]
    upper = ("spine1", "spine2", "spine3", "left_collar", "right_collar", "left_shoulder", "right_shoulder")
    shirt = more(upper) | (more(("left_elbow", "right_elbow"), sleeve))
    legs = more(("pelvis", *sides[0], *sides[1]))
    shoes = more(("left_ankle", "right_ankle", "left_foot", "right_foot"))
    eyes = np.stack([(asset.J_regressor @ asset.v_template)[asset.joint_names.index(eye)] for eye in EYES])
    x, y, z = (asset.v_template - eyes.mean(0)).T
    hair = more(("head",)) & ((y > 0.075 - 3.0 * x**2) | ((z < -0.09) & (y > -0.05)))
    return [shirt, legs, shoes, hair]


@lru_cache(maxsize=4)
def hand_vertices(asset: BodyAsset, side: str) -> np.ndarray:
    """Those of a hand's fingers (N,)."""
    first = list(asset.joint_names).index(f"{side}_{FINGERS[0]}1")
    return np.flatnonzero(asset.weights[:, first : first + 15].sum(1) > 0.3)


def _counts(
    asset: BodyAsset, vertices: np.ndarray, places: np.ndarray, K: np.ndarray, deep: np.ndarray, side: str
) -> bool:
    """Whether a hand is large enough, inside of the picture and mostly seen."""
    wrist = places[list(asset.joint_names).index(f"{side}_wrist")]
    if K[0, 0] * _HAND_M / wrist[2] < LEAST_HAND_PX:
        return False
    points = vertices[hand_vertices(asset, side)]
    projected = points @ K.T
    columns, rows = np.floor(projected[:, :2] / projected[:, 2:]).astype(int).T
    height, width = deep.shape
    if min(columns.min(), rows.min()) < 0 or columns.max() >= width or rows.max() >= height:
        return False
    return bool((points[:, 2] < deep[rows, columns] + _DEEP_M).mean() > _SEEN)
