# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations, axes and lenses between a fit's files and Blender.

Files: body frame y up, facing +z; camera frame OpenCV (x right, y down, z forward); metres; pixels u right, v down.
Blender: rest data z up, facing -y; the photo's camera at the origin looks along +y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BODY_TO_BLENDER = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Body frame of the files to Blender's rest data, (x, y, z) -> (x, -z, y)."""

CAMERA_TO_BLENDER = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Camera frame of the files to Blender's world, (x, y, z) -> (x, z, -y); the camera is turned 90 deg about x."""

SENSOR_MM = 36.0


@dataclass(frozen=True)
class Lens:
    """A Blender camera with horizontal sensor fit and a 36 mm sensor; ``lens`` in millimetres."""

    lens: float
    shift_x: float
    shift_y: float


def lens_from_intrinsics(K: np.ndarray, size: tuple[int, int]) -> Lens:
    """Lens and shifts of the Blender camera that projects as ``K`` does.

    Args:
        K: (3, 3) pixels of the full, upright picture.
        size: (width, height), pixels.
    """
    width, height = size
    return Lens(
        lens=float(K[0, 0]) * SENSOR_MM / width,
        shift_x=(width / 2 - float(K[0, 2])) / width,
        shift_y=(float(K[1, 2]) - height / 2) / width,
    )


def axis_angle_to_matrix(vectors: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of axis-angle vectors (..., 3), radians."""
    vectors = np.asarray(vectors, np.float64)
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    k = np.zeros((*vectors.shape[:-1], 3, 3))
    k[..., 0, 1], k[..., 0, 2], k[..., 1, 2] = -vectors[..., 2], vectors[..., 1], -vectors[..., 0]
    k = k - np.swapaxes(k, -1, -2)
    return np.eye(3) + np.sinc(angle / np.pi) * k + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * (k @ k)


def matrix_to_quaternion(rotations: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4) as w, x, y, z of rotation matrices (..., 3, 3); w is not negative."""
    m = np.asarray(rotations, np.float64)
    d = np.stack([m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]], -1)
    total = d.sum(-1)
    # Four times the products q_i q_j: the row of the largest entry on the diagonal gives all of them safely.
    p = np.empty((*m.shape[:-2], 4, 4))
    p[..., 0, 0] = 1 + total
    for i in range(3):
        p[..., i + 1, i + 1] = 1 + 2 * d[..., i] - total
    p[..., 0, 1] = p[..., 1, 0] = m[..., 2, 1] - m[..., 1, 2]
    p[..., 0, 2] = p[..., 2, 0] = m[..., 0, 2] - m[..., 2, 0]
    p[..., 0, 3] = p[..., 3, 0] = m[..., 1, 0] - m[..., 0, 1]
    p[..., 1, 2] = p[..., 2, 1] = m[..., 1, 0] + m[..., 0, 1]
    p[..., 1, 3] = p[..., 3, 1] = m[..., 2, 0] + m[..., 0, 2]
    p[..., 2, 3] = p[..., 3, 2] = m[..., 2, 1] + m[..., 1, 2]
    best = np.argmax(np.diagonal(p, axis1=-2, axis2=-1), axis=-1)
    q = np.take_along_axis(p, best[..., None, None], axis=-2)[..., 0, :]
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    return np.where(q[..., :1] < 0, -q, q)


def quaternion_to_matrix(quaternions: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4) as w, x, y, z."""
    q = np.asarray(quaternions, np.float64)
    w, x, y, z = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def matrix_to_axis_angle(rotations: np.ndarray) -> np.ndarray:
    """Axis-angle vectors (..., 3), radians, of rotation matrices (..., 3, 3)."""
    q = matrix_to_quaternion(rotations)
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, q[..., :1])
    return q[..., 1:] * np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0)


def pose_to_channels(
    bones: np.ndarray, rotations: np.ndarray, transl: np.ndarray, rest_joints: np.ndarray, root: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Pose-bone quaternions and the root bone's location.

    Args:
        bones: (J, 3, 3) rest orientations of the bones (``Bone.matrix_local``); any will do, they cancel out.
        rotations: (T, J, 3, 3) local rotations of the files; the root's goes from body to camera frame.
        transl: (T, 3) metres, ``vertices = skinned + transl``.
        rest_joints: (J, 3) joints of the shaped rest pose, body frame of the files.
        root: index of the root joint.

    Returns:
        quaternions (T, J, 4) as w, x, y, z, without jumps of sign in time, and root locations (T, 3).
    """
    turned = BODY_TO_BLENDER @ rotations @ BODY_TO_BLENDER.T
    turned[:, root] = CAMERA_TO_BLENDER @ rotations[:, root] @ BODY_TO_BLENDER.T
    local = np.swapaxes(bones, -1, -2) @ turned @ bones
    moved = (rest_joints[root] + transl) @ CAMERA_TO_BLENDER.T - BODY_TO_BLENDER @ rest_joints[root]
    return continuous_quaternions(matrix_to_quaternion(local)), moved @ bones[root]


def channels_to_pose(
    bones: np.ndarray, quaternions: np.ndarray, locations: np.ndarray, rest_joints: np.ndarray, root: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The other way round: rotations (T, J, 3, 3) and transl (T, 3) of the files from pose-bone channels."""
    turned = bones @ quaternion_to_matrix(quaternions) @ np.swapaxes(bones, -1, -2)
    rotations = BODY_TO_BLENDER.T @ turned @ BODY_TO_BLENDER
    rotations[:, root] = CAMERA_TO_BLENDER.T @ turned[:, root] @ BODY_TO_BLENDER
    transl = (locations @ bones[root].T + BODY_TO_BLENDER @ rest_joints[root]) @ CAMERA_TO_BLENDER - rest_joints[root]
    return rotations, transl


def continuous_quaternions(quaternions: np.ndarray) -> np.ndarray:
    """The same rotations (T, ..., 4) with signs that do not flip from one row to the next."""
    q = np.array(quaternions, np.float64)
    if len(q) > 1:
        flips = np.sign(np.einsum("t...k,t...k->t...", q[1:], q[:-1]))
        flips[flips == 0] = 1
        q[1:] *= np.cumprod(flips, axis=0)[..., None]
    return q
