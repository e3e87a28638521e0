"""The people of the example renders: poses, garments and skinning in plain numpy (y up, metres, SMPL's 24 joints)."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dsr.body import BodyAsset, load_asset
from dsr.datasets.mhclo import Garment, assemble_base, load_garment

JOINTS = [
    "pelvis", "l_hip", "r_hip", "spine1", "l_knee", "r_knee", "spine2", "l_ankle", "r_ankle", "spine3", "l_foot", "r_foot",
    "neck", "l_collar", "r_collar", "head", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist",
    "l_hand", "r_hand",
]

# Degrees about x, y, z of each joint's rest frame (x left, y up, z front); applied x first, then y, then z.
# Arms hang by turning a shoulder about z (left minus, right plus); elbows bend about y (left minus, right plus).
POSES: dict[str, dict[str, tuple[float, float, float]]] = {
    "stand": {"l_shoulder": (0, 8, -74), "r_shoulder": (0, -8, 74), "l_elbow": (0, -18, 0), "r_elbow": (0, 16, 0)},
    "contrapposto": {
        "pelvis": (0, 0, 5), "spine1": (0, 0, -5), "spine2": (0, 4, -3), "l_hip": (-8, 10, 3), "l_knee": (16, 0, 0),
        "r_hip": (0, -6, -5), "l_shoulder": (0, 5, -66), "r_shoulder": (6, -10, 62), "l_elbow": (0, -12, 0),
        "r_elbow": (0, 35, 0), "head": (4, 12, 0),
    },
    "hands_on_hips": {
        "l_shoulder": (0, 32, -47), "r_shoulder": (0, -32, 47), "l_elbow": (0, -100, 28), "r_elbow": (0, 100, -28),
        "l_hip": (0, 0, 6), "r_hip": (0, 0, -6), "l_wrist": (0, 0, -15), "r_wrist": (0, 0, 15),
    },
    "walk": {
        "l_hip": (-24, 0, 0), "l_knee": (6, 0, 0), "r_hip": (18, 0, 0), "r_knee": (30, 0, 0), "r_ankle": (14, 0, 0),
        "l_ankle": (0, 0, 0), "l_shoulder": (0, 26, -70), "r_shoulder": (0, 24, 70), "l_elbow": (0, -18, 0),
        "r_elbow": (0, 34, 0), "spine1": (3, 6, 0), "spine3": (0, -8, 0),
    },
    "run": {
        "pelvis": (12, 0, 0), "l_hip": (-62, 0, 0), "l_knee": (80, 0, 0), "r_hip": (22, 0, 0), "r_knee": (38, 0, 0),
        "r_ankle": (22, 0, 0), "l_shoulder": (0, 45, -66), "r_shoulder": (0, 32, 62), "l_elbow": (0, -85, 0),
        "r_elbow": (0, 88, 0), "spine2": (4, 8, 0), "spine3": (0, -10, 0), "head": (-10, 0, 0),
    },
    "arms_up": {
        "l_collar": (0, 0, 12), "r_collar": (0, 0, -12), "l_shoulder": (0, -10, 48), "r_shoulder": (0, 10, -48),
        "l_elbow": (0, -22, 12), "r_elbow": (0, 22, -12), "head": (-12, 0, 0), "l_hip": (0, 0, 7), "r_hip": (0, 0, -7),
    },
    "wave": {
        "l_shoulder": (0, 6, -68), "l_elbow": (0, -20, 0), "r_collar": (0, 0, -6), "r_shoulder": (0, -12, 8),
        "r_elbow": (0, 20, -88), "r_wrist": (0, 0, -10), "head": (0, -8, -4), "spine2": (0, 0, 2),
    },
    "point": {
        "l_shoulder": (0, -55, -8), "l_elbow": (0, -10, 0), "r_shoulder": (0, -6, 68), "r_elbow": (0, 20, 0),
        "head": (0, 25, 0), "spine3": (0, 8, 0), "l_hip": (-14, 6, 3), "l_knee": (8, 0, 0), "r_hip": (6, -6, -3),
    },
    "reach": {
        "l_shoulder": (0, -60, -25), "r_shoulder": (0, 62, 20), "l_elbow": (0, -30, 0), "r_elbow": (0, 30, 0),
        "spine1": (12, 0, 0), "spine2": (10, 0, 0), "l_hip": (-20, 4, 4), "l_knee": (20, 0, 0), "r_hip": (-4, -4, -4),
        "r_knee": (8, 0, 0),
    },
    "squat": {
        "pelvis": (28, 0, 0), "l_hip": (-105, 14, 16), "r_hip": (-105, -14, -16), "l_knee": (98, 0, 0), "r_knee": (98, 0, 0),
        "l_ankle": (-21, 0, 0), "r_ankle": (-21, 0, 0), "l_shoulder": (0, -70, -12), "r_shoulder": (0, 70, 12),
        "l_elbow": (0, -25, 0), "r_elbow": (0, 25, 0), "neck": (-12, 0, 0),
    },
    "lunge": {
        "l_hip": (-76, 0, 4), "l_knee": (78, 0, 0), "l_ankle": (-2, 0, 0), "r_hip": (34, 0, -4), "r_knee": (42, 0, 0),
        "r_ankle": (6, 0, 0), "r_foot": (-28, 0, 0), "l_shoulder": (0, 28, -48), "r_shoulder": (0, -28, 48),
        "l_elbow": (0, -98, 20), "r_elbow": (0, 98, -20),
    },
    "kick": {
        "pelvis": (-8, 0, 0), "l_hip": (-68, 0, 6), "l_knee": (14, 0, 0), "l_ankle": (22, 0, 0), "r_hip": (4, 0, -4),
        "r_knee": (12, 0, 0), "l_shoulder": (0, 20, -35), "r_shoulder": (0, 40, 28), "l_elbow": (0, -30, 0),
        "r_elbow": (0, 45, 0), "spine2": (12, 0, 0),
    },
    "tree": {
        "r_hip": (-52, -55, -38), "r_knee": (118, 0, 0), "r_ankle": (20, 0, 0), "l_collar": (0, 0, 14), "r_collar": (0, 0, -14),
        "l_shoulder": (0, -14, 56), "r_shoulder": (0, 14, -56), "l_elbow": (0, -30, 22), "r_elbow": (0, 30, -22),
    },
    "star": {
        "l_shoulder": (0, -5, 18), "r_shoulder": (0, 5, -18), "l_elbow": (0, -8, 0), "r_elbow": (0, 8, 0),
        "l_hip": (0, 0, 26), "r_hip": (0, 0, -26),
    },
    "sit": {
        "l_hip": (-84, 6, 8), "r_hip": (-84, -6, -8), "l_knee": (84, 0, 0), "r_knee": (84, 0, 0), "spine1": (6, 0, 0),
        "l_shoulder": (0, -18, -62), "r_shoulder": (0, 18, 62), "l_elbow": (0, -48, 0), "r_elbow": (0, 48, 0),
    },
    "sit_lean": {
        "l_hip": (-88, 10, 10), "r_hip": (-78, -4, -6), "l_knee": (92, 0, 0), "r_knee": (64, 0, 0), "spine1": (16, 0, 0),
        "spine2": (12, 0, 0), "spine3": (8, 0, 0), "neck": (-12, 0, 0), "head": (-10, 10, 0), "l_shoulder": (0, -42, -48),
        "r_shoulder": (0, 36, 50), "l_elbow": (0, -62, 0), "r_elbow": (0, 50, 0),
    },
    "hand_to_head": {
        "l_shoulder": (0, 6, -66), "l_elbow": (0, -20, 0), "r_collar": (0, 0, -8), "r_shoulder": (0, 20, -32),
        "r_elbow": (0, 118, -40), "head": (6, -6, -6), "r_hip": (-6, -6, -3), "r_knee": (10, 0, 0),
    },
    "carry": {
        "l_shoulder": (0, 4, -62), "r_shoulder": (0, -4, 62), "l_elbow": (0, -82, 0), "r_elbow": (0, 82, 0),
        "spine1": (-3, 0, 0), "l_hip": (-6, 4, 3), "r_hip": (4, -4, -3),
    },
}
SEATED = ("sit", "sit_lean")

@dataclass
class Piece:
    """A garment ready to be worn: its weights and rest-to-T-pose turns are worked out once."""

    garment: Garment
    weights: np.ndarray
    component: np.ndarray


@dataclass
class Person:
    """Everything chosen for one person; filled in by :func:`pose_person`.

    Attributes:
        betas: (B,) shape.
        body_pose: (23, 3) axis-angle, radians.
        orient: (3, 3) body to world rotation.
        position: (2,) where the pelvis stands, x and z of the world.
        seated: whether a stool goes under the hips.
        outfit: names of the garments worn, hair last.
        look: numbers for colours, see ``_wardrobe.draw_person``.
    """

    betas: np.ndarray
    body_pose: np.ndarray
    orient: np.ndarray
    position: np.ndarray
    seated: bool
    outfit: list[str]
    look: dict[str, object]
    transl: np.ndarray = field(default_factory=lambda: np.zeros(3))
    vertices: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    joints: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    garments: dict[str, np.ndarray] = field(default_factory=dict)
    garment_rest: dict[str, np.ndarray] = field(default_factory=dict)

    def shift(self, step: np.ndarray) -> None:
        """Move the posed person and the clothes."""
        self.position = self.position + step[[0, 2]]
        self.transl, self.vertices, self.joints = self.transl + step, self.vertices + step, self.joints + step
        self.garments = {name: points + step for name, points in self.garments.items()}


class Wardrobe:
    """The open body with its helper vertices, and the garments that hang on them."""

    def __init__(self, folder: Path, helpers: Path) -> None:
        self.folder = folder
        self.body: BodyAsset = load_asset("open")
        if self.body.base_index is None:
            raise SystemExit("The open body lacks base_index; bake it again with body_models/build_open.py.")
        with np.load(helpers, allow_pickle=False) as data:
            self.helper_index = data["base_index"]
            self.helper_template, self.helper_dirs = data["v_template"], data["shapedirs"]
            self.helper_weights, self.rest = data["weights"], data["rest_vertices"]
        self.base_template = self._base(self.body.v_template, self.helper_template)
        self.base_weights = self._base(self.body.weights, self.helper_weights)

    def _base(self, body: np.ndarray, helpers: np.ndarray) -> np.ndarray:
        assert self.body.base_index is not None
        return assemble_base(body, self.body.base_index, helpers, self.helper_index)

    def shaped_base(self, betas: np.ndarray) -> np.ndarray:
        """(19158, 3) base mesh of a shape in T-pose."""
        body = self.body.v_template + self.body.shapedirs @ betas
        return self._base(body, self.helper_template + self.helper_dirs @ betas)

    @lru_cache(maxsize=64)  # noqa: B019 - one wardrobe lives as long as the run
    def piece(self, name: str) -> Piece:
        """Read a garment once."""
        found = sorted(self.folder.glob(f"**/{name}.mhclo"))
        if not found:
            raise SystemExit(f"{self.folder}: no garment {name}.mhclo; pass the unpacked MakeHuman assets with --garments.")
        present = np.isfinite(self.base_template).all(axis=1)
        garment = load_garment(found[0]).rebound(self.rest, present).turned(self.rest, self.base_template)
        return Piece(garment, garment.skinning(self.base_weights), components(garment.faces, len(garment.indices)))


def unpack(path: Path, target: Path) -> Path:
    """The garment folder: as it is, or unpacked from an archive into ``target``."""
    if path.is_dir():
        return path
    if not path.is_file():
        raise SystemExit(f"{path}: no MakeHuman assets there; pass their folder or archive with --garments.")
    with tarfile.open(path) as archive:
        archive.extractall(target, filter="data")
    return target


def components(faces: np.ndarray, count: int) -> np.ndarray:
    """Number of the connected piece of every vertex, (count,)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1])


