"""Made-up hands close up, any way round, for learning what the landmark models make of hands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.body import BodyAsset
from dsr.body.numpy_lbs import pose_vertices, rodrigues, skeleton
from dsr.evaluation.expressive_drawn import hand_vertices, paint_person, pose_person, random_fingers
from dsr.fitting.fingers import FINGERS, RestHand
from dsr.people.hands import SIDES, Side
from dsr.rendering.drawing import draw, vertex_normals
from dsr.synthetic.backdrop import draw_backdrop, photograph
from dsr.synthetic.scene import develop, shade

SIZE = 448
_HAND_M, _SEEN, _DEEP_M = 0.18, 0.6, 0.03
_COMMON = 0.6  # share of hands that relax, point, are open or fists; the fingers of the others bend apart


@dataclass(frozen=True, eq=False)
class DrawnHand:
    """A hand in a picture.

    Attributes:
        picture: (448, 448, 3) uint8.
        side: which hand.
        betas: (10,).
        pose: (54, 3) axis-angle of the open-x body.
        orient: (3,) in the camera.
        transl: (3,) metres.
        K: (3, 3).
        keypoints: (33, 2) pixels of the body's points as a detector would have them.
    """

    picture: np.ndarray
    side: Side
    betas: np.ndarray
    pose: np.ndarray
    orient: np.ndarray
    transl: np.ndarray
    K: np.ndarray
    keypoints: np.ndarray


def draw_hand(asset: BodyAsset, seed: int) -> DrawnHand | None:
    """The hand of a seed; None where it is hidden or leaves the picture.

    Args:
        asset: the open-x body.
        seed: even seeds are left hands.
    """
    rng = np.random.default_rng(seed)
    side = SIDES[seed % 2]
    names = list(asset.joint_names)
    betas = rng.normal(0, 0.9, 10)
    rest = RestHand(asset, betas, side)
    pose = np.zeros((asset.num_joints - 1, 3))
    first, wrist = (names.index(f"{side}_{part}") - 1 for part in (f"{FINGERS[0]}1", "wrist"))
    pose[first : first + 15] = random_fingers(rng, rest) if rng.random() < _COMMON else _any_fingers(rng, rest)
    sign = 1 if side == "left" else -1
    shoulder = [rng.normal(0, 0.3), -sign * rng.uniform(-0.4, 1.5), -sign * rng.uniform(-0.9, 1.3)]
    pose[names.index(f"{side}_shoulder") - 1] = shoulder
    pose[names.index(f"{side}_elbow") - 1] = [rng.uniform(-0.7, 0.7), -sign * rng.uniform(0, 2.2), 0]
    bent = rodrigues(rng.normal(0, rng.choice([0.2, 0.35, 0.5]), 3))
    pose[wrist] = _vector(bent @ rodrigues(rest.forearm * rng.uniform(-1.2, 1.2)))
    yaw = rng.uniform(-1.2, 1.2) if rng.random() < 0.6 else rng.uniform(-np.pi, np.pi)
    turn = rodrigues(np.array([np.pi, 0, 0])) @ rodrigues(np.array([0, yaw, 0]))
    if rng.random() < 0.4:
        turn = rodrigues(rng.normal(0, 0.6, 3)) @ turn
    orient = _vector(turn)
    vertices = pose_vertices(asset, betas, pose, orient)
    middle = skeleton(asset, betas, pose, orient)[1][names.index(f"{side}_middle1"), :3, 3]
    length = np.exp(rng.uniform(np.log(38), np.log(180)))
    distance = rng.uniform(1.2, 5)
    focal = length / _HAND_M * distance
    aside = rng.normal(0, 0.25, 2)
    transl = np.array([*(aside * distance * rng.choice([0, 1])), distance]) - middle
    vertices = vertices + transl
    K = np.array([[focal, 0, 0], [0, focal, 0], [0, 0, 1.0]])
    at = K @ (middle + transl)
    K[:2, 2] = SIZE / 2 + rng.normal(0, 15, 2) - at[:2] / at[2]
    picture, depth = _picture(asset, rng, vertices, K, names.index(f"{side}_elbow"))
    if not _is_seen(vertices[hand_vertices(asset, side)], K, depth):
        return None
    keypoints = _projected(asset.keypoint_regressors["blazepose33"] @ vertices, K)
    keypoints = keypoints + rng.normal(0, 0.06 * length, keypoints.shape)
    return DrawnHand(picture, side, betas, pose, orient, transl, K, keypoints)


def draw_hand_of_person(asset: BodyAsset, seed: int) -> DrawnHand | None:
    """The hand of a whole person, as :mod:`dsr.evaluation.expressive_drawn` poses and dresses people, close up.

    Args:
        asset: the open-x body.
        seed: even seeds are left hands.

    Returns:
        The hand; None where it is hidden.
    """
    rng = np.random.default_rng(seed)
    side = SIDES[seed % 2]
    posed = pose_person(asset, rng)
    points = posed.vertices[hand_vertices(asset, side)]
    length = np.exp(rng.uniform(np.log(38), np.log(160)))
    K = posed.K.copy()
    K[:2] *= length * points[:, 2].mean() / (K[0, 0] * _HAND_M)
    K[:2, 2] += SIZE / 2 + rng.normal(0, 15, 2) - _projected(points, K).mean(0)
    picture, depth = paint_person(asset, rng, posed.vertices, K, (SIZE, SIZE))
    if not _is_seen(points, K, depth):
        return None
    keypoints = _projected(asset.keypoint_regressors["blazepose33"] @ posed.vertices, K)
    keypoints = keypoints + rng.normal(0, 0.06 * length, keypoints.shape)
    return DrawnHand(picture, side, posed.betas, posed.pose, posed.orient, posed.transl, K, keypoints)


def _is_seen(points: np.ndarray, K: np.ndarray, depth: np.ndarray) -> bool:
    """Whether points (N, 3) of a hand are in the picture, most of them not behind something."""
    columns, rows = np.floor(_projected(points, K)).astype(int).T
    if min(columns.min(), rows.min()) < 0 or max(columns.max(), rows.max()) >= SIZE:
        return False
    return bool((points[:, 2] < depth[rows, columns] + _DEEP_M).mean() >= _SEEN)


def _picture(
    asset: BodyAsset, rng: np.random.Generator, vertices: np.ndarray, K: np.ndarray, elbow: int
) -> tuple[np.ndarray, np.ndarray]:
    skin = np.array([rng.uniform(45, 240), 0, 0])
    skin[1:] = skin[0] * np.array([rng.uniform(0.66, 0.84), rng.uniform(0.5, 0.74)])
    covered = (asset.weights[:, elbow] > rng.uniform(0.4, 0.97)) | (asset.weights[:, :18].sum(1) > 0.5)
    colours = np.where(covered[:, None], rng.uniform(20, 230, 3), skin).astype(np.float32)
    faces = asset.faces[~asset.interior]
    drawn = draw(vertices, faces, K, (SIZE, SIZE), np.concatenate([colours, vertex_normals(vertices, faces)], 1))
    picture = draw_backdrop(rng, SIZE, SIZE)
    picture[drawn.face_index >= 0] = shade(rng, drawn.values[:, :3], drawn.values[:, 3:])
    plain = rng.random() < 0.4
    return develop(rng, picture) if plain else photograph(rng, picture, False), drawn.depth


def _any_fingers(rng: np.random.Generator, hand: RestHand) -> np.ndarray:
    """(15, 3) axis-angle of fingers that bend each for itself."""
    turns, common = [], rng.uniform(0, 1)
    for f, chain in enumerate(hand.chains):
        curl = np.clip(0.5 * common + 0.5 * rng.uniform(0, 1) + rng.normal(0, 0.1), -0.1, 1.05)
        most = np.radians((0, 45, 55) if f == 4 else (80, 100, 60))
        bends = most * np.clip(curl + rng.normal(0, 0.15, 3), -0.15, 1.1)
        if f == 4:
            turns.append(rng.normal(0, 0.3, 3))
        else:
            spread = rodrigues(-chain.palmar * rng.normal(0, 0.15) * (1 - 0.7 * min(max(curl, 0), 1)))
            straight = rodrigues(-chain.hinge * chain.angle(chain.bones[0]))
            turns.append(_vector(rodrigues(chain.hinge * bends[0]) @ spread @ straight))
        for k in (1, 2):
            turns.append(chain.hinge * (bends[k] - chain.angle(chain.bones[k]) + chain.angle(chain.bones[k - 1])))
    return np.array(turns)


def _projected(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    at = points @ K.T
    pixels: np.ndarray = at[:, :2] / at[:, 2:]
    return pixels


def _vector(matrix: np.ndarray) -> np.ndarray:
    vector: np.ndarray = Rotation.from_matrix(matrix).as_rotvec()
    return vector
