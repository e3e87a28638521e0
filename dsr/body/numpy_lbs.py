"""Skeleton and skinning in plain numpy, for exporters and checks that should not need torch.

The obvious formulation, one joint after the other; :class:`dsr.body.Body` is the fast one and agrees with it.
"""

from __future__ import annotations

import numpy as np

from dsr.body.asset import BodyAsset


def rodrigues(axis_angle: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of axis-angle vectors (..., 3), radians; exact at zero."""
    vector = np.asarray(axis_angle, np.float64)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    k = np.zeros((*vector.shape[:-1], 3, 3))
    k[..., 0, 1], k[..., 0, 2], k[..., 1, 2] = -vector[..., 2], vector[..., 1], -vector[..., 0]
    k = k - np.swapaxes(k, -1, -2)
    a = np.sinc(angle / np.pi)
    b = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3) + a * k + b * (k @ k)


def rest_shape(asset: BodyAsset, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rest vertices (V, 3) and rest joints (J, 3) of a shaped body, metres, float64.

    Args:
        asset: the body model.
        betas: (n,) shape coefficients, n <= num_betas.
    """
    betas = np.asarray(betas, np.float64).reshape(-1)
    vertices = asset.v_template + asset.shapedirs[..., : len(betas)].astype(np.float64) @ betas
    return vertices, asset.J_regressor.astype(np.float64) @ vertices


def skeleton(
    asset: BodyAsset,
    betas: np.ndarray,
    body_pose: np.ndarray,
    global_orient: np.ndarray | None = None,
    transl: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Rest joints and global joint transforms of one posed body.

    Args:
        asset: the body model.
        betas: (n,) shape coefficients.
        body_pose: (J-1, 3) axis-angle in radians or (J-1, 3, 3) matrices.
        global_orient: (3,) or (3, 3); None is the identity.
        transl: (3,) metres; None is zero.

    Returns:
        rest joints (J, 3) metres and transforms (J, 4, 4): a point at ``p`` relative to its rest joint goes to
        ``transform @ (p, 1)``, so the posed joints are ``transforms[:, :3, 3]``; float64.
    """
    _, rest = rest_shape(asset, betas)
    return rest, _transforms(asset, rest, body_pose, global_orient, transl)


def _transforms(
    asset: BodyAsset,
    rest: np.ndarray,
    body_pose: np.ndarray,
    global_orient: np.ndarray | None,
    transl: np.ndarray | None,
) -> np.ndarray:
    """Global joint transforms (J, 4, 4), see :func:`skeleton`."""
    pose = np.asarray(body_pose, np.float64).reshape(asset.num_joints - 1, 3, -1)
    turns = pose if pose.shape[-1] == 3 else rodrigues(pose[..., 0])
    orient = np.zeros(3) if global_orient is None else np.asarray(global_orient, np.float64).squeeze()
    first = orient if orient.shape == (3, 3) else rodrigues(orient.reshape(3))
    turns = np.concatenate((first[None], turns))
    transforms = np.zeros((asset.num_joints, 4, 4))
    done: set[int] = {-1}
    waiting = list(range(asset.num_joints))
    while waiting:
        joint = next(j for j in waiting if int(asset.parents[j]) in done)
        parent = int(asset.parents[joint])
        local = np.eye(4)
        local[:3, :3] = turns[joint]
        if parent < 0:
            local[:3, 3] = rest[joint] + (0 if transl is None else np.asarray(transl, np.float64).reshape(3))
            transforms[joint] = local
        else:
            local[:3, 3] = rest[joint] - rest[parent]
            transforms[joint] = transforms[parent] @ local
        done.add(joint)
        waiting.remove(joint)
    return transforms


def pose_vertices(
    asset: BodyAsset,
    betas: np.ndarray,
    body_pose: np.ndarray,
    global_orient: np.ndarray | None = None,
    transl: np.ndarray | None = None,
) -> np.ndarray:
    """Posed vertices (V, 3) metres, float64; arguments as in :func:`skeleton`."""
    vertices, rest = rest_shape(asset, betas)
    transforms = _transforms(asset, rest, body_pose, global_orient, transl)
    if asset.posedirs is not None:
        pose = np.asarray(body_pose, np.float64).reshape(asset.num_joints - 1, 3, -1)
        turns = pose if pose.shape[-1] == 3 else rodrigues(pose[..., 0])
        vertices = vertices + asset.posedirs @ (turns - np.eye(3)).reshape(-1)
    moved = np.zeros_like(vertices)
    for joint in range(asset.num_joints):
        rows = np.flatnonzero(asset.weights[:, joint])
        turned = (vertices[rows] - rest[joint]) @ transforms[joint, :3, :3].T + transforms[joint, :3, 3]
        moved[rows] += asset.weights[rows, joint, None] * turned
    return moved
