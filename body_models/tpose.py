"""From Anny's rest shapes (104 bones, Z up, relaxed arms) to SMPL's T-pose (24 joints, Y up, facing +Z), all in numpy.

Every shape is brought to the same canonical pose, so that one set of pose parameters means the same limb directions
whatever the betas: upper arms, forearms and hands along +-x with palms down, thighs and shins along -y, feet as Anny
stands on them.
"""

from __future__ import annotations

import numpy as np

from dsr.body.joints import SMPL24_NAMES, SMPL24_PARENTS, flip_permutation

JOINT_NAMES = list(SMPL24_NAMES)
PARENTS = np.array(SMPL24_PARENTS)
FLIP = np.array(flip_permutation("smpl24"))

# SMPL joint -> the Anny bone whose head it is (feet: the mean of the five toe bones). DESIGN section 5.
_CENTRAL = {0: "root", 3: "spine04", 6: "spine03", 9: "spine01", 12: "neck01", 15: "head"}
_LEFT = {
    1: "upperleg01",
    4: "lowerleg01",
    7: "foot",
    13: "clavicle",
    16: "upperarm01",
    18: "lowerarm01",
    20: "wrist",
    22: "finger3-1",
}
_TOES = [f"toe{i}-1" for i in range(1, 6)]


def joint_bones() -> list[list[str]]:
    """For each of the 24 SMPL joints the Anny bones whose mean head position is the joint."""
    bones: list[list[str]] = [[] for _ in JOINT_NAMES]
    for joint, bone in _CENTRAL.items():
        bones[joint] = [bone]
    for joint, bone in _LEFT.items():
        bones[joint] = [f"{bone}.L"]
        bones[FLIP[joint]] = [f"{bone}.R"]
    bones[10] = [f"{toe}.L" for toe in _TOES]
    bones[11] = [f"{toe}.R" for toe in _TOES]
    return bones


def bone_to_joint(labels: list[str], parents: list[int]) -> np.ndarray:
    """For each Anny bone the SMPL joint that moves it: its own, or that of its nearest mapped ancestor.

    Args:
        labels: names of the bones.
        parents: index of each bone's parent, -1 for the root; parents come first.

    Returns:
        (104,) joint indices.
    """
    own = {bone: joint for joint, bones in enumerate(joint_bones()) for bone in bones}
    for side, hand in (("L", 22), ("R", 23)):  # fingers move with SMPL's hand joint, the palm with the wrist
        own.update({f"finger{i}-1.{side}": hand for i in range(2, 6)})
        own[f"finger1-2.{side}"] = hand
    joints = np.zeros(len(labels), dtype=np.int64)
    for index, (label, parent) in enumerate(zip(labels, parents, strict=True)):
        joints[index] = own.get(label, 0 if parent < 0 else joints[parent])
    return joints


def four_strongest(weights: np.ndarray) -> np.ndarray:
    """Keep each row's four largest weights and make rows sum to one; of equal ones at the end none, for symmetry."""
    fifth = np.sort(weights, axis=1)[:, -5:-4]
    kept = np.where(weights > fifth + 1e-9, weights, 0.0)
    kept[kept < 1e-3] = 0
    return kept / kept.sum(1, keepdims=True)


def repose(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring rest shapes into the T-pose by linear blend skinning on the 24 joints, pelvis at the origin.

    Args:
        vertices: (N, V, 3) metres, body frame.
        joints: (N, 24, 3) metres, body frame.
        weights: (V, 24) skinning weights.

    Returns:
        (N, V, 3) vertices and (N, 24, 3) joints in the T-pose.
    """
    rotations = _world_rotations(joints)
    posed = np.zeros_like(joints)
    for joint in range(1, 24):
        parent = PARENTS[joint]
        offset = joints[:, joint] - joints[:, parent]
        posed[:, joint] = posed[:, parent] + np.einsum("nij,nj->ni", rotations[:, parent], offset)
    moved = np.zeros_like(vertices)
    for joint in range(24):
        rows = np.flatnonzero(weights[:, joint])
        local = vertices[:, rows] - joints[:, None, joint]
        world = np.einsum("nij,nvj->nvi", rotations[:, joint], local) + posed[:, None, joint]
        moved[:, rows] += weights[rows, joint, None] * world
    return moved, posed


def _world_rotations(joints: np.ndarray) -> np.ndarray:
    """World rotation of each joint that takes the rest directions to the T-pose's; (N, 24, 3, 3)."""
    rotations = np.tile(np.eye(3), (len(joints), 24, 1, 1))
    for side, (hip, knee, ankle, shoulder, elbow, wrist, hand) in (
        (1, (1, 4, 7, 16, 18, 20, 22)),
        (-1, (2, 5, 8, 17, 19, 21, 23)),
    ):
        down, out = np.array([0.0, -1.0, 0.0]), np.array([float(side), 0.0, 0.0])
        rotations[:, hip] = _swing(joints[:, knee] - joints[:, hip], down)
        rotations[:, knee] = _swing(joints[:, ankle] - joints[:, knee], down)
        upper, fore = joints[:, elbow] - joints[:, shoulder], joints[:, wrist] - joints[:, elbow]
        # Straighten about the elbow's own hinge, then turn the arm so that the hinge is vertical and flexion goes
        # forward.
        hinge = np.cross(upper, fore)
        target = np.cross(out, np.array([0.0, 0.0, 1.0]))
        rotations[:, shoulder] = _frame(out, target) @ np.swapaxes(_frame(upper, hinge), -1, -2)
        rotations[:, elbow] = _frame(out, target) @ np.swapaxes(_frame(fore, hinge), -1, -2)
        palm = np.einsum("nij,nj->ni", rotations[:, elbow], joints[:, hand] - joints[:, wrist])
        rotations[:, wrist] = _swing(palm, out) @ rotations[:, elbow]
        rotations[:, hand] = rotations[:, wrist]
    return rotations


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def _frame(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Rotation whose first column is along x and whose third is along the part of z across it."""
    x = _unit(x)
    z = _unit(z - (z * x).sum(-1, keepdims=True) * x)
    return np.stack([x, np.cross(z, x), z], axis=-1)


def _swing(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Smallest rotation that takes the directions source (N, 3) onto target (3,); (N, 3, 3)."""
    a = _unit(source)
    v, c = np.cross(a, target), a @ target
    k = np.zeros((len(a), 3, 3))
    k[:, 0, 1], k[:, 0, 2], k[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    k -= np.swapaxes(k, -1, -2)
    return np.eye(3) + k + k @ k / (1 + c)[:, None, None]