def rotation_matrices(axis_angle: np.ndarray) -> np.ndarray:
    """Rotation matrices of axis-angle vectors, (..., 3) to (..., 3, 3)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(axis_angle.reshape(-1, 3)).as_matrix().reshape(*axis_angle.shape, 3)


def named_pose(name: str, rng: np.random.Generator, jitter_deg: float = 4.0) -> np.ndarray:
    """(24, 3) axis-angle of a hand-written pose (the first row tilts the pelvis), mirrored half of the time and varied."""
    from scipy.spatial.transform import Rotation

    angles = np.zeros((24, 3))
    for joint, degrees in POSES[name].items():
        angles[JOINTS.index(joint)] = degrees
    if rng.random() < 0.5:
        swap = [JOINTS.index("r" + j[1:] if j[:2] == "l_" else "l" + j[1:] if j[:2] == "r_" else j) for j in JOINTS]
        angles = angles[swap] * (1, -1, -1)
    noise = rng.normal(0.0, jitter_deg, (24, 3))
    noise[[10, 11, 13, 14, 22, 23]] *= 0.3
    noise[[0, 7, 8]] *= 0.4
    for knee in (4, 5):
        noise[knee, 1:] = 0.0
    angles = angles + noise
    angles[[4, 5], 0] = np.maximum(angles[[4, 5], 0], 0.0)
    return np.asarray(Rotation.from_euler("xyz", angles, degrees=True).as_rotvec())


def skin(
    rest: np.ndarray, weights: np.ndarray, joints: np.ndarray, parents: np.ndarray, rotations: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Linear blend skinning in SMPL's way: posed vertices (N, 3) and joints (J, 3) for rotations (J, 3, 3)."""
    world = np.zeros((len(parents), 4, 4))
    for j, parent in enumerate(parents):
        local = np.eye(4)
        local[:3, :3] = rotations[j]
        local[:3, 3] = joints[j] - (joints[parent] if parent >= 0 else 0.0)
        world[j] = local if parent < 0 else world[parent] @ local
    posed_joints = world[:, :3, 3].copy()
    world[:, :3, 3] -= np.einsum("jab,jb->ja", world[:, :3, :3], joints)
    blend = np.einsum("nj,jab->nab", weights, world[:, :3])
    return np.einsum("nab,nb->na", blend[:, :, :3], rest) + blend[:, :, 3], posed_joints


