"""The open body dressed and posed in plain numpy, float32, fast enough to make training pictures as they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from dsr.body import BodyAsset, load_asset
from dsr.body.numpy_lbs import rodrigues
from dsr.synthetic.garments import Outfit

_RINGS, _SPOKES = 22, 28
_SKIRT_TOP, _SKIRT_BOTTOM = 0.08, -0.86


@dataclass(frozen=True)
class PosedPerson:
    """A dressed body, not yet placed.

    Attributes:
        skin: (V, 3) bare vertices, metres.
        joints: (24, 3).
        cloth: (V', 3) dressed vertices; the body's first, then the skirt's.
        normals: (V', 3) unit normals of the dressed surface.
        places: (V', 3) template place of every dressed vertex.
        faces: (F', 3); the body's first, in the asset's order, then both sides of the skirt.
        height_m: standing height.
    """

    skin: np.ndarray
    joints: np.ndarray
    cloth: np.ndarray
    normals: np.ndarray
    places: np.ndarray
    faces: np.ndarray
    height_m: float


class Mannequin:
    """The light open body with a tube around its legs for skirts, prepared for posing.

    Args:
        asset: a body of 24 SMPL joints in the open body's rest pose.
        shapes: how many of its betas count.
    """

    def __init__(self, asset: BodyAsset | None = None, shapes: int = 10) -> None:
        self.asset = asset = load_asset("open-light") if asset is None else asset
        template = asset.v_template.astype(np.float32)
        tube, directions, weights = _tube(asset, shapes)
        self.num_body = len(template)
        self.places = np.concatenate([template, tube])
        dirs = np.concatenate([asset.shapedirs[..., :shapes], directions]).astype(np.float32)
        self.shapedirs = dirs.reshape(-1, shapes)
        self.weights = np.concatenate([asset.weights, weights]).astype(np.float32)
        self.regressor = asset.J_regressor.astype(np.float32)
        self.tube_faces = _tube_faces() + self.num_body
        self.rest_normals = _normals(template, asset.faces, _incidence(asset.faces, len(template)))
        self._keypoints = {name: matrix.astype(np.float32) for name, matrix in asset.keypoint_regressors.items()}
        everything = np.concatenate([asset.faces, self.tube_faces])
        self._everything, self._incidence = everything, _incidence(everything, len(self.places))

    def keypoints(self, skin: np.ndarray, name: str) -> np.ndarray:
        """(K, 3) keypoints of a set from bare posed vertices."""
        return self._keypoints[name] @ skin

    def pose(self, betas: np.ndarray, turns: np.ndarray, outfit: Outfit) -> PosedPerson:
        """Dress and pose the body; SMPL's convention with zero translation.

        Args:
            betas: (10,) shape.
            turns: (24, 3, 3) rotations, the first is the global orientation.
            outfit: what is worn.
        """
        body, count = self.num_body, len(self.places)
        shaped = self.places + (self.shapedirs @ betas.astype(np.float32)).reshape(-1, 3)
        rest = self.regressor @ shaped[:body]
        height = float(np.ptp(shaped[:body, 1]))
        rings = self._rings(outfit)
        dressed = shaped.copy()
        lift = outfit.lift(self.places[:body])
        dressed[:body] += lift[:, None] * self.rest_normals
        if rings:
            fall = np.clip(_SKIRT_TOP - self.places[body:, 1], 0, None)
            grow = 1 + outfit.skirt_flare * fall[:, None] / 0.3
            dressed[body:, ::2] = dressed[body:, ::2] * grow
        transforms = joint_transforms(self.asset.parents, rest, turns)
        blend = (self.weights @ transforms.reshape(24, 12)).reshape(count, 3, 4)
        skin = _apply(blend[:body], shaped[:body])
        cloth = _apply(blend, dressed)
        normals = _normals(cloth, self._everything, self._incidence)
        faces = self.asset.faces
        if rings:
            tube = self.tube_faces[: 2 * _SPOKES * (rings - 1)]
            faces = np.concatenate([faces, tube, tube[:, ::-1]])
        joints = transforms[:, :, 3] + np.einsum("jab,jb->ja", transforms[:, :, :3], rest)
        return PosedPerson(skin, joints, cloth, normals, self.places, faces, height)

    def _rings(self, outfit: Outfit) -> int:
        """How many rings of the tube the skirt has; 0 without one."""
        if not outfit.skirt:
            return 0
        step = (_SKIRT_TOP - _SKIRT_BOTTOM) / (_RINGS - 1)
        return int(np.clip(round((_SKIRT_TOP - outfit.skirt_hem_y) / step) + 1, 3, _RINGS))


def joint_transforms(parents: np.ndarray, rest: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """(24, 3, 4) float32 transforms of rest points to posed points, for rest joints (24, 3) and turns (24, 3, 3)."""
    world, position = np.empty((24, 3, 3)), np.empty((24, 3))
    world[0], position[0] = turns[0], rest[0]
    for joint in range(1, 24):
        parent = parents[joint]
        world[joint] = world[parent] @ turns[joint]
        position[joint] = position[parent] + world[parent] @ (rest[joint] - rest[parent])
    shift = position - np.einsum("jab,jb->ja", world, rest)
    return np.concatenate([world, shift[..., None]], 2).astype(np.float32)


@lru_cache(maxsize=1)
def mannequin() -> Mannequin:
    """The one of this process."""
    return Mannequin()


def rotation(axis_angle: tuple[float, float, float]) -> np.ndarray:
    """(3, 3) of an axis-angle vector."""
    return rodrigues(np.array(axis_angle))


def _apply(blend: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.einsum("vab,vb->va", blend[:, :, :3], points) + blend[:, :, 3]


def _incidence(faces: np.ndarray, count: int) -> csr_matrix:
    """(V, F) float32: one where a vertex belongs to a face."""
    rows, columns = faces.reshape(-1), np.repeat(np.arange(len(faces)), 3)
    return csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), (count, len(faces)))


def _normals(vertices: np.ndarray, faces: np.ndarray, incidence: csr_matrix) -> np.ndarray:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    u, v = b - a, c - a
    cross = np.stack(
        [
            u[:, 1] * v[:, 2] - u[:, 2] * v[:, 1],
            u[:, 2] * v[:, 0] - u[:, 0] * v[:, 2],
            u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0],
        ],
        1,
    )
    normals = incidence @ cross
    return normals / np.maximum(np.sqrt(np.einsum("va,va->v", normals, normals)), 1e-12)[:, None]


def _tube(asset: BodyAsset, shapes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rings around both legs: places (N, 3), shape directions (N, 3, shapes) and skinning weights (N, 24)."""
    angle = np.linspace(0, 2 * np.pi, _SPOKES, endpoint=False)
    level = np.linspace(_SKIRT_TOP, _SKIRT_BOTTOM, _RINGS)
    template = asset.v_template
    trunk = np.abs(template[:, 0]) < 0.28
    places = np.empty((_RINGS, _SPOKES, 3), np.float32)
    for ring, y in enumerate(level):
        belt = template[trunk & (np.abs(template[:, 1] - max(y, -0.12)) < 0.03)]
        centre = (belt[:, 2].max() + belt[:, 2].min()) / 2
        wide, deep = np.abs(belt[:, 0]).max() + 0.012, np.ptp(belt[:, 2]) / 2 + 0.014
        places[ring] = np.stack([wide * np.sin(angle), np.full(_SPOKES, y), centre + deep * np.cos(angle)], 1)
    nearest = cKDTree(template).query(places.reshape(-1, 3))[1]
    directions = asset.shapedirs[nearest][..., :shapes].reshape(_RINGS, _SPOKES, 3 * shapes)
    for _ in range(6):
        directions = (directions + np.roll(directions, 1, 1) + np.roll(directions, -1, 1)) / 3
    x, y = places[..., 0], places[..., 1]
    left = _smooth((x + 0.11) / 0.22)
    thigh, shin = _smooth((0.06 - y) / 0.28) * 0.95, _smooth((-0.3 - y) / 0.35) * 0.6
    weights = np.zeros((_RINGS, _SPOKES, 24), np.float32)
    weights[..., 0] = 1 - thigh
    for share, hip, knee in ((left, 1, 4), (1 - left, 2, 5)):
        weights[..., hip], weights[..., knee] = share * thigh * (1 - shin), share * thigh * shin
    return places.reshape(-1, 3), directions.reshape(-1, 3, shapes), weights.reshape(-1, 24)


def _smooth(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _tube_faces() -> np.ndarray:
    """(2 _SPOKES (_RINGS - 1), 3) int32, ring by ring from the top, seen from outside."""
    ring, spoke = np.meshgrid(np.arange(_RINGS - 1), np.arange(_SPOKES), indexing="ij")
    a, b = ring * _SPOKES + spoke, ring * _SPOKES + (spoke + 1) % _SPOKES
    c, d = a + _SPOKES, b + _SPOKES
    return np.stack([np.stack([a, c, b], -1), np.stack([b, c, d], -1)], 2).reshape(-1, 3).astype(np.int32)
