"""The people of the example renders: poses and skinning in plain numpy (y up, metres, SMPL's 24 joints)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from _poses import JOINTS, POSES

from dsr.synthetic.poses import MocapPoses
from dsr.synthetic.wardrobe import Wardrobe


@dataclass
class Person:
    """Everything chosen for one person; filled in by :func:`pose_person`.

    Attributes:
        betas: (B,) shape.
        body_pose: (23, 3) axis-angle, radians.
        orient: (3, 3) body to world rotation.
        position: (2,) where the pelvis stands, x and z of the world.
        seated: whether a stool goes under the hips.
        both_feet: whether both feet belong on the floor; the body is tilted a little until they are.
        outfit: names of the garments worn, hair last.
        look: numbers for colours, see ``_wardrobe.draw_person``.
    """

    betas: np.ndarray
    body_pose: np.ndarray
    orient: np.ndarray
    position: np.ndarray
    seated: bool
    both_feet: bool
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


def rotation_matrices(axis_angle: np.ndarray) -> np.ndarray:
    """Rotation matrices of axis-angle vectors, (..., 3) to (..., 3, 3)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(axis_angle.reshape(-1, 3)).as_matrix().reshape(*axis_angle.shape, 3)


def named_pose(name: str, rng: np.random.Generator, jitter_deg: float = 4.0) -> np.ndarray:
    """(24, 3) axis-angle of a hand-written pose (row 0 tilts the pelvis), mirrored half of the time and varied."""
    from scipy.spatial.transform import Rotation

    angles = np.zeros((24, 3))
    for joint, degrees in POSES[name].items():
        angles[JOINTS.index(joint)] = degrees
    if rng.random() < 0.5:
        swap = [JOINTS.index("r" + j[1:] if j[:2] == "l_" else "l" + j[1:] if j[:2] == "r_" else j) for j in JOINTS]
        angles = angles[swap] * (1, -1, -1)
    noise = rng.normal(0.0, jitter_deg, (24, 3))
    noise[[10, 11, 13, 14, 22, 23]] *= 0.3
    noise[[0, 1, 2, 7, 8]] *= 0.4
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
    base = wardrobe.base(person.betas)
    rest = base[body.base_index]
    joints = body.J_regressor @ rest
    weights = {"": body.weights.astype(np.float64)}
    placed = {"": rest}
    for name in person.outfit:
        piece = wardrobe.garment(name)
        placed[name], weights[name] = piece.garment.fit(base), piece.weights

    def posed(names: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        turns = np.concatenate([person.orient[None], rotation_matrices(person.body_pose)])
        return {name: skin(placed[name], weights[name], joints, body.parents, turns) for name in names}

    shoes = [name for name in person.outfit if name.startswith("shoes")]
    for _ in range(3 if person.both_feet else 0):
        now = posed(["", *shoes])
        points = np.concatenate([now[name][0] for name in now])
        feet = [
            np.concatenate([weights[name][:, pair].sum(axis=1) for name in now]) > 0.5 for pair in ([7, 10], [8, 11])
        ]
        left, right = (points[foot][points[foot, 1].argmin()] for foot in feet)
        gap, along = right - left, (right - left) * (1.0, 0.0, 1.0)
        reach = float(np.linalg.norm(along))
        # Close feet say little about how the body should lean.
        limit = float(np.clip(0.5 * (reach - 0.25), 0.01, 0.2))
        angle = float(np.clip(np.arctan2(gap[1], max(reach, 0.12)), -limit, limit))
        axis = np.cross(along / max(reach, 1e-9), (0.0, 1.0, 0.0))
        person.orient = rotation_matrices(-angle * axis) @ person.orient
    now = posed(list(placed))
    vertices, posed_joints = now[""]
    lowest = min(float(now[name][0][:, 1].min()) for name in ["", *shoes])
    person.transl = np.array(
        [person.position[0] - posed_joints[0, 0], -lowest, person.position[1] - posed_joints[0, 2]]
    )
    person.vertices, person.joints = vertices + person.transl, posed_joints + person.transl
    person.garments = {name: now[name][0] + person.transl for name in person.outfit}
    person.garment_rest = {name: placed[name] for name in person.outfit}


def draw_yaw(rng: np.random.Generator) -> float:
    """How far a person is turned from facing the camera, radians: mostly towards it, sometimes any way at all."""
    return float(rng.normal(0.0, np.radians(40.0)) if rng.random() < 0.7 else rng.uniform(-np.pi, np.pi))


@lru_cache(maxsize=1)
def _prior() -> Any:
    from dsr.mocap.pose_prior import PosePrior

    return PosePrior.load()


def prior_pose(rng: np.random.Generator) -> np.ndarray:
    """(23, 3) axis-angle drawn from the learned pose prior; hands stay straight."""
    import torch

    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    theta = _prior().sample(1, generator=generator, temperature=0.9).reshape(21, 3).numpy()
    return np.concatenate([theta, np.zeros((2, 3))]).astype(np.float64)


def clip_pose(clips: MocapPoses, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A frame of motion capture: (23, 3) axis-angle, and the (3,) tilt of the pelvis without the clip's heading."""
    from scipy.spatial.transform import Rotation

    pose, orient = clips.draw(rng)
    forward = orient @ np.array([0.0, 0.0, 1.0])
    heading = Rotation.from_euler("y", np.arctan2(forward[0], forward[2]))
    tilt = (heading.inv() * Rotation.from_matrix(orient)).as_rotvec()
    return Rotation.from_matrix(pose).as_rotvec(), tilt


def separate(people: list[Person], gap: float = 0.06) -> None:
    """Push people apart along x until nobody is closer than ``gap`` metres to the neighbour."""
    from scipy.spatial import cKDTree

    for left, right in pairwise(people):
        for _ in range(60):
            distance, _ = cKDTree(left.vertices[::4]).query(right.vertices[::4], distance_upper_bound=gap)
            overlap = left.vertices[:, 0].max() > right.vertices[:, 0].max()
            if not np.isfinite(distance).any() and not overlap:
                break
            for person in people[people.index(right) :]:
                person.shift(np.array([0.08, 0.0, 0.0]))