def pose_person(person: Person, wardrobe: Wardrobe) -> None:
    """Fill in world vertices of body and garments with the lowest point on the floor (y = 0)."""
    body = wardrobe.body
    base = wardrobe.shaped_base(person.betas)
    rest = base[body.base_index]
    joints = body.J_regressor @ rest
    rotations = np.concatenate([person.orient[None], rotation_matrices(person.body_pose)])
    vertices, posed_joints = skin(rest, body.weights.astype(np.float64), joints, body.parents, rotations)
    lowest = vertices[:, 1].min()
    for name in person.outfit:
        piece = wardrobe.piece(name)
        placed = piece.garment.fit(base)
        posed, _ = skin(placed, piece.weights, joints, body.parents, rotations)
        person.garments[name], person.garment_rest[name] = posed, placed
        if name.startswith("shoes"):
            lowest = min(lowest, posed[:, 1].min())
    person.transl = np.array([person.position[0] - posed_joints[0, 0], -lowest, person.position[1] - posed_joints[0, 2]])
    person.vertices, person.joints = vertices + person.transl, posed_joints + person.transl
    person.garments = {name: posed + person.transl for name, posed in person.garments.items()}


def draw_yaw(rng: np.random.Generator) -> float:
    """How far a person is turned from facing the camera, radians: mostly towards it, sometimes any way at all."""
    return float(rng.normal(0.0, np.radians(40.0)) if rng.random() < 0.7 else rng.uniform(-np.pi, np.pi))


@lru_cache(maxsize=1)
def _prior() -> Any:
    from dsr.fitting.prior import PosePrior

    return PosePrior.load()


def prior_pose(rng: np.random.Generator) -> np.ndarray:
    """(23, 3) axis-angle drawn from the learned pose prior; hands stay straight."""
    import torch

    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    theta = _prior().sample(1, generator=generator, temperature=0.9).reshape(21, 3).numpy()
    return np.concatenate([theta, np.zeros((2, 3))]).astype(np.float64)


def separate(people: list[Person], gap: float = 0.06) -> None:
    """Push people apart along x until nobody is closer than ``gap`` metres to the neighbour."""
    from scipy.spatial import cKDTree

    for left, right in zip(people, people[1:], strict=False):
        for _ in range(60):
            distance, _ = cKDTree(left.vertices[::4]).query(right.vertices[::4], distance_upper_bound=gap)
            overlap = left.vertices[:, 0].max() > right.vertices[:, 0].max()
            if not np.isfinite(distance).any() and not overlap:
                break
            for person in people[people.index(right) :]:
                person.shift(np.array([0.08, 0.0, 0.0]))
