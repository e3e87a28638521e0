"""What is known of a body's shape and of its pose, from two views of the same keypoints, as one normal distribution.

Errors of 3D landmarks go together, so that many of them say little about proportions, and a silhouette may well change
the shape they gave. The pose they gave is another matter: it is what a fit finds best, and clothes only blur it. So the
shape is taken as keypoints leave it whose landmarks are hardly believed, and the pose as the fit itself holds it.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from dsr.fitting.solver import NormalEquations

_ROUND = 1e-6


def pose_as_fitted(shape: NormalEquations, pose: NormalEquations, num_betas: int) -> NormalEquations:
    """``p(shape) p(pose | shape)`` around a fit, as a quadratic cost of all parameters.

    The first factor is the marginal of one system, the Schur complement of its pose block; the second is the
    conditional of the other one. Where the shape changes, the pose follows as the second system has it: somebody bigger
    stands further away.

    Args:
        shape: the system whose marginal of the shape counts.
        pose: the system whose pose (and place) given the shape counts.
        num_betas: coefficients of shape, before the last three parameters (:class:`~dsr.fitting.solver.State`).

    Returns:
        Gradient and matrix; the cost is that of ``shape``.
    """
    size = shape.gradient.shape[1]
    every = torch.arange(size, device=shape.gradient.device)
    is_shape = (every >= size - 3 - num_betas) & (every < size - 3)
    b, p = every[is_shape], every[~is_shape]
    _, marginal, slope = _eliminated(shape, b, p)
    held, follows = _block(pose.normal, p, p), _block(pose.normal, p, b)
    solved, _, _ = _eliminated(pose, b, p)
    back = follows.transpose(1, 2) @ solved
    normal, gradient = torch.zeros_like(shape.normal), torch.zeros_like(shape.gradient)
    normal[:, p[:, None], p] = held
    normal[:, p[:, None], b] = follows
    normal[:, b[:, None], p] = follows.transpose(1, 2)
    normal[:, b[:, None], b] = marginal + back[..., :-1]
    gradient[:, p] = pose.gradient[:, p]
    gradient[:, b] = slope + back[..., -1]
    return replace(shape, normal=normal, gradient=gradient)


def _eliminated(system: NormalEquations, b: Tensor, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``H_pp^-1 [H_pb, g_p]`` (B, P, n + 1); the matrix and gradient of ``b`` that are left with ``p`` at its best."""
    across = _block(system.normal, p, b)
    solved = torch.linalg.solve(
        _firm(_block(system.normal, p, p)), torch.cat([across, system.gradient[:, p, None]], -1)
    )
    less = across.transpose(1, 2) @ solved
    return solved, _block(system.normal, b, b) - less[..., :-1], system.gradient[:, b] - less[..., -1]


def _block(matrix: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return matrix[:, rows[:, None], columns]


def _firm(matrix: Tensor) -> Tensor:
    """A positive matrix that can be inverted."""
    return matrix + _ROUND * torch.eye(matrix.shape[1]).to(matrix)
