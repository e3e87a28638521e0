"""Linear blend skinning by its definition, in the files' axes: what bodies in the scene are compared with."""

from __future__ import annotations

import numpy as np


def linear_blend_skinning(
    rest_vertices: np.ndarray,
    rest_joints: np.ndarray,
    weights: np.ndarray,
    parents: np.ndarray,
    rotations: np.ndarray,
    transl: np.ndarray,
) -> np.ndarray:
    """Posed vertices of a body.

    Args:
        rest_vertices: (V, 3).
        rest_joints: (J, 3).
        weights: (V, J).
        parents: (J,), root -1, parents before children.
        rotations: (J, 3, 3) local rotations.
        transl: (3,).

    Returns:
        (V, 3) posed vertices.
    """
    transforms = np.zeros((len(parents), 4, 4))
    for joint, parent in enumerate(parents):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = rest_joints[joint] - (rest_joints[parent] if parent >= 0 else 0)
        transforms[joint] = transforms[parent] @ local if parent >= 0 else local
    transforms[:, :3, 3] -= np.einsum("jab,jb->ja", transforms[:, :3, :3], rest_joints)
    blended = np.einsum("vj,jab->vab", weights, transforms)
    return np.einsum("vab,vb->va", blended[:, :3, :3], rest_vertices) + blended[:, :3, 3] + transl
